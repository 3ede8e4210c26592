"""The user's cache folder, and how it is kept from growing without end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import platformdirs


def cache_folder(name: str) -> Path:
    """Return a folder in the user's cache (`SAMSTAR_CACHE` overrides where); it may not exist."""
    root = os.environ.get("SAMSTAR_CACHE") or platformdirs.user_cache_dir("napari-samstar")
    return Path(root) / name


def keep_newest(
    folder: Path, pattern: str, *, files: int, n_bytes: int, spare: Collection[Path] = ()
) -> None:
    """Remove the oldest files of a folder beyond a number and a size.

    The newest file and those in `spare` stay whatever their size. A file that cannot be removed
    is left: tidying up is never a reason to fail.
    """
    with contextlib.suppress(OSError):
        found = sorted(((_modified(p), p) for p in folder.glob(pattern)), reverse=True)
        total = 0
        for k, ((_, size), path) in enumerate(found):
            total += size
            if k and path not in spare and (k >= files or total > n_bytes):
                with contextlib.suppress(OSError):
                    path.unlink()


def _modified(path: Path) -> tuple[float, int]:
    """Return when a file was written (s) and its size in bytes; (0, 0) where it has just gone."""
    try:
        about = path.stat()
    except OSError:
        return 0.0, 0
    return about.st_mtime, about.st_size
