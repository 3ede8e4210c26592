"""What is searched, how, and what comes out: the nouns of `search`, without pymoo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_samstar.core.amg.config import (
    OF_EXAMPLES,
    OF_GRIDS,
    SETTINGS,
    AmgConfig,
    Scope,
    Setting,
    searched,
)
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.masks.shape import Shapes


Factors = tuple[tuple[str, tuple[str | float, ...]], ...]
"""Settings that cost a run of SAM, and their values; the first value of each is the base's own."""

EvaluationResult = tuple[dict[str, float], int]
"""Raw rewards by name, and the number of masks."""


@dataclass(frozen=True)
class Trial:
    """One evaluated configuration.

    Attributes
    ----------
    config : AmgConfig
    rewards : dict of str to float
        Every raw reward, weighted or not, so that weights can be moved afterwards.
    n_masks : int
    generation : int
        0 is the first population.
    origin : {"defaults", "start", "search", "random"}
    """

    config: AmgConfig
    rewards: dict[str, float]
    n_masks: int
    generation: int
    origin: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self) | {"config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Trial:
        """Undo `to_dict`."""
        return cls(
            config=AmgConfig.from_dict(values["config"]),
            rewards={str(n): float(v) for n, v in values["rewards"].items()},
            n_masks=int(values["n_masks"]),
            generation=int(values["generation"]),
            origin=str(values["origin"]),
        )


@dataclass(frozen=True)
class StudyConfig:
    """How a search is run.

    Attributes
    ----------
    scope : {"filters", "zoom", "scale", "grids", "wide", "everything"}
        Which settings may change; see `space`.
    trials : int
        Budget, the first population included. A larger one goes on where a smaller one ended.
    population : int
    seed : int
        Same seed, same result.
    base : AmgConfig
        Gives the settings that the scope leaves alone.
    starts : tuple of AmgConfig
        More configurations for the first population, after the defaults and the warm starts.
    seconds : float
        For the scope "wide": about how long SAM may run.
    cost : float
        The same in units of `tuning.arms`, which decide: with them a search can be repeated on
        another machine. 0: not known yet.
    factors : tuple of (str, tuple)
        For the scope "wide": what SAM may be given, see `tuning.factors`; empty: not known yet.
    """

    scope: Scope = "filters"
    trials: int = 400
    population: int = 24
    seed: int = 0
    base: AmgConfig = field(default_factory=AmgConfig)
    starts: tuple[AmgConfig, ...] = ()
    seconds: float = 60.0
    cost: float = 0.0
    factors: Factors = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0 and self.cost >= 0):
            raise UserError("The time for SAM must be a number of seconds above 0.")
        least = 1 + len(WARM_STARTS) + len(self.starts)
        if self.population < least:
            raise UserError(f"The population must be at least {least}: the starts are in it.")
        if self.trials < self.population:
            raise UserError(
                f"The budget must be at least one population: {self.population} evaluations."
            )

    def like(self, examples: Shapes) -> StudyConfig:
        """Return a copy whose settings know these examples; see `AmgConfig.examples`."""
        return replace(self, base=self.base.like(examples))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            **{n: v for n, v in vars(self).items() if n not in ("base", "starts")},
            "base": self.base.to_dict(),
            "starts": [c.to_dict() for c in self.starts],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StudyConfig:
        """Undo `to_dict`."""
        base = AmgConfig.from_dict(values["base"])
        starts = tuple(AmgConfig.from_dict(c) for c in values.get("starts", ()))
        factors = tuple((str(name), tuple(of)) for name, of in values.get("factors", ()))
        return cls(**{**values, "base": base, "starts": starts, "factors": factors})


Starts = Sequence[dict[str, Any]]

WARM_STARTS: Starts = (
    {"pred_iou_thresh": 0.7, "stability_score_thresh": 0.85},
    {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.9, "box_nms_thresh": 0.5},
    {"pred_iou_thresh": 0.6, "stability_score_thresh": 0.7, "box_nms_thresh": 0.5,
     "min_probability": 0.5},
    {"pred_iou_thresh": 0.7, "stability_score_thresh": 0.85, "box_nms_thresh": 0.85},
)  # fmt: skip
"""Tried first, after the defaults: permissive, tidy, what is more likely an object than not, and
for overlaps."""

_OF_CROPS = ("crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor")


_SCALES = (0.5, 0.71, 1.0, 1.41, 2.0)
"""Scales of tiles that are searched, as multiples of the one to start from."""

_FACTORS = {
    "prompts": Setting("Prompts", "Where SAM is prompted.", 0, 0, 0, "decoder"),
    "shown": Setting("Shown to SAM", "What SAM sees of the image.", 0, 0, 0, "encoder"),
    "crop_n_layers": SETTINGS["crop_n_layers"],
    "tile_scale": SETTINGS["tile_scale"],
}


def scales_around(tile_scale: float) -> tuple[float, ...]:
    """Return the scales of tiles that a search from `tile_scale` tries."""
    return tuple(min(round(f * tile_scale, 3), SETTINGS["tile_scale"].high) for f in _SCALES)


def space(study_config: StudyConfig) -> dict[str, Setting]:
    """Return the settings that a search may change: those of its scope that have an effect.

    Without crops, and with a scope that adds none, nothing depends on the settings of crops but
    the last clean-up, which then keeps its default; nor anything on the density of a grid where SAM
    is prompted at centres, nor on likeness where no good objects are known. Tiles have no crops.
    """
    found = searched(study_config.scope)
    tile_scale = study_config.base.tile_scale
    if tile_scale and "tile_scale" in found:
        about = found["tile_scale"]
        found["tile_scale"] = replace(about, choices=scales_around(tile_scale))
    if study_config.scope == "wide":
        found |= {name: replace(_FACTORS[name], choices=of) for name, of in study_config.factors}
    idle: tuple[str, ...] = ()
    if study_config.base.prompts != "grid":
        idle += OF_GRIDS
    if not study_config.base.examples:
        idle += OF_EXAMPLES
    if tile_scale:
        idle += ("crop_n_layers", *_OF_CROPS)
    elif "crop_n_layers" not in found and study_config.base.crop_n_layers == 0:
        idle += _OF_CROPS
    return {name: setting for name, setting in found.items() if name not in idle}
