"""How long SAM would run for a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samstar.core.amg.bank import PendingWork, ProposalBank
from napari_samstar.core.prompts.base import ImpossibleConfig
from napari_samstar.core.tuning.nsga2 import first_configs

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.config import StudyConfig


def seconds_to_decode(
    bank: ProposalBank, study_config: StudyConfig, extra_images: int = 0
) -> float | None:
    """Return how long encoding and decoding for a search would take, s.

    None where the bank's pace is not known yet. Extra images are taken to cost what the bank's own
    image costs, from its encoding on.
    """
    configs = [c for c in first_configs(study_config) if possible(bank, c)]
    here = bank.seconds(bank.missing(configs))
    if here is None or not extra_images:
        return here
    parts = {part for config in configs for part in bank.parts(config)}
    crops = {part.frame for part in parts}
    each = bank.seconds(PendingWork(len(crops), sum(part.n_prompts for part in parts)))
    return None if each is None else here + extra_images * each


def possible(bank: ProposalBank, config: AmgConfig) -> bool:
    """Return whether upstream can run `config` on the bank's image."""
    try:
        bank.parts(config)
    except ImpossibleConfig:
        return False
    return True
