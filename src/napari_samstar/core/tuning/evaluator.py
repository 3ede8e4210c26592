"""Rewards of a configuration on one image or several: what a search evaluates."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.amg.selection import Selection
from napari_samstar.core.cues.image_cues import Polarity, image_cues
from napari_samstar.core.cues.region_cues import cues_inside
from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress
from napari_samstar.core.prompts.base import ImpossibleConfig
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.features import Features
from napari_samstar.core.rewards.marks import NO_MARKS, Marks
from napari_samstar.core.rewards.registry import FORMULAS, REWARDS
from napari_samstar.core.rewards.view import AttainableLevels, View, evaluate
from napari_samstar.core.tuning.config import WARM_STARTS
from napari_samstar.core.tuning.summary import ImageCheck

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.masks.shape import Shapes
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import EvaluationResult

_PROMPTING = (
    "prompts", "boxes", "points_per_side", "points_per_batch", "point_grids", "tile_scale", "shown",
)  # fmt: skip
"""Settings that say where SAM is prompted in the whole image, and what it is shown of it."""

REGIONS_ARE_OBJECTS = 0.85
"""Attainable coverage (Dice) from which each region of the foreground counts as an object: masks
and foreground, which are made independently, then agree almost everywhere."""

NO_LEVELS = AttainableLevels()
"""Used while the attainable levels themselves are measured."""


class SupportsEvaluate(Protocol):
    """What a search needs: the `Evaluator` of one image, or of several."""

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | EvaluationResult]:
        """Decode what is missing, then yield the rewards and the number of masks."""


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Evaluates configurations on the bank of one image.

    Attributes
    ----------
    bank : ProposalBank
    features : Features
        Measurements of the bank's masks, and the image's cues.
    expectations : Expectations
        In px, with an estimate of the small and large sizes where they were not given.
    marks : Marks
    reference : AmgConfig, optional
        How SAM is prompted where it is measured what can be found at all, see `attainable`; as each
        configuration itself asks for where not given.
    """

    bank: ProposalBank
    features: Features
    expectations: Expectations
    marks: Marks = NO_MARKS
    reference: AmgConfig | None = None
    _attainable: dict[AmgConfig, AttainableLevels] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        bank: ProposalBank,
        expectations: Expectations | None = None,
        marks: Marks = NO_MARKS,
        polarity: Polarity = "auto",
        base: AmgConfig | None = None,
    ) -> Evaluator:
        """Estimate the cues of the bank's image, which takes a few seconds.

        With `base`, from which a search starts, all its configurations are measured by what can be
        found with the prompts of `base`.

        Raises
        ------
        UserError
            Where lengths are given in nm or µm and the image has no pixel size, or where marks do
            not fit the image.
        """
        wanted = _in_px(bank, expectations)  # first, because it may fail and is quick
        marks.check(bank.shape)
        image = bank.image
        cues = (
            image_cues(image.pixels, polarity)
            if image.region.is_whole
            else cues_inside(image.pixels, image.region.mask(image.shape), polarity)
        )
        features = Features(bank.masks, cues, bank.shapes)
        reference = None if base is None else prompting(base)
        return cls(bank, features, wanted.completed(cues), marks, reference)

    def with_inputs(self, expectations: Expectations | None, marks: Marks = NO_MARKS) -> Evaluator:
        """Return an evaluator with other expectations and marks that shares all measurements."""
        wanted = _in_px(self.bank, expectations).completed(self.features.cues)
        marks.check(self.bank.shape)
        known = self._attainable if marks.shapes == self.marks.shapes else {}
        return Evaluator(self.bank, self.features, wanted, marks, self.reference, known)

    @property
    def examples(self) -> Shapes:
        """Shapes of the objects that were marked as good."""
        return self.marks.shapes

    def rewards(self, selection: Selection) -> dict[str, float]:
        """Return all rewards that apply to a selection from this bank."""
        return evaluate(self._view(selection, self.attainable(selection.config)))

    def attainable(self, config: AmgConfig) -> AttainableLevels:
        """Return what can be expected to be found on this image.

        The highest coverage, the most objects and the most objects like the examples that SAM's
        default thresholds and the warm starts of a search reach without zoom, with the prompts of
        the reference, or else of `config`; at least the smallest positive coverage. Where the
        coverage reaches 0.85, at least as many objects as the foreground has regions.
        """
        # One reference for all: else prompts that find little would be judged by that little.
        defaults = self.reference or prompting(config)
        if defaults not in self._attainable:
            tried = [defaults, *(defaults.replace(**start) for start in WARM_STARTS)]
            views = [self._view(select(self.bank, c)) for c in tried]
            coverage = max(*(v.coverage for v in views), float(np.finfo(float).tiny))
            # What the prompts of the reference miss may be in the foreground.
            regions = len(self.features.cues.component_areas)
            self._attainable[defaults] = AttainableLevels(
                coverage,
                max(regions if coverage >= REGIONS_ARE_OBJECTS else 0, *(v.objects for v in views)),
                max(v.like_examples for v in views),
            )
        return self._attainable[defaults]

    def applicable(self) -> tuple[str, ...]:
        """Return the names of the rewards whose required inputs are there."""
        view = self._view(Selection.empty(AmgConfig()))
        return tuple(name for name, r in REWARDS.items() if r.applies(view))

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | EvaluationResult]:
        """Decode what is missing, then yield the rewards and the number of masks.

        A configuration that upstream cannot run (no prompt left in a crop, say) keeps nothing.
        """
        if self.reference is not None:
            yield from self.bank.prepare(self.reference)
        try:
            yield from self.bank.prepare(config)
        except ImpossibleConfig:
            yield dict.fromkeys(self.applicable(), 0.0), 0
            return
        selection = select(self.bank, config)
        yield self.rewards(selection), len(selection)

    def _view(self, selection: Selection, attainable: AttainableLevels = NO_LEVELS) -> View:
        return View(selection, self.features, self.expectations, self.marks, attainable)


