"""The files that a result leaves behind, all of them or none."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import imageio.v3 as iio
import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_samstar.core.amg.config import SETTINGS
from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.errors import UserError
from napari_samstar.core.results import figures
from napari_samstar.core.results.tables import write_rows, write_table
from napari_samstar.core.rewards.registry import REWARDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.masks.painting import Labels, Painting
    from napari_samstar.core.results.recipe import Recipe
    from napari_samstar.core.tuning.front import Front

RECIPE, LABELS, MEASUREMENTS = "recipe.samstar.json", "labels.tif", "measurements.csv"
OVERLAY, FRONT_TABLE, FRONT_PLOT = "overlay.png", "front.csv", "front.png"
VIEW = "view.png"
ALL_OBJECTS, ALL_IMAGES = "all_objects.csv", "all_images.csv"
REPORT, IMAGES = "report.html", "images"

NAMES = (RECIPE, LABELS, MEASUREMENTS, OVERLAY, FRONT_TABLE, FRONT_PLOT)
"""Every file of a result on one image; the last two only where settings were searched."""

EXTRAS = (VIEW, ALL_OBJECTS, ALL_IMAGES, REPORT)
"""Files that are written on wish, or where there are several images."""

LARGEST_PICTURE = 1400
"""Longer side of the overlay picture of a large image, px."""

TIFF_TILE = 512
"""Side of the tiles in which a large label image is stored, px."""


class WritableResult(Protocol):
    """What the files of a result are written from; a `Result` is one."""

    @property
    def image(self) -> Micrograph:
        """The image as SAM sees it."""

    @property
    def painting(self) -> Painting:
        """The label image."""

    @property
    def recipe(self) -> Recipe:
        """What repeats it."""

    @property
    def table(self) -> dict[str, NDArray[Any]]:
        """See `labels.measurements`."""

    @property
    def front(self) -> Front | None:
        """All trials, where a search found the settings."""

    @property
    def picked(self) -> int | None:
        """Position in `front` of the trial that `labels` shows."""


def write_result(result: WritableResult, folder: Path) -> list[str]:
    """Write every file of `result` into an existing `folder` and return their names."""
    result.recipe.save(folder / RECIPE)
    if result.image.is_large:
        write_large_labels(result.painting, result.image, folder / LABELS)
    else:
        write_labels(result.painting.whole(), result.image, folder / LABELS)
    write_table(result.table, folder / MEASUREMENTS)
    figures.save(_overlay(result), folder / OVERLAY)
    names = [RECIPE, LABELS, MEASUREMENTS, OVERLAY]
    if result.front is not None:
        names += write_search(result.front, result.picked, folder)
    return names


def write_view(image: Micrograph, path: Path) -> str:
    """Write what SAM sees as PNG, of a large image every k-th pixel; returns the file's name."""
    step = -(-max(image.shape) // LARGEST_PICTURE) if image.is_large else 1
    with write_atomic(path) as part:
        iio.imwrite(part, image.thumbnail(step), extension=".png")
    return path.name


def _overlay(result: WritableResult) -> Figure:
    """Return the overlay picture; a large image is shown by every k-th pixel."""
    image, painting = result.image, result.painting
    step = -(-max(image.shape) // LARGEST_PICTURE) if image.is_large else 1
    labels = painting.thumbnail(step)
    return figures.overlay_figure(image, labels, step=step, n_objects=painting.n_objects)


def write_search(front: Front, picked: int | None, folder: Path) -> list[str]:
    """Write the front as table and picture into an existing `folder` and return their names."""
    write_front(front, picked, folder / FRONT_TABLE)
    figures.save(figures.front_figure(front, picked), folder / FRONT_PLOT)
    return [FRONT_TABLE, FRONT_PLOT]


def write_labels(labels: Labels, image: Micrograph, path: Path) -> None:
    """Write a label image as int32 TIFF that ImageJ, napari and `files.read_image` can measure.

    ImageJ reads the pixel size from the resolution tags (pixels per unit) and the unit from the
    description. The description is written by hand, because tifffile's own ImageJ mode knows no
    32-bit integers.
    """
    n = 1 if labels.ndim == 2 else len(labels)
    with write_atomic(path) as part:
        tifffile.imwrite(part, np.asarray(labels, dtype=np.int32), **_label_tags(image, n))


def write_large_labels(painting: Painting, image: Micrograph, path: Path) -> None:
    """Write a painting as `write_labels` does, in tiles, without ever holding all of it."""
    rows, cols = painting.shape

    def tiles() -> Iterator[NDArray[np.int32]]:
        for row in range(0, rows, TIFF_TILE):
            band = painting.window(row, 0, min(row + TIFF_TILE, rows), cols)
            for col in range(0, cols, TIFF_TILE):
                yield np.ascontiguousarray(band[:, col : col + TIFF_TILE])

    with write_atomic(path) as part:
        tifffile.imwrite(
            part,
            tiles(),
            shape=painting.shape,
            dtype=np.int32,
            tile=(TIFF_TILE, TIFF_TILE),
            bigtiff=4 * rows * cols > 2**31,
            **_label_tags(image, 1),
        )


def _label_tags(image: Micrograph, n: int) -> dict[str, Any]:
    """Return how `n` planes of labels are stored, for `tifffile.imwrite`."""
    description = f"ImageJ=1.54f\nimages={n}\n" + (f"slices={n}\n" if n > 1 else "")
    calibration: dict[str, Any] = {}
    if image.pixel_size is not None:
        row, col = image.pixel_size
        calibration = {"resolution": (1 / col, 1 / row), "resolutionunit": 1}
        unit = image.unit.replace("µ", "\\u00B5")  # as ImageJ itself escapes it: tags are ASCII
        description += f"unit={unit}\n"
    return {
        "photometric": "minisblack",
        "compression": "zlib",
        "description": description,
        "metadata": None,
        "software": "napari-samstar",
        **calibration,
    }


def write_front(front: Front, picked: int | None, path: Path) -> None:
    """Write every evaluation, in the order they were made, one row each.

    Numbers are written in full, so a row's settings give exactly that configuration again.
    """
    rows = list(front_rows(front, picked))
    write_rows(({k: _in_full(v) for k, v in row.items()} for row in rows), list(rows[0]), path)


def _in_full(value: Any) -> Any:
    return repr(float(value)) if isinstance(value, float | np.floating) else value


def front_rows(front: Front, picked: int | None) -> Iterator[dict[str, Any]]:
    """Yield each evaluation as a flat row: origin, settings, raw rewards, objectives."""
    members = set(front.members.tolist())
    objectives = ["objective_" + name.lower().replace(" ", "_") for name in front.goal.names]
    for k, trial in enumerate(front.trials):
        yield {
            "trial": k,
            "generation": trial.generation,
            "origin": trial.origin,
            "n_masks": trial.n_masks,
            "on_front": int(k in members),
            "picked": int(k == picked),
            **{name: getattr(trial.config, name) for name in ("prompts", "shown", *SETTINGS)},
            # Blank where a reward does not apply to the image.
            **{"reward_" + name: trial.rewards.get(name, "") for name in REWARDS},
            **dict(zip(objectives, front.points[k].tolist(), strict=True)),
        }


def check_images_folder(out: str | Path) -> None:
    """Raise UserError where results of several images would meet a folder of the user's."""
    folder = Path(out).expanduser() / IMAGES
    if folder.exists() and not _ours(folder):
        raise UserError(f"{folder} is not from an earlier run: choose another folder to write to.")


def _ours(folder: Path) -> bool:
    """Return whether a folder holds nothing but folders of results."""
    return folder.is_dir() and all((each / RECIPE).is_file() for each in folder.iterdir())


@contextlib.contextmanager
def staged(out: str | Path) -> Iterator[Path]:
    """Yield a temporary folder whose files become those of the folder `out` at the end.

    The folder is made at once, so that a place that cannot be written to is found before the
    work. When the block raises, Ctrl-C included, everything made here is removed again and `out`
    is as before. A result already in `out` is replaced as a whole, so that files of two runs never
    lie side by side; other files stay.

    Raises
    ------
    UserError
        When `out` is a file or cannot be made or written to.
    """
    out = Path(out).expanduser().absolute()
    with _explained(out):
        if out.exists() and not out.is_dir():
            raise UserError(f"{out} is a file: give a folder to write to.")
        # Inside where there is one: the folder above may be another disk.
        part = (out if out.is_dir() else out.parent) / f".samstar-{uuid.uuid4().hex[:8]}.part"
    made: list[Path] = []
    try:
        with _explained(out):
            _make(part, made)
        yield part
        with _explained(out):
            _publish(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # not empty: the result is in it
                folder.rmdir()


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{out} cannot be written to ({reason}): choose another folder.") from error


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and its missing parents, noting the parents."""
    missing = [p for p in folder.parents if not p.exists()]
    for parent in reversed(missing):
        parent.mkdir()
        made.append(parent)
    folder.mkdir()


def _publish(part: Path, out: Path) -> None:
    if not out.exists():
        part.rename(out)
        return
    old = part / "replaced"
    new = list(part.iterdir())
    old.mkdir()
    try:
        for name in (*NAMES, *EXTRAS, *([IMAGES] if _ours(out / IMAGES) else [])):
            if (out / name).exists():
                (out / name).rename(old / name)
        for file in new:
            file.rename(out / file.name)
    except BaseException:  # Ctrl-C too: the earlier result comes back
        for file in old.iterdir():
            file.replace(out / file.name)
        raise
