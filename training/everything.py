"""Score "segment everything" on one image, for several prompt sources and thresholds.

The candidates of a prompt source are decoded once and then filtered with every threshold.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.metrics import Score, score
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import run
from training import scoring

if TYPE_CHECKING:
    import numpy as np

    from napari_samstar.core.models.backend import LoadedModel

CENTRES = "centres"
Filters = tuple[float, float, float]  # predicted IoU, stability, NMS

DEFAULTS: Filters = (0.88, 0.95, 0.7)  # SAM's
FILTER_GRID: tuple[Filters, ...] = tuple(
    itertools.product((0.5, 0.7, 0.8, 0.84, 0.88, 0.92), (0.6, 0.75, 0.85, 0.95), (0.5, 0.7))
)


@dataclass(frozen=True)
class EverythingResult:
    """Scores of one prompt source on one image."""

    prompts: int
    seconds: float  # processor time of decoding; encoding is the same for all sources
    scores: dict[Filters, Score]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One image with its embedding and its candidate masks."""

    model: LoadedModel
    image: Micrograph
    cache: EmbeddingCache
    bank: ProposalBank
    encoding: float  # processor time, s

    @classmethod
    def of(cls, model: LoadedModel, gray: np.ndarray) -> EncodedImage:
        """Encode a (H, W) uint8 image."""
        image, cache = Micrograph(scoring.rgb(gray)), EmbeddingCache()
        start = time.process_time()
        cache.encode(model, image.rgb)
        seconds = time.process_time() - start
        return cls(model, image, cache, ProposalBank(image, model, cache), seconds)

    def configs(self, sides: list[int]) -> dict[str, AmgConfig]:
        """Configurations by name: grids of `sides`, and centres if the model detects them."""
        out = {f"grid{side}": AmgConfig(points_per_side=side) for side in sides}
        if self.model.backend.sees_centres:
            out[CENTRES] = AmgConfig(prompts="centres")
        return out

    def labels(self, config: AmgConfig, filters: Filters = DEFAULTS) -> np.ndarray:
        """Label image (H, W) of the masks that `filters` keep; decodes missing candidates."""
        run(self.bank.prepare(config))
        return paint(self.bank.masks, select(self.bank, with_filters(config, filters)).ids)


def with_filters(config: AmgConfig, filters: Filters) -> AmgConfig:
    quality, stability, overlap = filters
    return config.replace(
        pred_iou_thresh=quality, stability_score_thresh=stability, box_nms_thresh=overlap
    )


def segment_everything(
    encoded: EncodedImage, config: AmgConfig, truth: np.ndarray, tried: tuple[Filters, ...]
) -> EverythingResult:
    """Decode `config`, and score all thresholds in `tried` against the labels `truth` (H, W)."""
    start = time.process_time()
    run(encoded.bank.prepare(config))
    seconds = time.process_time() - start
    prompts = sum(table.n_prompts for table in encoded.bank.tables(config))
    by_ids: dict[tuple[int, ...], Score] = {}  # many thresholds keep the same masks
    scores = {}
    for filters in tried:
        ids = select(encoded.bank, with_filters(config, filters)).ids
        kept = tuple(ids.tolist())
        if kept not in by_ids:
            by_ids[kept] = score(truth, paint(encoded.bank.masks, ids))
        scores[filters] = by_ids[kept]
    return EverythingResult(prompts, seconds, scores)
