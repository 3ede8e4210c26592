"""Segment, search, apply: generators that yield `Progress` and return what they made.

    image -> model -> bank -> Result                    iter_segment
    images -> evaluators -> trials -> front -> Study    iter_search, iter_tune
    recipe + images -> Results                          iter_apply

`progress.run` runs one to its end; closing it stops the work, and what was stored stays.
"""

from __future__ import annotations

import dataclasses
import math
import queue
import threading
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.api.study import Study
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.tile_scale import choose_tile_scale
from napari_samstar.core.amg.tile_store import TileStore, decode_parts, trim
from napari_samstar.core.errors import UserError
from napari_samstar.core.memory import check_memory
from napari_samstar.core.models.backend import LoadedModel
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import Progress
from napari_samstar.core.results.result import Result, restore_edits, segment_bank
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.diagnosis import diagnose
from napari_samstar.core.tuning.evaluator import (
    Evaluator,
    EvaluatorSet,
    check_images,
    fingerprint,
    prompting,
)
from napari_samstar.core.tuning.factors import planned
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.ground_truth import Truth, TruthScorer, agreements
from napari_samstar.core.tuning.mask_evidence import mask_evidence
from napari_samstar.core.tuning.regions import part_image, parts_to_search
from napari_samstar.core.tuning.storage import Journal, Notice
from napari_samstar.core.tuning.study import StudyRun, open_study
from napari_samstar.core.tuning.summary import Rule, StudySummary

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import CropBox
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.masks.painting import Labels
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.models.registry import ModelChoice
    from napari_samstar.core.results.recipe import Recipe
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.rewards.marks import Marks
    from napari_samstar.core.tuning.inputs import ExtraImage, SearchInputs
    from napari_samstar.core.tuning.regions import SearchPart

SearchStep = Progress | Notice | EvaluatorSet | StudyRun | tuple[Trial, ...]
"""What a search yields: progress, a sentence for the user, the evaluators once they are made, the
run once it is prepared, and batches of trials."""


SIZER = "pocket"
"""The model that predicts the sizes of objects where the chosen one does not."""

# --- model ------------------------------------------------------------------------------------


def iter_load_model(choice: ModelChoice) -> Generator[Progress, None, LoadedModel]:
    """Load, and where need be download, a model; closing the generator stops the download."""
    steps: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    outcome: list[LoadedModel | BaseException] = []
    stop = threading.Event()

    def report(done: int, total: int) -> None:
        steps.put(Progress(done >> 20, total >> 20, f"Downloading {choice.name} (MB)"))

    def work() -> None:
        try:
            how = choice.name, choice.device, choice.precision
            outcome.append(load(*how, progress=report, cancelled=stop.is_set))
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


# --- segment ----------------------------------------------------------------------------------


def iter_segment(
    image: LoadedImage,
    choice: ModelChoice | LoadedModel,
    config: AmgConfig,
    cache: EmbeddingCache,
    previous: Result | None = None,
    first: CropBox | None = None,
    *,
    keep_tiles: bool = False,
) -> Generator[Progress, None, Result]:
    """Segment one plane with one configuration.

    Parameters
    ----------
    choice : ModelChoice or LoadedModel
    previous : Result, optional
        Its model, and its bank where the image is the same, are used again.
    first : (x0, y0, x1, y1), optional
        A window of the image, px, whose tiles come first.
    keep_tiles : bool
        Whether finished tiles are kept on disk, so that the same call goes on where it was stopped;
        `TileStore.of(result.image, result.config, result.model).remove()` deletes them.
    """
    yield Progress(0, 0, "Reading the image")
    micrograph = image.prepare()
    if isinstance(choice, LoadedModel):
        model, chosen = choice, None
    elif previous is not None and previous.choice == choice:
        model, chosen = previous.model, choice
    else:
        model, chosen = (yield from iter_load_model(choice)), choice
    known = previous is not None and previous.model is model
    if config.tile_scale is None:
        micrograph, config = yield from _at_scale(micrograph, model, config, cache)
    if previous is not None and known and _same_image(previous.image, micrograph):
        bank = previous.bank
    else:
        bank = ProposalBank(micrograph, model, cache)
    decode = None
    if keep_tiles and len(bank.tiles(config)) > 1:
        trim()
        decode = decode_parts(bank, config, TileStore.of(micrograph, config, model))
    return (yield from segment_bank(bank, config, first=first, decode=decode, choice=chosen))


