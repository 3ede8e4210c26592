"""The images that `samstar tune` searches on, those it holds out, and their ground truth."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_samstar.cli.inputs import Calibration, open_bank, open_image
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.rewards.expectations import Expectations
    from napari_samstar.core.rewards.marks import Marks
    from napari_samstar.core.tuning.evaluator import Evaluator
    from napari_samstar.core.tuning.ground_truth import Truth

Planes = tuple[tuple[int, ...], ...]


def parse_planes(text: str) -> Planes:
    """Return the planes in '3', '0,12' or, with ranges, '0:20:4' and '0,3:9'."""
    try:
        axes = [_indices(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"give whole numbers or ranges START:END[:STEP] such as 3, 0,12 or 0:20:4, not {text!r}"
        ) from None
    if not all(axes):
        raise typer.BadParameter(f"the range in {text!r} is empty: START:END leaves END out")
    return tuple(itertools.product(*axes))


def _indices(part: str) -> tuple[int, ...]:
    if ":" not in part:
        return (int(part),)
    start, end, *step = [int(i) for i in part.split(":")]
    if len(step) > 1 or (step and step[0] < 1) or start < 0:
        raise ValueError
    return tuple(range(start, end, *step))


@dataclass(frozen=True, eq=False)
class Target:
    """One plane of one file.

    Attributes
    ----------
    path : Path
    image : Micrograph
    mapping : ImageMapping
    held_out : bool
        Whether the search must not see it.
    truth : ndarray of int, optional
        Labels, shape (H, W), for scoring only.
    """

    path: Path
    image: Micrograph
    mapping: ImageMapping
    held_out: bool = False
    truth: Truth | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """A target that a model has looked at."""

    target: Target
    bank: ProposalBank
    evaluator: Evaluator


def open_targets(
    tuned: Sequence[Path],
    held_out: Sequence[Path],
    planes: Sequence[Planes],
    held_out_planes: Sequence[Planes],
    mapping: ImageMapping,
    calibration: Calibration,
) -> list[Target]:
    """Read every plane of every file, tuned ones first; held-out planes are of the tuned files."""
    wanted: list[tuple[int, ...] | None] = [p for group in planes for p in group] or [None]
    kept_back = [p for group in held_out_planes for p in group]
    both = set(wanted) & set(kept_back)
    if both:
        shown = ",".join(map(str, both.pop() or ()))
        raise UserError(f"Plane {shown} is both tuned on and held out: take it out of one option.")
    jobs = [(path, plane, False) for path in tuned for plane in wanted]
    jobs += [(path, plane, True) for path in tuned for plane in kept_back]
    jobs += [(path, plane, True) for path in held_out for plane in wanted]
    several = len(wanted) + len(kept_back) > 1
    found = [_target(*job, mapping, calibration, several=several) for job in jobs]
    seen: dict[str, Target] = {}
    for target in found:
        twin = seen.setdefault(target.image.key, target)
        if twin is not target:
            raise UserError(f"{target.image.name} and {twin.image.name} are the same picture: "
                            "give each image once, to tune on or to hold out.")  # fmt: skip
    return found


def _target(
    path: Path,
    plane: tuple[int, ...] | None,
    held_out: bool,
    mapping: ImageMapping,
    calibration: Calibration,
    *,
    several: bool,
) -> Target:
    mapping = mapping.replace(plane=plane)
    image = open_image(path, mapping, calibration)
    if several and plane is not None:
        name = f"{image.name}_plane{'_'.join(map(str, plane))}"
        image = dataclasses.replace(image, name=name)
    return Target(path, image, mapping, held_out)


def with_truth(
    targets: Sequence[Target], files: Sequence[Path], images: Sequence[Path]
) -> list[Target]:
    """Give targets their ground truth: one file per image, in the order of `images`.

    Images without a file, at the end, are not scored.
    """
    by_image = dict(zip(images, files, strict=False))
    if len(files) > len(images):
        raise UserError(
            f"There are {len(files)} ground truths for {len(images)} images: give --truth at most "
            "once for each, in the same order, held-out images last."
        )
    return [
        dataclasses.replace(t, truth=read_truth(by_image[t.path], t)) if t.path in by_image else t
        for t in targets
    ]


def read_truth(path: Path, target: Target, what: str = "ground truth") -> Truth:
    """Read the label image that belongs to a target; of a stack, the target's plane."""
    import numpy as np

    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.planes import take_plane
    from napari_samstar.core.image.readers.registry import read_image

    array = read_image(path).array
    if array.ndim > 2 and array.shape != target.image.shape:
        array, _, _ = take_plane(array, ImageMapping(plane=target.mapping.plane), rgb=False)
    array = np.asarray(array)
    if array.shape != target.image.shape:
        raise UserError(
            f"The {what} {path.name} is {_size(array.shape)}, the image {target.image.name} "
            f"is {_size(target.image.shape)}: give the labels of this very image."
        )
    if array.dtype.kind not in "iub":
        raise UserError(f"The {what} {path.name} holds no whole numbers: save it as labels.")
    return array.astype(np.int64)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def look(
    targets: Sequence[Target],
    model: LoadedModel,
    expectations: Expectations | None = None,
    marks: Sequence[Marks] = (),
) -> list[Judged]:
    """Look at the images for edges, spots and foreground; one bank each."""
    from napari_samstar.core.rewards.marks import NO_MARKS
    from napari_samstar.core.tuning.evaluator import Evaluator

    found = []
    for target, marked in zip(targets, marks or [NO_MARKS] * len(targets), strict=True):
        bank = open_bank(target.image, model)
        found.append(Judged(target, bank, Evaluator.of(bank, expectations, marked)))
    return found
