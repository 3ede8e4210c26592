"""Texts and files of the Pareto front panel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.amg.config import OF_EXAMPLES, OF_GRIDS, ON_GRID, SETTINGS
from napari_samstar.core.amg.summary import what_sam_gets
from napari_samstar.core.errors import UserError
from napari_samstar.widgets.forms.shared import error_html
from napari_samstar.widgets.viewer.layer_writer import COMPARISON_COLOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.front import Front


def axis_values(front: Front, axis: int | str) -> NDArray[np.float64]:
    """Return all trials' values of an objective (by number) or of a reward (by name), shape (n,).

    0 where a trial or the goal lacks it.
    """
    if isinstance(axis, str):
        return np.array([trial.rewards.get(axis, 0.0) for trial in front.trials])
    used = front.goal.used
    return front.points[:, used.index(axis)] if axis in used else np.zeros(len(front.trials))


def export_front(front: Front, chosen: int | None, path: Path) -> str:
    """Write all trials as .csv, or the plot as .png; returns a sentence for the user."""
    from napari_samstar.core.results import figures, outputs

    try:
        if path.suffix.lower() == ".csv":
            outputs.write_front(front, chosen, path)
        else:
            figures.save(figures.front_figure(front, chosen), path)
    except UserError as error:
        return error_html(str(error))
    return f"Saved as {path.name}."


def comparison_html(counts: str, front: Front | None, position: int) -> str:
    """Return the counts of `ViewerController.compare` in the colours of the comparison layer.

    Parameters
    ----------
    counts : str
        Gained, lost, changed and same, separated by ", ".
    position : int
        Of the compared trial.
    """
    coloured = [
        f"<span style='color:{COMPARISON_COLOURS[value]}'>■</span> {count}"
        for value, count in zip((4, 3, 2, 1), counts.split(", "), strict=True)
    ]
    n = front.trials[position].n_masks if front is not None else 0
    return f"<b>Against the dashed point ({n} objects):</b><br>" + " &nbsp; ".join(coloured)


def trial_html(front: Front, position: int) -> str:
    """Return the number of objects, the objectives and the settings of a trial, as HTML."""
    trial = front.trials[position]
    objectives = zip(front.goal.names, front.points[position], strict=True)
    scores = ", ".join(f"{name} {value:.2f}" for name, value in objectives)
    values = [
        (SHORT.get(name, setting.label), getattr(trial.config, name))
        for name, setting in SETTINGS.items()
        if _has_effect(trial.config, name)
    ]
    cells = [f"<td>{name}</td><td align='right'>&nbsp;{v:.3g}</td>" for name, v in values]
    gap = "<td>&nbsp;&nbsp;</td>"
    rows = "".join(f"<tr>{gap.join(cells[k : k + 2])}</tr>" for k in range(0, len(cells), 2))
    # Only where the search changed it: the dock is narrow.
    varied = len({(e.config.prompts, e.config.shown) for e in front.trials}) > 1
    gets = f"<br>{what_sam_gets(trial.config)}" if varied else ""
    return f"<b>{trial.n_masks} objects</b>: {scores}{gets}<table>{rows}</table>"


SHORT = {
    "pred_iou_thresh": "Quality",
    "stability_score_offset": "Shift",
    "box_nms_thresh": "Overlap",
    "crop_nms_thresh": "Zoom overlap",
    "crop_n_points_downscale_factor": "Fewer points",
    "min_mask_region_area": "Smallest",
    "min_probability": "Likely",
    "min_likeness": "Likeness",
}
"""Names of settings that are too long for two columns of the dock."""


def _has_effect(config: AmgConfig, name: str) -> bool:
    """Return whether a setting has any effect, given the others."""
    if getattr(config, name) is None or (config.prompts not in ON_GRID and name in OF_GRIDS):
        return False
    if name in OF_EXAMPLES and not config.examples:
        return False
    return config.crop_n_layers > 0 or not name.startswith("crop_")
