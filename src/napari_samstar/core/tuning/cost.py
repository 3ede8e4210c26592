"""How long SAM would run for a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.config import StudyConfig
from typing import TYPE_CHECKING

from napari_samstar.core.prompts.base import ImpossibleConfig
from napari_samstar.core.tuning.nsga2 import first_configs


def seconds_to_decode(bank: ProposalBank, study_config: StudyConfig) -> float | None:
    """Return the time that decoding for a search would take; None where the pace is unknown."""
    return bank.seconds(bank.missing([c for c in first_configs(study_config) if possible(bank, c)]))


def possible(bank: ProposalBank, config: AmgConfig) -> bool:
    """Return whether upstream can run `config` on the bank's image."""
    try:
        bank.parts(config)
    except ImpossibleConfig:
        return False
    return True