def _at_scale(
    image: Micrograph,
    model: LoadedModel,
    config: AmgConfig,
    cache: EmbeddingCache,
    diameter: float | None = None,
) -> Generator[Progress, None, tuple[Micrograph, AmgConfig]]:
    """Choose the scale of tiles; the image's notes say what was chosen.

    Parameters
    ----------
    diameter : float, optional
        Of a typical object, px, where the user knows it.
    """
    side = None if diameter is None else diameter * math.sqrt(math.pi) / 2
    sizer = model if model.backend.sees_centres else load(SIZER, str(model.device))
    frame_side = model.backend.frame_side
    chosen = yield from choose_tile_scale(image, frame_side, sizer, cache, side)
    text = chosen.sentence(image.shape, frame_side)
    if text:
        image = dataclasses.replace(image, notes=(*image.notes, text))
    return image, config.replace(tile_scale=chosen.scale)


def _same_image(one: Micrograph, other: Micrograph) -> bool:
    """Return whether pixels, their size and how they were read are the same."""
    about = [(x.key, x.pixel_size, x.unit, x.mapping) for x in (one, other)]
    return about[0] == about[1]


# --- search -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Search:
    """A search that has ended: its evaluators, how it was run, and all its trials in order."""

    evaluators: EvaluatorSet
    run: StudyRun
    trials: tuple[Trial, ...]


def iter_search(
    bank: ProposalBank,
    goal: Goal,
    study_config: StudyConfig,
    inputs: SearchInputs,
    cache: EmbeddingCache,
    previous: EvaluatorSet | None = None,
    *,
    resume: bool = False,
    stored: bool = True,
) -> Generator[SearchStep, None, Search]:
    """Search the settings of one image, or of several together.

    Parameters
    ----------
    bank : ProposalBank
        Of the first image.
    previous : EvaluatorSet, optional
        Of an earlier search; what it has measured is used again.
    resume : bool
        Go on with an earlier search of the same images, see `study.open_study`.
    stored : bool
        Whether trials are written to the journal of these images before they are yielded. Where
        that fails, a `Notice` says so.

    Raises
    ------
    UserError
        Where a reward lacks its inputs, two of the images are the same, or an earlier search cannot
        be read that shall be resumed.
    """
    bank, inputs, _ = yield from _in_regions(bank, study_config.base, inputs, cache)
    evaluators = yield from _evaluators(bank, study_config, inputs, cache, previous)
    evaluators.check(goal)
    yield evaluators
    evaluator = evaluators.combined()
    study_config, banks = study_config.like(evaluator.examples), [e.bank for e in evaluators.tuned]
    if study_config.scope == "wide":
        if not study_config.cost:
            yield from bank.prepare(study_config.base)  # which tells the pace of the machine
        study_config = planned(study_config, banks)
    journal = None
    if stored:
        try:
            keys = [e.bank.image.key for e in evaluators.tuned]
            journal = Journal.of(keys, bank.model.identity)
        except UserError as error:
            if resume:
                raise
            yield Notice(f"{error} This run is not written down.")
    run = open_study(
        goal,
        study_config,
        journal,
        fingerprint(evaluator),
        resume=resume,
        inputs=inputs.to_dict(),
    )
    yield run
    trials: list[Trial] = []
    for step in run.search(evaluator, inputs.minutes, banks):
        if isinstance(step, tuple):
            trials += step
        yield step
    return Search(evaluators, run, tuple(trials))


def _in_regions(
    bank: ProposalBank, base: AmgConfig, inputs: SearchInputs, cache: EmbeddingCache
) -> Generator[Progress, None, tuple[ProposalBank, SearchInputs, tuple[ProposalBank, ...]]]:
    """Put regions in place of images that are cut into many tiles.

    Returns
    -------
    bank : ProposalBank
        Of the first image, or of its first region.
    inputs : SearchInputs
        With the regions as images of their own.
    wholes : tuple of ProposalBank
        Of the images themselves, where any was replaced.
    """
    assert base.tile_scale is not None
    if not base.tile_scale:
        return bank, inputs, ()
    side = bank.model.backend.frame_side
    images: list[ExtraImage] = []
    wholes = [bank]
    first = inputs.marks, inputs.truth
    found = yield from _regions(bank.image, side, base.tile_scale)
    own = [part_image(bank.image, part, *first) for part in found]
    for extra in inputs.extra_images:
        image = extra.image.prepare()
        wholes.append(ProposalBank(image, bank.model, cache))
        parts = yield from _regions(image, side, base.tile_scale)
        if not parts:
            images.append(extra)
            continue
        for part in parts:
            searched = part_image(image, part, extra.marks, extra.truth)
            held_out = extra.held_out or searched.held_out
            images.append(dataclasses.replace(searched, held_out=held_out))
    if len(images) == len(inputs.extra_images) and not own:
        return bank, inputs, ()
    if not own:
        return bank, inputs.replace(extra_images=tuple(images)), tuple(wholes)
    head, *others = own
    changed = inputs.replace(marks=head.marks, truth=head.truth, extra_images=(*others, *images))
    return ProposalBank(head.image.prepare(), bank.model, cache), changed, tuple(wholes)


