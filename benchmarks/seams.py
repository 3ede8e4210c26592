"""What happens to objects at the seams of tiles: missed, doubled, merged or cut.

    python -m benchmarks.seams > seams.json
    python -m benchmarks.seams --parts geometry
    python -m benchmarks.seams --parts model --seeds 5

"geometry": each tile is given what it shows of the true objects, with outlines that differ from
tile to tile, and only `stitch` is at work. "model": the bundled model segments a drawn image of
1024 px in tiles of 512 px, and each window of 512 px with a crossing of seams in its middle as one
frame, at the same scale; both are scored on the objects that lie wholly in the window.

Of the true objects that a seam crosses, per 1,000:

missed
    No found object covers half of it.
doubled
    More than one found object lies in it, at least by half.
merged
    A found object covers half of it and half of another one.
cut
    Not missed, but the found object most like it ends too early at some side.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import ndimage

import napari_samstar as ss
from benchmarks.seam_fields import KINDS, Labels, Rng, picture
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.part_prompts import CORE_MARGIN
from napari_samstar.core.amg.select import EDGE_MARGIN, select
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.tiles import Tile, tiles_of
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.stitch import TileMasks, stitch, union
from napari_samstar.core.masks.store import MaskStore, PackedMask
from napari_samstar.core.progress import run

FRAME = 512  # px
FAULTS = ("missed", "doubled", "merged", "cut")
SIDE, REACH = 1536, 640  # px: the fields of "geometry" and their largest object
MODEL_SIDE, MODEL_REACH = 1024, 260  # px: those of "model"; the largest fits a window
LEAST_PIECE = 12  # px; smaller parts of an object are not seen by a tile
NEAR = 4  # px from the edge of a window: an object there is not wholly in it
SHORT = (4, 0.05)  # px, share of a side: an object is cut where its box ends earlier than by both
MODEL_SHORT = (10, 0.1)  # a model rounds the corners of grains

Box = tuple[int, int, int, int]  # (row0, col0, row1, col1), half open
Bool = NDArray[np.bool_]


def main(
    parts: Annotated[str, typer.Option(help="geometry, model or both.")] = "both",
    seeds: Annotated[int, typer.Option(help="Fields of each kind.")] = 3,
    first_seed: Annotated[int, typer.Option(help="Rules were chosen on seeds from 100 on.")] = 0,
    kinds: Annotated[str, typer.Option(help="Names of fields, with commas.")] = ",".join(KINDS),
) -> None:
    """Print the rates as JSON."""
    chosen = range(first_seed, first_seed + seeds)
    report: dict[str, Any] = {"seeds": list(chosen)}
    if parts in ("geometry", "both"):
        report["geometry"] = {
            f"{kind}, outlines {'differ' if jitter else 'agree'}": geometry(kind, chosen, jitter)
            for kind in kinds.split(",")
            for jitter in (False, True)
        }
    if parts in ("model", "both"):
        report["model"] = {kind: model(kind, chosen) for kind in kinds.split(",")}
        report["model_mean_over_kinds"] = _mean_over_kinds(report["model"])
    print(json.dumps(report, indent=2))


# --- faults ---------------------------------------------------------------------------------------


@dataclass
class Faults:
    """Counts of faults of `n` objects, and how many true and found objects match."""

    n: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))
    true: int = 0
    found: int = 0
    matched: int = 0

    def __add__(self, other: Faults) -> Faults:
        counts = {name: self.counts[name] + other.counts[name] for name in FAULTS}
        return Faults(self.n + other.n, counts, self.true + other.true,
                      self.found + other.found, self.matched + other.matched)  # fmt: skip

    @property
    def f1(self) -> float:
        """2 matched / (true + found)."""
        return 2 * self.matched / max(self.true + self.found, 1)

    def per_1000(self) -> dict[str, Any]:
        """Return the rates, and the number of objects that they are of."""
        rates = {name: round(1000 * self.counts[name] / max(self.n, 1), 1) for name in FAULTS}
        return {"n": self.n, **rates}


@dataclass(frozen=True)
class Found:
    """One found object: its box, its area, and its pixels on each true object."""

    box: Box
    area: int
    on: dict[int, int]


def seen_on(truth: Labels, store: MaskStore, ids: Sequence[int]) -> list[Found]:
    """Return what masks of a store cover of a truth of the same shape."""
    found = []
    for mask_id in ids:
        mask = store[mask_id]
        row0, col0, row1, col1 = mask.box
        counts = np.bincount(truth[row0:row1, col0:col1][store.window(mask_id)])
        on = {int(t): int(counts[t]) for t in np.flatnonzero(counts) if t > 0}
        found.append(Found(mask.box, mask.area, on))
    return found


def faults(
    truth: Labels, which: Sequence[int], found: Sequence[Found], short: tuple[float, float] = SHORT
) -> Faults:
    """Count the faults of the true objects `which`."""
    areas, boxes = np.bincount(truth.ravel()), ndimage.find_objects(truth)
    result = Faults(n=len(which))
    over: dict[int, list[Found]] = {t: [] for t in which}
    for one in found:
        for t in one.on:
            if t in over:
                over[t].append(one)
    for t in which:
        covering = [f for f in over[t] if f.on[t] >= areas[t] / 2]
        inside = [f for f in over[t] if f.on[t] >= f.area / 2]
        result.counts["doubled"] += len(inside) > 1
        result.counts["missed"] += not covering
        result.counts["merged"] += any(
            n >= areas[s] / 2 for f in covering for s, n in f.on.items() if s != t
        )
        if covering:
            best = max(covering, key=lambda f: f.on[t] / (f.area + areas[t] - f.on[t]))
            result.counts["cut"] += _ends_early(best.box, boxes[t - 1], short)
    return result


def _ends_early(box: Box, true: tuple[slice, slice], short: tuple[float, float]) -> bool:
    sides = [true[k].stop - true[k].start for k in (0, 1)]
    gaps = [box[k] - true[k].start for k in (0, 1)] + [true[k].stop - box[k + 2] for k in (0, 1)]
    return any(gap > max(short[0], short[1] * sides[k % 2]) for k, gap in enumerate(gaps))


def crossed(truth: Labels, tiles: Sequence[Tile]) -> set[int]:
    """Return the objects that lie in more than one core."""
    cores = [np.unique(truth[t.core[1] : t.core[3], t.core[0] : t.core[2]]) for t in tiles]
    labels, times = np.unique(np.concatenate(cores), return_counts=True)
    return set(labels[(times > 1) & (labels > 0)].tolist())


# --- geometry alone -------------------------------------------------------------------------------


def geometry(kind: str, seeds: range, jitter: bool) -> dict[str, Any]:
    """Return the rates of faults of stitching alone."""
    each, seconds, pieces = [], 0.0, 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        truth = KINDS[kind](SIDE, REACH, rng)
        tiles = tiles_of(truth.shape, FRAME, 1.0)
        masks = tile_masks(truth, tiles, rng, jitter)
        start = time.process_time()
        groups = stitch(masks)
        seconds += time.process_time() - start
        pieces += len(masks.ids)
        whole = [_object(masks, group) for group in groups]
        store = MaskStore(truth.shape)
        ids = store.extend(whole)
        which = sorted(crossed(truth, tiles))
        each.append(faults(truth, which, seen_on(truth, store, ids)))
    total = sum(each, Faults())
    print(kind, jitter, total.per_1000(), file=sys.stderr, flush=True)
    spread = {name: [f.per_1000()[name] for f in each] for name in FAULTS}
    return {
        **total.per_1000(),
        "each_seed": spread,
        "ms_per_mask": round(1e3 * seconds / pieces, 2),
    }


def tile_masks(truth: Labels, tiles: Sequence[Tile], rng: Rng, jitter: bool) -> TileMasks:
    """Return what each tile shows of the truth, where it would have a prompt for it."""
    found = [(piece, tile) for tile in tiles for piece in _pieces(truth, tile, rng, jitter)]
    store = MaskStore(truth.shape)
    ids = store.extend([piece for piece, _ in found])
    return TileMasks(
        store,
        np.array(ids, dtype=np.int64),
        np.array([tile.box for _, tile in found]),
        np.array([tile.core for _, tile in found]),
        rng.uniform(0.8, 1, len(found)),
        EDGE_MARGIN,
    )


def _pieces(truth: Labels, tile: Tile, rng: Rng, jitter: bool) -> Iterator[PackedMask]:
    """Yield the connected parts of objects in a tile that have a prompt in its core or near it."""
    x0, y0, x1, y1 = tile.box
    view = truth[y0:y1, x0:x1]
    for k, place in enumerate(ndimage.find_objects(view)):
        if place is None:
            continue
        parts, n = ndimage.label(view[place] == k + 1)
        for part in range(1, n + 1):
            window = np.pad(parts == part, 2)
            if window.sum() < LEAST_PIECE:
                continue
            row, col = place[0].start - 2, place[1].start - 2
            if not _prompted(window, row + y0, col + x0, tile):
                continue
            if jitter:
                window = _jittered(window, rng)
            # What reaches beyond the tile is not seen by it.
            top, left = max(-row, 0), max(-col, 0)
            window = window[top : y1 - y0 - row, left : x1 - x0 - col]
            mask = PackedMask.tight(window, row + top + y0, col + left + x0)
            if mask.area:
                yield mask


def _prompted(window: Bool, row: int, col: int, tile: Tile) -> bool:
    """Return whether the deepest point of a part lies where the tile is prompted."""
    depth = ndimage.distance_transform_edt(window)
    rows, cols = np.indices(window.shape)
    middle = ndimage.center_of_mass(window)
    depth -= 0.01 * np.hypot(rows - middle[0], cols - middle[1])  # a rod is as deep all along
    at = np.unravel_index(int(np.where(window, depth, -np.inf).argmax()), window.shape)
    x0, y0, x1, y1 = tile.core
    return bool(
        y0 - CORE_MARGIN <= at[0] + row <= y1 + CORE_MARGIN
        and x0 - CORE_MARGIN <= at[1] + col <= x1 + CORE_MARGIN
    )


def _jittered(window: Bool, rng: Rng) -> Bool:
    """Return a part that is moved, and grown or shrunk, by up to 1 px."""
    change = rng.integers(-1, 2)
    if change > 0:
        window = ndimage.binary_dilation(window)
    elif change < 0 and (smaller := ndimage.binary_erosion(window)).any():
        window = smaller
    return np.roll(window, rng.integers(-1, 2, 2), axis=(0, 1))


def _object(masks: TileMasks, group: tuple[int, ...]) -> PackedMask:
    ids = masks.ids[list(group)].tolist()
    return masks.store[ids[0]] if len(ids) == 1 else union(masks.store, ids)


# --- the bundled model ----------------------------------------------------------------------------


def model(kind: str, seeds: range) -> dict[str, Any]:
    """Return faults and F1 in tiles and in one frame, at the same scale."""
    each = [_model_seed(kind, seed) for seed in seeds]
    tiled, framed = (sum((pair[k] for pair in each), Faults()) for k in (0, 1))
    differences = [a.f1 - b.f1 for a, b in each]
    result = {
        "objects": tiled.true,
        "f1_tiles": round(tiled.f1, 4),
        "f1_one_frame": round(framed.f1, 4),
        "f1_difference_each_seed": [round(d, 4) for d in differences],
        "tiles": tiled.per_1000(),
        "one_frame": framed.per_1000(),
    }
    print(kind, result, file=sys.stderr, flush=True)
    return result


def _model_seed(kind: str, seed: int) -> tuple[Faults, Faults]:
    """Return what is found in tiles and in one frame, over the windows of one image."""
    rng = np.random.default_rng([seed, 2])
    truth = KINDS[kind](MODEL_SIDE, MODEL_REACH, rng)
    rgb = picture(truth, rng)
    tiles = tiles_of(truth.shape, FRAME, 1.0)
    crossing = crossed(truth, tiles)
    found, labels = segmented(truth, rgb, AmgConfig(prompts="centres", tile_scale=1.0))
    totals = [Faults(), Faults()]
    seams = sorted({t.core[0] for t in tiles} - {0})
    for row, col in product(seams, seams):
        part = tuple(slice(n - FRAME // 2, n + FRAME // 2) for n in (row, col))
        view, whole = truth[part], wholly_inside(truth[part])
        in_frame, frame_labels = segmented(view, rgb[part], AmgConfig(prompts="centres"))
        which = sorted(whole & crossing)
        totals[0] += faults(truth, which, found, MODEL_SHORT) + matches(view, labels[part], whole)
        totals[1] += faults(view, which, in_frame, MODEL_SHORT) + matches(view, frame_labels, whole)
    return totals[0], totals[1]


def segmented(
    truth: Labels, rgb: NDArray[np.uint8], config: AmgConfig
) -> tuple[list[Found], Labels]:
    """Return what is found on a truth, and the labels that a user gets."""
    bank = ProposalBank(Micrograph(rgb), ss.load_model("pocket"))
    run(bank.prepare(config))
    ids = select(bank, config).ids
    return seen_on(truth, bank.masks, ids.tolist()), paint(bank.masks, ids)


def wholly_inside(labels: Labels) -> set[int]:
    """Return the objects that stay away from the edges of a window."""
    inner = labels[NEAR:-NEAR, NEAR:-NEAR]
    edge = labels.copy()
    edge[NEAR:-NEAR, NEAR:-NEAR] = 0
    return set(np.unique(inner).tolist()) - set(np.unique(edge).tolist()) - {0}


def matches(truth: Labels, labels: Labels, whole: set[int]) -> Faults:
    """Match labels of a window with the true objects that lie wholly in it, at an IoU above 0.5.

    Labels that reach the window's edge or lie mostly on other true objects count neither as right
    nor as wrong.
    """
    truth_ids, found_ids = np.unique(truth), np.unique(labels)
    pairs, counts = np.unique(np.stack([truth.ravel(), labels.ravel()]), axis=1, return_counts=True)
    true_areas = dict(zip(truth_ids.tolist(), np.bincount(truth.ravel())[truth_ids], strict=True))
    areas = dict(zip(found_ids.tolist(), np.bincount(labels.ravel())[found_ids], strict=True))
    inside = wholly_inside(labels)
    matched, elsewhere = set(), set()
    for (t, f), both in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        if t in whole and f and both / (true_areas[t] + areas[f] - both) > 0.5:
            matched.add(f)
        elif t and t not in whole and both > areas[f] / 2:
            elsewhere.add(f)
    return Faults(true=len(whole), found=len(matched | (inside - elsewhere)), matched=len(matched))


def _mean_over_kinds(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {
        name: round(float(np.mean([one[name] for one in found.values()])), 4)
        for name in ("f1_tiles", "f1_one_frame")
    }


if __name__ == "__main__":
    typer.run(main)
