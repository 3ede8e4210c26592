"""What a search returns: the Pareto front, and the images it was made on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.api.batch_summary import ImageEntry, write_summary
from napari_samstar.core.progress import Progress, run
from napari_samstar.core.results.outputs import (
    IMAGES,
    RECIPE,
    REPORT,
    check_images_folder,
    staged,
    write_result,
    write_search,
)
from napari_samstar.core.results.recipe import Tuning
from napari_samstar.core.results.report import write_report
from napari_samstar.core.results.report_parts import Pair
from napari_samstar.core.results.result import Result, segment_bank

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.config import StudyConfig, Trial
    from napari_samstar.core.tuning.evaluator import EvaluatorSet
    from napari_samstar.core.tuning.front import Front
    from napari_samstar.core.tuning.remark import Remark
    from napari_samstar.core.tuning.summary import StudySummary


@dataclass(frozen=True, eq=False)
class Study:
    """A finished search on one image, or on several together.

    Attributes
    ----------
    evaluators : EvaluatorSet
        One for each image, with all its candidates.
    summary : StudySummary
        Trials, front, comparisons and scores.
    banks : tuple of ProposalBank
        Of the images, the first one's first. Those of the evaluators, except where an image is cut
        into many tiles: then the evaluators are of regions of it.
    """

    evaluators: EvaluatorSet
    summary: StudySummary
    banks: tuple[ProposalBank, ...]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every configuration that was tried, in order."""
        return self.front.trials

    @property
    def front(self) -> Front:
        """The Pareto front."""
        return self.summary.front

    @property
    def knee(self) -> Choice:
        """The point of the front with the best balance of the objectives."""
        return self.choose(self.front.knee, "knee")

    @property
    def best(self) -> Choice:
        """The trial with the highest weighted mean; SAM's defaults if none is clearly better."""
        return self.choose(self.front.best, "best")

    @property
    def picked(self) -> Choice:
        """The trial that the study's rule picks."""
        return self.choose(self.summary.picked, self.summary.rule)

    @property
    def diagnosis(self) -> tuple[Remark, ...]:
        """What the search shows, most important first: what was seen, and what to do next."""
        return self.summary.diagnosis

    def choose(self, position: int, picked: str = "by hand") -> Choice:
        """Return one trial by its position in `trials`."""
        return Choice(self, position, picked)

    def save(self, folder: str | Path, *, report: bool = False) -> list[str]:
        """Write recipe, front, labels and measurements of the picked trial; returns file names.

        Several images get a folder each, in "images". With `report` also one page of HTML. An
        earlier result in the folder is replaced as a whole.
        """
        if len(self.banks) > 1:
            check_images_folder(folder)
        with staged(folder) as part:
            results = run(iter_results(self.picked))
            return run(iter_write(self, results, part, report=report))


@dataclass(frozen=True, eq=False)
class Choice:
    """One trial of a study, chosen to be used.

    Attributes
    ----------
    study : Study
    position : int
        Of the trial in `study.trials`.
    picked : str
        "knee", "best" or "by hand", for the recipe.
    """

    study: Study
    position: int
    picked: str = "by hand"

    @property
    def trial(self) -> Trial:
        """The trial."""
        return self.study.trials[self.position]

    @property
    def config(self) -> AmgConfig:
        """Its settings."""
        return self.trial.config

    @property
    def tuning(self) -> Tuning:
        """How it was found, for the recipe."""
        summary, evaluators = self.study.summary, self.study.evaluators
        return tuning_of(
            summary.front, summary.study_config, evaluators, self.position, self.picked
        )

    def segment(self, progress: Callable[[Progress], None] | None = None) -> Result:
        """Return the objects that it finds on the first image."""
        return run(_first_result(self), progress)


def tuning_of(
    front: Front,
    study_config: StudyConfig,
    evaluators: EvaluatorSet,
    position: int,
    picked: str = "by hand",
) -> Tuning:
    """Return how the settings of one trial were found; the only writer of that part of a recipe.

    Parameters
    ----------
    position : int
        Of the trial in `front.trials`.
    """
    return Tuning(
        goal=front.goal.to_dict(),
        study=study_config.to_dict(),
        expectations_px=evaluators.first.expectations.to_dict(),
        picked=picked,
        rewards=front.trials[position].rewards,
        trials=len(front.trials),
        hypervolume=front.hypervolume,
        images=evaluators.images(),
    )


# --- results and files ------------------------------------------------------------------------


def _first_result(choice: Choice) -> Generator[Progress, None, Result]:
    front, bank = choice.study.front, choice.study.banks[0]
    result = yield from segment_bank(bank, choice.config, tuning=choice.tuning)
    return result.replace(front=front, picked=choice.position)


def iter_results(choice: Choice) -> Generator[Progress, None, tuple[Result, ...]]:
    """Segment every image of a study with one of its trials; the tuned images come first."""
    found = [(yield from _first_result(choice))]
    for bank in choice.study.banks[1:]:
        result = yield from segment_bank(bank, choice.config, tuning=choice.tuning)
        found.append(result)
    return tuple(found)


def iter_write(
    study: Study, results: Sequence[Result], folder: Path, *, report: bool
) -> Generator[Progress, None, list[str]]:
    """Write every file into an existing `folder` and return their names.

    Several images get a folder each.
    """
    first = results[0]
    if len(results) == 1:
        names = write_result(first, folder)
    else:
        first.recipe.save(folder / RECIPE)
        names = [RECIPE, *write_search(study.front, first.picked, folder)]
        entries: list[ImageEntry] = []
        for name, result in zip(_folder_names(results), results, strict=True):
            own = folder / IMAGES / name
            own.mkdir(parents=True)
            alone = result.replace(front=None, picked=None)
            names += [f"{IMAGES}/{name}/{file}" for file in write_result(alone, own)]
            entries.append(ImageEntry(result.image.name, own, "done", result.image.notes))
        names += write_summary(entries, folder)
    if report:
        pairs = yield from _pairs(study, first.config)
        write_report(study.summary, pairs, first.recipe, folder / REPORT)
        names.append(REPORT)
    return names


def _folder_names(results: Sequence[Result]) -> list[str]:
    """Return a folder name for each image, numbered where names repeat."""
    found: list[str] = []
    for result in results:
        base, n = result.image.name or "image", 1
        name = base
        while name in found:
            n += 1
            name = f"{base}_{n}"
        found.append(name)
    return found


def _pairs(study: Study, chosen: AmgConfig) -> Generator[Progress, None, list[Pair]]:
    """Return the labels of SAM's defaults beside those of the chosen settings, image by image."""
    defaults = study.summary.defaults
    if defaults is None:
        return []
    pairs = []
    for evaluator in study.evaluators.all:
        before = yield from segment_bank(evaluator.bank, defaults.config)
        after = yield from segment_bank(evaluator.bank, chosen)
        held_out = evaluator in study.evaluators.held_out
        pairs.append(Pair(evaluator.bank.image, before.labels, after.labels, held_out))
    return pairs
