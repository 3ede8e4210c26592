"""The search behind `samstar tune` and `samstar demo`: from targets to an outcome and its files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.cli.console import Tracker, say
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_samstar.cli.targets import Judged
    from napari_samstar.core.results.outputs import Result
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig, Trial
    from napari_samstar.core.tuning.evaluator import Evaluator, MultiImageEvaluator
    from napari_samstar.core.tuning.storage import Journal
    from napari_samstar.core.tuning.summary import Rule, StudySummary


@dataclass(frozen=True)
class Request:
    """What is asked of a search besides its images."""

    goal: Goal
    study_config: StudyConfig
    rule: Rule = "knee"
    minutes: float | None = None
    resume: bool = False
    against_random: bool = False
    journalled: bool = True


@dataclass(frozen=True, eq=False)
class Tuned:
    """A finished search and what the picked settings find on each image.

    Attributes
    ----------
    judged : sequence of Judged
        Tuned images first.
    outcome : StudySummary
    results : tuple of Result
        One for each of `judged`; the first carries the recipe of the whole run.
    """

    judged: Sequence[Judged]
    outcome: StudySummary
    results: tuple[Result, ...]

    @property
    def result(self) -> Result:
        """Of the first image."""
        return self.results[0]


def search_settings(judged: Sequence[Judged], request: Request, tracker: Tracker) -> Tuned:
    """Search, pick, check on every image, score where there is a truth, and paint."""
    from napari_samstar.core.tuning.front import front
    from napari_samstar.core.tuning.summary import StudySummary

    tuned = [j for j in judged if not j.target.held_out]
    tried, random_trials, study_config = _searched(tuned, request, tracker)
    outcome = StudySummary(front(tried, request.goal), study_config, request.rule, random_trials)
    outcome = _checked(outcome, judged, tracker)
    outcome = _scored(outcome, judged, tracker)
    return Tuned(judged, outcome, _results(outcome, judged, request, tracker))


# --- searching --------------------------------------------------------------------------------


def _searched(
    tuned: Sequence[Judged], request: Request, tracker: Tracker
) -> tuple[tuple[Trial, ...], tuple[Trial, ...], StudyConfig]:
    from napari_samstar.core.tuning.evaluator import fingerprint
    from napari_samstar.core.tuning.study import open_study

    evaluator = _together(tuned)
    journal = _journal(tuned, request) if request.journalled else None
    study_config = request.study_config.like(evaluator.examples)
    ready = open_study(
        request.goal, study_config, journal, fingerprint(evaluator), resume=request.resume
    )
    if request.resume:
        say(_about_resuming(ready))
    _say_cost(tuned, ready.study_config, tracker)
    total = ready.study_config.trials
    steps = ready.searched(evaluator, request.minutes)
    tried = _collected(steps, "Tuning", total, tracker, journal)
    if len(tried) < total:
        say(f"The time is up after {len(tried)} of {total} settings; --continue goes on.")
    random_trials: tuple[Trial, ...] = ()
    if request.against_random:
        # Equal budget, also where the time was up.
        equal = dataclasses.replace(
            ready, study_config=dataclasses.replace(ready.study_config, trials=len(tried))
        )
        random_trials = _collected(
            equal.random_trials(evaluator), "Random search", len(tried), tracker, journal
        )
    return tried, random_trials, ready.study_config


def _together(tuned: Sequence[Judged]) -> Evaluator | MultiImageEvaluator:
    from napari_samstar.core.tuning.evaluator import MultiImageEvaluator

    return (
        tuned[0].evaluator
        if len(tuned) == 1
        else MultiImageEvaluator(tuple(j.evaluator for j in tuned))
    )


def _journal(tuned: Sequence[Judged], request: Request) -> Journal | None:
    from napari_samstar.core.tuning.storage import Journal

    try:
        return Journal.of([j.target.image.key for j in tuned], tuned[0].bank.model.identity)
    except UserError as error:
        if request.resume:
            raise
        say(f"{error} This run is not written down.")
        return None


def _about_resuming(ready: Any) -> str:
    n = len(ready.known)
    if ready.resumed:
        return f"Going on with an earlier run: {n} settings are known."
    if n:
        return f"Another goal or plan than before: starting from the best of {n} known settings."
    return "There is no earlier run on these images with this model: starting one."


def _say_cost(tuned: Sequence[Judged], study_config: StudyConfig, tracker: Tracker) -> None:
    """Say how long SAM will take at most, once its pace is known from the first grid."""
    from napari_samstar.core.prompts.base import ImpossibleConfig
    from napari_samstar.core.tuning.cost import seconds_to_decode

    if study_config.scope == "filters":
        return
    seconds = 0.0
    for j in tuned:
        try:
            tracker.run(j.bank.prepare(study_config.base))
        except ImpossibleConfig:
            return
        seconds += seconds_to_decode(j.bank, study_config) or 0.0
    say(f"Asking SAM for everything in this scope takes {seconds / 60:.1f} minutes at most.")


def _collected(
    steps: Iterator[Any], text: str, total: int, tracker: Tracker, journal: Journal | None
) -> tuple[Trial, ...]:
    from napari_samstar.core.tuning.storage import Notice

    advance = tracker.count(text, total)
    found: list[Trial] = []
    try:
        for step in tracker.results(steps):
            if isinstance(step, Notice):
                say(step.text)
                continue
            found += step
            for _ in step:
                advance()
    except KeyboardInterrupt:
        if found and journal is not None and journal.problem is None:
            say(f"{len(found)} of {total} settings are kept: the same command with --continue "
                "goes on from there.")  # fmt: skip
        raise
    finally:
        steps.close()  # type: ignore[attr-defined]
    return tuple(found)


# --- what was found ---------------------------------------------------------------------------


def _checked(outcome: StudySummary, judged: Sequence[Judged], tracker: Tracker) -> StudySummary:
    from napari_samstar.core.tuning.checks import checks

    before = outcome.defaults
    if before is None:
        return outcome
    tuned = [j.evaluator for j in judged if not j.target.held_out]
    held = [j.evaluator for j in judged if j.target.held_out]
    found = tracker.returned(checks(tuned, held, before.config, outcome.chosen.config))
    return dataclasses.replace(outcome, checks=found)


def _scored(outcome: StudySummary, judged: Sequence[Judged], tracker: Tracker) -> StudySummary:
    """Score tuned images, oracle included, and held-out ones, where all have a truth."""
    from napari_samstar.core.tuning.ground_truth import TruthScorer, agreements

    picks = {"defaults": outcome.defaults, "chosen": outcome.chosen, "random": outcome.random_pick}
    configs = {name: e.config for name, e in picks.items() if e is not None}
    found: dict[str, Any] = {}
    for held in (False, True):
        known = [j for j in judged if j.target.held_out is held and j.target.truth is not None]
        if not known:
            continue
        for j in known:
            for config in configs.values():
                tracker.run(j.bank.prepare(config))
        truths = [j.target.truth for j in known if j.target.truth is not None]
        scorer = TruthScorer([j.bank for j in known], truths)
        tried = () if held else (*outcome.front.trials, *outcome.random_trials)
        name = "held_out_agreement" if held else "agreement"
        found[name] = tracker.returned(agreements(scorer, configs, tried))
    return dataclasses.replace(outcome, **found)


def _results(
    outcome: StudySummary, judged: Sequence[Judged], request: Request, tracker: Tracker
) -> tuple[Result, ...]:
    from napari_samstar.cli.segment import labels_of
    from napari_samstar.core.results.outputs import Result
    from napari_samstar.core.results.recipe import make_recipe

    config, tuning = outcome.chosen.config, about_tuning(outcome, judged, request)
    found = []
    for k, j in enumerate(judged):
        labels = labels_of(j.bank, config, tracker)
        recipe = make_recipe(j.target.image, j.target.mapping, j.bank.model, config, tuning)
        shown = (outcome.front, outcome.picked) if k == 0 else (None, None)
        found.append(Result(j.target.image, labels, recipe, *shown))
    return tuple(found)


def about_tuning(
    outcome: StudySummary, judged: Sequence[Judged], request: Request
) -> dict[str, Any]:
    """Return how the settings were found, for the recipe."""
    images = [
        {"name": j.target.image.name, "key": j.target.image.key, "held_out": j.target.held_out}
        for j in judged
    ]
    return {
        "goal": request.goal.to_dict(),
        "study": outcome.study_config.to_dict(),
        "expectations_px": judged[0].evaluator.expectations.to_dict(),
        "picked": request.rule,
        "rewards": outcome.chosen.rewards,
        "trials": len(outcome.front.trials),
        "hypervolume": outcome.front.hypervolume,
        **({"images": images} if len(images) > 1 else {}),
    }


# --- files ------------------------------------------------------------------------------------


def write_tuned(tuned: Tuned, folder: Path, tracker: Tracker, *, report: bool) -> list[str]:
    """Write every file into an existing `folder`; several images get a folder each."""
    from napari_samstar.core.results.outputs import (
        IMAGES,
        RECIPE,
        REPORT,
        write_result,
        write_search,
    )
    from napari_samstar.core.results.report import write_report

    outcome = tuned.outcome
    if len(tuned.results) == 1:
        names = write_result(tuned.result, folder)
    else:
        tuned.result.recipe.save(folder / RECIPE)
        names = [RECIPE, *write_search(outcome.front, outcome.picked, folder)]
        for name, result in zip(_names(tuned.judged), tuned.results, strict=True):
            own = folder / IMAGES / name
            own.mkdir(parents=True)
            alone = dataclasses.replace(result, front=None, picked=None)
            names += [f"{IMAGES}/{name}/{file}" for file in write_result(alone, own)]
    if report:
        pairs = _pairs(tuned, tracker)
        write_report(outcome, pairs, tuned.result.recipe, folder / REPORT)
        names.append(REPORT)
    return names


def _names(judged: Sequence[Judged]) -> list[str]:
    """Return a folder name for each image, numbered where names repeat."""
    found: list[str] = []
    for j in judged:
        base, n = j.target.image.name or "image", 1
        name = base
        while name in found:
            n += 1
            name = f"{base}_{n}"
        found.append(name)
    return found


def _pairs(tuned: Tuned, tracker: Tracker) -> list[Any]:
    from napari_samstar.cli.segment import labels_of
    from napari_samstar.core.results.report_parts import Pair

    before = tuned.outcome.defaults
    if before is None:
        return []
    return [
        Pair(r.image, labels_of(j.bank, before.config, tracker), r.labels, j.target.held_out)
        for j, r in zip(tuned.judged, tuned.results, strict=True)
    ]
