"""The chosen configuration against SAM's defaults, image by image."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samstar.core.progress import Progress

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.evaluator import Evaluator
    from napari_samstar.core.tuning.nsga2 import EvaluationResult


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


def checks(
    evaluators: Sequence[Evaluator],
    held_out: Sequence[Evaluator],
    defaults: AmgConfig,
    chosen: AmgConfig,
) -> Generator[Progress, None, tuple[ImageCheck, ...]]:
    """Measure both configurations on every image; returns the tuned ones first."""
    found = []
    for k, evaluator in enumerate((*evaluators, *held_out)):
        pair = []
        for config in (defaults, chosen):
            for step in evaluator.evaluate(config):
                if isinstance(step, Progress):
                    yield step
                else:
                    pair.append(step)
        found.append(ImageCheck(evaluator.bank.image.name, k >= len(evaluators), pair[0], pair[1]))
    return tuple(found)