def prompting(config: AmgConfig) -> AmgConfig:
    """Return SAM's default thresholds without zoom, with the prompts and the tiles of `config`."""
    return AmgConfig(**{name: getattr(config, name) for name in _PROMPTING})


def _in_px(bank: ProposalBank, expectations: Expectations | None) -> Expectations:
    return (expectations or Expectations()).in_px(bank.image.pixel_size, bank.image.unit)


@dataclass(frozen=True, eq=False)
class MultiImageEvaluator:
    """Evaluates configurations on several images: the mean of each reward, and all masks.

    Every image counts alike, however many objects it holds. Small and large sizes are estimated in
    each image unless they were given.

    Attributes
    ----------
    evaluators : tuple of Evaluator
        At least one; each with a bank of its own.
    """

    evaluators: tuple[Evaluator, ...]

    @property
    def examples(self) -> Shapes:
        """Shapes of the objects that were marked as good on any of the images."""
        return tuple(dict.fromkeys(row for e in self.evaluators for row in e.examples))

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

    Stored trials hold only where this is the same.
    """
    evaluators = (
        evaluator.evaluators if isinstance(evaluator, MultiImageEvaluator) else (evaluator,)
    )
    return {
        "rewards": sorted(REWARDS),
        "formulas": FORMULAS,
        "images": [
            {
                "expectations": e.expectations.to_dict(),
                "marks": e.marks.digest(),
                "polarity": e.features.cues.polarity,
            }
            for e in evaluators
        ],
    }


@dataclass(frozen=True, eq=False)
class EvaluatorSet:
    """One evaluator for each image of a search.

    Attributes
    ----------
    tuned : tuple of Evaluator
        Of the images that the search sees; the first one is the user's image.
    held_out : tuple of Evaluator
        Of the images that it never sees.
    """

    tuned: tuple[Evaluator, ...]
    held_out: tuple[Evaluator, ...] = ()

    @property
    def first(self) -> Evaluator:
        """Of the user's image."""
        return self.tuned[0]

    @property
    def all(self) -> tuple[Evaluator, ...]:
        """Tuned ones first."""
        return (*self.tuned, *self.held_out)

    def combined(self) -> Evaluator | MultiImageEvaluator:
        """Return what the search evaluates configurations with."""
        return self.first if len(self.tuned) == 1 else MultiImageEvaluator(self.tuned)

    def add(self, evaluator: Evaluator, *, held_out: bool) -> EvaluatorSet:
        """Return the set with one more evaluator."""
        if held_out:
            return EvaluatorSet(self.tuned, (*self.held_out, evaluator))
        return EvaluatorSet((*self.tuned, evaluator), self.held_out)

    def find(self, key: str, model: str) -> Evaluator | None:
        """Return the evaluator of an image, by its content key and the model's identity."""
        for evaluator in self.all:
            bank = evaluator.bank
            if bank.image.key == key and bank.model.identity == model:
                return evaluator
        return None

    def images(self) -> list[dict[str, Any]]:
        """Return name, content key and role of each image, JSON-ready; empty for a single one."""
        held_out = [False] * len(self.tuned) + [True] * len(self.held_out)
        if len(held_out) == 1:
            return []
        images = [e.bank.image for e in self.all]
        return [
            {"name": i.name, "key": i.key, "held_out": held}
            for i, held in zip(images, held_out, strict=True)
        ]

    def check(self, goal: Goal) -> None:
        """Check that `goal` can be judged on the images that the search sees.

        Raises
        ------
        UserError
            Where a weighted reward lacks its required inputs on all of them, or no weighted reward
            applies to any.
        """
        known = {name for evaluator in self.tuned for name in evaluator.applicable()}
        weighted = [REWARDS[name] for name, weight in goal.weights.items() if weight > 0]
        for reward in weighted:
            if reward.needs and reward.name not in known:
                raise UserError(
                    f"'{reward.label}' has a weight but needs {reward.needs}: give it, or set the "
                    "weight to 0."
                )
        if not any(reward.name in known for reward in weighted):
            raise UserError(
                "Nothing on this image can be judged by the rewards that have a weight: "
                "give others a weight, such as coverage."
            )


def check_images(
    evaluators: EvaluatorSet, defaults: AmgConfig, chosen: AmgConfig, *, held_out_only: bool = False
) -> Generator[Progress, None, tuple[ImageCheck, ...]]:
    """Measure SAM's defaults and the chosen configuration on each image; tuned ones first."""
    found = []
    for evaluator in evaluators.held_out if held_out_only else evaluators.all:
        pair = []
        for config in (defaults, chosen):
            for step in evaluator.evaluate(config):
                if isinstance(step, Progress):
                    yield step
                else:
                    pair.append(step)
        held_out = evaluator in evaluators.held_out
        found.append(ImageCheck(evaluator.bank.image.name, held_out, pair[0], pair[1]))
    return tuple(found)
