from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import SETTINGS, AmgConfig
from napari_samstar.core.amg.selection import Selection
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.masks.store import PackedMask
from napari_samstar.core.results.outputs import (
    IMAGES,
    LABELS,
    MEASUREMENTS,
    NAMES,
    RECIPE,
    REPORT,
    check_images_folder,
    front_rows,
    staged,
    write_labels,
    write_result,
)
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.result import Result
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import Trial
from napari_samstar.core.tuning.front import front
from tests.core.tiny import tiny_model

CONFIG = AmgConfig(pred_iou_thresh=0.123457, points_per_side=4)


@pytest.fixture
def image():
    rgb = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    return Micrograph(rgb, (0.5, 0.25), "µm", "test")


@pytest.fixture
def labels():
    labels = np.zeros((30, 40), np.int32)
    labels[2:10, 3:12], labels[15:25, 20:35] = 1, 70_000
    return labels


@pytest.fixture
def found():
    rewards = [{"coverage": 0.2, "boundary": 0.3}, {"coverage": 0.6, "boundary": 1 / 3}]
    origins = ("defaults", "search")
    made = [Trial(CONFIG, r, 3, k, origins[k]) for k, r in enumerate(rewards)]
    return front(made, Goal({"coverage": 1, "boundary": 1}))


def result_of(image, labels, found=None):
    picked = None if found is None else found.knee
    bank = ProposalBank(image, tiny_model())
    masks = [PackedMask.tight(labels == value, 0, 0) for value in np.unique(labels)[1:]]
    kept = Selection.empty(CONFIG)
    kept = dataclasses.replace(kept, ids=np.array(bank.masks.extend(masks), dtype=np.int64))
    return Result(bank, kept, front=found, picked=picked)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_labels_keep_type_pixel_size_and_unit(tmp_path, image, labels):
    write_labels(labels, image, tmp_path / LABELS)
    again = read_image(tmp_path / LABELS)
    assert again.array.dtype == np.int32
    np.testing.assert_array_equal(again.array, labels)
    assert again.pixel_size == pytest.approx((0.5, 0.25))
    assert again.unit == "µm"
    with tifffile.TiffFile(tmp_path / LABELS) as tif:
        assert tif.is_imagej


def test_labels_without_calibration(tmp_path, image, labels):
    write_labels(labels, Micrograph(image.rgb), tmp_path / LABELS)
    again = read_image(tmp_path / LABELS)
    assert (again.pixel_size, again.unit) == (None, "px")


def test_a_searched_result_has_every_file(tmp_path, image, labels, found):
    assert write_result(result_of(image, labels, found), tmp_path) == list(NAMES)
    assert names(tmp_path) == sorted(NAMES)
    assert Recipe.load(tmp_path / RECIPE).config == CONFIG
    with (tmp_path / MEASUREMENTS).open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "2"]
    assert float(rows[1]["area_µm2"]) == pytest.approx(8 * 9 * 0.5 * 0.25)


def test_a_row_of_the_front_gives_the_configuration_again(tmp_path, image, labels, found):
    write_result(result_of(image, labels, found), tmp_path)
    with (tmp_path / "front.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["origin"] for row in rows] == ["defaults", "search"]
    assert [row["on_front"] for row in rows] == ["0", "1"]
    assert [row["picked"] for row in rows] == ["0", "1"]
    values = {name: float(rows[1][name]) for name in SETTINGS}
    assert AmgConfig.from_dict(values) == CONFIG
    assert float(rows[1]["reward_boundary"]) == 1 / 3
    assert float(rows[1]["objective_find_everything"]) == 0.6


def test_rows_without_a_picked_one(found):
    assert [row["picked"] for row in front_rows(found, None)] == [0, 0]


def test_without_a_front_there_are_no_front_files(tmp_path, image, labels):
    written = write_result(result_of(image, labels), tmp_path)
    assert names(tmp_path) == sorted(written) == sorted(NAMES[:4])


def test_an_image_without_objects_has_every_file(tmp_path, image):
    write_result(result_of(image, np.zeros((30, 40), np.int32)), tmp_path)
    assert names(tmp_path) == sorted(NAMES[:4])


# --- staged --------------------------------------------------------------------------------------


def test_a_new_folder_appears_when_all_is_written(tmp_path):
    out = tmp_path / "a" / "b"
    with staged(out) as part:
        (part / "x.txt").write_text("x")
        assert not out.exists()
    assert names(out) == ["x.txt"]
    assert names(out.parent) == ["b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_the_block_raises(tmp_path, error):
    with pytest.raises(error), staged(tmp_path / "a" / "b") as part:  # noqa: PT012
        (part / "x.txt").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_an_earlier_result_is_replaced_as_a_whole_and_the_rest_stays(tmp_path):
    for name in (*NAMES, "notes.txt"):
        (tmp_path / name).write_text("old")
    with staged(tmp_path) as part:
        (part / RECIPE).write_text("new")
    assert names(tmp_path) == ["notes.txt", RECIPE]
    assert (tmp_path / RECIPE).read_text() == "new"


def test_an_earlier_result_survives_an_error(tmp_path):
    (tmp_path / RECIPE).write_text("old")
    with pytest.raises(ValueError), staged(tmp_path) as part:  # noqa: PT012
        (part / RECIPE).write_text("new")
        raise ValueError
    assert names(tmp_path) == [RECIPE]
    assert (tmp_path / RECIPE).read_text() == "old"


def test_an_earlier_result_comes_back_when_moving_is_interrupted(tmp_path, monkeypatch):
    (tmp_path / RECIPE).write_text("old")
    (tmp_path / LABELS).write_text("old")
    rename = Path.rename

    def interrupted(self, target):
        if self.name == LABELS and self.parent.name.endswith(".part"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), staged(tmp_path) as part:
        (part / LABELS).write_text("new")
    assert names(tmp_path) == sorted([RECIPE, LABELS])
    assert (tmp_path / LABELS).read_text() == "old"


def test_places_that_cannot_be_written_to_are_found_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match=r"folder"), staged(out):
            pytest.fail("the block must not run")
    assert names(tmp_path) == ["file"]


def test_results_of_several_images_are_replaced_as_a_whole(tmp_path):
    for name in ("a", "b"):
        (tmp_path / IMAGES / name).mkdir(parents=True)
        (tmp_path / IMAGES / name / RECIPE).write_text("old")
    (tmp_path / REPORT).write_text("old")
    check_images_folder(tmp_path)
    with staged(tmp_path) as part:
        (part / IMAGES / "c").mkdir(parents=True)
        (part / IMAGES / "c" / RECIPE).write_text("new")
    assert names(tmp_path) == [IMAGES]
    assert names(tmp_path / IMAGES) == ["c"]
    with staged(tmp_path) as part:
        (part / RECIPE).write_text("one image")
    assert names(tmp_path) == [RECIPE]


def test_a_folder_of_the_user_is_left_alone(tmp_path):
    (tmp_path / IMAGES / "raw").mkdir(parents=True)
    with pytest.raises(UserError, match="not from an earlier run"):
        check_images_folder(tmp_path)
    with staged(tmp_path) as part:
        (part / RECIPE).write_text("one image")
    assert names(tmp_path) == sorted([IMAGES, RECIPE])
    assert names(tmp_path / IMAGES) == ["raw"]
    check_images_folder(tmp_path / "none")
