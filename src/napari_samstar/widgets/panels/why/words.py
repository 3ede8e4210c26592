"""What the panel says about candidates at a spot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_samstar.core.amg.rejection import Finding
    from napari_samstar.core.image.micrograph import Micrograph

NOTHING = (
    "<b>SAM proposed nothing here.</b> Raise <i>Points per side</i> or <i>Zoom levels</i> in the "
    "{segment} panel and press <i>Segment</i>: SAM then asks more densely. Or try <i>Invert</i>, "
    "other <i>Intensities</i>, or a larger model."
)


def title(finding: Finding, image: Micrograph | None, pinned: bool) -> str:
    """Return one line for a candidate: its diameter, and kept or why not."""
    size = ""
    if image is not None:
        row, col = image.pixel_size or (1.0, 1.0)
        diameter = 2 * (finding.area * row * col / np.pi) ** 0.5
        size = f"⌀ {diameter:.3g} {image.unit}"
    if pinned:
        return f"★ {size} · kept by you"
    if finding.kept:
        return f"✓ {size} · kept"
    alike = f" · {finding.alike} more like it" if finding.alike else ""
    return f"✗ {size} · {_short(finding)}{alike}"


def sentences(finding: Finding) -> list[str]:
    """Return what happened to a candidate, one sentence for each reason."""
    if finding.kept and not finding.rejections:
        return ["It is kept. Smaller objects may lie on top of it."]
    return [rejection.sentence for rejection in finding.rejections]


def _short(finding: Finding) -> str:
    names = {
        "quality": "quality {0} < {1}",
        "stability": "stability {0} < {1}",
        "edge": "cut by a crop",
        "duplicate": "overlap {0} > {1}",
        "crop duplicate": "overlap between zooms {0} > {1}",
        "cleaned": "overlap {0} > {1}",
        "speck": "speck of {2:.0f} px",
    }
    return ", ".join(
        names[rejection.cause].format(*rejection.numbers[:2], rejection.value)
        for rejection in finding.rejections
    )
