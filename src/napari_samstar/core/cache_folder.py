"""The user's cache folder, and removal of old files in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import platformdirs


def cache_folder(name: str) -> Path:
    """Return the path of a folder in the user's cache, or in `SAMSTAR_CACHE`; it may not exist."""
    root = os.environ.get("SAMSTAR_CACHE") or platformdirs.user_cache_dir("napari-samstar")
    return Path(root) / name


def keep_newest(
    folder: Path, pattern: str, *, files: int, n_bytes: int, keep: Collection[Path] = ()
) -> None:
    """Remove the oldest files of a folder until a number and a total size are not exceeded.

    Parameters
    ----------
    folder : Path
    pattern : str
        Glob pattern of the files.
    files, n_bytes : int
        Largest number of files, and largest total size in bytes.
    keep : collection of Path
        Files that are never removed, nor is the newest file.

    Notes
    -----
    Files that cannot be removed are left without an error.
    """
    with contextlib.suppress(OSError):
        found = sorted(((_time_and_size(p), p) for p in folder.glob(pattern)), reverse=True)
        total = 0
        for k, ((_, size), path) in enumerate(found):
            total += size
            if k and path not in keep and (k >= files or total > n_bytes):
                with contextlib.suppress(OSError):
                    path.unlink()


def _time_and_size(path: Path) -> tuple[float, int]:
    """Return a file's time of modification (s) and size (bytes); (0, 0) if it was just removed."""
    try:
        status = path.stat()
    except OSError:
        return 0.0, 0
    return status.st_mtime, status.st_size
