""" "Segment everything" on one image: each way of asking is decoded once, then every threshold."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samstar.core.amg.bank import ProposalBank, run
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.metrics import Score, score
from napari_samstar.core.models.encoder import EmbeddingCache
from training import scoring

if TYPE_CHECKING:
    import numpy as np

    from napari_samstar.core.models.backend import LoadedModel

CENTRES = "centres"
Filters = tuple[float, float, float]  # predicted IoU, stability, NMS

DEFAULTS: Filters = (0.88, 0.95, 0.7)  # SAM's
TRIED: tuple[Filters, ...] = tuple(
    itertools.product((0.5, 0.7, 0.8, 0.84, 0.88, 0.92), (0.6, 0.75, 0.85, 0.95), (0.5, 0.7))
)


@dataclass(frozen=True)
class Asked:
    """One way of asking, on one image."""

    prompts: int
    seconds: float  # of this process's own time, decoding only; encoding is the same for all
    scores: dict[Filters, Score]


@dataclass(frozen=True, eq=False)
class Workplace:
    """One image and all that is kept about it: the model, its embedding, its candidates."""

    model: LoadedModel
    image: Micrograph
    cache: EmbeddingCache
    bank: ProposalBank
    encoding: float  # s

    @classmethod
    def of(cls, model: LoadedModel, gray: np.ndarray) -> Workplace:
        """Encode a (H, W) uint8 image."""
        image, cache = Micrograph(scoring.rgb(gray)), EmbeddingCache()
        start = time.process_time()
        cache.encode(model, image.rgb)
        seconds = time.process_time() - start
        return cls(model, image, cache, ProposalBank(image, model, cache), seconds)

    def ways(self, sides: list[int]) -> dict[str, AmgConfig]:
        """Named ways of asking: point grids, and proposed centres where the model sees them."""
        out = {f"grid{side}": AmgConfig(points_per_side=side) for side in sides}
        if self.model.backend.sees_centres:
            out[CENTRES] = AmgConfig(prompts="centres")
        return out

    def labels(self, config: AmgConfig, filters: Filters = DEFAULTS) -> np.ndarray:
        """The label image (H, W) of what `filters` keep; decodes what is missing."""
        run(self.bank.prepare(config))
        return paint(self.bank.masks, select(self.bank, filtered(config, filters)).ids)


def filtered(config: AmgConfig, filters: Filters) -> AmgConfig:
    quality, stability, overlap = filters
    return config.replace(
        pred_iou_thresh=quality, stability_score_thresh=stability, box_nms_thresh=overlap
    )


def asked(
    place: Workplace, config: AmgConfig, truth: np.ndarray, tried: tuple[Filters, ...]
) -> Asked:
    """Decode `config` and score every one of the `tried` thresholds against `truth` (H, W)."""
    start = time.process_time()
    run(place.bank.prepare(config))
    seconds = time.process_time() - start
    prompts = sum(table.n_prompts for table in place.bank.tables(config))
    known: dict[tuple[int, ...], Score] = {}
    scores = {}
    for filters in tried:
        ids = select(place.bank, filtered(config, filters)).ids
        kept = tuple(ids.tolist())
        if kept not in known:
            known[kept] = score(truth, paint(place.bank.masks, ids))
        scores[filters] = known[kept]
    return Asked(prompts, seconds, scores)
