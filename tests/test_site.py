"""The documentation site and the citation file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

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


def built(repository: Path, folder: Path) -> dict[Path, Page]:
    """Build the site; warnings of mkdocs, such as a broken link, end a strict build."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=repository,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path) for path in folder.rglob("*.html")}


def broken_links(pages: dict[Path, Page]) -> list[str]:
    """Return links within the site without a file or an anchor."""
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of the server's root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if target.is_dir():
                target /= "index.html"
            known = pages[target].anchors if target in pages else {anchor}
            if not target.is_file() or (anchor and anchor not in known):
                broken.append(f"{path.name}: {link}")
    return broken


def test_the_site_builds_strictly_and_its_links_lead_somewhere(repository, tmp_path):
    """One test, as the build takes some seconds and tests run in several processes."""
    pages = built(repository, tmp_path.resolve())
    assert broken_links(pages) == []

    loaded = {link for page in pages.values() for link in page.loaded}
    assert {link for link in loaded if urlsplit(link).netloc} == set(), "needs the network"

    reference = pages[tmp_path.resolve() / "api" / "index.html"]
    names = {link.rpartition(".")[2] for link in reference.links}
    assert set(napari_samstar.__all__) - {"__version__"} - names == set(), "not in the reference"


def test_the_citation_names_version_licence_and_papers(repository):
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == napari_samstar.__version__
    assert citation["license"] == "BSD-3-Clause"
    cited = {reference["url"] for reference in citation["references"]}
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert cited == set(re.findall(r"https://arxiv\.org/abs/[\d.]+", readme))
