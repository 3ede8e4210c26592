"""Writing the files of the Results panel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.forms.shared import error_html

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

EXPORTS = {
    "Measurements (CSV)…": "csv",
    "Labels (TIFF)…": "tif",
    "COCO (JSON)…": "json",
    "ImageJ ROIs (ZIP)…": "zip",
}
"""File suffix of each menu entry."""


@dataclass(frozen=True, eq=False)
class ExportedLayer:
    """The data of a Labels layer.

    Attributes
    ----------
    name : str
    planes : ndarray of int, shape (n, H, W)
    table : DataFrame
        One row for each object; column "index" is its label.
    pixel_size : (float, float), optional
        Along rows and columns, in `unit`.
    unit : str
    recipe : dict, optional
        JSON-ready.
    """

    name: str
    planes: NDArray[Any]
    table: pd.DataFrame
    pixel_size: tuple[float, float] | None
    unit: str
    recipe: dict[str, Any] | None


def export_layer(layer: ExportedLayer, path: Path) -> str:
    """Write the file that the suffix of `path` stands for; returns a sentence for the user."""
    try:
        _write(layer, path)
    except UserError as error:
        return error_html(str(error))
    return f"Saved as {path.name}."


def _write(layer: ExportedLayer, path: Path) -> None:
    from napari_samstar.core.atomic import write_atomic
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.results.export import write_coco, write_rois
    from napari_samstar.core.results.outputs import write_labels
    from napari_samstar.core.results.recipe import SUFFIX, Recipe

    labels = layer.planes[0] if len(layer.planes) == 1 else layer.planes
    if path.name.endswith(SUFFIX):
        Recipe.from_dict(layer.recipe or {}).save(path)
    elif path.suffix == ".csv":
        table = layer.table.rename(columns={"index": "label"})
        with write_atomic(path) as part:
            table.to_csv(part, index=False, float_format="%.6g")
    elif path.suffix == ".json":
        write_coco(labels, path, layer.name)
    elif path.suffix == ".zip":
        write_rois(labels, path)
    else:
        rgb = np.zeros((*layer.planes.shape[1:], 3), np.uint8)
        write_labels(labels, Micrograph(rgb, layer.pixel_size, layer.unit, layer.name), path)
