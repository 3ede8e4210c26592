"""One file over HTTP: what broke off goes on later, and only the right content gets its name.

While it arrives, the file has the name of the process that receives it, so that two processes do
not write into one. What is left of a download that broke off is `NAME.part`; what is left of a
process that was killed has that process's name. The next download takes either over.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psutil

if TYPE_CHECKING:
    import requests

CHUNK = 256 * 1024
_TIMEOUT_S = 15
_NOTHING_THERE = 416  # the range begins behind the end of the file


class WrongContentError(Exception):
    """What arrived has not the known hash; it was deleted."""


class Bar(Protocol):
    """Is told what arrives; it may stop a download by raising."""

    def begin(self, done: int, total: int) -> None:
        """Start at `done` bytes; a `total` of 0 is not known."""

    def add(self, n_bytes: int) -> None:
        """Count bytes that arrived."""


def transfer(url: str, path: Path, known_hash: str | None, bar: Bar) -> None:
    """Download `url` as `path`, going on with what an earlier download left.

    Parameters
    ----------
    known_hash : str, optional
        "algorithm:digest". Without it nothing is gone on with, since nobody would notice that the
        file on the server is another one now.

    Raises
    ------
    WrongContentError
        Where the hash is another; nothing is left then.
    requests.RequestException
        Where the transfer fails; what arrived is kept.
    """
    part = _claimed(path)
    if known_hash is None:
        part.unlink(missing_ok=True)
    try:
        _receive(url, part, bar)
    except BaseException:  # a stop by the user, too
        _give_back(part, path)
        raise
    if known_hash is not None and not has_hash(part, known_hash):
        part.unlink()
        raise WrongContentError
    part.replace(path)


def has_hash(path: Path, known_hash: str) -> bool:
    """Return whether a file has the digest "algorithm:digest"."""
    import pooch

    algorithm, _, digest = known_hash.partition(":")
    return str(pooch.file_hash(str(path), alg=algorithm)) == digest


def unfinished_bytes(path: Path) -> int:
    """Return how much of a file is kept of downloads that broke off."""
    return max((_size(left) for left in _leftovers(path)), default=0)


# --- what is left of earlier downloads ------------------------------------------------------------


def _claimed(path: Path) -> Path:
    """Return the file to write to, with the most that was left; other leftovers are deleted."""
    mine = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    for left in sorted(_leftovers(path), key=_size):
        # Another process may take it first, or Windows may still hold it open.
        with contextlib.suppress(OSError):
            left.replace(mine)
    return mine


def _leftovers(path: Path) -> Iterator[Path]:
    """Yield the partial files that no running process writes to."""
    kept = path.with_name(path.name + ".part")
    if kept.is_file():
        yield kept
    for found in path.parent.glob(glob.escape(path.name) + ".*.part"):
        pid = re.fullmatch(r"(\d+)-\d+\.part", found.name.removeprefix(path.name + "."))
        if pid is not None and not psutil.pid_exists(int(pid[1])):
            yield found


def _give_back(part: Path, path: Path) -> None:
    with contextlib.suppress(OSError):
        if _size(part):
            part.replace(path.with_name(path.name + ".part"))
        else:
            part.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


# --- HTTP -----------------------------------------------------------------------------------------


def _receive(url: str, part: Path, bar: Bar) -> None:
    """Append to `part` what is missing; a server that cannot do that sends all again."""
    import requests

    have = _size(part)
    # A web cache may send the file compressed; then its length would not be the file's.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, stream=True, timeout=_TIMEOUT_S, headers=headers) as answer:
        if not (have and answer.status_code == _NOTHING_THERE):
            answer.raise_for_status()
            _append(answer, part, have, bar)
            return
    if _total(answer) != have:  # the file on the server is another one now
        part.unlink()
        _receive(url, part, bar)


def _append(answer: requests.Response, part: Path, have: int, bar: Bar) -> None:
    said = answer.headers.get("Content-Range", "")
    start = have if answer.status_code == 206 and said.startswith(f"bytes {have}-") else 0
    coming = int(answer.headers.get("Content-Length", 0))
    bar.begin(start, start + coming if coming else 0)
    with part.open("ab" if start else "wb") as file:
        for chunk in answer.iter_content(CHUNK):
            file.write(chunk)
            bar.add(len(chunk))


def _total(answer: requests.Response) -> int:
    """Return the size of the file on the server, from 'bytes */1234'; -1 where it is not said."""
    size = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(size) if size.isdigit() else -1
