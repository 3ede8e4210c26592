"""Several images or slices tuned together, and others held out to check the choice."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_samstar.core.progress import Progress
from napari_samstar.core.rewards import REWARDS
from napari_samstar.core.rewards.registry import FORMULAS

if TYPE_CHECKING:
    from napari_samstar.core.config import AmgConfig
    from napari_samstar.core.search import Result
    from napari_samstar.core.shape import Shapes
    from napari_samstar.core.tuning import Judge


class Judging(Protocol):
    """What a search asks: one image's `tuning.Judge`, or `Several`."""

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | Result]:
        """Decode what is missing, then yield the rewards and the number of masks."""


@dataclass(frozen=True, eq=False)
class Several:
    """Judges configurations on several images: the mean of each reward, and all masks.

    Every image counts alike, however many objects it holds. What is small or large is each
    image's own unless its judge was told.

    Attributes
    ----------
    judges : tuple of Judge
        At least one; each with a bank of its own.
    """

    judges: tuple[Judge, ...]

    @property
    def examples(self) -> Shapes:
        """Shapes of the objects that were marked as good on any of the images."""
        return tuple(dict.fromkeys(row for judge in self.judges for row in judge.examples))

    def evaluate(self, config: AmgConfig) -> Iterator[Progress | Result]:
        """Decode what is missing on any image, then yield mean rewards and all masks."""
        results: list[Result] = []
        for judge in self.judges:
            for step in judge.evaluate(config):
                if isinstance(step, Progress):
                    yield step
                else:
                    results.append(step)
        yield mean_of(results)


def mean_of(results: Sequence[Result]) -> Result:
    """Return the mean of each reward over the images it applies to, and the sum of the masks."""
    names = dict.fromkeys(name for rewards, _ in results for name in rewards)
    rewards = {name: float(np.mean([r[name] for r, _ in results if name in r])) for name in names}
    return rewards, sum(n for _, n in results)


def judged_by(judge: Judge | Several) -> dict[str, Any]:
    """Return what raw rewards depend on besides image, model and settings, JSON-ready.

    Evaluations of a journal hold only where this is the same.
    """
    judges = judge.judges if isinstance(judge, Several) else (judge,)
    return {
        "rewards": sorted(REWARDS),
        "formulas": FORMULAS,
        "images": [
            {
                "expectations": j.expectations.to_dict(),
                "marks": j.marks.digest(),
                "polarity": j.features.facts.polarity,
            }
            for j in judges
        ],
    }


@dataclass(frozen=True)
class Check:
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
    defaults: Result
    chosen: Result


def checks(
    judges: Sequence[Judge], held_out: Sequence[Judge], defaults: AmgConfig, chosen: AmgConfig
) -> Generator[Progress, None, tuple[Check, ...]]:
    """Measure both configurations on every image; returns the tuned ones first."""
    found = []
    for k, judge in enumerate((*judges, *held_out)):
        pair = []
        for config in (defaults, chosen):
            for step in judge.evaluate(config):
                if isinstance(step, Progress):
                    yield step
                else:
                    pair.append(step)
        found.append(Check(judge.bank.image.name, k >= len(judges), pair[0], pair[1]))
    return tuple(found)