def _regions(
    image: Micrograph, frame_side: int, tile_scale: float
) -> Generator[Progress, None, tuple[SearchPart, ...]]:
    yield Progress(0, 0, "Choosing parts of the image to tune on")
    return parts_to_search(image, frame_side, tile_scale)


def _evaluators(
    bank: ProposalBank,
    study_config: StudyConfig,
    inputs: SearchInputs,
    cache: EmbeddingCache,
    previous: EvaluatorSet | None,
) -> Generator[Progress, None, EvaluatorSet]:
    """Read and encode all images, and make one evaluator for each."""
    yield Progress(0, 0, "Looking for edges, spots and foreground")
    first_marks, *more_marks = inputs.marks_of_all()
    base = study_config.base
    found = EvaluatorSet((_evaluator(bank, inputs, first_marks, previous, base),))
    for k, (extra, marks) in enumerate(zip(inputs.extra_images, more_marks, strict=True)):
        yield Progress(k, len(more_marks), f"Preparing {extra.image.name}")
        other = _bank_of(extra, bank.model, found, previous, cache)
        for step in other.prepare(study_config.base):
            yield dataclasses.replace(step, text=f"{extra.image.name}: {step.text}")
        evaluator = _evaluator(other, inputs, marks, previous, base)
        found = found.add(evaluator, held_out=extra.held_out)
    return found


def _bank_of(
    extra: ExtraImage,
    model: LoadedModel,
    found: EvaluatorSet,
    previous: EvaluatorSet | None,
    cache: EmbeddingCache,
) -> ProposalBank:
    """Return the bank of an extra image; UserError where the image is there already."""
    image = extra.image.prepare()
    twin = found.find(image.key, model.identity)
    if twin is not None:
        raise UserError(
            f"{image.name} and {twin.bank.image.name} are the same picture: give each image once, "
            "to tune on or to hold out."
        )
    known = None if previous is None else previous.find(image.key, model.identity)
    return known.bank if known is not None else ProposalBank(image, model, cache)


def _evaluator(
    bank: ProposalBank,
    inputs: SearchInputs,
    marks: Marks,
    previous: EvaluatorSet | None,
    base: AmgConfig,
) -> Evaluator:
    for known in () if previous is None else previous.all:
        if known.bank is bank and known.reference == prompting(base):
            return known.with_inputs(inputs.expectations, marks)
    return Evaluator.of(bank, inputs.expectations, marks, base=base)


# --- tune -------------------------------------------------------------------------------------


def iter_tune(
    bank: ProposalBank,
    goal: Goal,
    study_config: StudyConfig,
    inputs: SearchInputs,
    cache: EmbeddingCache,
    *,
    rule: Rule = "best",
    resume: bool = False,
    stored: bool = True,
    against_random: bool = False,
) -> Generator[SearchStep, None, Study]:
    """Search, pick one trial by `rule`, check it on every image, and score it where truth is known.

    See `iter_search` for the other parameters and for errors.

    Parameters
    ----------
    rule : {"best", "knee"}
        `Front.best`, or `Front.knee`.
    against_random : bool
        Also run random search with the same budget, for comparison.
    """
    if study_config.base.tile_scale is None:
        image, expected = bank.image, inputs.expectations
        diameter = expected.in_px(image.pixel_size, image.unit).diameter
        image, base = yield from _at_scale(image, bank.model, study_config.base, cache, diameter)
        study_config = dataclasses.replace(study_config, base=base)
        bank = ProposalBank(image, bank.model, cache)
    bank, inputs, wholes = yield from _in_regions(bank, study_config.base, inputs, cache)
    search = yield from iter_search(
        bank, goal, study_config, inputs, cache, resume=resume, stored=stored
    )
    evaluators, run, trials = search.evaluators, search.run, search.trials
    random_trials: list[Trial] = []
    if against_random:
        # The same budget, also where the time was up.
        config = dataclasses.replace(run.study_config, trials=len(trials))
        equal = dataclasses.replace(run, study_config=config)
        banks = [e.bank for e in evaluators.tuned]
        for step in equal.random_search(evaluators.combined(), banks):
            yield step
            if isinstance(step, tuple):
                random_trials += step
    summary = StudySummary(front(trials, goal), run.study_config, rule, tuple(random_trials))
    if summary.defaults is not None:
        pair = summary.defaults.config, summary.chosen.config
        checks = yield from check_images(evaluators, *pair)
        summary = dataclasses.replace(summary, checks=checks)
    evidence = mask_evidence(evaluators.tuned, summary.chosen.config)
    remarks = diagnose(summary.front, summary.picked, run.study_config, evidence)
    summary = dataclasses.replace(summary, diagnosis=remarks)
    summary = yield from _scored(summary, evaluators, _truths(evaluators, inputs))
    return Study(evaluators, summary, wholes or tuple(e.bank for e in evaluators.all))


