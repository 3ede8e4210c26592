"""Label images for other programs: COCO JSON and ImageJ ROIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_TYPE, ImagejRoi, roiwrite
from skimage.measure import regionprops

from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.outlines import area, outlines
from napari_samstar.core.masks.store import run_lengths

if TYPE_CHECKING:
    from napari_samstar.core.masks.outlines import Ring

LabelStack = NDArray[np.integer]

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # segment types of a java.awt path, as ImageJ stores it


def write_coco(labels: LabelStack, path: str | Path, name: str = "image") -> Path:
    """Write labels as COCO instances, and return the path.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W) or (n, H, W)
        0 is background. Each plane becomes an image of its own, "NAME" or "NAME plane K".
    """
    planes = _planes(labels)
    file_names = [name] if labels.ndim == 2 else [f"{name} plane {k}" for k in range(len(planes))]
    rows, cols = labels.shape[-2:]
    images = [
        {"id": k, "file_name": text, "width": int(cols), "height": int(rows)}
        for k, text in enumerate(file_names, start=1)
    ]
    found = (x for k, plane in enumerate(planes, start=1) for x in _annotations(plane, k))
    annotations = [{"id": k, **about} for k, about in enumerate(found, start=1)]
    whole = {
        "info": {"description": "Objects found with napari-samstar"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object", "supercategory": "object"}],
    }
    with write_atomic(path) as part:
        part.write_text(json.dumps(whole), encoding="utf-8")
    return Path(path)


def write_rois(labels: LabelStack, path: str | Path) -> Path:
    """Write labels as a ZIP of ImageJ ROIs, named by their label, and return the path.

    In a stack (n, H, W) each ROI carries its slice, counted from 1. An object with holes or in
    several parts becomes one composite ROI.
    """
    rois = [
        _roi(value, rings, None if labels.ndim == 2 else k + 1)
        for k, plane in enumerate(_planes(labels))
        for value, rings, _ in _objects(plane)
    ]
    path = Path(path)
    if path.suffix.lower() != ".zip":
        raise UserError("ImageJ's ROI manager reads a ZIP file: give a name that ends in .zip.")
    if not rois:
        raise UserError("There is no object to export: choose a layer that holds some.")
    with write_atomic(path) as part:
        roiwrite(part, rois, mode="w")
    return path


# --- private ----------------------------------------------------------------------------------


def _planes(labels: LabelStack) -> list[LabelStack]:
    if labels.ndim not in (2, 3):
        raise UserError(f"Labels of {labels.ndim} axes cannot be exported: give 2 or 3.")
    return [labels] if labels.ndim == 2 else list(labels)


def _objects(plane: LabelStack) -> Iterator[tuple[int, list[Ring], Any]]:
    """Yield each object's label, its outlines in the image's frame, and its region."""
    for region in regionprops(np.asarray(plane)):
        row, col = region.bbox[:2]
        yield (
            int(region.label),
            [ring + np.array([col, row]) for ring in outlines(region.image)],
            region,
        )


def _annotations(plane: LabelStack, image_id: int) -> Iterator[dict[str, Any]]:
    for value, rings, region in _objects(plane):
        row0, col0, row1, col1 = region.bbox
        yield {
            "image_id": image_id,
            "category_id": 1,
            "iscrowd": 0,
            "area": int(region.area),
            "bbox": [int(col0), int(row0), int(col1 - col0), int(row1 - row0)],
            "segmentation": _segmentation(plane, value, rings),
            "label": value,
        }


def _segmentation(plane: LabelStack, value: int, rings: list[Ring]) -> Any:
    """Return polygons, which most programs read; COCO's have no holes, so those need run lengths.

    A polygon needs three corners, and some programs refuse fewer than three coordinates.
    """
    if all(area(ring) > 0 for ring in rings):
        return [ring.ravel().tolist() for ring in rings]
    return run_lengths(np.asarray(plane == value))


def _roi(value: int, rings: list[Ring], plane: int | None) -> ImagejRoi:
    name = f"{value:04d}" if plane is None else f"{plane:04d}-{value:04d}"
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(rings[0], name=name)
        roi.roitype = ROI_TYPE.POLYGON
        roi.position = plane or 0
        return roi
    corners = np.concatenate(rings)
    path = [v for ring in rings for v in _path(ring)]
    left, top = corners.min(axis=0).tolist()
    right, bottom = corners.max(axis=0).tolist()
    return ImagejRoi(
        roitype=ROI_TYPE.RECT,  # what ImageJ stores a composite as
        name=name,
        position=plane or 0,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, dtype=np.float32),
    )


def _path(ring: Ring) -> Iterator[float]:
    for k, (x, y) in enumerate(ring.tolist()):
        yield from (_MOVE if k == 0 else _LINE, float(x), float(y))
    yield _CLOSE
