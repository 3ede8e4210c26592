"""The images that `samstar tune` searches on, those it holds out, and their ground truth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

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
    images: Sequence[ExtraImage], files: Sequence[Path], paths: Sequence[Path]
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
        truth = None if file is None else read_truth(file, extra.image)
        found.append(dataclasses.replace(extra, truth=truth))
    return found


def read_truth(path: Path, image: LoadedImage, what: str = "ground truth") -> Truth:
    """Read the label image that belongs to an image; of a stack, the image's plane."""
    import numpy as np

    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.planes import find_plane
    from napari_samstar.core.image.readers.registry import read_image

    array, shape = read_image(path).finest, image.plane_shape
    if array.ndim > 2 and array.shape != shape:
        found = find_plane(array, ImageMapping(plane=image.mapping.plane), rgb=False)
        array = found.parts[0].values()
    array = np.asarray(array)
    if array.shape != shape:
        raise UserError(
            f"The {what} {path.name} is {_size(array.shape)}, the image {image.name} "
            f"is {_size(shape)}: give the labels of this very image."
        )
    if array.dtype.kind not in "iub":
        raise UserError(f"The {what} {path.name} holds no whole numbers: save it as labels.")
    return array.astype(np.int64)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def search_inputs(images: Sequence[ExtraImage], **given: object) -> SearchInputs:
    """Return what a search is given: marks and truth of the first image, and the others."""
    from napari_samstar.core.tuning.inputs import SearchInputs

    first, *others = images
    return SearchInputs(marks=first.marks, truth=first.truth, extra_images=tuple(others)).replace(
        **given
    )
