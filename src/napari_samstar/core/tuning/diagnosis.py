"""What a search shows, in words: what was seen, with its number, and what to do next.

Everything is read off trials, goal and front, and off what `mask_evidence` measures on the images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.amg.config import SETTINGS
from napari_samstar.core.tuning.config import StudyConfig, Trial, space
from napari_samstar.core.tuning.front import SAME, hypervolume_by_generation
from napari_samstar.core.tuning.remark import Evidence, Remark
from napari_samstar.core.tuning.sensitivity import sensitivity

if TYPE_CHECKING:
    from napari_samstar.core.tuning.front import Front

LEAST_TRIALS = 20
"""Fewer trials say little: the starts alone are five."""

NO_EFFECT = 0.9
"""Share of the trials with one and the same outcome from which the settings have no effect. The
others are extremes of the ranges, which keep nothing."""

REPEATED = 0.5
"""Share of the trials that repeat the outcome of another from which it is said: then most of the
time went into what was known."""

OF_FOREGROUND = ("coverage", "large_objects", "no_merging")
"""Rewards that compare masks with the estimate of the foreground: without weight on one of them, it
does not matter whether the estimate is right."""

LOW_COVERAGE = 0.3
"""Coverage (Dice) of the foreground below which even the best trial is at odds with it: two equal
areas of which less than a third is shared."""

LEAST_INSIDE = 0.5
"""Share of the masks' area that lies in the foreground below which they are rather the background's
than the foreground's."""

MOST = 0.5
"""Share of the candidates that one setting alone rejects from which it is said."""

RECENT = 4
"""The last one in so many generations is the end of a search."""

RISING = 0.003
"""Growth of the hypervolume at the end of a search, relative to its last value, from which the
search ended too early. After 400 trials on the five sample images it is below 0.001; after 64 it is
above on one, whose hypervolume later grows by 0.01."""

AT_END = 0.01
"""Share of a setting's searched range that counts as its end."""

MATTERS = 0.05
"""Share of the variance that a setting explains from which its place in its range is no chance."""


@dataclass(frozen=True, eq=False)
class _Case:
    """All that there is to judge a search by."""

    front: Front
    chosen: Trial
    study_config: StudyConfig
    evidence: Evidence | None

    @property
    def trials(self) -> tuple[Trial, ...]:
        return self.front.trials

    def total(self, trial: Trial) -> float:
        return self.front.goal.total(trial.rewards)


def diagnose(
    front: Front, chosen: int, study_config: StudyConfig, evidence: Evidence | None = None
) -> tuple[Remark, ...]:
    """Return what the search shows, most important first; empty where all is well.

    Parameters
    ----------
    chosen : int
        Position of the trial in `front.trials` whose settings are used.
    evidence : Evidence, optional
        Of that trial; without it nothing is said about the foreground and the filters.

    Returns
    -------
    tuple of Remark
        Of the kinds "nothing kept", "no effect", "foreground", "no gain", "strict filter", "ended
        early", "end of range", "goals agree", "flat front" and "repeats".
    """
    if len(front.trials) < LEAST_TRIALS:
        return ()
    case = _Case(front, front.trials[chosen], study_config, evidence)
    first = next(_without_effect(case), None)
    if first is not None:
        return (first, *_strict_filter(case), *_foreground(case))
    checks = (_foreground, _no_gain, _strict_filter, _ended_early, _at_ends, _front_shape, _repeats)
    return tuple(remark for check in checks for remark in check(case))


# --- the checks, each of which yields nothing where there is nothing to say ---------------------


def _without_effect(case: _Case) -> Iterator[Remark]:
    n = len(case.trials)
    if not any(trial.n_masks for trial in case.trials):
        yield Remark(
            "nothing kept",
            f"None of the {n} settings kept a mask.",
            "Try another model, more prompts or zoom, or other intensities.",
        )
        return
    same = Counter(map(_outcome, case.trials)).most_common(1)[0][1]
    if same >= NO_EFFECT * n:
        yield Remark(
            "no effect",
            f"{same} of {n} settings kept exactly the same masks: they have no effect here.",
            "Let the search change more, with more prompts or zoom, or try another model.",
        )


def _foreground(case: _Case) -> Iterator[Remark]:
    found = case.evidence
    weights = case.front.goal.weights
    if found is None or not found.kept or not any(weights.get(name) for name in OF_FOREGROUND):
        return
    reached = max(trial.rewards.get("coverage", 1.0) for trial in case.trials)
    taken = {"bright": "bright objects", "dark": "dark objects"}.get(found.polarity, "objects")
    if not any("coverage" in trial.rewards for trial in case.trials):
        seen = f"No setting fits what was estimated as {taken}: rewards that use it weigh nothing."
    elif found.inside < LEAST_INSIDE:
        seen = (
            f"{1 - found.inside:.0%} of the masks' area lies outside of what was estimated as "
            f"{taken}."
        )
    elif reached < LOW_COVERAGE:
        seen = (
            f"The masks cover {found.covered:.0%} of what was estimated as {taken}; no setting "
            "fits it well."
        )
    else:
        return
    step = "The estimate may be wrong or inverted: look at the masks, and mark a few good objects."
    yield Remark("foreground", seen, step)


