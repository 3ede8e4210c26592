"""Bank + configuration -> kept masks: array work only, exactly upstream's outcome.

The filters are replayed in the order of `SamAutomaticMaskGenerator` 1.0 on the same tensors, with
the same torch and torchvision operations, so that values, order and even Python types agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.utils.amg import coco_encode_rle
from torchvision.ops.boxes import batched_nms, box_area

from napari_samstar.core.amg.ladder import OFFSET_STEP
from napari_samstar.core.amg.likelihood import from_quality
from napari_samstar.core.amg.selection import Selection
from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.stitch import TileMasks, stitch, union
from napari_samstar.core.masks.store import run_lengths

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import Part, ProposalBank, Table
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.masks.store import Bool, MaskStore


EDGE_MARGIN = 4
"""A mask that comes this close to an edge of its tile is cut by it, px of the frame. Upstream's
20 px of the image at the edges of crops would be most of a small tile's objects."""


@dataclass(frozen=True)
class Kept:
    """Survivors of one crop or of all, as upstream's `MaskData` holds them; see `Selection`."""

    ids: torch.Tensor
    predicted_iou: torch.Tensor
    stability: torch.Tensor
    points: torch.Tensor
    boxes: torch.Tensor
    crop_boxes: torch.Tensor
    candidates: torch.Tensor
    probability: torch.Tensor

    def columns(self) -> tuple[torch.Tensor, ...]:
        """Return all columns, in the order of the fields."""
        return tuple(vars(self).values())

    def take(self, keep: torch.Tensor) -> Kept:
        """Return the rows that `keep` (indices or a mask) chooses."""
        return Kept(*(c[keep.to(c.device)] for c in self.columns()))


def select(bank: ProposalBank, config: AmgConfig, *, partial: bool = False) -> Selection:
    """Return what `SamAutomaticMaskGenerator(model, **config).generate(image)` keeps.

    Where upstream crashes because nothing is left in any crop, the selection is empty.

    Parameters
    ----------
    partial : bool
        Whether to select from the tiles that are decoded so far.

    Raises
    ------
    KeyError
        Where `bank.prepare(config)` was not run first.
    """
    kept = stages(bank, config, partial=partial).final
    return Selection(config, *(c.cpu().numpy() for c in kept.columns()))


@dataclass(frozen=True)
class Stages:
    """What is left after each stage of a selection.

    Attributes
    ----------
    crops : tuple of Kept
        After the filters and the suppression of duplicates within each crop; as `bank.tables`.
    merged : Kept
        After the suppression of duplicates between crops.
    final : Kept
        After the removal of small regions: the selection.
    """

    crops: tuple[Kept, ...]
    merged: Kept
    final: Kept


def kept_of_part(bank: ProposalBank, part: Part, config: AmgConfig) -> Kept:
    """Return what `config` keeps of one part of the bank, before parts are put together."""
    return _select_crop(bank, bank.table(part), config)


def stages(bank: ProposalBank, config: AmgConfig, *, partial: bool = False) -> Stages:
    """Run a selection and keep what each stage left; see `select`."""
    tables = bank.tables(config, partial=partial)
    if not tables:
        raise ValueError("nothing is decoded yet")
    crops = tuple(_select_crop(bank, table, config) for table in tables)
    kept = Kept(*(torch.cat(column) for column in zip(*(c.columns() for c in crops), strict=True)))
    if tables[0].part.core is not None:
        kept = _stitched(bank, tables, crops, kept, config)
    elif len(crops) > 1 and len(kept.ids):
        scores = (1 / box_area(kept.crop_boxes)).to(kept.boxes.device)
        kept = kept.take(_nms(kept.boxes.float(), scores, config.crop_nms_thresh))
    final = kept
    if config.min_mask_region_area > 0 and len(kept.ids):
        final = _clean(bank, kept, config)
    return Stages(crops, kept, final)


