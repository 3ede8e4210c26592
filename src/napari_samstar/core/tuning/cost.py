"""How long SAM would run for a search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_samstar.core.amg.bank import PendingWork, ProposalBank
from napari_samstar.core.prompts.base import ImpossibleConfig
from napari_samstar.core.tuning.factors import factors_for
from napari_samstar.core.tuning.nsga2 import first_configs

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.config import StudyConfig


def seconds_to_decode(
    bank: ProposalBank, study_config: StudyConfig, extra_images: int = 0
) -> float | None:
    """Return how long encoding and decoding for a search would take, s.

    None where the bank's pace is not known yet. Extra images are taken to cost what the bank's own
    image costs, from its encoding on. A search of the scope "wide" stays within its budget.
    """
    if study_config.scope == "wide" and not study_config.factors:
        factors = factors_for(study_config.base, [bank])
        study_config = replace(study_config, factors=factors)
    configs = [c for c in first_configs(study_config) if possible(bank, c)]
    here = bank.seconds(bank.missing(configs))
    if here is None:
        return None
    if extra_images:
        here += extra_images * _whole(bank, configs)
    return min(here, study_config.seconds) if study_config.scope == "wide" else here


def _whole(bank: ProposalBank, configs: list[AmgConfig]) -> float:
    """Return how long all parts of `configs` take, s, whether they are decoded or not."""
    parts = {part for config in configs for part in bank.parts(config)}
    crops = {part.frame for part in parts}
    each = bank.seconds(PendingWork(len(crops), sum(part.n_prompts for part in parts)))
    return 0.0 if each is None else each


def possible(bank: ProposalBank, config: AmgConfig) -> bool:
    """Return whether upstream can run `config` on the bank's image."""
    try:
        bank.parts(config)
    except ImpossibleConfig:
        return False
    return True
