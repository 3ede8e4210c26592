"""What is said of a candidate: kept or at fault, by how much, and what would keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_samstar.core.amg.config import SETTINGS, AmgConfig

Cause = Literal[
    "quality", "stability", "edge", "probability", "likeness", "duplicate", "crop duplicate",
    "cleaned", "speck", "other tile", "piece", "covered", "cut", "new",
]  # fmt: skip

_SETTING: dict[Cause, str] = {
    "quality": "pred_iou_thresh",
    "stability": "stability_score_thresh",
    "edge": "",
    "probability": "min_probability",
    "likeness": "min_likeness",
    "duplicate": "box_nms_thresh",
    "crop duplicate": "crop_nms_thresh",
    "cleaned": "box_nms_thresh",
    "speck": "min_mask_region_area",
    "other tile": "",
    "piece": "",
    "covered": "",
    "cut": "",
    "new": "",
}


@dataclass(frozen=True)
class Rejection:
    """One reason why a candidate was rejected.

    Attributes
    ----------
    cause : Cause
    value, limit : float
        What the candidate has, and what the setting asks for. Scores and IoU in [0, 1]; px of area
        for "speck"; the covered share for "covered"; neighbouring tiles that are not decoded yet
        for "cut"; 0 for "edge" and "new".
    winner : int, optional
        Id of the candidate that was preferred to it.
    place : (row, col), optional
        Where that one is, px of the image, if another tile found it.
    given : bool
        Whether the candidate is not SAM's but was given, so that its quality is an estimate.
    """

    cause: Cause
    value: float = 0.0
    limit: float = 0.0
    winner: int | None = None
    place: tuple[int, int] | None = None
    given: bool = False

    @property
    def setting(self) -> str:
        """The field of `AmgConfig` that decides, empty where none does."""
        return _SETTING[self.cause]

    @property
    def numbers(self) -> tuple[str, str, str]:
        """Value, limit and the gap between them, with as many digits as tell them apart."""
        gap = abs(self.limit - self.value)
        digits = next((d for d in (3, 4, 5) if round(gap, d) > 0), 6)
        return f"{self.value:.{digits}f}", f"{round(self.limit, digits):g}", f"{gap:.{digits}f}"

    @property
    def sentence(self) -> str:
        """What happened, for the user."""
        label = SETTINGS[self.setting].label if self.setting else ""
        value, limit, gap = self.numbers
        at = "" if self.place is None else " at row {}, column {}".format(*self.place)
        rated = "Its quality is estimated as" if self.given else "SAM rates it"
        return {
            "quality": f"{rated} {value}, {label} asks for more than {limit} ({gap} too low).",
            "stability": f"Its stability is {value}, {label} asks for {limit} ({gap} too low).",
            "edge": "It touches the edge of a zoomed crop, so it may be cut off there.",
            "probability": f"It is an object with a probability of {value}, {label} asks for "
            f"{limit} ({gap} too low).",
            "likeness": f"Its shape and size are like the examples by {value}, {label} asks for "
            f"{limit} ({gap} too little).",
            "duplicate": f"It overlaps a better rated object by {value}, {label} lets pass "
            f"{limit} ({gap} too much).",
            "crop duplicate": f"An object of a closer zoom overlaps it by {value}, {label} "
            f"lets pass {limit} ({gap} too much).",
            "cleaned": f"Without its specks and holes it overlaps another object by {value}, "
            f"{label} lets pass {limit}.",
            "speck": f"It is kept, but here it had a speck of {self.value:.0f} px, and "
            f"{label} removes those below {self.limit:.0f} px.",
            "other tile": f"It is the object{at} (overlap {value}), which is kept as a "
            "neighbouring tile found it.",
            "piece": f"The edge of its tile cuts it off: it is a piece of the object{at}, which is "
            "kept as a neighbouring tile found it.",
            "cut": "The edge of its tile cuts it off, and the neighbouring tile is not decoded yet."
            if self.value
            else "The edge of its tile cuts it off, and the neighbouring tile, in which it lies, "
            "keeps nothing like it. A lower Tile scale makes larger tiles.",
            "covered": "The edge of its tile cuts it off, and objects of other tiles cover "
            f"{self.value:.0%} of it.",
            "new": "Its tile was decoded after the objects on show were put together: press "
            "Segment again.",
        }[self.cause]


@dataclass(frozen=True)
class Finding:
    """A candidate at the spot.

    Attributes
    ----------
    mask_id : int
        Its mask as SAM proposed it.
    shown_id : int
        Its mask in the selection; `mask_id` where it is rejected or no region was removed.
    kept : bool
        Whether the selection holds it.
    area : int
        px.
    predicted_iou, stability : float
        NaN where the stability of an empty mask was wanted.
    rejections : tuple of Rejection
        Every filter that it fails, or else the stage that removed it. Empty where it is kept and
        covers the spot.
    alike : int
        How many others at the spot were left out because they look the same.
    given : bool
        Whether it is not SAM's but of a classical segmentation.
    """

    mask_id: int
    shown_id: int
    kept: bool
    area: int
    predicted_iou: float
    stability: float
    rejections: tuple[Rejection, ...] = ()
    alike: int = 0
    given: bool = False


@dataclass(frozen=True)
class Remedy:
    """The least change of settings, found in steps of the sliders, that keeps a candidate.

    Attributes
    ----------
    config : AmgConfig
        `select` with it keeps the candidate: that was tried.
    changes : dict of str to (before, after)
        By field of `AmgConfig`; one entry where one change is enough.
    before, after : int
        Objects kept without and with the change.
    """

    config: AmgConfig
    changes: dict[str, tuple[float, float]]
    before: int
    after: int

    @property
    def sentence(self) -> str:
        """What to change, and what else it does, for the user."""
        steps = " and ".join(
            f"{SETTINGS[name].label} {old:g} → {new:g}" for name, (old, new) in self.changes.items()
        )
        others = self.after - self.before - 1
        if others == 0:
            return f"{steps} would keep it."
        if others > 0:
            return f"{steps} would keep it, and add {others} more."
        return f"{steps} would keep it, and leave out {-others} others."
