"""Autosaved Labels layers in the user's cache folder, found by the image they belong to.

One compressed file for each layer and session, written atomically. The oldest files are deleted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
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

FOLDER, SUFFIX, REMOVED_SUFFIX = "autosave", ".npz", ".gone.npz"
MAX_FILES, MAX_BYTES = 50, 500 * 2**20
READ_ERRORS = (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile)
MAX_HASHED_PIXELS = 16 * 2**20
"""Of planes with more pixels only nine blocks are hashed."""
BLOCK_SIDE = 256
"""Of such a block, px."""
MAX_COUNTED_LABEL = 16 * 2**20
"""Larger labels are counted by sorting instead of by a table."""


@dataclass(frozen=True, eq=False)
class SavedLabels:
    """A Labels layer to save.

    Attributes
    ----------
    name : str
        Of the layer.
    labels : ndarray of int
        With the axes of its image; the leading ones have length 1 for a single plane.
    plane : tuple of int, optional
        Its plane in a stack; None where it covers the whole image.
    recipe : dict
        JSON-ready; empty where the labels were painted by hand.
    """

    name: str
    labels: NDArray[Any]
    plane: tuple[int, ...] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A fast checksum of the labels, to detect changes; not cryptographic."""
        return f"{zlib.crc32(np.ascontiguousarray(self.labels).data):08x}-{self.labels.shape}"


@dataclass(frozen=True)
class SavedFile:
    """A file from `save`; its labels are read by `load`.

    Attributes
    ----------
    path : Path
    run : str
        The session that wrote it.
    name : str
        Of the layer.
    when : str
        Time of saving, ISO 8601 with the offset from UTC.
    objects : int
        Number of objects.
    removed : bool
        Whether the user removed the layer from the viewer.
    """

    path: Path
    run: str
    name: str
    when: str
    objects: int
    removed: bool


@dataclass(frozen=True)
class SavedSession:
    """All layers that one session saved for an image."""

    layers: tuple[SavedFile, ...]

    @property
    def when(self) -> datetime:
        """Time of the last save, local."""
        return max(datetime.fromisoformat(s.when) for s in self.layers).astimezone()

    @property
    def objects(self) -> int:
        """The number of objects in all layers."""
        return sum(s.objects for s in self.layers)


def image_id(data: Any, *, rgb: bool = False) -> str:
    """Return an identifier of an image's data, independent of its name and display settings.

    SHA-256 (hex) of shape, dtype and pixels. Of stacks only the first, middle and last plane are
    hashed, and of very large planes nine blocks, so that lazy data need not be read as a whole.

    Parameters
    ----------
    data : array, or list of arrays
        (..., H, W), or (..., H, W, 3 or 4) with `rgb`. A list is a multiscale image, largest
        first; its smallest level is hashed.
    rgb : bool
    """
    digest = hashlib.sha256()
    if isinstance(data, Sequence):  # napari's own class of levels is neither list nor tuple
        digest.update(repr([tuple(level.shape) for level in data]).encode())
        data = data[-1]
    digest.update(repr((tuple(data.shape), str(data.dtype))).encode())
    for piece in _hashed_pieces(data, len(data.shape) - 2 - rgb):
        digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()


def save(image: str, run: str, layer: SavedLabels) -> Path:
    """Write a layer, replacing its earlier file of the same session.

    Parameters
    ----------
    image : str
        From `image_id`.
    run : str
        The session.
    layer : SavedLabels

    Raises
    ------
    UserError
        Where it cannot be written, a full disk for example.
    """
    path = _path(image, run, layer.name)
    metadata = {
        "run": run,
        "name": layer.name,
        "plane": None if layer.plane is None else list(layer.plane),
        "recipe": layer.recipe,
        "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "objects": _count_labels(layer.labels),
    }
    try:
        _make_folder(path.parent)
        with write_atomic(path) as part:
            np.savez_compressed(part, labels=layer.labels, about=np.array(json.dumps(metadata)))
    except UserError as error:
        raise UserError(f"'{layer.name}' is not being saved in the background: {error}") from error
    path.with_suffix("").with_suffix(REMOVED_SUFFIX).unlink(missing_ok=True)
    keep_newest(path.parent, f"*{SUFFIX}", files=MAX_FILES, n_bytes=MAX_BYTES)
    return path


