"""Atomic writing of files: completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from napari_samstar.core.errors import UserError


@contextlib.contextmanager
def write_atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file written there becomes `path` at the end.

    An existing file is replaced in one step, so a reader sees either the old or the new content.
    If the block raises, the temporary file is removed and `path` is unchanged.

    >>> with write_atomic("out/labels.tif") as part:
    ...     tifffile.imwrite(part, labels)

    Raises
    ------
    UserError
        If the folder is missing or read-only, `path` is a folder, or the disk is full.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file in it.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent}: create it or choose another.")
    # The suffix is kept, because writers choose the format by it.
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    """Return the message for an error of the operating system."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return UserError(f"The disk is full, {path.name} was not written: free some space.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path.parent} cannot be written to: choose another folder.")
    return UserError(f"{path} could not be written ({error.strerror or error}): try another place.")
