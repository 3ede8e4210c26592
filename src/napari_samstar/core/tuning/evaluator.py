"""One image, one model, one set of rewards: what the search asks for each configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.amg.selection import Selection
from napari_samstar.core.cues.image_cues import Polarity, image_cues
from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress
from napari_samstar.core.prompts.base import ImpossibleConfig
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.features import Features
from napari_samstar.core.rewards.marks import NO_MARKS, Marks
from napari_samstar.core.rewards.registry import FORMULAS, REWARDS
from napari_samstar.core.rewards.view import AttainableLevels, View, evaluate
from napari_samstar.core.tuning.config import WARM_STARTS

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.masks.shape import Shapes
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.nsga2 import EvaluationResult

_WHERE = ("prompts", "points_per_side", "points_per_batch", "point_grids")
"""Settings that say where SAM is asked in the whole image."""

NOTHING_KNOWN = AttainableLevels()
"""Where nothing is known of what SAM finds."""


@dataclass(frozen=True, eq=False)
class Evaluator:
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
    _attainable: dict[AmgConfig, AttainableLevels] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        bank: ProposalBank,
        expectations: Expectations | None = None,
        marks: Marks = NO_MARKS,
        polarity: Polarity = "auto",
    ) -> Evaluator:
        """Look at the bank's image (a few seconds) and judge its masks by it.

        Raises
        ------
        UserError
            Where lengths are given in nm or µm and the image has no pixel size, or where marks do
            not fit the image.
        """
        wanted = _in_px(bank, expectations)  # before the image is looked at: it may be refused
        marks.check(bank.shape)
        cues = image_cues(bank.image.rgb, polarity)
        features = Features(bank.masks, cues, bank.shapes)
        return cls(bank, features, wanted.completed(cues), marks)

    def inputs(self, expectations: Expectations | None, marks: Marks = NO_MARKS) -> Evaluator:
        """Return a judge with other expectations and marks that shares every measurement made."""
        wanted = _in_px(self.bank, expectations).completed(self.features.cues)
        marks.check(self.bank.shape)
        known = self._attainable if marks.shapes == self.marks.shapes else {}
        return Evaluator(self.bank, self.features, wanted, marks, known)

    @property
    def examples(self) -> Shapes:
        """Shapes of the objects that were marked as good."""
        return self.marks.shapes

    def rewards(self, selection: Selection) -> dict[str, float]:
        """Return all rewards that apply to a selection from this bank."""
        return evaluate(self._view(selection, self.attainable(selection.config)))

    def attainable(self, config: AmgConfig) -> AttainableLevels:
        """Return what can be expected to be found where `config` asks SAM.

        The highest coverage, the most objects and the most objects like the examples that SAM's
        default thresholds and the sound starts of a search reach without zoom; at least as many
        objects as the foreground has regions, and the smallest positive coverage.
        """
        asked = AmgConfig(**{name: getattr(config, name) for name in _WHERE})
        if asked not in self._attainable:
            tried = [asked, *(asked.replace(**start) for start in WARM_STARTS)]
            views = [self._view(select(self.bank, c)) for c in tried]
            self._attainable[asked] = AttainableLevels(
                max(*(v.coverage for v in views), float(np.finfo(float).tiny)),
                max(len(self.features.cues.component_areas), *(v.objects for v in views)),
                max(v.alike for v in views),
            )
        return self._attainable[asked]

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

    def _view(self, selection: Selection, attainable: AttainableLevels = NOTHING_KNOWN) -> View:
        return View(selection, self.features, self.expectations, self.marks, attainable)

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


class SupportsEvaluate(Protocol):
    """What a search asks: one image's `tuning.Evaluator`, or `MultiImageEvaluator`."""

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | EvaluationResult]:
        """Decode what is missing, then yield the rewards and the number of masks."""


@dataclass(frozen=True, eq=False)
class MultiImageEvaluator:
    """Judges configurations on several images: the mean of each reward, and all masks.

    Every image counts alike, however many objects it holds. What is small or large is each
    image's own unless its judge was told.

    Attributes
    ----------
    evaluators : tuple of Evaluator
        At least one; each with a bank of its own.
    """

    evaluators: tuple[Evaluator, ...]

    @property
    def examples(self) -> Shapes:
        """Shapes of the objects that were marked as good on any of the images."""
        return tuple(
            dict.fromkeys(row for evaluator in self.evaluators for row in evaluator.examples)
        )

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | EvaluationResult]:
        """Decode what is missing on any image, then yield mean rewards and all masks."""
        results: list[EvaluationResult] = []
        for evaluator in self.evaluators:
            for step in evaluator.evaluate(config):
                if isinstance(step, Progress):
                    yield step
                else:
                    results.append(step)
        yield mean_of(results)


def mean_of(results: Sequence[EvaluationResult]) -> EvaluationResult:
    """Return the mean of each reward over the images it applies to, and the sum of the masks."""
    names = dict.fromkeys(name for rewards, _ in results for name in rewards)
    rewards = {name: float(np.mean([r[name] for r, _ in results if name in r])) for name in names}
    return rewards, sum(n for _, n in results)


def fingerprint(evaluator: Evaluator | MultiImageEvaluator) -> dict[str, Any]:
    """Return what raw rewards depend on besides image, model and settings, JSON-ready.

    Evaluations of a journal hold only where this is the same.
    """
    evaluators = (
        evaluator.evaluators if isinstance(evaluator, MultiImageEvaluator) else (evaluator,)
    )
    return {
        "rewards": sorted(REWARDS),
        "formulas": FORMULAS,
        "images": [
            {
                "expectations": j.expectations.to_dict(),
                "marks": j.marks.digest(),
                "polarity": j.features.cues.polarity,
            }
            for j in evaluators
        ],
    }
