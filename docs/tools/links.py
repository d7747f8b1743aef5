"""Checks a built site: every link inside it leads somewhere, and nothing is loaded from elsewhere.

    python docs/tools/links.py build/site

Prints one line a fault; the exit code is 1 if there is any. Links to other sites are not followed.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""What a browser loads by itself, unlike links, which a reader follows."""

ADDRESS = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)")
"""What a style sheet loads from another site."""


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of what an element refers to."""
        given = dict(attrs)
        self.anchors |= {name for name in (given.get("id"), given.get("name")) if name}
        if tag == "a" and given.get("href"):
            self.links.add(str(given["href"]))
        if LOADED.get(tag) and given.get(LOADED[tag]):
            self.loaded.add(str(given[LOADED[tag]]))


def faults(site: Path) -> list[str]:
    """Return what is wrong with a site, one line each."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        shown = path.relative_to(site)
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    found.append(f"{shown} loads {link} from elsewhere")
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if not target.is_file():
                found.append(f"{shown} links to {link}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{shown} links to {link}, where there is no such anchor")
    for path in sorted(site.rglob("*.css")):
        addresses = ADDRESS.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)} loads {address} from elsewhere" for address in addresses]
    return found


def main() -> None:
    """Check the site named on the command line."""
    found = faults(Path(sys.argv[1]).resolve())
    print(
        "\n".join(found) or "All links inside the site lead somewhere, and nothing is loaded from elsewhere."
    )
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
