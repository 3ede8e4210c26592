"""Files that the Results panel writes, off the GUI thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.forms.shared import error_html

EXPORTS = {
    "Measurements (CSV)…": "csv",
    "Labels (TIFF)…": "tif",
    "COCO (JSON)…": "json",
    "ImageJ ROIs (ZIP)…": "zip",
}
"""What can be written, and the ending of each."""


def export(planes: Any, table: Any, facts: tuple[Any, ...], path: Path) -> str:
    """Write what the ending of `path` says, and say so; what goes wrong is said too."""
    name, (size, unit), recipe = facts
    try:
        _write(planes, table, name, size, unit, recipe, path)
    except UserError as error:
        return error_html(str(error))
    return f"Saved as {path.name}."


def _write(
    planes: Any, table: Any, name: str, size: Any, unit: str, recipe: Any, path: Path
) -> None:
    from napari_samstar.core.atomic import write_atomic
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.results import export as exporting
    from napari_samstar.core.results import outputs
    from napari_samstar.core.results.recipe import SUFFIX, Recipe

    labels = planes[0] if len(planes) == 1 else planes
    if path.name.endswith(SUFFIX):
        Recipe.from_dict(recipe or {}).save(path)
    elif path.suffix == ".csv":
        with write_atomic(path) as part:
            table.rename(columns={"index": "label"}).to_csv(part, index=False, float_format="%.6g")
    elif path.suffix == ".json":
        exporting.write_coco(labels, path, name)
    elif path.suffix == ".zip":
        exporting.write_rois(labels, path)
    else:
        blank = Micrograph(np.zeros((*planes.shape[1:], 3), np.uint8), size, unit, name)
        outputs.write_labels(labels, blank, path)
