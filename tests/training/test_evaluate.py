from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_samstar.core.models.loading import load
from training import baselines, boxes, card, everything, held_out, prompting, real
from training.evaluate import Effort, best_filters, measure, report, set_table

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    torch.set_num_threads(1)
    return load("pocket", "cpu")


def disks(shape: tuple[int, int] = (96, 128), name: str = "disks") -> real.Micrograph:
    """Six bright disks of radius 9 on a dark, slightly noisy ground."""
    rows, cols = np.indices(shape)
    label = np.zeros(shape, np.int32)
    for i in range(6):
        r, c = 24 + 48 * (i // 3), 22 + 42 * (i % 3)
        label[(rows - r) ** 2 + (cols - c) ** 2 < 81] = i + 1
    noise = np.random.default_rng(0).normal(0, 4, shape)
    image = np.clip(50 + 140 * (label > 0) + noise, 0, 255).astype(np.uint8)
    return real.Micrograph(name, "0", image, label)


EFFORT = Effort(instances=2, points=6, sides=(8,), compared=1, tried=((0.5, 0.6, 0.7),))


def test_the_report_is_plain_json_with_n_for_every_mean(model: LoadedModel) -> None:
    source = disks()
    empty = real.Micrograph("synthetic_empty", "0", source.image[::-1] // 8, 0 * source.label)
    boxed = held_out.BoxedImage("b", source.image, boxes.tight_boxes(source.label))
    noted: list[str] = []
    found = report(
        model, {"disks": [source], "synthetic_empty": [empty]}, [boxed], EFFORT, noted.append
    )
    found = json.loads(json.dumps(found, allow_nan=False))
    assert noted == ["disks", "synthetic_empty", held_out.BOXED]
    row = found["sets"]["disks"]
    assert row["objects"] == row["click"]["n"] == row["box"]["n"] == 2
    assert row["rank_correlation"]["n"] == 6
    assert row["baselines"]["otsu_watershed"]["f1"] == {"mean": 1.0, "sd": 0.0, "n": 1}
    assert row["click"]["mean"] <= row["best_of_3"]["mean"]
    assert found["sets"]["synthetic_empty"]["click"] == {"mean": None, "sd": None, "n": 0}
    assert found["means"]["real"]["click"]["n"] == 1
    assert found["bar"]["click"]["reached"] == row["click"]["mean"]
    assert found["boxes"]["true"] == 6
    found |= {"model": "m", "sha256": "0" * 64, "split": "test"}
    found |= {"points_per_side": 6, "max_side_px": 128}
    page = card.rewritten(
        f"before\n{card.BEGIN} old {card.END}\nafter", card.tables(card.joined([found]))
    )
    assert page.startswith(f"before\n{card.BEGIN}")
    assert page.endswith("after")
    assert " old " not in page
    assert f"| disks | 1 | 2 | {row['click']['mean']:.2f} ± " in page
    configs = found["ways_of_asking"]
    assert configs["grid6"]["prompts"]["mean"] == 36
    assert configs["grid8"]["prompts"]["mean"] == 64
    assert 1 <= configs["centres"]["by_set"]["disks"]["prompts"] < 36


@pytest.mark.parametrize(("name", "apart"), [("otsu_watershed", 34), ("log_watershed", 44)])
def test_baselines_separate_two_disks_of_either_polarity(name: str, apart: int) -> None:
    """Otsu's method even if they touch."""
    rows, cols = np.indices((90, 120))
    inside = np.zeros((90, 120), bool)
    for c in (40, 40 + apart):
        inside |= (rows - 45) ** 2 + (cols - c) ** 2 < 18**2
    for image in (60 + 120 * inside, 180 - 120 * inside):
        rgb = np.repeat(image.astype(np.uint8)[..., None], 3, 2)
        labels = baselines.segmented(rgb)[name]
        assert len(np.unique(labels)) == 3
        assert 0 != labels[45, 40] != labels[45, 40 + apart] != 0


def test_clicks_on_a_baseline_are_scored_as_on_the_model(model: LoadedModel) -> None:
    source = disks()
    encoded = everything.EncodedImage.of(model, source.image)
    predictor = model.backend.predictor(encoded.cache.encode(model, encoded.image.rgb))
    classical = {"truth": source.label, "nothing": 0 * source.label}
    got = prompting.score_prompts(predictor, source, 3, classical)
    assert got.baselines == {"truth": [1.0] * 3, "nothing": [0.0] * 3}
    assert len(got.predicted) == len(got.true) == 9


def test_segment_everything_finds_at_most_the_masks_of_the_generator(model: LoadedModel) -> None:
    from segment_anything import SamAutomaticMaskGenerator

    source = disks()
    encoded = everything.EncodedImage.of(model, source.image)
    config = encoded.configs([8])["grid8"]  # of a coarser one no point lies in a disk
    lenient, strict = (0.5, 0.6, 0.7), (0.999, 0.999, 0.7)
    got = everything.segment_everything(encoded, config, source.label, (lenient, strict))
    assert got.prompts == 64
    kwargs = everything.with_filters(config, lenient).generator_kwargs()
    records = SamAutomaticMaskGenerator(model.sam, **kwargs).generate(encoded.image.rgb)
    assert 0 < got.scores[lenient].found <= len(records)
    assert got.scores[strict].found <= got.scores[lenient].found


def test_best_filters_have_the_best_f1(model: LoadedModel) -> None:
    result = measure(model, [disks()], EFFORT)
    assert EFFORT.main(result) == "centres"
    scores = result.everything["centres"][0].scores
    chosen = best_filters({"disks": result}, "centres")
    assert scores[chosen].f1 == max(s.f1 for s in scores.values())
    row = set_table(result, EFFORT, chosen)
    assert row["best_configuration"]["f1"]["mean"] == pytest.approx(scores[chosen].f1, abs=1e-4)
    on_grid = result.everything["grid6"][0].scores[everything.DEFAULTS]
    assert row["grid"]["f1"]["mean"] == pytest.approx(on_grid.f1, abs=1e-4)


def test_box_overlap_and_tight_boxes() -> None:
    labels = np.zeros((20, 30), int)
    labels[2:6, 3:13] = 1
    labels[10:20, 20:30] = 3
    found = boxes.tight_boxes(labels)
    assert found.tolist() == [[2, 3, 6, 13], [10, 20, 20, 30]]
    ious = boxes.box_ious(found, np.array([[2, 3, 6, 8], [0.0, 0, 1, 1]]))
    assert np.allclose(ious, [[0.5, 0], [0, 0]])


def test_held_out_seeds_are_distinct_and_reproducible() -> None:
    first, again = (held_out.one_synthetic("test", "fluo", 0, 64) for _ in "ab")
    other = held_out.one_synthetic("validation", "fluo", 0, 64)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
