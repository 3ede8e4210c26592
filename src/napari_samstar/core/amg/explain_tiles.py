"""Why an object is missing in an image that is cut into tiles.

Only the tiles that hold the spot are looked at. Their filters and duplicates are those of `select`;
what became of the objects of a tile when tiles were put together is read off the selection.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.amg.rejection import Cause, Finding, Rejection
from napari_samstar.core.amg.select import (
    EDGE_MARGIN,
    kept_of_part,
    passes,
    probability_of,
    select,
    stability_of,
)
from napari_samstar.core.amg.verdicts import (
    Spot,
    beaten,
    beaten_when_clean,
    box_in_image,
    filter_rejections,
    rows_at,
    speck,
)
from napari_samstar.core.masks.stitch import MIN_IOU, TileMasks, share_covered

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import Part, ProposalBank, Table
    from napari_samstar.core.amg.candidates import CropBox
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.select import Kept
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.masks.store import MaskStore


class Chosen:
    """The selections of configurations, each found when it is first needed.

    Parameters
    ----------
    bank : ProposalBank
    selection : Selection, optional
        One that is known.
    """

    def __init__(self, bank: ProposalBank, selection: Selection | None = None) -> None:
        self._bank = bank
        self._known: dict[AmgConfig, _Objects] = {}
        if selection is not None:
            self._known[selection.config] = _Objects(bank, selection)

    def objects(self, config: AmgConfig) -> _Objects:
        """Return the objects that a configuration keeps of the tiles that are decoded."""
        if config not in self._known:
            found = select(self._bank, config, partial=True)
            self._known[config] = _Objects(self._bank, found)
        return self._known[config]

    def count(self, config: AmgConfig) -> int:
        """Return how many objects a configuration keeps."""
        return len(self.objects(config).selection)


def findings(
    bank: ProposalBank, config: AmgConfig, spot: Spot, selection: Selection | None = None
) -> list[Finding]:
    """Return the candidates of all decoded tiles whose mask holds the pixel `spot`.

    Parameters
    ----------
    spot : (row, col)
        px of the image.
    selection : Selection, optional
        What `config` keeps, if that is known.
    """
    chosen = Chosen(bank, selection)
    parts = [part for part in parts_at(bank, config, spot) if bank.has(part)]
    return [f for part in parts for f in _findings(bank, config, part, spot, chosen)]


def parts_at(bank: ProposalBank, config: AmgConfig, spot: Spot) -> list[Part]:
    """Return the tiles that hold the pixel `spot`, (row, col), decoded or not."""
    row, col = spot
    return _parts_over(bank, config, (col, row, col + 1, row + 1))


def rejections_of(
    bank: ProposalBank,
    config: AmgConfig,
    mask_id: int,
    spot: Spot | None = None,
    selection: Selection | None = None,
    chosen: Chosen | None = None,
) -> tuple[Rejection, ...]:
    """Return why one candidate is not kept, or does not reach `spot`; empty where all is well.

    Parameters
    ----------
    selection : Selection, optional
        What `config` keeps, if that is known.
    chosen : Chosen, optional
        Remembers selections between calls.

    Raises
    ------
    KeyError
        Where `mask_id` is none of the candidates that `config` uses.
    """
    chosen = chosen or Chosen(bank, selection)
    for table in bank.tables(config, partial=True):
        at = np.flatnonzero(table.ids == mask_id)
        if len(at):
            crop = kept_of_part(bank, table.part, config)
            return _rejections(bank, config, table, crop, int(at[0]), spot, chosen)
    raise KeyError(mask_id)


# --- private ----------------------------------------------------------------------------------


class _Objects:
    """A selection of stitched tiles, by the candidates that its objects are made of."""

    def __init__(self, bank: ProposalBank, selection: Selection) -> None:
        self.selection = selection
        self._bank = bank
        self._ids: list[int] = selection.ids.tolist()
        self._candidates: list[int] = selection.candidates.tolist()

    @cached_property
    def shown(self) -> dict[int, int]:
        """The mask in the selection, by candidate; all pieces of a joined object have the same."""
        shown = dict(zip(self._candidates, self._ids, strict=True))
        least = self.selection.config.min_mask_region_area
        for pieces, whole in list(self._bank.joined.items()):
            named = [i for i in pieces if i in shown]
            if not named:
                continue
            clean = self._bank.cleaner.clean(whole, least)[0] if least > 0 else whole
            if shown[named[0]] == clean:
                shown.update(dict.fromkeys(pieces, clean))
        return shown

    def near(self, mask_id: int, tile: CropBox) -> Iterator[tuple[int, int]]:
        """Yield (mask, candidate) of the objects of other tiles whose box overlaps that of a mask.

        Objects that were joined count as those of other tiles.

        Parameters
        ----------
        tile : (x0, y0, x1, y1)
            Of the mask.
        """
        row0, col0, row1, col1 = self._bank.masks[mask_id].box
        b = self._boxes
        over = (b[:, 0] < row1) & (b[:, 2] > row0) & (b[:, 1] < col1) & (b[:, 3] > col0)
        if len(b):
            elsewhere = (self.selection.crop_boxes != np.array(tile)).any(axis=1)
            over &= elsewhere | np.isin(self._ids, list(self._bank.joined.values()))
        for k in np.flatnonzero(over).tolist():
            yield self._ids[k], self._candidates[k]

    def became_duplicate(self, config: AmgConfig, mask_id: int) -> Rejection:
        """Return the fault of a mask that became a duplicate when small regions were removed."""
        return beaten_when_clean(self._bank, config, mask_id, self._ids, self._candidates)

    @cached_property
    def _boxes(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        return self._bank.masks.boxes(self._ids)


def _findings(
    bank: ProposalBank, config: AmgConfig, part: Part, spot: Spot, chosen: Chosen
) -> Iterator[Finding]:
    table, crop = bank.table(part), kept_of_part(bank, part, config)
    shown, stability = chosen.objects(config).shown, stability_of(table, config)
    for k in rows_at(bank.masks, table, shown, spot):
        mask_id = int(table.ids[k])
        yield Finding(
            mask_id=mask_id,
            shown_id=shown.get(mask_id, mask_id),
            kept=mask_id in shown,
            area=bank.masks[shown.get(mask_id, mask_id)].area,
            predicted_iou=float(table.candidates.predicted_iou[k]),
            stability=float(stability[k]),
            rejections=_rejections(bank, config, table, crop, k, spot, chosen),
            given=mask_id in bank.given,
        )


def _rejections(
    bank: ProposalBank,
    config: AmgConfig,
    table: Table,
    crop: Kept,
    k: int,
    spot: Spot | None,
    chosen: Chosen,
) -> tuple[Rejection, ...]:
    mask_id = int(table.ids[k])
    filtered = filter_rejections(
        bank, table, config, k, passes(bank, table, config), stability_of(table, config),
        probability_of(table),
    )  # fmt: skip
    if filtered:
        return filtered
    if mask_id not in crop.candidates:
        box, limit = box_in_image(table, k), config.box_nms_thresh
        return (beaten("duplicate", box, crop.boxes, crop.candidates, limit),)
    objects = chosen.objects(config)
    if mask_id in objects.shown:
        return speck(bank, config, mask_id, objects.shown[mask_id], spot)
    return (_dropped(bank, config, table.part, mask_id, objects),)


def _dropped(
    bank: ProposalBank, config: AmgConfig, part: Part, mask_id: int, objects: _Objects
) -> Rejection:
    """Return why an object that its tile kept is not one of the image; see `masks.stitch`."""
    alone = _alone(bank, config, part, mask_id)
    cut = bool(alone.is_cut()[0])
    clip = part.crop_box if cut else None
    near = list(objects.near(mask_id, part.crop_box))
    ious = [_iou(bank.masks, mask_id, other, clip) for other, _ in near]
    best = int(np.argmax(ious)) if ious else -1
    if ious and ious[best] > MIN_IOU:
        shown_id, candidate = near[best]
        row0, col0, row1, col1 = bank.masks[shown_id].box
        place = (row0 + row1) // 2, (col0 + col1) // 2
        cause: Cause = "piece" if cut else "other tile"
        return Rejection(cause, ious[best], MIN_IOU, candidate, place)
    reaches_core = bool(alone.reaches_core()[0])
    if cut and reaches_core:
        share = share_covered(bank.masks, mask_id, [i for i, _ in near])
        if share > MIN_IOU:
            return Rejection("covered", share, MIN_IOU)
    elif cut:
        row0, col0, row1, col1 = bank.masks[mask_id].box
        around = _parts_over(bank, config, (col0, row0, col1, row1))
        return Rejection("cut", sum(not bank.has(other) for other in around))
    if config.min_mask_region_area > 0 and len(objects.selection):
        return objects.became_duplicate(config, mask_id)
    return Rejection("new")


def _alone(bank: ProposalBank, config: AmgConfig, part: Part, mask_id: int) -> TileMasks:
    """Return one mask of a tile, as `stitch` sees it."""
    assert config.tile_scale
    return TileMasks(
        store=bank.masks,
        ids=np.array([mask_id]),
        tiles=np.array([part.crop_box]),
        cores=np.array([part.core]),
        scores=np.zeros(1),
        margin=max(1, round(EDGE_MARGIN / config.tile_scale)),
    )


def _iou(store: MaskStore, mask_id: int, other: int, tile: CropBox | None) -> float:
    """Return the IoU of a mask with another one, of which only what lies in `tile` counts."""
    both = store.overlap(mask_id, other)
    area = store[other].area
    if tile is not None and both:
        x0, y0, x1, y1 = tile
        row, col = store[other].box[:2]
        window = store.window(other)[max(y0 - row, 0) : y1 - row, max(x0 - col, 0) : x1 - col]
        area = int(np.count_nonzero(window))
    return both / max(store[mask_id].area + area - both, 1)


def _parts_over(bank: ProposalBank, config: AmgConfig, box: CropBox) -> list[Part]:
    """Return the tiles that overlap a box (x0, y0, x1, y1), decoded or not."""
    x0, y0, x1, y1 = box
    return [
        part
        for part in bank.parts(config)
        if part.crop_box[0] < x1
        and x0 < part.crop_box[2]
        and part.crop_box[1] < y1
        and y0 < part.crop_box[3]
    ]
