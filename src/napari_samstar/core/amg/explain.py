"""Why an object is missing: the candidates at a spot, and what rejected each.

Every verdict is read off the stages of `select` itself, so a candidate that is called kept is in
the selection, and a remedy is offered only after `select` was run with it. Images that are cut into
tiles are explained by `explain_tiles`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_samstar.core.amg import explain_tiles
from napari_samstar.core.amg.config import SETTINGS
from napari_samstar.core.amg.rejection import Finding, Rejection, Remedy
from napari_samstar.core.amg.select import (
    Kept,
    Stages,
    passes,
    probability_of,
    stability_of,
    stages,
)
from napari_samstar.core.amg.verdicts import (
    Spot,
    beaten,
    beaten_when_clean,
    box_in_image,
    distinct,
    filter_rejections,
    holds,
    how_far,
    loosened,
    rows_at,
    speck,
)

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank, Table
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.selection import Selection

__all__ = ["Spot", "explain", "holds", "rejections_of", "remedy", "waiting_tiles"]

_TRIES = 12


def explain(
    bank: ProposalBank,
    config: AmgConfig,
    spot: Spot,
    most: int = 12,
    selection: Selection | None = None,
) -> tuple[Finding, ...]:
    """Return the candidates whose mask holds the pixel `spot`, those that got farthest first.

    Of an image that is cut into tiles, only the tiles that are decoded count.

    Parameters
    ----------
    spot : (row, col)
        px of the image.
    most : int
        How many to return; candidates that look the same count once.
    selection : Selection, optional
        What `config` keeps, if that is known: with tiles it takes long to find.
    """
    if _has_tiles(bank, config):
        found = explain_tiles.findings(bank, config, spot, selection)
    else:
        result = stages(bank, config)
        found = [f for table, crop in _crops(bank, config, result) for f in
                 _findings(bank, config, result, table, crop, spot)]  # fmt: skip
    found.sort(key=how_far, reverse=True)
    return distinct(bank.masks, found, most)


def waiting_tiles(bank: ProposalBank, config: AmgConfig, spot: Spot) -> int:
    """Return how many tiles hold the pixel `spot` (row, col) and are not decoded yet."""
    if not _has_tiles(bank, config):
        return 0
    return sum(not bank.has(part) for part in explain_tiles.parts_at(bank, config, spot))


def rejections_of(
    bank: ProposalBank,
    config: AmgConfig,
    mask_id: int,
    spot: Spot | None = None,
    selection: Selection | None = None,
) -> tuple[Rejection, ...]:
    """Return why one candidate is not kept, or does not reach `spot`; empty where all is well.

    Parameters
    ----------
    selection : Selection, optional
        What `config` keeps, if that is known.

    Raises
    ------
    KeyError
        Where `mask_id` is none of the candidates that `config` uses.
    """
    if _has_tiles(bank, config):
        return explain_tiles.rejections_of(bank, config, mask_id, spot, selection)
    result = stages(bank, config)
    for table, crop in _crops(bank, config, result):
        at = np.flatnonzero(table.ids == mask_id)
        if len(at):
            return _rejections(bank, config, result, table, crop, int(at[0]), spot)
    raise KeyError(mask_id)


def remedy(
    bank: ProposalBank,
    config: AmgConfig,
    mask_id: int,
    spot: Spot | None = None,
    selection: Selection | None = None,
) -> Remedy | None:
    """Return the settings that would keep a candidate; None where no filter setting can.

    Parameters
    ----------
    selection : Selection, optional
        What `config` keeps, if that is known.
    """
    if _has_tiles(bank, config):
        chosen = explain_tiles.Chosen(bank, selection)
        find = partial(explain_tiles.rejections_of, bank, chosen=chosen)
        count: Callable[[AmgConfig], int] = chosen.count
    else:
        find, count = partial(rejections_of, bank), partial(_count, bank)
    tried = _mended(config, lambda c: find(c, mask_id, spot))
    if tried is None:
        return None
    names = [n for n in SETTINGS if getattr(tried, n) != getattr(config, n)]
    changes = {n: (getattr(config, n), getattr(tried, n)) for n in names}
    return Remedy(tried, changes, count(config), count(tried))


# --- private ----------------------------------------------------------------------------------


def _mended(
    config: AmgConfig, rejections: Callable[[AmgConfig], tuple[Rejection, ...]]
) -> AmgConfig | None:
    """Return `config` loosened until nothing rejects a candidate; None where nothing helps."""
    tried = config
    for _ in range(_TRIES):
        found = rejections(tried)
        if not found:
            return tried
        looser = loosened(tried, found)
        if looser is None or looser == tried:
            return None
        tried = looser
    return None


def _count(bank: ProposalBank, config: AmgConfig) -> int:
    return len(stages(bank, config).final.ids)


def _has_tiles(bank: ProposalBank, config: AmgConfig) -> bool:
    return len(bank.tiles(config)) > 1


def _crops(bank: ProposalBank, config: AmgConfig, result: Stages) -> Iterator[tuple[Table, Kept]]:
    return zip(bank.tables(config), result.crops, strict=True)


def _findings(
    bank: ProposalBank, config: AmgConfig, result: Stages, table: Table, crop: Kept, spot: Spot
) -> Iterator[Finding]:
    shown = dict(zip(result.final.candidates.tolist(), result.final.ids.tolist(), strict=True))
    stability = stability_of(table, config)
    for k in rows_at(bank.masks, table, shown, spot):
        mask_id = int(table.ids[k])
        yield Finding(
            mask_id=mask_id,
            shown_id=shown.get(mask_id, mask_id),
            kept=mask_id in shown,
            area=bank.masks[shown.get(mask_id, mask_id)].area,
            predicted_iou=float(table.candidates.predicted_iou[k]),
            stability=float(stability[k]),
            rejections=_rejections(bank, config, result, table, crop, k, spot),
            given=mask_id in bank.given,
        )


def _rejections(
    bank: ProposalBank,
    config: AmgConfig,
    result: Stages,
    table: Table,
    crop: Kept,
    k: int,
    spot: Spot | None,
) -> tuple[Rejection, ...]:
    mask_id, final = int(table.ids[k]), result.final
    kept = torch.nonzero(final.candidates == mask_id)
    if len(kept):
        return speck(bank, config, mask_id, int(final.ids[kept[0, 0]]), spot)
    filtered = filter_rejections(
        bank, table, config, k, passes(bank, table, config), stability_of(table, config),
        probability_of(table),
    )  # fmt: skip
    if filtered:
        return filtered
    box, merged = box_in_image(table, k), result.merged
    if mask_id not in crop.candidates:
        limit = config.box_nms_thresh
        return (beaten("duplicate", box, crop.boxes, crop.candidates, limit),)
    if mask_id not in merged.candidates:
        limit = config.crop_nms_thresh
        return (beaten("crop duplicate", box, merged.boxes, merged.candidates, limit),)
    ids, candidates = final.ids.tolist(), final.candidates.tolist()
    return (beaten_when_clean(bank, config, mask_id, ids, candidates),)