def mark_removed(image: str, run: str, name: str) -> None:
    """Record that the user removed a layer: `find` returns it only if the session has no other."""
    path = _path(image, run, name)
    if path.exists():
        path.replace(path.with_suffix("").with_suffix(REMOVED_SUFFIX))


def find(image: str, *, exclude_run: str = "") -> tuple[SavedSession, ...]:
    """Return the sessions that saved layers for an image, newest first.

    Parameters
    ----------
    image : str
        From `image_id`.
    exclude_run : str
        The current session.
    """
    paths = sorted(cache_folder(FOLDER).glob(f"{image[:24]}-*{SUFFIX}"))
    found = [
        s for path in paths if (s := _read_metadata(path)) is not None and s.run != exclude_run
    ]
    sessions = []
    for _, group in groupby(sorted(found, key=lambda s: s.run), key=lambda s: s.run):
        files_of_run = list(group)
        present = [s for s in files_of_run if not s.removed]
        newest = max(files_of_run, key=lambda s: s.when)
        sessions.append(SavedSession(tuple(present or [newest])))
    return tuple(sorted(sessions, key=lambda s: s.when, reverse=True))


def load(saved: SavedFile) -> SavedLabels:
    """Read a saved layer.

    Raises
    ------
    UserError
        Where the file is missing or damaged.
    """
    try:
        with saved.path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            labels, metadata = file["labels"], json.loads(str(file["about"]))
    except READ_ERRORS as error:
        raise UserError(
            f"What was saved of '{saved.name}' cannot be read ({error}): it is lost."
        ) from error
    plane = metadata["plane"]
    return SavedLabels(
        metadata["name"], labels, None if plane is None else tuple(plane), metadata["recipe"]
    )


# --- private ----------------------------------------------------------------------------------


def _path(image: str, run: str, name: str) -> Path:
    layer = hashlib.sha256(name.encode()).hexdigest()[:8]
    return cache_folder(FOLDER) / f"{image[:24]}-{run}-{layer}{SUFFIX}"


def _count_labels(labels: NDArray[Any]) -> int:
    """Return the number of distinct labels besides 0; fast for large stacks, too."""
    if not labels.size or labels.min() < 0 or labels.max() > MAX_COUNTED_LABEL:
        return int(np.count_nonzero(np.unique(labels)))
    seen = np.zeros(int(labels.max()) + 1, dtype=bool)
    for row in labels.reshape(-1, labels.shape[-1]):
        seen[row] = True
    return int(np.count_nonzero(seen[1:]))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror}): set SAMSTAR_CACHE to another folder."
        ) from error


def _read_metadata(path: Path) -> SavedFile | None:
    """Return the metadata of a file; None where it is damaged, so that it is not offered."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            metadata = json.loads(str(file["about"]))
        values = (metadata["run"], metadata["name"], metadata["when"], int(metadata["objects"]))
    except READ_ERRORS as error:
        log.warning("%s cannot be read: %s", path, error)
        return None
    return SavedFile(path, *values, removed=path.name.endswith(REMOVED_SUFFIX))


def _hashed_pieces(data: Any, leading: int) -> Iterator[NDArray[Any]]:
    for plane in _hashed_planes(data, leading):
        if np.prod(plane.shape) <= MAX_HASHED_PIXELS:
            yield np.asarray(plane)
            continue
        for row in _block_starts(plane.shape[0]):
            for col in _block_starts(plane.shape[1]):
                yield np.asarray(plane[row : row + BLOCK_SIDE, col : col + BLOCK_SIDE])


def _hashed_planes(data: Any, leading: int) -> Iterable[Any]:
    if leading <= 0:
        return [data]
    sizes = data.shape[:leading]
    n = int(np.prod(sizes))
    return [data[np.unravel_index(k, sizes)] for k in sorted({0, n // 2, n - 1}) if n]


def _block_starts(length: int) -> list[int]:
    return [0, max(0, (length - BLOCK_SIDE) // 2), max(0, length - BLOCK_SIDE)]