def passes(bank: ProposalBank, table: Table, config: AmgConfig) -> dict[str, torch.Tensor]:
    """Return which candidates of one crop pass each filter: bool, shape (n,) each.

    `segment_anything` has no filters of probability and likeness. They come before duplicates are
    removed: else a mask of the wrong shape could remove the right object inside it as its
    duplicate.
    """
    c = table.candidates
    every = torch.ones_like(c.near_edge)
    quality = config.pred_iou_thresh > 0.0
    steady = config.stability_score_thresh > 0.0
    stability = stability_of(table, config)
    likely = probability_of(table) >= config.min_probability
    return {
        "quality": c.predicted_iou > config.pred_iou_thresh if quality else every,
        "stability": stability >= config.stability_score_thresh if steady else every,
        "edge": ~c.near_edge,
        "probability": likely if config.min_probability > 0.0 else every,
        "likeness": _alike(bank, table, config).to(every.device) if config.examples else every,
    }


def _alike(bank: ProposalBank, table: Table, config: AmgConfig) -> torch.Tensor:
    return torch.from_numpy(bank.likeness(table, config.examples) >= config.min_likeness)


def probability_of(table: Table) -> torch.Tensor:
    """Return the probability of each candidate to be an object: float32, shape (n,)."""
    c = table.candidates
    return from_quality(c.predicted_iou) if c.probability is None else c.probability


def stability_of(table: Table, config: AmgConfig) -> torch.Tensor:
    """Return the stability scores at the configuration's offset: float32, shape (n,)."""
    rung = round(config.stability_score_offset / OFFSET_STEP) - 1
    return table.candidates.stability[rung]


def _select_crop(bank: ProposalBank, table: Table, config: AmgConfig) -> Kept:
    """Filter one crop's candidates and suppress duplicates among them."""
    c = table.candidates
    stability = stability_of(table, config)
    passed = passes(bank, table, config)
    keep = passed["quality"] & passed["stability"]
    some_batch_empty = bool((torch.bincount(c.batch[keep], minlength=c.n_batches) == 0).any())
    ours = passed["probability"] & passed["likeness"]
    index = torch.nonzero(keep & passed["edge"] & ours).squeeze(1)
    boxes = c.boxes[index]
    if some_batch_empty:
        # Upstream gives an empty batch float boxes, and concatenation spreads the type.
        boxes = boxes.float()
    scores = c.predicted_iou[index]
    survivors = _nms(boxes.float(), scores, config.box_nms_thresh)
    index, boxes, scores = index[survivors], boxes[survivors], scores[survivors]
    x0, y0, _, _ = c.crop_box
    on_host = index.cpu()
    return Kept(
        ids=torch.from_numpy(table.ids)[on_host],
        candidates=torch.from_numpy(table.ids)[on_host],
        predicted_iou=scores,
        stability=stability[index],
        probability=probability_of(table)[index],
        points=(c.points[on_host] + torch.tensor([[x0, y0]])).flip(1),
        boxes=boxes + torch.tensor([[x0, y0, x0, y0]], device=boxes.device),
        # An empty list makes an empty float tensor, as upstream's does.
        crop_boxes=torch.tensor([c.crop_box for _ in range(len(index))]),
    )


def _nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Call torchvision's NMS as upstream does: its tie-breaking is part of the outcome."""
    keep: torch.Tensor = batched_nms(
        boxes, scores, torch.zeros_like(boxes[:, 0]), iou_threshold=threshold
    )
    return keep


