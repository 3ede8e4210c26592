"""The two long jobs of a session, segment and tune, as generators."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.select import select
from napari_samstar.core.masks.labels import Labels, paint
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import Progress
from napari_samstar.core.rewards.marks import NO_MARKS
from napari_samstar.core.tuning.evaluator import Evaluator, fingerprint
from napari_samstar.core.tuning.study import open_study

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.image.source import ModelChoice, Source
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.rewards.expectations import Expectations
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.rewards.marks import Marks
    from napari_samstar.core.tuning.config import StudyConfig, Trial
    from napari_samstar.core.tuning.storage import Journal, Notice


@dataclass(frozen=True, eq=False)
class Segmented:
    """The outcome of segmenting one plane.

    Attributes
    ----------
    image : Micrograph
    mapping : ImageMapping
    choice : ModelChoice
    model : LoadedModel
    bank : ProposalBank
    selection : Selection
    labels : ndarray of int32, shape (H, W)
    """

    image: Micrograph
    mapping: ImageMapping
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
    cues = [(x.key, x.pixel_size, x.unit) for x in (one, other)]
    return cues[0] == cues[1]


def load_model(choice: ModelChoice) -> Generator[Progress, None, LoadedModel]:
    """Load, and where need be download, a model; closing the generator stops the download."""
    steps: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    summary: list[LoadedModel | BaseException] = []
    stop = threading.Event()

    def report(done: int, total: int) -> None:
        steps.put(Progress(done >> 20, total >> 20, f"Downloading {choice.name} (MB)"))

    def work() -> None:
        try:
            summary.append(load(choice.name, choice.device, progress=report, cancelled=stop.is_set))
        except BaseException as error:
            summary.append(error)

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
    if isinstance(summary[0], BaseException):
        raise summary[0]
    return summary[0]


def tune(
    evaluator: Evaluator | ProposalBank,
    goal: Goal,
    study_config: StudyConfig,
    expectations: Expectations | None = None,
    journal: Journal | None = None,
    *,
    marks: Marks = NO_MARKS,
    resume: bool = False,
) -> Iterator[Progress | Evaluator | Notice | tuple[Trial, ...]]:
    """Search; yields `Progress`, the judge once it is made, and batches of evaluations.

    With a `journal` every batch is written before it is yielded, and a `Notice` says where that
    fails; see `open_study.open_study` for `resume`. What a resumed run had evaluated is yielded
    again, in order.
    """
    if isinstance(evaluator, ProposalBank):
        yield Progress(0, 0, "Looking for edges, spots and foreground")
        evaluator = Evaluator.of(evaluator, expectations, marks)
    else:
        evaluator = evaluator.inputs(expectations, marks)
    evaluator.check(goal)
    yield evaluator
    informed = study_config.like(evaluator.examples)
    ready = open_study(goal, informed, journal, fingerprint(evaluator), resume=resume)
    yield from ready.searched(evaluator)
