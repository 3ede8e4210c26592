"""One image, one model, one set of rewards: what the search asks for each configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.expectations import Expectations
from napari_samstar.core.facts import Polarity, image_facts
from napari_samstar.core.features import Features
from napari_samstar.core.marks import NO_MARKS, Marks
from napari_samstar.core.plan import SOUND_STARTS
from napari_samstar.core.proposals import ImpossibleConfig, ProposalBank
from napari_samstar.core.rewards import Reach, View, evaluate
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.core.search import Plan, first_configs
from napari_samstar.core.select import Selection, select

if TYPE_CHECKING:
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.progress import Progress
    from napari_samstar.core.shape import Shapes


_WHERE = ("prompts", "points_per_side", "points_per_batch", "point_grids")
"""Settings that say where SAM is asked in the whole image."""

NO_REACH = Reach()
"""Where nothing is known of what SAM finds."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Evaluates configurations on one bank.

    Attributes
    ----------
    bank : ProposalBank
    features : Features
    expectations : Expectations
        In px, with a guess of the small and large sizes where they were not given.
    marks : Marks
    """

    bank: ProposalBank
    features: Features
    expectations: Expectations
    marks: Marks = NO_MARKS
    _reaches: dict[AmgConfig, Reach] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        bank: ProposalBank,
        expectations: Expectations | None = None,
        marks: Marks = NO_MARKS,
        polarity: Polarity = "auto",
    ) -> Judge:
        """Look at the bank's image (a few seconds) and judge its masks by it.

        Raises
        ------
        UserError
            Where lengths are given in nm or µm and the image has no pixel size, or where marks do
            not fit the image.
        """
        wanted = _in_px(bank, expectations)  # before the image is looked at: it may be refused
        marks.check(bank.shape)
        facts = image_facts(bank.image.rgb, polarity)
        features = Features(bank.masks, facts, bank.shapes)
        return cls(bank, features, wanted.completed(facts), marks)

    def told(self, expectations: Expectations | None, marks: Marks = NO_MARKS) -> Judge:
        """Return a judge with other expectations and marks that shares every measurement made."""
        wanted = _in_px(self.bank, expectations).completed(self.features.facts)
        marks.check(self.bank.shape)
        known = self._reaches if marks.shapes == self.marks.shapes else {}
        return Judge(self.bank, self.features, wanted, marks, known)

    @property
    def examples(self) -> Shapes:
        """Shapes of the objects that were marked as good."""
        return self.marks.shapes

    def rewards(self, selection: Selection) -> dict[str, float]:
        """Return all rewards that apply to a selection from this bank."""
        return evaluate(self._view(selection, self.reach(selection.config)))

    def reach(self, config: AmgConfig) -> Reach:
        """Return what can be expected to be found where `config` asks SAM.

        The highest coverage, the most objects and the most objects like the examples that SAM's
        default thresholds and the sound starts of a search reach without zoom; at least as many
        objects as the foreground has regions, and the smallest positive coverage.
        """
        asked = AmgConfig(**{name: getattr(config, name) for name in _WHERE})
        if asked not in self._reaches:
            tried = [asked, *(asked.replace(**start) for start in SOUND_STARTS)]
            views = [self._view(select(self.bank, c)) for c in tried]
            self._reaches[asked] = Reach(
                max(*(v.coverage for v in views), float(np.finfo(float).tiny)),
                max(len(self.features.facts.component_areas), *(v.objects for v in views)),
                max(v.alike for v in views),
            )
        return self._reaches[asked]

    def applicable(self) -> tuple[str, ...]:
        """Return the names of the rewards that this image and what was told allow."""
        view = self._view(Selection.empty(AmgConfig()))
        return tuple(name for name, r in REWARDS.items() if r.applies(view))

    def check(self, goal: Goal) -> None:
        """Raise UserError where `goal` weighs a reward that was not told what it needs."""
        known = self.applicable()
        weighed = [REWARDS[name] for name, weight in goal.weights.items() if weight > 0]
        for reward in weighed:
            if reward.needs and reward.name not in known:
                raise UserError(
                    f"'{reward.label}' has a weight but needs {reward.needs}: give it, or set the "
                    "weight to 0."
                )
        if not any(reward.name in known for reward in weighed):
            raise UserError(
                "Nothing on this image can be judged by the rewards that have a weight: "
                "give others a weight, such as coverage."
            )

    def _view(self, selection: Selection, reach: Reach = NO_REACH) -> View:
        return View(selection, self.features, self.expectations, self.marks, reach)

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | tuple[dict[str, float], int]]:
        """Decode what is missing, then yield the rewards and the number of masks.

        A configuration that upstream cannot run (no prompt left in a crop, say) keeps nothing.
        """
        try:
            yield from self.bank.prepare(config)
        except ImpossibleConfig:
            yield dict.fromkeys(self.applicable(), 0.0), 0
            return
        selection = select(self.bank, config)
        yield self.rewards(selection), len(selection)


def _in_px(bank: ProposalBank, expectations: Expectations | None) -> Expectations:
    return (expectations or Expectations()).in_px(bank.image.pixel_size, bank.image.unit)


def seconds_to_decode(bank: ProposalBank, plan: Plan) -> float | None:
    """Return the time that decoding for a search would take; None where the pace is unknown."""
    return bank.seconds(bank.missing([c for c in first_configs(plan) if possible(bank, c)]))


def possible(bank: ProposalBank, config: AmgConfig) -> bool:
    """Return whether upstream can run `config` on the bank's image."""
    try:
        bank.parts(config)
    except ImpossibleConfig:
        return False
    return True
