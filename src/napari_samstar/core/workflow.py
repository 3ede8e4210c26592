"""The two long jobs of a session, segment and tune, as generators."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samstar.core.continued import continued
from napari_samstar.core.labels import Labels, paint
from napari_samstar.core.marks import NO_MARKS
from napari_samstar.core.models import LoadedModel, load
from napari_samstar.core.progress import Progress
from napari_samstar.core.proposals import ProposalBank
from napari_samstar.core.select import Selection, select
from napari_samstar.core.several import judged_by
from napari_samstar.core.tuning import Judge

if TYPE_CHECKING:
    from napari_samstar.core.config import AmgConfig
    from napari_samstar.core.encoder import EmbeddingCache
    from napari_samstar.core.expectations import Expectations
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.images import Mapping, Micrograph
    from napari_samstar.core.journal import Journal, Notice
    from napari_samstar.core.marks import Marks
    from napari_samstar.core.plan import Evaluation, Plan
    from napari_samstar.core.source import ModelChoice, Source


@dataclass(frozen=True, eq=False)
class Segmented:
    """The outcome of segmenting one plane.

    Attributes
    ----------
    image : Micrograph
    mapping : Mapping
    choice : ModelChoice
    model : LoadedModel
    bank : ProposalBank
    selection : Selection
    labels : ndarray of int32, shape (H, W)
    """

    image: Micrograph
    mapping: Mapping
    choice: ModelChoice
    model: LoadedModel
    bank: ProposalBank
    selection: Selection
    labels: Labels


def segment(
    source: Source,
    choice: ModelChoice,
    config: AmgConfig,
    cache: EmbeddingCache,
    before: Segmented | None = None,
) -> Generator[Progress, None, Segmented]:
    """Segment one plane; yields `Progress` and returns the outcome.

    What `before` holds of the same image and the same model is used again.
    """
    yield Progress(0, 0, "Reading the image")
    image = source.read()
    model = before.model if before is not None and before.choice == choice else None
    if model is None:
        model = yield from load_model(choice)
    if before is not None and before.model is model and _same(before.image, image):
        bank = before.bank
    else:
        bank = ProposalBank(image, model, cache)
    yield from bank.prepare(config)
    selection = select(bank, config)
    labels = paint(bank.masks, selection.ids)
    return Segmented(image, source.mapping, choice, model, bank, selection, labels)


def _same(one: Micrograph, other: Micrograph) -> bool:
    """Return whether pixels and their size are the same: sizes asked for are measured by both."""
    facts = [(x.key, x.pixel_size, x.unit) for x in (one, other)]
    return facts[0] == facts[1]


def load_model(choice: ModelChoice) -> Generator[Progress, None, LoadedModel]:
    """Load, and where need be download, a model; closing the generator stops the download."""
    steps: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    outcome: list[LoadedModel | BaseException] = []
    stop = threading.Event()

    def report(done: int, total: int) -> None:
        steps.put(Progress(done >> 20, total >> 20, f"Downloading {choice.name} (MB)"))

    def work() -> None:
        try:
            outcome.append(load(choice.name, choice.device, progress=report, cancelled=stop.is_set))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="samstar-load", daemon=True)
    thread.start()
    try:
        latest = Progress(0, 0, f"Loading the model {choice.name}")
        while thread.is_alive():
            yield latest
            while not steps.empty():
                latest = steps.get()
            thread.join(0.1)
    finally:
        stop.set()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def tune(
    judge: Judge | ProposalBank,
    goal: Goal,
    plan: Plan,
    expectations: Expectations | None = None,
    journal: Journal | None = None,
    *,
    marks: Marks = NO_MARKS,
    resume: bool = False,
) -> Iterator[Progress | Judge | Notice | tuple[Evaluation, ...]]:
    """Search; yields `Progress`, the judge once it is made, and batches of evaluations.

    With a `journal` every batch is written before it is yielded, and a `Notice` says where that
    fails; see `continued.continued` for `resume`. What a resumed run had evaluated is yielded
    again, in order.
    """
    if isinstance(judge, ProposalBank):
        yield Progress(0, 0, "Looking for edges, spots and foreground")
        judge = Judge.of(judge, expectations, marks)
    else:
        judge = judge.told(expectations, marks)
    judge.check(goal)
    yield judge
    informed = plan.like(judge.examples)
    ready = continued(goal, informed, journal, judged_by(judge), resume=resume)
    yield from ready.searched(judge)
