"""What is said about a candidate of a tile is what `select` did with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.candidates import Candidates
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.explain import explain, rejections_of, remedy, waiting_tiles
from napari_samstar.core.amg.ladder import N_OFFSETS
from napari_samstar.core.amg.rejection import Cause, Rejection
from napari_samstar.core.amg.select import kept_of_part, select
from napari_samstar.core.masks.stitch import MIN_IOU
from napari_samstar.core.masks.store import PackedMask
from napari_samstar.core.progress import run
from tests.core.tiny import tiny_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.amg.bank import Part
    from napari_samstar.core.amg.selection import Selection

SHAPE = (256, 420)
BASE = AmgConfig(
    points_per_side=12, pred_iou_thresh=0.6, stability_score_thresh=0.5, tile_scale=1.0
)
SPOTS = [(r, c) for r in (60, 128, 200) for c in (60, 110, 160, 205, 260, 300, 410)]


@pytest.fixture(scope="module")
def bank() -> ProposalBank:
    made = ProposalBank(discs(SHAPE), tiny_model())
    run(made.prepare(BASE))
    assert len(made.tiles(BASE)) == 3
    return made


def random_configs(n: int) -> list[AmgConfig]:
    rng = np.random.default_rng(3)
    return [
        BASE.replace(
            pred_iou_thresh=round(rng.uniform(0.4, 0.85), 3),
            stability_score_thresh=round(rng.uniform(0.3, 0.9), 3),
            box_nms_thresh=round(rng.uniform(0.2, 0.7), 3),
            min_mask_region_area=int(rng.choice([0, 0, 40])),
        )
        for _ in range(n)
    ]


def objects_at(bank: ProposalBank, config: AmgConfig, spot: tuple[int, int]) -> set[int]:
    """Return the masks of the selection that hold a pixel."""
    return {i for i in select(bank, config).ids.tolist() if bank.masks.dense(i)[spot]}


def joined_in(bank: ProposalBank, selection: Selection) -> dict[tuple[int, ...], int]:
    """Return the pieces of the joined objects of a selection, and their masks on show."""
    least = selection.config.min_mask_region_area
    clean = {p: bank.cleaner.clean(i, least)[0] if least else i for p, i in bank.joined.items()}
    return {pieces: i for pieces, i in clean.items() if i in selection.ids}


def drawn(part: Part, dense: NDArray[np.bool_]) -> Candidates:
    """Return the one candidate of a tile that shows as much as there is of a mask (H, W)."""
    x0, y0, x1, y1 = part.crop_box
    mask = PackedMask.tight(dense[y0:y1, x0:x1], y0, x0)
    row0, col0, row1, col1 = mask.box
    return Candidates(
        crop_box=part.crop_box,
        masks=(mask,),
        points=torch.tensor([[128.0, 110.0]], dtype=torch.float64),
        predicted_iou=torch.tensor([0.9]),
        stability=torch.full((N_OFFSETS, 1), 0.95),
        boxes=torch.tensor([[col0 - x0, row0 - y0, col1 - 1 - x0, row1 - 1 - y0]]),
        near_edge=torch.tensor([False]),
        batch=torch.tensor([0]),
        n_batches=1,
        n_prompts=1,
    )


@pytest.mark.parametrize("config", random_configs(8))
def test_kept_means_in_the_selection(bank: ProposalBank, config: AmgConfig) -> None:
    selection = select(bank, config)
    for spot in SPOTS:
        found = explain(bank, config, spot, most=10_000, selection=selection)
        kept = {f.shown_id for f in found if f.kept}
        assert kept <= set(selection.ids.tolist())
        assert objects_at(bank, config, spot) <= kept
        assert all(f.rejections or f.kept for f in found)
    again = explain(bank, config, SPOTS[0], most=10_000)
    assert again == explain(bank, config, SPOTS[0], most=10_000, selection=selection)


@pytest.mark.parametrize("config", random_configs(8))
def test_reasons_that_name_an_object_of_another_tile_are_true(
    bank: ProposalBank, config: AmgConfig
) -> None:
    selection = select(bank, config)
    shown = dict(zip(selection.candidates.tolist(), selection.ids.tolist(), strict=True))
    for part in bank.parts(config):
        x0, y0, x1, y1 = part.crop_box
        for mask_id in kept_of_part(bank, part, config).ids.tolist():
            found = rejections_of(bank, config, mask_id, selection=selection)
            if [r.cause for r in found] not in (["other tile"], ["piece"]):
                continue
            (rejection,) = found
            mine, theirs = (bank.masks.dense(i) for i in (mask_id, shown[rejection.winner]))
            if rejection.cause == "piece":
                theirs[:y0] = theirs[y1:] = theirs[:, :x0] = theirs[:, x1:] = False
            iou = (mine & theirs).sum() / (mine | theirs).sum()
            assert iou == pytest.approx(rejection.value)
            assert iou > MIN_IOU
            assert rejection.place is not None


def test_each_stage_is_named(bank: ProposalBank) -> None:
    causes: set[Cause] = set()
    for config in random_configs(8):
        selection = select(bank, config)
        for part in bank.parts(config):
            ids = {
                *bank.table(part).ids[::9].tolist(),
                *kept_of_part(bank, part, config).ids.tolist(),
            }
            for i in ids:
                causes |= {r.cause for r in rejections_of(bank, config, i, selection=selection)}
    assert causes >= {"quality", "stability", "duplicate", "other tile", "piece", "covered"}
    assert "new" not in causes


def test_a_joined_object_is_kept_and_so_are_its_pieces() -> None:
    bar = np.zeros(SHAPE, dtype=bool)
    bar[100:121, 20:400] = True
    bank = ProposalBank(discs(SHAPE), tiny_model())
    for part in bank.parts(BASE):
        bank.add(part, drawn(part, bar))
    selection = select(bank, BASE)
    ((pieces, whole),) = joined_in(bank, selection).items()
    assert len(pieces) == 3
    np.testing.assert_array_equal(bank.masks.dense(whole), bar)
    for piece in pieces:
        assert rejections_of(bank, BASE, piece, selection=selection) == ()
    (finding,) = explain(bank, BASE, (110, 30), selection=selection)
    assert finding.kept
    assert finding.shown_id == whole
    assert finding.area == bar.sum()


@pytest.mark.parametrize("config", random_configs(6)[3:])
def test_a_remedy_was_tried_with_tiles(bank: ProposalBank, config: AmgConfig) -> None:
    selection = select(bank, config)
    offered = 0
    for spot in SPOTS:
        rejected = [
            f
            for f in explain(bank, config, spot, selection=selection)
            if f.rejections and all(r.setting for r in f.rejections)
        ]
        finding = next(iter(rejected), None)
        found = finding and remedy(bank, config, finding.mask_id, selection=selection)
        if finding is None or found is None:
            continue
        offered += 1
        after = select(bank, found.config)
        pieces = {i for joined in joined_in(bank, after) for i in joined}
        assert finding.mask_id in {*after.candidates.tolist(), *pieces}
        assert (found.before, found.after) == (len(selection), len(after))
        assert found.config.tile_scale == config.tile_scale
        if offered == 2:
            break
    assert offered == 2


def test_tiles_that_are_not_decoded_are_counted_and_raise_nothing() -> None:
    bank = ProposalBank(discs(SHAPE), tiny_model())
    first, *_ = bank.parts(BASE)
    bank.add(first, run(bank.decode(first)))
    selection = select(bank, BASE, partial=True)
    done, seam, missing = (30, 30), (30, first.crop_box[2] - 20), (30, SHAPE[1] - 30)
    assert waiting_tiles(bank, BASE, done) == 0
    assert explain(bank, BASE, done, selection=selection)
    assert waiting_tiles(bank, BASE, seam) > 0
    explain(bank, BASE, seam, selection=selection)
    assert waiting_tiles(bank, BASE, missing) == 1
    assert explain(bank, BASE, missing, selection=selection) == ()
    assert explain(ProposalBank(bank.image, tiny_model()), BASE, done) == ()


def test_a_piece_outside_the_core_of_its_tile_is_left_to_the_neighbour() -> None:
    bank = ProposalBank(discs(SHAPE), tiny_model())
    first, second, *rest = bank.parts(BASE)
    sliver = np.zeros(SHAPE, dtype=bool)
    sliver[100:121, first.core[2] + 4 : first.crop_box[2]] = True
    other = np.zeros(SHAPE, dtype=bool)
    other[20:40, 20:40] = True
    bank.add(first, drawn(first, sliver))
    (piece,) = bank.table(first).ids.tolist()
    (rejection,) = rejections_of(bank, BASE, piece)
    assert rejection.cause == "cut"
    assert "not decoded yet" in rejection.sentence
    for part in (second, *rest):
        bank.add(part, drawn(part, other))
    (rejection,) = rejections_of(bank, BASE, piece)
    assert rejection.cause == "cut"
    assert "keeps nothing like it" in rejection.sentence


def test_a_piece_that_other_tiles_cover_says_by_how_much() -> None:
    bank = ProposalBank(discs(SHAPE), tiny_model())
    first, second, *rest = bank.parts(BASE)
    piece, whole = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    piece[100:121, first.core[2] - 10 : first.crop_box[2]] = True
    # A whole object of the next tile covers most of the piece, but is far larger.
    whole[80:180, second.crop_box[0] + 6 : second.core[2]] = True
    bank.add(first, drawn(first, piece))
    bank.add(second, drawn(second, whole))
    for part in rest:
        bank.add(part, drawn(part, whole))
    (mask_id,) = bank.table(first).ids.tolist()
    (rejection,) = rejections_of(bank, BASE, mask_id)
    assert rejection.cause == "covered"
    assert rejection.value == pytest.approx((piece & whole).sum() / piece.sum())
    assert f"{rejection.value:.0%}" in rejection.sentence


def test_objects_of_tiles_decoded_later_are_told_from_rejected_ones() -> None:
    bank = ProposalBank(discs(SHAPE), tiny_model())
    first, *_ = bank.parts(BASE)
    bank.add(first, run(bank.decode(first)))
    earlier = select(bank, BASE, partial=True)
    run(bank.prepare(BASE))
    new = set(select(bank, BASE).candidates.tolist()) - set(bank.table(first).ids.tolist())
    causes = {r.cause for i in new for r in rejections_of(bank, BASE, i, selection=earlier)}
    assert "new" in causes
    assert causes <= {"new", "other tile", "piece", "covered", "cut"}


def test_the_place_of_the_other_object_is_in_the_sentence() -> None:
    text = Rejection("other tile", 0.81, 0.5, 7, (120, 340)).sentence
    assert "row 120, column 340" in text
    assert "0.81" in text
