"""Texts of the panel about the candidates at a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_samstar.core.amg.rejection import Finding
    from napari_samstar.core.image.micrograph import Micrograph

NO_CANDIDATES = (
    "<b>SAM has no candidate here.</b> {more} in the {segment} page and press <i>Segment</i>: that "
    "gives SAM more prompts. Or draw it by a click in {correct}."
)

MORE_PROMPTS = {
    "grid": "Raise <i>Points per side</i> or <i>Zoom levels</i>",
    "centres": "Choose <i>Prompts</i>: a grid of points, or a larger <i>Tile scale</i>,",
    "boxes": "Choose other <i>Prompts</i>",
    "combined": "Choose a larger <i>Tile scale</i>",
}
"""What gives SAM more prompts, by the prompt source: settings that have an effect with it."""

NOT_DECODED = (
    "<b>This tile is not decoded yet.</b> Press <i>Continue</i> in the {segment} panel to go on."
)
SOME_NOT_DECODED = (
    " A tile that overlaps here is not decoded yet: <i>Continue</i> in the {segment} panel goes on."
)


def title(finding: Finding, image: Micrograph | None, pinned: bool) -> str:
    """Return one line about a candidate: its diameter, and whether or why not it is kept."""
    size = ""
    if image is not None:
        row, col = image.pixel_size or (1.0, 1.0)
        diameter = 2 * (finding.area * row * col / np.pi) ** 0.5
        size = f"⌀ {diameter:.3g} {image.unit}"
    if pinned:
        return f"★ {size} · kept by you"
    if finding.kept:
        return f"✓ {size} · kept"
    similar = f" · {finding.alike} similar" if finding.alike else ""
    return f"✗ {size} · {_causes(finding)}{similar}"


def sentences(finding: Finding) -> list[str]:
    """Return where a candidate is from if not SAM, and why it is not kept, one sentence each."""
    source = ["It is an object of a classical segmentation, not SAM's."] if finding.given else []
    if finding.kept and not finding.rejections:
        return [*source, "It is kept. Smaller objects may lie on top of it."]
    return [*source, *(rejection.sentence for rejection in finding.rejections)]


def _causes(finding: Finding) -> str:
    names = {
        "quality": "quality {0} < {1}",
        "stability": "stability {0} < {1}",
        "edge": "cut by a crop",
        "probability": "hardly an object, {0} < {1}",
        "likeness": "unlike the examples, {0} < {1}",
        "duplicate": "overlap {0} > {1}",
        "crop duplicate": "overlap between zooms {0} > {1}",
        "cleaned": "overlap {0} > {1}",
        "speck": "small region of {2:.0f} px",
        "other tile": "same as an object of another tile",
        "piece": "piece of an object of another tile",
        "covered": "covered by objects of other tiles",
        "cut": "cut by the edge of its tile",
        "new": "decoded later",
    }
    return ", ".join(
        names[rejection.cause].format(*rejection.numbers[:2], rejection.value)
        for rejection in finding.rejections
    )
