"""Tuning on the image on show, with other images or planes beside it and others held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_samstar.core.amg.bank import PendingWork, ProposalBank
from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress
from napari_samstar.core.rewards.marks import Marks
from napari_samstar.core.tuning.checks import ImageCheck, checks
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.cost import possible, seconds_to_decode
from napari_samstar.core.tuning.evaluator import Evaluator, MultiImageEvaluator, fingerprint
from napari_samstar.core.tuning.nsga2 import first_configs
from napari_samstar.core.tuning.storage import Journal, Notice
from napari_samstar.core.tuning.study import open_study

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.inputs import Other, SearchInputs


@dataclass(frozen=True, eq=False)
class EvaluatorSet:
    """Who judges: one judge for each image, the one on show first.

    Attributes
    ----------
    tuned : tuple of Evaluator
        The search asks these.
    held_out : tuple of Evaluator
        The search never sees these.
    """

    tuned: tuple[Evaluator, ...]
    held_out: tuple[Evaluator, ...] = ()

    @property
    def first(self) -> Evaluator:
        """Of the image on show."""
        return self.tuned[0]

    def together(self) -> Evaluator | MultiImageEvaluator:
        """Return what the search asks."""
        return self.first if len(self.tuned) == 1 else MultiImageEvaluator(self.tuned)

    def about(self) -> list[dict[str, Any]]:
        """Return the images, JSON-ready for a recipe; empty for a single one."""
        everyone = [*((j, False) for j in self.tuned), *((j, True) for j in self.held_out)]
        if len(everyone) == 1:
            return []
        images = [(evaluator.bank.image, held) for evaluator, held in everyone]
        return [{"name": i.name, "key": i.key, "held_out": held} for i, held in images]

    def judge_of(self, key: str, model: str) -> Evaluator | None:
        """Return the judge of an image by its key, where it was asked with the same weights."""
        for evaluator in (*self.tuned, *self.held_out):
            if evaluator.bank.image.key == key and evaluator.bank.model.identity == model:
                return evaluator
        return None


Step = Progress | EvaluatorSet | Notice | tuple[Trial, ...]


def tune(
    bank: ProposalBank,
    goal: Goal,
    study_config: StudyConfig,
    inputs: SearchInputs,
    cache: EmbeddingCache,
    before: EvaluatorSet | None = None,
    *,
    resume: bool = False,
) -> Iterator[Step]:
    """Search on all images; yields `Progress`, the jury once it sits, and batches of evaluations.

    Every batch is in the journal of these images before it is yielded, and a `Notice` says where
    that fails; see `open_study.open_study` for `resume`. What `before` has measured is used again.

    Raises
    ------
    UserError
        Where a reward lacks what it needs, or two of the images are the same.
    """
    yield Progress(0, 0, "Looking for edges, spots and foreground")
    evaluators = EvaluatorSet((_judge(bank, inputs, before, first=True),))
    evaluators.first.check(goal)
    for k, other in enumerate(inputs.others):
        evaluators = yield from _joined(evaluators, other, k, study_config, inputs, cache, before)
    yield evaluators
    keys = [evaluator.bank.image.key for evaluator in evaluators.tuned]
    journal = Journal.of(keys, bank.model.identity)
    together = evaluators.together()
    informed = study_config.like(together.examples)
    about = fingerprint(together)
    ready = open_study(goal, informed, journal, about, resume=resume, inputs=inputs.to_dict())
    yield from ready.searched(together, inputs.minutes)


def seconds(bank: ProposalBank, study_config: StudyConfig, others: int) -> float | None:
    """Return how long SAM would run for a search; None where its pace is unknown.

    Other images are taken to cost what this one does, from its encoding on.
    """
    here = seconds_to_decode(bank, study_config)
    configs = [study_config.base, *first_configs(study_config)]
    parts = {part for config in configs if possible(bank, config) for part in bank.parts(config)}
    crops = {part.crop_box for part in parts}
    each = bank.seconds(PendingWork(len(crops), sum(part.n_prompts for part in parts)))
    return None if here is None or each is None else here + others * each


def held_out_checks(
    evaluators: EvaluatorSet, defaults: AmgConfig, chosen: AmgConfig
) -> Generator[Progress, None, tuple[ImageCheck, ...]]:
    """Measure SAM's defaults and the chosen settings on what the search never saw."""
    return checks((), evaluators.held_out, defaults, chosen)


def _joined(
    evaluators: EvaluatorSet,
    other: Other,
    at: int,
    study_config: StudyConfig,
    inputs: SearchInputs,
    cache: EmbeddingCache,
    before: EvaluatorSet | None,
) -> Generator[Progress, None, EvaluatorSet]:
    """Return the jury with the judge of one more image, which is encoded and asked if need be."""
    n, name = len(inputs.others), other.source.name
    yield Progress(at, n, f"Preparing {name}")
    image = other.source.read()
    model = evaluators.first.bank.model
    twin = evaluators.judge_of(image.key, model.identity)
    if twin is not None:
        raise UserError(
            f"{name} and {twin.bank.image.name} are the same picture: give each once, to tune on "
            "or to hold out."
        )
    known = before.judge_of(image.key, model.identity) if before is not None else None
    bank = known.bank if known is not None else ProposalBank(image, model, cache)
    for step in bank.prepare(study_config.base):
        yield dataclasses.replace(step, text=f"{name}: {step.text}")
    evaluator = _judge(bank, inputs, before, first=False)
    if other.held_out:
        return EvaluatorSet(evaluators.tuned, (*evaluators.held_out, evaluator))
    return EvaluatorSet((*evaluators.tuned, evaluator), evaluators.held_out)


def _judge(
    bank: ProposalBank, inputs: SearchInputs, before: EvaluatorSet | None, *, first: bool
) -> Evaluator:
    """Return a judge of a bank; of the marks on the first image others know the shapes alone."""
    marks = inputs.marks if first else Marks(elsewhere=inputs.marks.shapes)
    for known in () if before is None else (*before.tuned, *before.held_out):
        if known.bank is bank:
            return known.inputs(inputs.expectations, marks)
    return Evaluator.of(bank, inputs.expectations, marks)
