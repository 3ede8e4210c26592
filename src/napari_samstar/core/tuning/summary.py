"""A finished tuning run with the evidence for it, for JSON, tables and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from napari_samstar.core.tuning.front import Front, front, hypervolume_after
from napari_samstar.core.tuning.sensitivity import Effect, sensitivity

if TYPE_CHECKING:
    from napari_samstar.core.masks.metrics import Agreement
    from napari_samstar.core.tuning.config import EvaluationResult, StudyConfig, Trial
    from napari_samstar.core.tuning.remark import Remark

Rule = Literal["knee", "best"]


@dataclass(frozen=True)
class ImageCheck:
    """One image under SAM's defaults and under the chosen settings.

    Attributes
    ----------
    name : str
    held_out : bool
        Whether the search never saw the image.
    defaults, chosen : (dict of str to float, int)
        Raw rewards and number of masks.
    """

    name: str
    held_out: bool
    defaults: EvaluationResult
    chosen: EvaluationResult


@dataclass(frozen=True)
class Curve:
    """Hypervolume while a search went on.

    Attributes
    ----------
    counts : tuple of int
        Evaluations so far.
    searched, random : tuple of float
        Hypervolume of the search and of random search after so many; the latter may be empty.
    """

    counts: tuple[int, ...]
    searched: tuple[float, ...]
    random: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StudySummary:
    """A finished run.

    Attributes
    ----------
    front : Front
        Of the search.
    study_config : StudyConfig
    rule : {"best", "knee"}
        How one evaluation was picked.
    random_trials : tuple of Trial
        Random search at the same budget; empty where it was not asked for.
    checks : tuple of ImageCheck
        Defaults against chosen on every image, the tuned ones first.
    agreement, held_out_agreement : dict of str to Agreement
        With ground truth, on the tuned and on the held-out images: "defaults", "chosen", "random"
        and "oracle" where there are such; empty without ground truth.
    diagnosis : tuple of Remark
        What the search shows, most important first; see `diagnosis.diagnose`.
    """

    front: Front
    study_config: StudyConfig
    rule: Rule
    random_trials: tuple[Trial, ...] = ()
    checks: tuple[ImageCheck, ...] = ()
    agreement: dict[str, Agreement] = field(default_factory=dict)
    held_out_agreement: dict[str, Agreement] = field(default_factory=dict)
    diagnosis: tuple[Remark, ...] = ()

    @property
    def picked(self) -> int:
        """Position of the chosen evaluation in the front."""
        return self.front.knee if self.rule == "knee" else self.front.best

    @property
    def chosen(self) -> Trial:
        """The chosen evaluation."""
        return self.front.trials[self.picked]

    @property
    def defaults(self) -> Trial | None:
        """The evaluation of SAM's default thresholds."""
        position = self.front.defaults
        return None if position is None else self.front.trials[position]

    @cached_property
    def random_front(self) -> Front | None:
        """Random search's evaluations through the same goal."""
        return front(self.random_trials, self.front.goal) if self.random_trials else None

    @property
    def random_pick(self) -> Trial | None:
        """What the same rule picks from random search."""
        found = self.random_front
        if found is None:
            return None
        return found.trials[found.knee if self.rule == "knee" else found.best]

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """Settings that matter, from random search's evaluations where there are such."""
        return sensitivity(self.random_trials or self.front.trials, self.front.goal)

    @cached_property
    def curve(self) -> Curve:
        """Hypervolume after each population's worth of evaluations."""
        tried, goal = self.front.trials, self.front.goal
        step = self.study_config.population
        counts = [*range(step, len(tried), step), len(tried)]
        random = hypervolume_after(self.random_trials, goal, counts) if self.random_trials else ()
        return Curve(tuple(counts), tuple(hypervolume_after(tried, goal, counts)), tuple(random))

    def to_dict(self) -> dict[str, Any]:
        """Return what the outcome says beyond the front, JSON-ready."""
        return {
            "diagnosis": [remark.to_dict() for remark in self.diagnosis],
            "hypervolume": vars(self.curve),
            "random": self._random(),
            "sensitivity": {
                "from": "random search" if self.random_trials else "the search",
                "settings": [vars(e) for e in self.effects],
            },
            "checks": [_check(c, self.front) for c in self.checks],
            "ground_truth": {name: a.to_dict() for name, a in self.agreement.items()},
            "ground_truth_held_out": {n: a.to_dict() for n, a in self.held_out_agreement.items()},
        }

    def _random(self) -> dict[str, Any] | None:
        found, pick = self.random_front, self.random_pick
        if found is None or pick is None:
            return None
        goal = self.front.goal
        return {
            "hypervolume": found.hypervolume,
            "picked": pick.to_dict(),
            "total": goal.total(pick.rewards),
            "best_total": goal.total(found.trials[found.best].rewards),
        }


def _check(check: ImageCheck, shown: Front) -> dict[str, Any]:
    pair = {"defaults": check.defaults, "chosen": check.chosen}
    return {
        "image": check.name,
        "held_out": check.held_out,
        **{
            name: {"total": shown.goal.total(rewards), "n_masks": n, "rewards": rewards}
            for name, (rewards, n) in pair.items()
        },
    }
