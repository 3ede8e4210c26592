"""The images that `samstar tune` searches on, those it holds out, and their ground truth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.cli.console import say
from napari_samstar.cli.inputs import Calibration, View, open_image
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.tuning.inputs import ExtraImage, SearchInputs, Truth


def open_images(
    tuned: Sequence[Path],
    held_out: Sequence[Path],
    planes: Sequence[str],
    held_out_planes: Sequence[str],
    view: View,
    calibration: Calibration,
) -> list[ExtraImage]:
    """Read every plane of every file, tuned ones first; held-out planes are of the tuned files.

    Parameters
    ----------
    planes, held_out_planes : sequence of str
        See `plane_text.parse_planes`; the middle plane where `planes` is empty.
    """
    files = [open_image(path, view, calibration) for path in tuned]
    others = [open_image(path, view, calibration) for path in held_out]
    jobs: list[tuple[LoadedImage, bool]] = []
    for held, given, images in (
        (False, planes, files),
        (True, held_out_planes, files if held_out_planes else []),
        (True, planes, others),
    ):
        jobs += [(plane, held) for image in images for plane in _planes_of(image, given)]
    seen: dict[object, bool] = {}
    for image, held in jobs:
        if seen.setdefault((image.path, image.mapping.plane), held) != held:
            shown = ",".join(map(str, image.mapping.plane or ()))
            raise UserError(
                f"Plane {shown} is both tuned on and held out: take it out of one option."
            )
    return [_named_extra(image, held, len(jobs) > len(files) + len(others)) for image, held in jobs]


def _planes_of(image: LoadedImage, texts: Sequence[str]) -> list[LoadedImage]:
    from napari_samstar.core.image.plane_text import parse_planes

    if not texts:
        return [image]
    sizes = image.plane_sizes
    found = dict.fromkeys(p for text in texts for p in parse_planes(text, sizes, image.axes))
    return [image.at(plane) for plane in found]


def _named_extra(image: LoadedImage, held_out: bool, several_planes: bool) -> ExtraImage:
    """Return the image; where files give several planes, its name says which."""
    from napari_samstar.core.tuning.inputs import ExtraImage

    plane = image.mapping.plane
    if several_planes and plane is not None:
        image = image.replace(name=f"{image.name}_plane{'_'.join(map(str, plane))}")
    return ExtraImage(image, held_out)


def with_truth(
    images: Sequence[ExtraImage],
    files: Sequence[Path],
    paths: Sequence[Path],
    *,
    split: bool = False,
) -> list[ExtraImage]:
    """Give images their ground truth: one file per path, in the order of `paths`.

    Images without a file, at the end, are not scored.
    """
    if len(files) > len(paths):
        raise UserError(
            f"There are {len(files)} ground truths for {len(paths)} images: give --truth at most "
            "once for each, in the same order, held-out images last."
        )
    known = dict(zip(paths, files, strict=False))
    found = []
    for extra in images:
        file = known.get(extra.image.path) if extra.image.path is not None else None
        truth = None if file is None else read_truth(file, extra.image, split=split)
        found.append(dataclasses.replace(extra, truth=truth))
    return found


def read_truth(
    path: Path, image: LoadedImage, what: str = "ground truth", *, split: bool = False
) -> Truth:
    """Read the labels that belong to an image; of a stack, those of the image's plane.

    Parameters
    ----------
    split : bool
        Whether each connected part of a mask of one value is an object.
    """
    from napari_samstar.core.image.readers.labels import read_labels

    found = read_labels(path, image, what)
    if found.is_mask and split:
        found = found.components()
    if found.note:
        say(f"{found.note} --split-masks makes each of them an object.")
    return found.labels


def search_inputs(images: Sequence[ExtraImage], **given: object) -> SearchInputs:
    """Return what a search is given: marks and truth of the first image, and the others."""
    from napari_samstar.core.tuning.inputs import SearchInputs

    first, *others = images
    return SearchInputs(marks=first.marks, truth=first.truth, extra_images=tuple(others)).replace(
        **given
    )
