"""Labels kept in the user's cache while they are worked on, by the image that they belong to.

One compressed file for each layer and session, written whole or not at all. The oldest go.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.cache_folder import cache_folder, keep_newest
from napari_samstar.core.errors import UserError

log = logging.getLogger("napari_samstar")

FOLDER, SUFFIX, GONE = "autosave", ".npz", ".gone.npz"
MOST_FILES, MOST_BYTES = 50, 500 * 2**20
DAMAGES = (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile)
WHOLE = 16 * 2**20
"""Values; a plane of an image with more is told by nine blocks instead of every pixel."""
BLOCK = 256  # px, side of such a block


@dataclass(frozen=True, eq=False)
class SavedLabels:
    """A layer of labels that someone works on.

    Attributes
    ----------
    name : str
        Of the layer.
    labels : ndarray of int
        With the axes of its image; leading ones have length one where it is a single plane.
    plane : tuple of int, optional
        Which plane of a stack it lies on; None where it covers the whole image.
    recipe : dict
        How it came about, JSON-ready; empty where it was painted by hand.
    """

    name: str
    labels: NDArray[Any]
    plane: tuple[int, ...] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Tells one state of the labels from another; quick, not cryptographic."""
        return f"{zlib.crc32(np.ascontiguousarray(self.labels).data):08x}-{self.labels.shape}"


@dataclass(frozen=True)
class Saved:
    """A file of `save`; the labels themselves are read by `load`.

    Attributes
    ----------
    path : Path
    run : str
        The session that wrote it.
    name : str
        Of the layer.
    when : str
        Time, ISO 8601 with the offset from UTC.
    objects : int
    gone : bool
        Whether the user had removed the layer from the viewer.
    """

    path: Path
    run: str
    name: str
    when: str
    objects: int
    gone: bool


@dataclass(frozen=True)
class SavedSession:
    """What one session left of its layers on an image."""

    layers: tuple[Saved, ...]

    @property
    def when(self) -> datetime:
        """When it was saved last, in local time."""
        return max(datetime.fromisoformat(s.when) for s in self.layers).astimezone()

    @property
    def objects(self) -> int:
        """The number of objects in all layers."""
        return sum(s.objects for s in self.layers)


def identity(data: Any, *, rgb: bool = False) -> str:
    """Return what tells an image from others, whatever it is called and however it is shown.

    SHA-256 (hex) of shape, type and pixels: of the first, the middle and the last plane of a
    stack, and of nine blocks of a very large plane, so that lazy data are not read as a whole.

    Parameters
    ----------
    data : array, or list of arrays
        (..., H, W), with a last axis of colours where `rgb`. A list is multiscale, largest first.
    """
    digest = hashlib.sha256()
    if isinstance(data, list | tuple):
        digest.update(repr([tuple(level.shape) for level in data]).encode())
        data = data[-1]
    digest.update(repr((tuple(data.shape), str(data.dtype))).encode())
    for piece in _pieces(data, len(data.shape) - 2 - rgb):
        digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()


def save(image: str, run: str, work: SavedLabels) -> Path:
    """Write a layer of labels, replacing what the same session wrote of it before.

    Parameters
    ----------
    image : str
        From `identity`.
    run : str
        The session.

    Raises
    ------
    UserError
        Where it cannot be written, a full disk for example.
    """
    path = _path(image, run, work.name)
    about = {
        "run": run,
        "name": work.name,
        "plane": None if work.plane is None else list(work.plane),
        "recipe": work.recipe,
        "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "objects": _count(work.labels),
    }
    try:
        _make_folder(path.parent)
        with write_atomic(path) as part:
            np.savez_compressed(part, labels=work.labels, about=np.array(json.dumps(about)))
    except UserError as error:
        raise UserError(f"'{work.name}' is not being saved in the background: {error}") from error
    path.with_suffix("").with_suffix(GONE).unlink(missing_ok=True)
    keep_newest(path.parent, f"*{SUFFIX}", files=MOST_FILES, n_bytes=MOST_BYTES)
    return path


def set_aside(image: str, run: str, name: str) -> None:
    """Note that the user removed a layer: it is offered again only where nothing else is left."""
    path = _path(image, run, name)
    if path.exists():
        path.replace(path.with_suffix("").with_suffix(GONE))


def find(image: str, *, but: str = "") -> tuple[SavedSession, ...]:
    """Return what earlier sessions left of their work on an image, newest first.

    Parameters
    ----------
    but : str
        A session to leave out: the present one.
    """
    files = sorted(cache_folder(FOLDER).glob(f"{image[:24]}-*{SUFFIX}"))
    found = [s for path in files if (s := _about(path)) is not None and s.run != but]
    sessions = []
    for _, group in groupby(sorted(found, key=lambda s: s.run), key=lambda s: s.run):
        saved = list(group)
        there = [s for s in saved if not s.gone] or [max(saved, key=lambda s: s.when)]
        sessions.append(SavedSession(tuple(there)))
    return tuple(sorted(sessions, key=lambda s: s.when, reverse=True))


def load(saved: Saved) -> SavedLabels:
    """Read a layer back, bit for bit.

    Raises
    ------
    UserError
        Where the file is gone or damaged.
    """
    try:
        with saved.path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            labels, about = file["labels"], json.loads(str(file["about"]))
    except DAMAGES as error:
        raise UserError(
            f"What was saved of '{saved.name}' cannot be read ({error}): it is lost."
        ) from error
    plane = about["plane"]
    return SavedLabels(
        about["name"], labels, None if plane is None else tuple(plane), about["recipe"]
    )


# --- private ----------------------------------------------------------------------------------


def _path(image: str, run: str, name: str) -> Path:
    layer = hashlib.sha256(name.encode()).hexdigest()[:8]
    return cache_folder(FOLDER) / f"{image[:24]}-{run}-{layer}{SUFFIX}"


def _count(labels: NDArray[Any]) -> int:
    """Return the number of different labels besides 0; quick also for a large stack."""
    if not labels.size or labels.min() < 0 or labels.max() > WHOLE:
        return int(np.count_nonzero(np.unique(labels)))
    seen = np.zeros(int(labels.max()) + 1, dtype=bool)
    for plane in labels.reshape(-1, labels.shape[-1]):
        seen[plane] = True
    return int(np.count_nonzero(seen[1:]))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror}): set SAMSTAR_CACHE to another folder."
        ) from error


def _about(path: Path) -> Saved | None:
    """Return what a file says of itself; None where it is damaged, which costs only the offer."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
        values = (about["run"], about["name"], about["when"], int(about["objects"]))
    except DAMAGES as error:
        log.warning("%s cannot be read: %s", path, error)
        return None
    return Saved(path, *values, gone=path.name.endswith(GONE))


def _pieces(data: Any, leading: int) -> Iterator[NDArray[Any]]:
    for plane in _planes(data, leading):
        if np.prod(plane.shape) <= WHOLE:
            yield np.asarray(plane)
            continue
        for row in _starts(plane.shape[0]):
            for col in _starts(plane.shape[1]):
                yield np.asarray(plane[row : row + BLOCK, col : col + BLOCK])


def _planes(data: Any, leading: int) -> Iterable[Any]:
    if leading <= 0:
        return [data]
    sizes = data.shape[:leading]
    n = int(np.prod(sizes))
    return [data[np.unravel_index(k, sizes)] for k in sorted({0, n // 2, n - 1}) if n]


def _starts(length: int) -> list[int]:
    return [0, max(0, (length - BLOCK) // 2), max(0, length - BLOCK)]
