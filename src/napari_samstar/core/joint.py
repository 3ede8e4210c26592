"""Tuning on the image on show, with other images or planes beside it and others held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_samstar.core.continued import continued
from napari_samstar.core.errors import UserError
from napari_samstar.core.journal import Journal, Notice
from napari_samstar.core.marks import Marks
from napari_samstar.core.plan import Evaluation, Plan
from napari_samstar.core.progress import Progress
from napari_samstar.core.proposals import ProposalBank, Work
from napari_samstar.core.search import first_configs
from napari_samstar.core.several import Check, Several, checks, judged_by
from napari_samstar.core.tuning import Judge, possible, seconds_to_decode

if TYPE_CHECKING:
    from napari_samstar.core.config import AmgConfig
    from napari_samstar.core.encoder import EmbeddingCache
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.told import Other, Told


@dataclass(frozen=True, eq=False)
class Jury:
    """Who judges: one judge for each image, the one on show first.

    Attributes
    ----------
    tuned : tuple of Judge
        The search asks these.
    held_out : tuple of Judge
        The search never sees these.
    """

    tuned: tuple[Judge, ...]
    held_out: tuple[Judge, ...] = ()

    @property
    def first(self) -> Judge:
        """Of the image on show."""
        return self.tuned[0]

    def together(self) -> Judge | Several:
        """Return what the search asks."""
        return self.first if len(self.tuned) == 1 else Several(self.tuned)

    def about(self) -> list[dict[str, Any]]:
        """Return the images, JSON-ready for a recipe; empty for a single one."""
        everyone = [*((j, False) for j in self.tuned), *((j, True) for j in self.held_out)]
        if len(everyone) == 1:
            return []
        images = [(judge.bank.image, held) for judge, held in everyone]
        return [{"name": i.name, "key": i.key, "held_out": held} for i, held in images]

    def judge_of(self, key: str, model: str) -> Judge | None:
        """Return the judge of an image by its key, where it was asked with the same weights."""
        for judge in (*self.tuned, *self.held_out):
            if judge.bank.image.key == key and judge.bank.model.identity == model:
                return judge
        return None


Step = Progress | Jury | Notice | tuple[Evaluation, ...]


def tune(
    bank: ProposalBank,
    goal: Goal,
    plan: Plan,
    told: Told,
    cache: EmbeddingCache,
    before: Jury | None = None,
    *,
    resume: bool = False,
) -> Iterator[Step]:
    """Search on all images; yields `Progress`, the jury once it sits, and batches of evaluations.

    Every batch is in the journal of these images before it is yielded, and a `Notice` says where
    that fails; see `continued.continued` for `resume`. What `before` has measured is used again.

    Raises
    ------
    UserError
        Where a reward lacks what it needs, or two of the images are the same.
    """
    yield Progress(0, 0, "Looking for edges, spots and foreground")
    jury = Jury((_judge(bank, told, before, first=True),))
    jury.first.check(goal)
    for k, other in enumerate(told.others):
        jury = yield from _joined(jury, other, k, plan, told, cache, before)
    yield jury
    keys = [judge.bank.image.key for judge in jury.tuned]
    journal = Journal.of(keys, bank.model.identity)
    together = jury.together()
    informed = plan.like(together.examples)
    about = judged_by(together)
    ready = continued(goal, informed, journal, about, resume=resume, told=told.to_dict())
    yield from ready.searched(together, told.minutes)


def seconds(bank: ProposalBank, plan: Plan, others: int) -> float | None:
    """Return how long SAM would run for a search; None where its pace is unknown.

    Other images are taken to cost what this one does, from its encoding on.
    """
    here = seconds_to_decode(bank, plan)
    configs = [plan.base, *first_configs(plan)]
    parts = {part for config in configs if possible(bank, config) for part in bank.parts(config)}
    crops = {part.crop_box for part in parts}
    each = bank.seconds(Work(len(crops), sum(part.n_points for part in parts)))
    return None if here is None or each is None else here + others * each


def held_out_checks(
    jury: Jury, defaults: AmgConfig, chosen: AmgConfig
) -> Generator[Progress, None, tuple[Check, ...]]:
    """Measure SAM's defaults and the chosen settings on what the search never saw."""
    return checks((), jury.held_out, defaults, chosen)


def _joined(
    jury: Jury,
    other: Other,
    at: int,
    plan: Plan,
    told: Told,
    cache: EmbeddingCache,
    before: Jury | None,
) -> Generator[Progress, None, Jury]:
    """Return the jury with the judge of one more image, which is encoded and asked if need be."""
    n, name = len(told.others), other.source.name
    yield Progress(at, n, f"Preparing {name}")
    image = other.source.read()
    model = jury.first.bank.model
    twin = jury.judge_of(image.key, model.identity)
    if twin is not None:
        raise UserError(
            f"{name} and {twin.bank.image.name} are the same picture: give each once, to tune on "
            "or to hold out."
        )
    known = before.judge_of(image.key, model.identity) if before is not None else None
    bank = known.bank if known is not None else ProposalBank(image, model, cache)
    for step in bank.prepare(plan.base):
        yield dataclasses.replace(step, text=f"{name}: {step.text}")
    judge = _judge(bank, told, before, first=False)
    if other.held_out:
        return Jury(jury.tuned, (*jury.held_out, judge))
    return Jury((*jury.tuned, judge), jury.held_out)


def _judge(bank: ProposalBank, told: Told, before: Jury | None, *, first: bool) -> Judge:
    """Return a judge of a bank; of the marks on the first image others know the shapes alone."""
    marks = told.marks if first else Marks(elsewhere=told.marks.shapes)
    for known in () if before is None else (*before.tuned, *before.held_out):
        if known.bank is bank:
            return known.told(told.expectations, marks)
    return Judge.of(bank, told.expectations, marks)
