"""The documentation: what its pages name exists, and the check of the built site finds what is broken.

The site itself is built by ``make docs``, where every warning is an error.
"""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

import haruspex_infer.cli
import haruspex_train.cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if "generated" not in path.parts
]
METHOD = (DOCS / "background" / "method.md").read_text(encoding="utf-8")
ROLE = re.compile(r"\{py:(?:func|class|meth|mod)\}`(?:[^`<]*<)?~?([\w.]+)>?`")


def resolved(name: str) -> object:
    """The object of a dotted name."""
    parts = name.split(".")
    found = import_module(".".join(parts[:2]))
    for part in parts[2:]:
        found = getattr(found, part)
    return found


def sections(text: str) -> dict[str, str]:
    """Text of each section of a page by its heading."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S
    )


def test_every_function_of_the_method_exists():
    names = ROLE.findall(METHOD)
    assert len(names) == METHOD.count("{py:")
    for name in names:
        found = resolved(name)
        # the reference documents things where they are defined
        assert name.startswith(getattr(found, "__module__", name)), name


def test_every_paragraph_of_the_methods_has_its_functions():
    titles = [
        "Training data: pairs of map and model",
        "Training data: secondary structure",
        "Annotation of maps: which voxels",
        "Annotation of maps: one class a voxel",
        "Generation of training segments",
        "Network architecture",
        "Network training",
        "Evaluation (main text)",
        "Use",
    ]
    found = sections(METHOD)
    assert list(found) == titles
    for title, text in found.items():
        assert text.lstrip().startswith("**The paper**"), title
        assert ROLE.search(text.partition("\n**Here**\n")[2]), title


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_options_that_pages_use(page):
    trainer = get_command(haruspex_train.cli.app).commands
    for block in blocks(page, ""):
        for line in block.splitlines():
            words = line.partition("#")[0].split()
            if not words or words[0] not in ("haruspex-infer", "haruspex"):
                continue
            command = (
                get_command(haruspex_infer.cli.app) if words[0] == "haruspex-infer" else trainer[words[1]]
            )
            known = {name for parameter in command.params for name in parameter.opts}
            assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, line


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_to_files(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not re.match(r"[a-z]+:", target) and "generated/" not in target:
            assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_python_on_pages_names_what_exists(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("haruspex"):
                for alias in node.names:
                    assert hasattr(import_module(str(node.module)), alias.name), (page, alias.name)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "haruspex_infer":
                assert hasattr(haruspex_infer, node.attr), (page, node.attr)


def check(site: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, DOCS / "tools" / "links.py", site], capture_output=True, text=True)


def test_broken_links_are_found(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1><a href="deep/page.html#here">x</a><a href="#top">x</a>'
        '<a href="https://example.org/">x</a><img src="a%20picture.png"><img src="data:image/png;base64,">'
    )
    (tmp_path / "deep/page.html").write_text('<p id="here">x</p><a href="../index.html">x</a>')
    (tmp_path / "a picture.png").write_bytes(b"")
    (tmp_path / "style.css").write_text('a { background: url("a%20picture.png") }')
    whole = check(tmp_path)
    assert whole.returncode == 0, whole.stdout
    with (tmp_path / "deep/page.html").open("a") as page:
        page.write('<a href="../index.html#nowhere">x</a><a href="gone.html">x</a>')
        page.write('<script src="https://example.org/x.js"></script>')
    (tmp_path / "style.css").write_text('@import "https://example.org/font.css";')
    broken = check(tmp_path)
    assert broken.returncode == 1
    assert broken.stdout.splitlines() == [
        "deep/page.html links to ../index.html#nowhere, where there is no such anchor",
        "deep/page.html links to gone.html, which is not there",
        "deep/page.html loads https://example.org/x.js from elsewhere",
        "style.css loads https://example.org/font.css from elsewhere",
    ]