def _stitched(
    bank: ProposalBank,
    tables: Sequence[Table],
    crops: Sequence[Kept],
    kept: Kept,
    config: AmgConfig,
) -> Kept:
    """Make objects of the image from those of its tiles; see `masks.stitch`."""
    of_tile = np.repeat(np.arange(len(tables)), [len(crop.ids) for crop in crops])
    tile_boxes = np.array([table.part.crop_box for table in tables])
    cores = np.array([table.part.core for table in tables])
    assert config.tile_scale
    masks = TileMasks(
        store=bank.masks,
        ids=kept.ids.numpy(),
        tiles=tile_boxes[of_tile],
        cores=cores[of_tile],
        scores=kept.predicted_iou.cpu().numpy().astype(np.float64),
        margin=max(1, round(EDGE_MARGIN / config.tile_scale)),
    )
    groups = stitch(masks)
    rows = torch.tensor([group[0] for group in groups], dtype=torch.int64)
    objects = kept.take(rows)
    ids, boxes = objects.ids.clone(), objects.boxes.clone()
    for k, group in enumerate(groups):
        if len(group) > 1:
            pieces = tuple(sorted(masks.ids[list(group)].tolist()))
            if pieces not in bank.joined:
                bank.joined[pieces] = bank.masks.extend([union(bank.masks, pieces)])[0]
            ids[k] = bank.joined[pieces]
            boxes[k] = torch.from_numpy(_xyxy(bank.masks, [int(ids[k])])[0]).to(boxes)
    return dataclasses.replace(objects, ids=ids, boxes=boxes)


def _clean(bank: ProposalBank, kept: Kept, config: AmgConfig) -> Kept:
    """Remove small regions, then what became a duplicate."""
    outcomes = [bank.cleaner.clean(i, config.min_mask_region_area) for i in kept.ids.tolist()]
    ids = torch.tensor([new for new, _ in outcomes])
    changed = torch.tensor([c for _, c in outcomes])
    fresh = torch.from_numpy(_xyxy(bank.masks, ids.tolist()))
    threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
    survivors = _nms(fresh.float(), (~changed).float(), threshold)
    boxes = torch.where(changed[:, None], fresh.to(kept.boxes.dtype), kept.boxes.cpu())
    cleaned = dataclasses.replace(kept, ids=ids, boxes=boxes)
    return cleaned.take(survivors)


def _xyxy(store: MaskStore, ids: list[int]) -> NDArray[np.int64]:
    """Return inclusive (x0, y0, x1, y1) boxes, zeros for an empty mask."""
    boxes = store.boxes(ids)[:, [1, 0, 3, 2]]
    boxes[:, 2:] -= boxes[:, 2:] > 0
    return boxes


def records(bank: ProposalBank, selection: Selection) -> list[dict[str, Any]]:
    """Return the list that upstream's `generate` returns, in `config.output_mode`.

    Masks of box prompts also say their "prompt_box", (x0, y0, x1, y1) in px of the image; masks
    that are not SAM's but were given say ``"given": True``.
    """
    return [_record(bank, selection, k) for k in range(len(selection))]


def _record(bank: ProposalBank, selection: Selection, k: int) -> dict[str, Any]:
    mask_id = int(selection.ids[k])
    boxed = bank.prompt_boxes.get(int(selection.candidates[k]))
    return {
        "segmentation": _encoded(bank.masks.dense(mask_id), selection.config.output_mode),
        "area": bank.masks[mask_id].area,
        "bbox": _xywh(selection.boxes[k]),
        "predicted_iou": selection.predicted_iou[k].item(),
        "point_coords": [selection.points[k, ::-1].tolist()],
        "stability_score": selection.stability[k].item(),
        "crop_box": _xywh(selection.crop_boxes[k]),
        **({} if boxed is None else {"prompt_box": boxed}),
        **({"given": True} if int(selection.candidates[k]) in bank.given else {}),
    }


def _xywh(box: NDArray[Any]) -> list[Any]:
    x0, y0, x1, y1 = box
    return [v.item() for v in (x0, y0, x1 - x0, y1 - y0)]


def _encoded(mask: Bool, output_mode: str) -> Any:
    if output_mode == "binary_mask":
        return mask
    rle = run_lengths(mask)
    if output_mode == "uncompressed_rle":
        return rle
    try:
        return coco_encode_rle(rle)
    except ImportError as error:
        raise UserError(
            "output_mode 'coco_rle' needs pycocotools: pip install pycocotools."
        ) from error
