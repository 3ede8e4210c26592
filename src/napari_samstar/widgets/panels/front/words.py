"""What the Pareto front panel says of a point, and writes of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.amg.config import OF_EXAMPLES, OF_GRIDS, SETTINGS
from napari_samstar.core.errors import UserError
from napari_samstar.widgets.forms.shared import error_html
from napari_samstar.widgets.viewer.layer_writer import COMPARISON_COLOURS

if TYPE_CHECKING:
    from napari_samstar.core.tuning.front import Front


def values(front: Front, axis: int | str) -> Any:
    """Return every evaluation's objective (by number) or raw reward (by name)."""
    if isinstance(axis, str):
        return np.array([e.rewards.get(axis, 0.0) for e in front.trials])
    used = front.goal.used
    n = len(front.trials)
    return front.points[:, used.index(axis)] if axis in used else np.zeros(n)


def export(front: Front, chosen: int | None, path: Path) -> str:
    """Write the front as .csv or a picture; returns what to say of it."""
    from napari_samstar.core.results import figures, outputs

    try:
        if path.suffix.lower() == ".csv":
            outputs.write_front(front, chosen, path)
        else:
            figures.save(figures.front_figure(front, chosen), path)
    except UserError as error:
        return error_html(str(error))
    return f"Saved as {path.name}."


def comparison(words: str, front: Front | None, position: int) -> str:
    """Return the counts of a comparison in the colours of the canvas, as HTML."""
    parts = words.split(", ")
    kinds = (4, 3, 2, 1)
    coloured = [
        f"<span style='color:{COMPARISON_COLOURS[v]}'>■</span> {part}"
        for v, part in zip(kinds, parts, strict=True)
    ]
    n = front.trials[position].n_masks if front is not None else 0
    return f"<b>Against the dashed point ({n} objects):</b><br>" + " &nbsp; ".join(coloured)


def described(front: Front, position: int) -> str:
    """Return the settings and outcome of one evaluation, as HTML."""
    trial = front.trials[position]
    goals = zip(front.goal.names, front.points[position], strict=True)
    scores = ", ".join(f"{name} {value:.2f}" for name, value in goals)
    cells = [
        f"<td>{s.label}</td><td align='right'>&nbsp;{getattr(trial.config, name):.4g}</td>"
        for name, s in SETTINGS.items()
        if _matters(trial.config, name)
    ]
    gap = "<td>&nbsp;&nbsp;&nbsp;</td>"
    rows = "".join(f"<tr>{gap.join(cells[k : k + 2])}</tr>" for k in range(0, len(cells), 2))
    return f"<b>{trial.n_masks} objects</b>: {scores}<table>{rows}</table>"


def _matters(config: Any, name: str) -> bool:
    """Return whether a setting has any effect: crops' have none without crops, say."""
    if getattr(config, name) is None or (config.prompts != "grid" and name in OF_GRIDS):
        return False
    if name in OF_EXAMPLES and not config.examples:
        return False
    return config.crop_n_layers > 0 or not name.startswith("crop_")
