"""The documentation site: it builds strictly, its links lead somewhere, it loads nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import napari_samstar

# Tags by whose attribute a browser loads something at once.
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """The anchors and links of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.links |= {values[name] for name in ("href", "src") if name in values}
        if tag in LOADS and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.add(values.get(LOADS[tag], ""))


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; warnings of mkdocs, such as a broken link, end a strict build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=repository,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def internal(pages: dict[Path, Page]) -> Iterator[tuple[Path, str, Path, str]]:
    """Yield (page, link, file, anchor) of each link within the site."""
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of the server's root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if not parts.scheme and not parts.netloc:
                target = path.parent / unquote(parts.path) if parts.path else path
                yield path, link, target.resolve(), unquote(parts.fragment)


def test_every_link_within_the_site_leads_somewhere(pages):
    anchors = {path.resolve(): page.anchors for path, page in pages.items()}
    broken = [
        f"{path.name}: {link}"
        for path, link, target, anchor in internal(pages)
        if not (target / "index.html" if target.is_dir() else target).is_file()
        or (anchor and target in anchors and anchor not in anchors[target])
    ]
    assert broken == []


def test_pages_load_nothing_from_the_network(pages):
    outside = {link for page in pages.values() for link in page.loaded if urlsplit(link).netloc}
    assert outside == set()


def test_every_public_name_is_in_the_api_reference(site, pages):
    names = set(napari_samstar.__all__) - {"__version__"}
    links = {link.rpartition(".")[2] for link in pages[site / "api" / "index.html"].links}
    assert names - links == set()
