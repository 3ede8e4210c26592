"""The arms of a wide search, and what it costs to open one.

An arm is one way to get candidates: prompts, a version of the image, and a zoom or a scale. To open
it costs encoding and decoding; to try thresholds in an open arm costs next to nothing.

Cost is counted in units, not in seconds: the same plan on every machine, whatever else runs there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samstar.core.prompts.base import ImpossibleConfig

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import Part, ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.config import StudyConfig

UNITS_PER_FRAME = 32
"""Cost of encoding a frame; that of decoding a prompt is 1. On a CPU the bundled model's encoder
takes as long as some 10 of its prompts, those of SAM as long as 100 and more."""

Work = frozenset[tuple[int, "Part"]]
"""Parts to decode, each with the number of its bank."""


@dataclass(frozen=True)
class Arm:
    """One way to get candidates.

    Attributes
    ----------
    config : AmgConfig
        The base with the values of this arm.
    values : tuple
        One for each factor, in their order.
    work : frozenset of (int, Part)
        What must be decoded for it.
    """

    config: AmgConfig
    values: tuple[str | float, ...]
    work: Work


class Ledger:
    """What has been opened, and what that cost, in units.

    Parameters
    ----------
    budget : float
        Units for all arms, the base included, which is opened in any case.
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.spent = 0.0
        self._done: set[tuple[int, Part]] = set()

    def cost(self, arm: Arm) -> float:
        """Return what it would cost to open an arm now; what it shares with open ones is there."""
        return units(arm.work - self._done, {(k, part.frame) for k, part in self._done})

    def affords(self, arm: Arm) -> bool:
        """Return whether the budget allows to open an arm."""
        return self.spent + self.cost(arm) <= self.budget

    def open(self, arm: Arm) -> None:
        """Note that an arm was opened."""
        self.spent += self.cost(arm)
        self._done |= arm.work


def units(work: Work | set[tuple[int, Part]], encoded: set[tuple[int, object]]) -> float:
    """Return the cost of decoding `work` where the frames `encoded` are known."""
    frames = {(k, part.frame) for k, part in work} - encoded
    prompts = sum(part.n_prompts for _, part in work)
    return float(prompts + UNITS_PER_FRAME * len(frames))


def arms_of(study_config: StudyConfig, banks: Sequence[ProposalBank]) -> list[Arm]:
    """Return all arms that are possible on any of the images, the base first.

    Parameters
    ----------
    study_config : StudyConfig
        With its factors, see `factors.planned`.
    """
    names = [name for name, _ in study_config.factors]
    found = []
    for values in itertools.product(*(of for _, of in study_config.factors)):
        config = study_config.base.replace(**dict(zip(names, values, strict=True)))
        work = _work(config, banks)
        if work or config == study_config.base:
            found.append(Arm(config, values, work))
    return found


def _work(config: AmgConfig, banks: Sequence[ProposalBank]) -> Work:
    found: set[tuple[int, Part]] = set()
    for k, bank in enumerate(banks):
        try:
            found |= {(k, part) for part in bank.parts(config)}
        except ImpossibleConfig:
            continue
    return frozenset(found)
