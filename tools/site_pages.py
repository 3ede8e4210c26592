"""MkDocs hook: pages of the documentation site that are kept outside of docs/.

The README, CONTRIBUTING.md, the licence and two more pages stand where repositories have them, and
link to each other as files of the repository. The site shows them as pages of its own; this hook
adds them and turns the links of all pages into links within the site. A link to a file that is no
page of the site is left as it is, so that a strict build fails.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

# Path in the repository -> page of the site.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "license.md",
    "training/README.md": "training.md",
    "sample_data/README.md": "sample_data.md",
}

_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
_ELSEWHERE = ("https://", "http://", "mailto:", "/")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    source = _in_repository(page.file)
    here = posixpath.dirname(page.file.src_uri)

    def in_site(match: re.Match[str]) -> str:
        target = match[1]
        if target.startswith(_ELSEWHERE):
            return target
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        uri = OUTSIDE.get(path, path.removeprefix("docs/"))
        return target if uri.startswith("../") else posixpath.relpath(uri, here or ".")

    parts = _FENCE.split(markdown)  # text and code blocks in turns
    parts[::2] = [_LINK.sub(in_site, text) for text in parts[::2]]
    return "".join(parts)


def _in_repository(file: File) -> str:
    """Return the path of a page's source in the repository."""
    pages = {page: source for source, page in OUTSIDE.items()}
    return pages.get(file.src_uri, f"docs/{file.src_uri}")