def _no_gain(case: _Case) -> Iterator[Remark]:
    if case.front.defaults is None:
        return
    defaults, chosen = case.total(case.trials[case.front.defaults]), case.total(case.chosen)
    best = case.total(case.trials[case.front.best])
    if chosen - defaults > SAME:
        return
    if best - defaults > SAME:
        yield Remark(
            "no gain",
            f"The chosen settings score {chosen:.3f}, SAM's defaults {defaults:.3f}.",
            f"Take Best, which scores {best:.3f}, or keep the defaults.",
        )
        return
    highest = max(map(case.total, case.trials))
    many = case.evidence is not None and case.evidence.images > 1
    where = "these images" if many else "this image"
    yield Remark(
        "no gain",
        f"Tuning does not help on {where}: nothing is clearly above SAM's defaults "
        f"({defaults:.3f}; highest {highest:.3f}).",
        "Keep the defaults.",
    )


def _strict_filter(case: _Case) -> Iterator[Remark]:
    found = case.evidence
    if found is None or found.strictest.alone <= MOST * found.candidates:
        return
    strict, n = found.strictest, found.candidates
    if not strict.setting:
        yield Remark(
            "strict filter",
            f"{strict.alone} of {n} candidates touch the edge of a zoomed crop.",
            "Use fewer zoom levels.",
        )
        return
    label = SETTINGS[strict.setting].label
    yield Remark(
        "strict filter",
        f"{label} {strict.value:.2f} alone rejects {strict.alone} of {n} candidates.",
        f"Objects missing? {label} {strict.looser:.2f} keeps {strict.more} more.",
    )


def _ended_early(case: _Case) -> Iterator[Remark]:
    volumes = hypervolume_by_generation(case.trials, case.front.goal)
    recent = max(1, len(volumes) // RECENT)
    if len(volumes) <= recent + 1 or not volumes[-1]:
        return
    growth = 1 - volumes[-1 - recent] / volumes[-1]
    if growth >= RISING:
        last = "generation" if recent == 1 else f"{recent} generations"
        yield Remark(
            "ended early",
            f"The front still grew by {growth:.1%} in the last {last} of {len(volumes)}.",
            "Continue with more settings to try.",
        )


def _at_ends(case: _Case) -> Iterator[Remark]:
    shares = {e.name: e.share for e in sensitivity(case.trials, case.front.goal)}
    for name, setting in space(case.study_config).items():
        value = getattr(case.chosen.config, name)
        low, high = setting.search_low, setting.search_high
        numbers = [choice for choice in setting.choices if not isinstance(choice, str)]
        if numbers:
            low, high = min(numbers), max(numbers)
        if value is None or low is None or high is None or shares.get(name, 0.0) < MATTERS:
            continue
        near = AT_END * (high - low)
        # At the end of what the setting can be at all, there is nowhere to go.
        if value <= low + near and low > setting.low:
            end, way = "lowest", "lower"
        elif value >= high - near and high < setting.high:
            end, way = "highest", "higher"
        else:
            continue
        yield Remark(
            "end of range",
            f"{setting.label} {value:.3g} is the {end} value that the search tries.",
            f"In Segment, set it {way} and watch the preview.",
        )


def _front_shape(case: _Case) -> Iterator[Remark]:
    members = case.front.points[case.front.members]
    n, m = members.shape
    if m == 1:
        return
    if n == 1:
        yield Remark(
            "goals agree",
            f"All {m} goals agree: one of {len(case.trials)} settings is the best in each.",
            "There is no compromise to make.",
        )
        return
    spread = max(float(np.ptp(members, axis=0).max()), 0.001)  # the last digit shown
    if spread < SAME:
        yield Remark(
            "flat front",
            f"The {n} settings on the front differ by at most {spread:.3f} in every goal.",
            "The choice hardly matters: any of them will do.",
        )


def _repeats(case: _Case) -> Iterator[Remark]:
    n = len(case.trials)
    repeats = n - len(set(map(_outcome, case.trials)))
    if repeats >= REPEATED * n:
        yield Remark(
            "repeats",
            f"{repeats} of {n} settings kept the same masks as another one.",
            "Fewer are enough here, or let the search change more.",
        )


def _outcome(trial: Trial) -> tuple[int, tuple[tuple[str, float], ...]]:
    """Return the number of masks and all rewards: equal for the same masks."""
    return trial.n_masks, tuple(sorted(trial.rewards.items()))
