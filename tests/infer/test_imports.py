"""What is imported when: the training package relies on light imports, and torch must never come in."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from toys import lump

import haruspex_infer

ROOT = Path(__file__).parents[2]


def modules_after(code: str) -> set[str]:
    """Top-level modules that are loaded once some code has run in a new interpreter."""
    program = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    done = subprocess.run([sys.executable, "-c", path + program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["haruspex_infer", "haruspex_infer.classes", "haruspex_infer.normalise"])
def test_constants_come_without_the_engine(module):
    loaded = modules_after(f"import {module}")
    assert loaded.isdisjoint({"onnxruntime", "mrcfile", "gemmi", "torch", "typer", "rich"})


def test_help_and_completion_know_the_public_names():
    assert set(haruspex_infer.__all__) <= set(dir(haruspex_infer))
    code = "import pydoc, haruspex_infer; print(pydoc.plain(pydoc.render_doc(haruspex_infer)))"
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    done = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, check=True)
    assert "annotate(map_: " in done.stdout
    assert "class Annotator" in done.stdout


def test_torch_is_never_imported(toy, tmp_path):
    lump((24, 24, 24)).tofile(tmp_path / "a")
    loaded = modules_after(
        "import numpy, haruspex_infer, haruspex_infer.cli, haruspex_infer.residues\n"
        f"density = numpy.fromfile({str(tmp_path / 'a')!r}, numpy.float32).reshape(24, 24, 24)\n"
        f"annotation = haruspex_infer.annotate(density, voxel_size=1.1, network={str(toy)!r})\n"
        f"annotation.save({str(tmp_path / 'out')!r})"
    )
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint({"torch", "scipy", "tensorflow", "pipeliner"})


def test_public_names_are_there():
    for name in haruspex_infer.__all__:
        assert getattr(haruspex_infer, name).__name__ == name
    assert callable(haruspex_infer.annotate)
    with pytest.raises(AttributeError, match="no attribute 'wonder'"):
        haruspex_infer.wonder  # noqa: B018


def test_imports_go_one_way():
    """No module imports, anywhere in it and be it for types alone, one that is built on it."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in ROOT.glob("haruspex_*/**/*.py")
    }
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    # the package itself only hands on what its modules offer
    files.pop("haruspex_infer")
    graph = {}
    for name, path in files.items():
        imported = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                of_names = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= of_names & files.keys() or {node.module} & files.keys()
        graph[name] = imported
    order = list(TopologicalSorter(graph).static_order())  # raises where it finds a circle
    assert order.index("haruspex_infer.annotatedmap") < order.index("haruspex_infer.annotation")
