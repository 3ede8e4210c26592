"""Folders of results that a killed run leaves as they were, complete, or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_samstar.core.cache_folder import cache_folder
from napari_samstar.core.errors import UserError
from napari_samstar.core.results.outputs import (
    EXTRAS,
    LABELS,
    MEASUREMENTS,
    NAMES,
    OVERLAY,
    RECIPE,
    staged,
)
from napari_samstar.core.results.recipe import Recipe

LINKS, LABELS_ZARR = "links.csv", "labels.ome.zarr"
"""Further files of the result of a stack."""

OURS = frozenset((*NAMES, *EXTRAS, LINKS, LABELS_ZARR))

UNFINISHED = ".samstar-unfinished"
"""Ending of the hidden folders in which results are made."""


@contextlib.contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Let no other run write to `out` meanwhile, and clear away what a killed run left there.

    The operating system gives the place free when a run is killed.

    Raises
    ------
    UserError
        Where another run writes to the folder.
    """
    out = out.expanduser().absolute()
    name = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:24]
    path = cache_folder("locks") / f"{name}.lock"
    with contextlib.ExitStack() as stack:
        # Without a cache that can be written to there is no lock, which matters to two runs only.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(path, timeout=0))
            except Timeout:
                raise UserError(
                    f"Another run writes to {out}: wait until it ends, or choose another folder."
                ) from None
        for rest in (_room(out), *out.glob(f".*{UNFINISHED}")):
            shutil.rmtree(rest, ignore_errors=True)
        yield


@contextlib.contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Yield a folder whose files become those of `out` at the end, as `staged` does.

    It lies in a hidden folder that is known by its name, so that the next run can remove what a
    killed run leaves. An earlier result is replaced as a whole; other files stay.

    Raises
    ------
    UserError
        When `out` is a file or cannot be made or written to.
    """
    out = out.expanduser().absolute()
    if out.exists() and not _holds_only_results(out):
        for rest in out.glob(".samstar-*.part") if out.is_dir() else ():
            shutil.rmtree(rest, ignore_errors=True)
        with staged(out) as folder:
            yield folder
            for name in (LINKS, LABELS_ZARR):  # which `staged` does not know
                _remove(out / name)
        return
    room = _room(out)
    shutil.rmtree(room, ignore_errors=True)
    try:
        with staged(room / out.name) as folder:
            yield folder
        if out.exists():
            out.rename(room / "replaced")
        (room / out.name).rename(out)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def is_there(out: Path, wanted: Recipe) -> bool:
    """Return whether a complete result of the same recipe and image lies in a folder.

    Versions, device and number of threads are not compared, nor where the model's file is.
    """
    known = recipe_in(out)
    return known is not None and _essence(known) == _essence(wanted)


def recipe_in(out: Path) -> Recipe | None:
    """Return the recipe of a complete result; None where there is none."""
    needed = (RECIPE, MEASUREMENTS, OVERLAY)
    complete = all((out / name).is_file() for name in needed)
    if not complete or not any((out / name).exists() for name in (LABELS, LABELS_ZARR)):
        return None
    try:
        return Recipe.load(out / RECIPE)
    except UserError:
        return None


def _essence(recipe: Recipe) -> Any:
    """Return what a result depends on, as it is read back from a file."""
    values = json.loads(json.dumps(recipe.to_dict()))
    return {name: value for name, value in values.items() if name not in ("software", "model")}


def _room(out: Path) -> Path:
    return out.with_name(f".{out.name}{UNFINISHED}")


def _holds_only_results(out: Path) -> bool:
    return out.is_dir() and {each.name for each in out.iterdir()} <= OURS


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
