"""How the documentation site is built: `make docs`.

The source folder is the whole repository, so that pages, model cards and the changelog link to each other
as they do in the repository; only what `include_patterns` names becomes a page. Nothing is loaded from
elsewhere: the site opens from a disk without a network.

Sphinx with MyST and numpydoc, because both packages have numpydoc docstrings, existing pages are Markdown, it
resolves references to code and fails where one is broken, and it is well kept.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "tools")]

from pages import write_pages
from sphinx.application import Sphinx

from haruspex_infer import __version__

project = "Haruspex"
author = "The Haruspex authors"
copyright = f"{author}; BSD-3-Clause"
release = version = __version__
root_doc = "docs/index"
include_patterns = ["docs/**.md", "docs/**.rst", "models/*.md", "CHANGELOG.md"]
exclude_patterns = [".*", "build", "dist", "*.egg-info", "docs/tools", "docs/static", "docs/root"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton", "sphinx_design"]

nitpicky = True
# other projects' names cannot be looked up without a network; types in signatures may be variables of
# types, and `names` in docstrings need not be objects
nitpick_ignore_regex = [(r"py:.*", r"(?!haruspex_).*"), (r"py:class", r".*"), (r"py:obj", r".*")]
default_role = "py:obj"
smartquotes = False  # they would make a dash of the two hyphens of an option
highlight_language = "text"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_mock_imports = ["pipeliner"]
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
numpydoc_show_class_members = False
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"Haruspex {release}"
html_static_path = ["static"]
html_css_files = ["haruspex.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # fetches pages, which browsers refuse to those opened from a disk
html_show_sphinx = False
html_extra_path = ["root"]
html_theme_options = {"sidebar_hide_name": False}
pygments_style = "friendly"


def setup(app: Sphinx) -> None:
    """Register what is done beside Sphinx's own work."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "docs" / "generated"))
    app.connect("source-read", _list_other_pages)
    app.connect("autodoc-process-signature", _plain_signature)


def _list_other_pages(app: Sphinx, page: str, source: list[str]) -> None:
    """Name, on the front page, the pages of docs/ that it does not name itself: a new page needs no entry."""
    if page == root_doc:
        named = re.findall(r"^[a-z_]+$", source[0], flags=re.M)
        others = sorted({path.stem for path in (ROOT / "docs").glob("*.md")} - {"index", *named})
        source[0] = source[0].replace("OTHER_PAGES", "\n".join(others))


def _plain_signature(
    app: Sphinx, what: str, name: str, found: object, options: object, given: str | None, returned: str | None
) -> tuple[str | None, ...]:
    """Shorten types as they are spelt out by Python to how the code has them."""
    return tuple(None if text is None else _plain_types(text) for text in (given, returned))


def _plain_types(text: str) -> str:
    text = re.sub(
        r"~?numpy\.ndarray\[tuple\[~?(typing\.)?Any, \.\.\.\], ~?numpy\.dtype\[(.*?)\]\]",
        r"NDArray[\2]",
        text,
    )
    text = re.sub(r"~?numpy\.(\w+)", r"\1", text)
    return text.replace("<factory>", "...").replace("~typing.", "")
