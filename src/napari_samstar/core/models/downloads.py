"""Checkpoints from the network into the user's cache folder, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import platformdirs

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.registry import REGISTRY, ModelInfo
from napari_samstar.core.models.transfer import (
    WrongContentError,
    has_hash,
    transfer,
    unfinished_bytes,
)
from napari_samstar.version import PACKAGE

Report = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all)."""

Cancelled = Callable[[], bool]

State = Literal["ok", "damaged", "not downloaded"]


class DownloadCancelled(UserError):
    """The user stopped a download; the next one goes on where it was."""


def models_folder() -> Path:
    """Return where checkpoints are kept: `SAMSTAR_CACHE` or the user's cache, plus "models"."""
    root = os.environ.get("SAMSTAR_CACHE") or platformdirs.user_cache_dir("napari-samstar")
    return Path(root).expanduser() / "models"


def local_file(info: ModelInfo) -> Path:
    """Return where the file of a model lies, or would lie after its download."""
    if info.url is None:
        return PACKAGE / "weights" / info.file
    return models_folder() / info.file


def fetch(
    name: str,
    progress: Report | None = None,
    cancelled: Cancelled | None = None,
    *,
    base_url: str | None = None,
    registry: dict[str, ModelInfo] = REGISTRY,
) -> Path:
    """Return the checkpoint of a named model, downloading it if need be.

    A file that is already there is used when its hash is the registry's; otherwise it is
    downloaded again. A download arrives under a temporary name and gets its own only when it is
    complete and its hash is right, so a broken or stopped one is never mistaken for a model. What
    arrived of it is kept, and the next download goes on from there.

    Parameters
    ----------
    name : str
        A key of `registry`.
    progress : callable, optional
        Called with (bytes so far, bytes in all) after every 256 KiB.
    cancelled : callable, optional
        Called as often; True stops the download.
    base_url : str, optional
        A mirror that holds the same file names.

    Raises
    ------
    DownloadCancelled
        When `cancelled` returned True.
    UserError
        When the server cannot be reached or lacks the file, the download is cut off or has the
        wrong content, or the disk is full or closed. It names the file to fetch by hand.
    """
    info = _known(name, registry)
    path = local_file(info)
    if info.url is None:
        if not path.is_file():
            raise UserError(
                f"The bundled model {name} is missing from this installation: "
                "reinstall napari-samstar."
            )
        return path
    if base_url is not None:
        info = replace(info, url=f"{base_url.rstrip('/')}/{info.file}")
    if _is_whole(info, path):
        return path
    _make_room(info, path)
    _download(info, path, _Progress(info.size_bytes, progress, cancelled))
    return path


def verify(info: ModelInfo) -> State:
    """Return whether the file of a model is as its publisher made it; reads all of it."""
    path = local_file(info)
    if not path.is_file():
        return "damaged" if info.url is None else "not downloaded"
    try:
        return "ok" if _is_whole(info, path) else "damaged"
    except OSError:  # it cannot be read
        return "damaged"


def unfinished(info: ModelInfo) -> int:
    """Return how many bytes of a model are kept of downloads that broke off."""
    return 0 if info.url is None else unfinished_bytes(local_file(info))


def _is_whole(info: ModelInfo, path: Path) -> bool:
    if not path.is_file():
        return False
    if info.known_hash is not None:
        return has_hash(path, info.known_hash)
    return path.suffix != ".safetensors" or _is_safetensors(path)


def _is_safetensors(path: Path) -> bool:
    """Return whether the file is as long as its header says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            return True
    except SafetensorError:
        return False


def _known(name: str, registry: dict[str, ModelInfo]) -> ModelInfo:
    if name not in registry:
        raise UserError(
            f"There is no model {name!r}: choose one of {', '.join(registry)}, "
            "or give the path of a checkpoint."
        )
    return registry[name]


def _make_room(info: ModelInfo, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _closed(path, error) from None
    missing = info.size_bytes - unfinished_bytes(path)
    if not path.exists() and shutil.disk_usage(path.parent).free < missing:
        raise UserError(
            f"{info.name} needs {info.size_bytes / 2**20:.0f} MiB in {path.parent}: free some "
            "space, or set SAMSTAR_CACHE to a folder on another disk."
        )


def _download(info: ModelInfo, path: Path, bar: _Progress) -> None:
    # Imported here: a panel needs the names of the files only, and the import would hold it up.
    import requests

    assert info.url is not None
    named = "" if info.url.endswith(f"/{info.file}") else f" as {info.file}"
    by_hand = (
        f"download {info.url} by hand into {path.parent}{named}, or give its path instead of a name"
    )
    try:
        transfer(info.url, path, info.known_hash, bar)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "with an error"
        raise UserError(f"The server answered {status} for {info.file}: {by_hand}.") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        if bar.done:
            raise UserError(_cut_off(info, bar, by_hand)) from error
        host = urlsplit(info.url or "").netloc
        raise UserError(f"{host} cannot be reached from here: {by_hand}.") from error
    except requests.RequestException as error:
        raise UserError(_cut_off(info, bar, by_hand)) from error
    except WrongContentError as error:
        raise UserError(
            f"What was downloaded as {info.file} is not that model (its hash is wrong) and was "
            f"deleted: try again, or {by_hand}."
        ) from error
    except OSError as error:
        raise _closed(path, error) from error


def _cut_off(info: ModelInfo, bar: _Progress, by_hand: str) -> str:
    return (
        f"The download of {info.file} broke off after {bar.done / 2**20:.1f} of "
        f"{bar.total / 2**20:.1f} MiB: try again, which goes on from there, or {by_hand}."
    )


def _closed(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path.parent} cannot be written to ({error.strerror or error}): "
        "set SAMSTAR_CACHE to a folder of yours."
    )


class _Progress:
    """Reports what arrives; raises out of the transfer when it is cancelled."""

    def __init__(self, expected: int, report: Report | None, cancelled: Cancelled | None) -> None:
        self.total = self._expected = expected
        self.done = 0
        self._report = report
        self._cancelled = cancelled

    def begin(self, done: int, total: int) -> None:
        """Start at `done` bytes."""
        self.done, self.total = done, total or self._expected

    def add(self, n_bytes: int) -> None:
        """Count bytes that arrived."""
        self.done += n_bytes
        if self._report is not None:
            self._report(self.done, max(self.done, self.total))
        if self._cancelled is not None and self._cancelled():
            raise DownloadCancelled(
                "The download was stopped: start it again any time, it goes on from there."
            )
