"""What a wide search may give SAM, and its budget: known once there are images and a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_samstar.core.amg.bank import PendingWork
from napari_samstar.core.image.shown import is_grey
from napari_samstar.core.image.versions import MAIN_COLOUR, VERSIONS
from napari_samstar.core.prompts.sources import prompt_sources
from napari_samstar.core.tuning.arms import units
from napari_samstar.core.tuning.config import Factors, scales_around

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.config import StudyConfig

SECONDS_PER_UNIT = 0.02
"""Where the pace of a bank is not known."""

_ZOOMS = (0, 1)
"""A second zoom level costs four times as much again."""


def usual_factors(base: AmgConfig, *, sees_centres: bool, colour: bool) -> Factors:
    """Return what SAM may be given: prompts, a version of the image, and a zoom or a scale.

    Prompts are all sources that are registered, without those that need something of the user's.

    Parameters
    ----------
    sees_centres : bool
        Whether the model does.
    colour : bool
        Whether all images are in colours.
    """
    sources = set(prompt_sources()) - {"boxes"}
    if not sees_centres:
        sources.discard("centres")
    if base.prompts == "boxes" or base.point_grids is not None:
        sources = set()  # prompts of the user's own
    versions = [name for name in VERSIONS if colour or name != MAIN_COLOUR]
    prompts = _led_by(base.prompts, [name for name in prompt_sources() if name in sources])
    if base.tile_scale:
        size = ("tile_scale", _led_by(base.tile_scale, scales_around(base.tile_scale)))
    else:
        size = ("crop_n_layers", _led_by(base.crop_n_layers, _ZOOMS))
    return ("prompts", prompts), ("shown", _led_by(base.shown, versions)), size


def planned(study_config: StudyConfig, banks: Sequence[ProposalBank]) -> StudyConfig:
    """Return a wide search with its factors and its cost in units, where it lacks them."""
    factors = study_config.factors or factors_for(study_config.base, banks)
    cost = study_config.cost or study_config.seconds / _seconds_per_unit(study_config.base, banks)
    return replace(study_config, factors=factors, cost=round(cost, 1))


def _seconds_per_unit(base: AmgConfig, banks: Sequence[ProposalBank]) -> float:
    """Return the pace of the banks over the work of the base; `SECONDS_PER_UNIT` where unknown.

    That of the prompts alone is the least: an encoding read from the cache took no time.
    """
    paces = []
    for bank in banks:
        parts = bank.parts(base)
        frames = {part.frame for part in parts}
        # As many prompts as there were, over the usual number, by which all arms are counted.
        n = sum(bank.table(p).n_prompts if bank.has(p) else p.n_prompts for p in parts)
        whole, prompts = (bank.seconds(PendingWork(k, n)) for k in (len(frames), 0))
        if whole is not None and prompts is not None:
            expected = units({(0, part) for part in parts}, set())
            usual = sum(part.n_prompts for part in parts)
            paces.append(max(whole / expected, prompts / max(usual, 1)))
    return max(sum(paces) / len(paces), 1e-6) if paces else SECONDS_PER_UNIT


def factors_for(base: AmgConfig, banks: Sequence[ProposalBank]) -> Factors:
    """Return what the model of `banks` may be given of their images."""
    colour = all(any(not is_grey(b) for b in bank.image.bands()) for bank in banks)
    sees_centres = all(bank.model.backend.sees_centres for bank in banks)
    return usual_factors(base, sees_centres=sees_centres, colour=colour)


def _led_by(own: str | float, others: Sequence[str | float]) -> tuple[str | float, ...]:
    return tuple(dict.fromkeys([own, *others]))
