"""Scores of a finished search against ground truth, and against random search.

Nothing here is seen by a search.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.amg.select import select
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.metrics import Agreement, Score, score
from napari_samstar.core.progress import Progress
from napari_samstar.core.prompts.base import ImpossibleConfig

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.tuning.config import Trial

Truth = NDArray[np.integer[Any]]


class TruthScorer:
    """Scores configurations on images with ground truth; the same masks are scored once.

    Parameters
    ----------
    banks : sequence of ProposalBank
    truths : sequence of ndarray
        Integer labels, shape (H, W) of each bank's image, 0 is background.
    """

    def __init__(self, banks: Sequence[ProposalBank], truths: Sequence[Truth]) -> None:
        self._pairs = tuple(zip(banks, truths, strict=True))
        self._known: dict[tuple[int, bytes], Score] = {}

    def score(self, config: AmgConfig) -> Agreement:
        """Return how the labels of a configuration agree; its candidates must be in the banks."""
        return Agreement(tuple(self._score(k, config) for k in range(len(self._pairs))))

    def _score(self, k: int, config: AmgConfig) -> Score:
        bank, truth = self._pairs[k]
        try:
            ids = select(bank, config).ids
        except ImpossibleConfig:
            ids = np.empty(0, dtype=np.int64)
        key = (k, ids.tobytes())
        if key not in self._known:
            self._known[key] = score(truth, paint(bank.masks, ids))
        return self._known[key]


def agreements(
    scorer: TruthScorer, picks: dict[str, AmgConfig], tried: Sequence[Trial]
) -> Generator[Progress, None, dict[str, Agreement]]:
    """Score named picks, and add the oracle: the best mean F1 among everything `tried`.

    The oracle is what a choice that knew the truth would have taken from the same evaluations.
    """
    found = {name: scorer.score(config) for name, config in picks.items()}
    oracle: Agreement | None = None
    for k, trial in enumerate(tried):
        yield Progress(k, len(tried), "Scoring against the ground truth")
        here = scorer.score(trial.config)
        if oracle is None or here.f1 > oracle.f1:
            oracle = here
    return found if oracle is None else {**found, "oracle": oracle}
