"""One image, one model, one set of rewards: what the search asks for each configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samstar.core.facts import Polarity, image_facts
from napari_samstar.core.features import Features
from napari_samstar.core.proposals import ImpossibleConfig, ProposalBank
from napari_samstar.core.rewards import REWARDS, Sizes, View, evaluate
from napari_samstar.core.search import Plan, first_configs
from napari_samstar.core.select import Selection, select

if TYPE_CHECKING:
    from napari_samstar.core.config import AmgConfig
    from napari_samstar.core.progress import Progress


@dataclass(frozen=True, eq=False)
class Judge:
    """Evaluates configurations on one bank.

    Attributes
    ----------
    bank : ProposalBank
    features : Features
    sizes : Sizes
        What counts as small and as large, px.
    """

    bank: ProposalBank
    features: Features
    sizes: Sizes

    @classmethod
    def of(
        cls, bank: ProposalBank, sizes: Sizes | None = None, polarity: Polarity = "auto"
    ) -> Judge:
        """Look at the bank's image (a few seconds) and judge its masks by it."""
        facts = image_facts(bank.image.rgb, polarity)
        return cls(bank, Features(bank.masks, facts), sizes or Sizes.typical(facts))

    def resized(self, sizes: Sizes) -> Judge:
        """Return a judge with other `sizes` that shares every measurement made so far."""
        return Judge(self.bank, self.features, sizes)

    def rewards(self, selection: Selection) -> dict[str, float]:
        """Return all rewards of a selection from this bank."""
        return evaluate(View(selection, self.features, self.sizes))

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | tuple[dict[str, float], int]]:
        """Decode what is missing, then yield the rewards and the number of masks.

        A configuration that upstream cannot run (no prompt left in a crop, say) keeps nothing.
        """
        try:
            yield from self.bank.prepare(config)
        except ImpossibleConfig:
            yield dict.fromkeys(REWARDS, 0.0), 0
            return
        selection = select(self.bank, config)
        yield self.rewards(selection), len(selection)


def seconds_to_decode(bank: ProposalBank, plan: Plan) -> float | None:
    """Return the time that decoding for a search would take; None where the pace is unknown."""
    return bank.seconds(bank.missing([c for c in first_configs(plan) if _possible(bank, c)]))


def _possible(bank: ProposalBank, config: AmgConfig) -> bool:
    try:
        bank.parts(config)
    except ImpossibleConfig:
        return False
    return True