def _truths(evaluators: EvaluatorSet, inputs: SearchInputs) -> dict[str, Truth]:
    """Return the ground truths by content key of their images."""
    found = {} if inputs.truth is None else {evaluators.first.bank.image.key: inputs.truth}
    tuned, held_out = list(evaluators.tuned[1:]), list(evaluators.held_out)
    for extra in inputs.extra_images:  # evaluators are in the order of the images
        evaluator = (held_out if extra.held_out else tuned).pop(0)
        if extra.truth is not None:
            found[evaluator.bank.image.key] = extra.truth
    return found


def _scored(
    summary: StudySummary, evaluators: EvaluatorSet, truths: Mapping[str, Truth]
) -> Generator[Progress, None, StudySummary]:
    """Score tuned images, oracle included, and held-out ones, where their truth is known."""
    picks = {
        "defaults": summary.defaults,
        "chosen": summary.chosen,
        "random": summary.random_pick,
    }
    configs = {name: trial.config for name, trial in picks.items() if trial is not None}
    found: dict[str, Any] = {}
    groups = {"agreement": evaluators.tuned, "held_out_agreement": evaluators.held_out}
    for name, group in groups.items():
        banks = [e.bank for e in group if e.bank.image.key in truths]
        if not banks:
            continue
        for bank in banks:
            for config in configs.values():
                yield from bank.prepare(config)
        scorer = TruthScorer(banks, [truths[bank.image.key] for bank in banks])
        tried = (*summary.front.trials, *summary.random_trials) if name == "agreement" else ()
        found[name] = yield from agreements(scorer, configs, tried)
    return dataclasses.replace(summary, **found)


# --- apply ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Applied:
    """A recipe on one image.

    Attributes
    ----------
    image : LoadedImage
    result : Result, optional
        None where the image could not be segmented, such as a constant plane.
    problem : str
        Why not, one sentence; empty where there is a result.
    """

    image: LoadedImage
    result: Result | None
    problem: str = ""

    @property
    def labels(self) -> Labels:
        """int32, shape (H, W); empty without a result."""
        if self.result is not None:
            return self.result.labels
        return np.zeros(self.image.plane_shape, dtype=np.int32)


def check_labels_fit(n_planes: int, shape: tuple[int, int]) -> None:
    """Raise UserError where the labels of all planes of `shape` would not fit in memory."""
    check_memory(
        4 * n_planes * shape[0] * shape[1],
        f"The labels of all {n_planes} planes",
        "crop the stack, or apply the recipe to its files with `samstar apply`",
    )


_STEPS = 100  # of the progress bar for each image


def iter_apply(
    config: AmgConfig | Recipe,
    images: Iterable[LoadedImage],
    model: LoadedModel,
    cache: EmbeddingCache,
) -> Generator[Progress | Applied, None, None]:
    """Repeat a configuration on images or planes, one after another; yields each when it is done.

    Parameters
    ----------
    config : AmgConfig or Recipe
        Of a recipe also the user's edits are used, on the very image they were made on, and how its
        settings were found is kept. The images' mappings are used as they are.
    """
    todo = list(images)
    total = _STEPS * len(todo)
    for k, image in enumerate(todo):
        text = f"Plane {k + 1} of {len(todo)}" if len(todo) > 1 else image.name
        yield Progress(_STEPS * k, total, text)
        try:
            micrograph = image.prepare()
        except UserError as error:
            yield Applied(image, None, str(error))
            continue
        work = _repeat(config, micrograph, model, cache)
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                yield Applied(image, end.value)
                break
            share = step.done / step.total if step.total else 0.0
            yield Progress(_STEPS * k + round(_STEPS * share), total, text)


def _repeat(
    config: AmgConfig | Recipe, image: Micrograph, model: LoadedModel, cache: EmbeddingCache
) -> Generator[Progress, None, Result]:
    if isinstance(config, AmgConfig):
        return (yield from segment_bank(ProposalBank(image, model, cache), config))
    bank = ProposalBank(_with_pixel_size(image, config), model, cache)
    edits = restore_edits(config, image, bank.masks)
    return (yield from segment_bank(bank, config.config, edits, tuning=config.tuning))


def _with_pixel_size(image: Micrograph, recipe: Recipe) -> Micrograph:
    """Take the recipe's pixel size where this is its very image and the file has none."""
    about = recipe.image
    if image.pixel_size is not None or image.key != about.get("key") or not about.get("pixel_size"):
        return image
    row, col = about["pixel_size"]
    return dataclasses.replace(image, pixel_size=(row, col), unit=about["unit"])
