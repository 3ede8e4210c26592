"""A recipe on many images and stacks, stopped at any moment and begun again."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from benchmarks.bank import discs
from napari_samstar.api import batch_stack
from napari_samstar.api.batch import BatchOptions, Finished, ImageJob, iter_batch
from napari_samstar.api.batch_folder import UNFINISHED, is_there, only_run, recipe_in, whole
from napari_samstar.api.batch_plane import begun_ahead
from napari_samstar.api.batch_stack import StackLinker, planes_to_do, stack_of
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.tile_store import TileStore
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import run
from napari_samstar.core.results.outputs import NAMES, RECIPE
from napari_samstar.core.results.recipe import Recipe, make_recipe
from napari_samstar.core.results.result import segment_bank
from tests.core.tiny import tiny_model

CONFIG = AmgConfig(points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)
TILED = CONFIG.replace(tile_scale=2.0)
PLANE = discs((64, 80)).pixels[..., 0]
WIDE = discs((200, 240)).pixels[..., 0]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SAMSTAR_CACHE", str(folder))
    return folder


def recipe_of(config=CONFIG, **image) -> Recipe:
    made_on = LoadedImage(PLANE, rgb=False, **image)
    return make_recipe(made_on.prepare(), tiny_model(), config)


def job(array, out, name="image", **about) -> ImageJob:
    return ImageJob(name, out, lambda: LoadedImage(array, rgb=False, name=name, **about))


def batch(jobs, config=CONFIG, **options) -> list[Finished]:
    """Run to the end, and return what has ended."""
    found: list[Finished] = []
    steps = iter_batch(
        recipe_of(config), jobs, tiny_model(), EmbeddingCache(), BatchOptions(**options)
    )
    run(steps, lambda step: found.append(step) if isinstance(step, Finished) else None)
    return found


def states(found) -> list[str]:
    return [one.state for one in found]


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def labels_in(folder):
    return read_image(folder / "labels.tif").array


def expected_labels(array, config=CONFIG):
    bank = ProposalBank(LoadedImage(array, rgb=False).prepare(), tiny_model())
    return run(segment_bank(bank, config)).labels


# --- several images -----------------------------------------------------------------------------


def test_each_image_gets_its_result_and_one_that_fails_stops_no_other(tmp_path):
    constant = np.full_like(PLANE, 7)
    arrays = {"a": PLANE, "bad": constant, "b": PLANE[::-1]}
    found = batch([job(array, tmp_path / "out" / name) for name, array in arrays.items()])
    assert states(found) == ["done", "failed", "done"]
    assert "constant" in found[1].problem
    assert names(tmp_path / "out") == ["a", "b"]
    assert names(tmp_path / "out" / "b") == sorted(NAMES[:4])
    np.testing.assert_array_equal(
        labels_in(tmp_path / "out" / "b"), expected_labels(np.ascontiguousarray(PLANE[::-1]))
    )


def test_a_result_that_is_there_is_skipped_until_recipe_or_pixels_change(tmp_path):
    jobs = [job(PLANE, tmp_path / "a"), job(PLANE[::-1], tmp_path / "b")]
    batch(jobs)
    before = (tmp_path / "a" / RECIPE).stat().st_mtime_ns
    assert states(batch(jobs)) == ["skipped", "skipped"]
    assert (tmp_path / "a" / RECIPE).stat().st_mtime_ns == before
    assert states(batch(jobs, redo=True)) == ["done", "done"]
    assert states(batch(jobs, CONFIG.replace(box_nms_thresh=0.6))) == ["done", "done"]
    jobs[1] = job(PLANE[:, ::-1], tmp_path / "b")
    assert states(batch(jobs, CONFIG.replace(box_nms_thresh=0.6))) == ["skipped", "done"]
    calibrated = job(PLANE, tmp_path / "a", pixel_size=(0.5, 0.5), unit="nm")
    assert states(batch([calibrated], CONFIG.replace(box_nms_thresh=0.6))) == ["done"]


def test_a_result_with_a_file_missing_is_done_again(tmp_path):
    batch([job(PLANE, tmp_path / "a")])
    (tmp_path / "a" / "measurements.csv").unlink()
    assert states(batch([job(PLANE, tmp_path / "a")])) == ["done"]
    assert names(tmp_path / "a") == sorted(NAMES[:4])


def test_a_run_that_is_stopped_between_tiles_goes_on_after_the_last_one(tmp_path, cache_folder):
    jobs = [job(WIDE, tmp_path / "out")]
    steps = iter_batch(recipe_of(TILED), jobs, tiny_model(), EmbeddingCache())
    n_tiles = len(ProposalBank(LoadedImage(WIDE, rgb=False).prepare(), tiny_model()).parts(TILED))
    assert n_tiles >= 4
    while len(list(cache_folder.glob("tiles/*/[!.]*.npz"))) < 3:
        next(steps)
    steps.close()
    assert not (tmp_path / "out").exists()
    assert names(tmp_path) == []
    (found,) = batch(jobs, TILED)
    per_tile = found.result.bank.n_prompts / (n_tiles - 3)
    assert 0 < per_tile <= TILED.points_per_side**2
    np.testing.assert_array_equal(labels_in(tmp_path / "out"), expected_labels(WIDE, TILED))
    assert not list(cache_folder.glob("tiles/*"))  # nothing is kept once the result is written


def test_tiles_left_by_a_run_killed_after_its_result_was_written_are_removed(
    tmp_path, cache_folder
):
    one = job(WIDE, tmp_path / "out")
    batch([one], TILED)
    stack = job(moved(2), tmp_path / "stack", axes="ZYX")
    batch([stack], TILED)
    images = (WIDE, *moved(2))
    for image in images:
        micrograph = LoadedImage(image, rgb=False).prepare()
        TileStore.of(micrograph, TILED, tiny_model()).write("left", b"x")
    assert len(list(cache_folder.glob("tiles/*/left.npz"))) == len(images)
    assert states(batch([one, stack], TILED)) == ["skipped", "skipped"]
    assert not list(cache_folder.glob("tiles/*"))


def test_an_image_without_a_plane_of_the_recipe_is_segmented(tmp_path):
    recipe = recipe_of().model_copy(update={"mapping": ImageMapping(plane=(3,))})
    mapped = LoadedImage(PLANE, rgb=False, mapping=recipe.mapping)
    steps = iter_batch(
        recipe, [ImageJob("a", tmp_path / "a", lambda: mapped)], tiny_model(), EmbeddingCache()
    )
    run(steps)
    np.testing.assert_array_equal(labels_in(tmp_path / "a"), expected_labels(PLANE))


def test_images_begin_in_order_and_as_far_ahead_as_there_is_room():
    log = []

    def begin(k):
        log.append(f"begin {k}")
        return k

    room = iter([True, True, False, False, False])
    log.extend(f"done {k}" for k in begun_ahead(range(5), begin, lambda _: next(room)))
    assert log == ["begin 0", "begin 1", "begin 2", "done 0", "begin 3", "done 1", "begin 4",
                   "done 2", "done 3", "done 4"]  # fmt: skip


# --- folders of results -------------------------------------------------------------------------


def test_a_folder_appears_as_a_whole_or_not_at_all(tmp_path):
    out = tmp_path / "new" / "out"
    stopped = whole(out)
    (stopped.__enter__() / "labels.tif").write_text("x")
    assert not out.exists()
    assert stopped.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert names(tmp_path) == []
    with whole(out) as folder:
        (folder / "labels.tif").write_text("x")
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["out"]
    assert names(out) == ["labels.tif"]


def test_an_earlier_result_is_replaced_as_a_whole_and_files_of_the_user_stay(tmp_path):
    for mine in ((), ("mine.txt",)):
        out = tmp_path / f"out{len(mine)}"
        out.mkdir()
        (out / "labels.ome.zarr").mkdir()
        for name in ("labels.tif", "links.csv", *mine):
            (out / name).write_text("old")
        with pytest.raises(ZeroDivisionError), whole(out):
            raise ZeroDivisionError
        assert names(out) == sorted(["labels.ome.zarr", "labels.tif", "links.csv", *mine])
        with whole(out) as folder:
            (folder / "labels.tif").write_text("new")
        assert names(out) == sorted(["labels.tif", *mine])
        assert (out / "labels.tif").read_text() == "new"
    assert names(tmp_path) == ["out0", "out1"]


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    (tmp_path / "out").mkdir()
    for rest in (tmp_path / f".out{UNFINISHED}", tmp_path / "out" / f".a{UNFINISHED}"):
        rest.mkdir()
        (rest / "labels.tif").write_text("half")
    (tmp_path / f".other{UNFINISHED}").mkdir()  # of another run
    with only_run(tmp_path / "out"):
        assert names(tmp_path / "out") == []
        assert names(tmp_path) == [f".other{UNFINISHED}", "out"]


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    with only_run(tmp_path / "out"):
        with pytest.raises(UserError, match="Another run writes to"), only_run(tmp_path / "out"):
            pass
        with only_run(tmp_path / "other"):
            pass
    with only_run(tmp_path / "out"):
        pass


def test_a_damaged_recipe_in_a_folder_is_no_result(tmp_path):
    batch([job(PLANE, tmp_path / "a")])
    known = recipe_in(tmp_path / "a")
    assert is_there(tmp_path / "a", known)
    (tmp_path / "a" / RECIPE).write_text("{")
    assert recipe_in(tmp_path / "a") is None
    assert not is_there(tmp_path / "a", known)


# --- stacks -------------------------------------------------------------------------------------


def moved(n, step=2, start=0):
    """Return n planes of discs that move to the right."""
    return np.stack([np.roll(PLANE, start + step * k, axis=1) for k in range(n)])


def image_of(shape, axes, **about):
    return LoadedImage(np.zeros(shape, np.uint16), rgb=False, axes=axes, **about)


@pytest.mark.parametrize(
    ("shape", "axes", "mapping", "text", "expected"),
    [
        ((3, 64, 80), "ZYX", {}, None, [(0,), (1,), (2,)]),
        ((3, 64, 80), "ZYX", {}, "0,2", [(0,), (2,)]),
        ((2, 3, 64, 80), "ZCYX", {"plane": (1, 2)}, None, [(0, 2), (1, 2)]),
        ((2, 3, 64, 80), "ZCYX", {"channel": 0}, None, [(0, 0), (1, 0)]),  # the channel overrides
        ((3, 2, 64, 80), "CZYX", {}, None, [(0, 0), (0, 1)]),
        ((3, 2, 64, 80), "CZYX", {}, "z=1", [(0, 1)]),
        ((2, 3, 64, 80), "TZYX", {}, "z=1", [(0, 1), (1, 1)]),
        ((2, 3, 64, 80), "", {"channel": 1}, None, [(0, 1), (1, 1)]),
        ((5, 2, 64, 80), "ZTYX", {"projection": "max"}, None, [(2, 0), (2, 1)]),
        ((64, 80), "YX", {"plane": (3,)}, None, [()]),
    ],
)
def test_a_stack_means_all_its_planes_of_one_channel(shape, axes, mapping, text, expected):
    image = image_of(shape, axes, mapping=ImageMapping(**mapping))
    assert list(planes_to_do(image, text)) == expected


def test_planes_are_linked_as_their_axis_says():
    def mode(shape, axes, link=None, text=None):
        image = image_of(shape, axes)
        stack = stack_of(image, planes_to_do(image, text), link)
        return stack.mode, stack.axis, bool(stack.notes)

    assert mode((3, 64, 80), "ZYX") == ("depth", 0, False)
    assert mode((3, 64, 80), "TYX") == ("time", 0, False)
    assert mode((3, 64, 80), "QYX") == (None, 0, True)
    assert mode((3, 64, 80), "QYX", "time") == ("time", 0, False)
    assert mode((3, 64, 80), "ZYX", "none") == (None, 0, False)
    assert mode((2, 3, 64, 80), "TZYX") == ("depth", 1, False)
    assert mode((2, 3, 64, 80), "TZYX", "time", "0,1; 1,1") == ("time", 0, False)
    with pytest.raises(UserError, match="--planes"):
        mode((2, 3, 64, 80), "TZYX", "time")


def test_the_step_of_chosen_planes_is_known_where_it_is_one():
    image = image_of((9, 64, 80), "ZYX")
    assert stack_of(image, planes_to_do(image, "0:9:4"), None).step == 4
    assert stack_of(image, planes_to_do(image, "0,1,5"), None).step is None
    several = image_of((2, 3, 64, 80), "TZYX")
    assert stack_of(several, planes_to_do(several, None), None).step == 1


def test_a_stack_has_one_id_for_an_object_and_measurements_of_it(tmp_path):
    about = {"axes": "ZYX", "pixel_size": (0.5, 0.5), "unit": "nm", "z_step": 2.0}
    (found,) = batch([job(moved(4), tmp_path / "out", "stack", **about)])
    assert found.state == "done"
    assert names(tmp_path / "out") == ["labels.tif", "links.csv", "measurements.csv",
                                       "overlay.png", RECIPE]  # fmt: skip
    labels = labels_in(tmp_path / "out")
    assert labels.shape == (4, *PLANE.shape)
    for k in range(4):  # the same objects as of the plane alone, by other ids
        alone = expected_labels(moved(4)[k])
        pairs = {(int(a), int(b)) for a, b in zip(alone.ravel(), labels[k].ravel(), strict=True)}
        assert len({a for a, _ in pairs}) == len(pairs)
    lasting = [i for i in np.unique(labels[labels > 0]) if all((p == i).any() for p in labels)]
    assert lasting
    with (tmp_path / "out" / "measurements.csv").open(encoding="utf-8") as file:
        rows = {int(row["label"]): row for row in csv.DictReader(file)}
    assert set(rows) == set(np.unique(labels[labels > 0]).tolist())
    for i in lasting:
        assert rows[i]["n_planes"] == "4"
        volume = float(rows[i]["volume_nm3"])
        assert volume == pytest.approx(float((labels == i).sum()) * 0.5, rel=1e-4)
    again = batch([job(moved(4), tmp_path / "out", "stack", **about)])
    assert states(again) == ["skipped"]
    others = moved(4)
    others[2] = others[2, ::-1]
    assert states(batch([job(others, tmp_path / "out", "stack", **about)])) == ["done"]


def test_planes_that_are_not_linked_have_measurements_of_their_own(tmp_path):
    batch([job(moved(3), tmp_path / "out", "stack", axes="ZYX")], link="none")
    assert "links.csv" not in names(tmp_path / "out")
    with (tmp_path / "out" / "measurements.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [k for k, _ in itertools.groupby(row["plane"] for row in rows)] == ["0", "1", "2"]
    assert "mean_intensity" in rows[0]
    for k, plane in enumerate(labels_in(tmp_path / "out")):
        np.testing.assert_array_equal(plane, expected_labels(moved(3)[k]))


def test_a_plane_without_contrast_has_no_objects_and_says_why(tmp_path):
    array = moved(3)
    array[1] = 7
    (found,) = batch([job(array, tmp_path / "out", "stack", axes="ZYX")])
    assert found.state == "done"
    assert any("Plane 1 has no objects" in note for note in found.result.notes)
    labels = labels_in(tmp_path / "out")
    assert (labels[0].any(), labels[1].any(), labels[2].any()) == (True, False, True)
    (failed,) = batch([job(np.full((2, 64, 80), 7), tmp_path / "no", axes="ZYX")])
    assert (failed.state, (tmp_path / "no").exists()) == ("failed", False)


def test_a_stack_that_is_stopped_goes_on_after_the_last_plane(tmp_path, cache_folder, monkeypatch):
    one = job(moved(4), tmp_path / "out", "stack", axes="ZYX")
    steps = iter_batch(recipe_of(), [one], tiny_model(), EmbeddingCache())
    while len(list(cache_folder.glob("tiles/*/plane.npz"))) < 2:
        next(steps)
    steps.close()
    assert names(tmp_path) == []
    segmented = []
    segment = batch_stack._segment
    monkeypatch.setattr(
        batch_stack, "_segment", lambda *of: segmented.append(1) or (yield from segment(*of))
    )
    batch([one])
    assert len(segmented) == 2
    whole_run = labels_in(tmp_path / "out")
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "other cache"))
    batch([job(moved(4), tmp_path / "at once", "stack", axes="ZYX")])
    np.testing.assert_array_equal(whole_run, labels_in(tmp_path / "at once"))
    assert not list(cache_folder.glob("tiles/*"))


def test_in_depth_and_time_ids_go_on_from_one_time_to_the_next(tmp_path):
    array = np.stack([moved(2), moved(2, start=30)])
    (found,) = batch([job(array, tmp_path / "out", "stack", axes="TZYX")])
    labels = labels_in(tmp_path / "out")
    assert labels.shape == (4, *PLANE.shape)
    first, second = (set(np.unique(part)) - {0} for part in (labels[:2], labels[2:]))
    assert first
    assert second
    assert max(first) < min(second)
    assert sorted(first | second) == list(range(1, max(second) + 1))
    assert found.result.table["t"].tolist() == [0] * len(first) + [1] * len(second)


def test_events_have_the_ids_of_the_whole_stack():
    image = image_of((2, 2, 16, 16), "ZTYX")
    stack = stack_of(image, planes_to_do(image, None), None)
    linker = StackLinker(stack, LoadedImage(PLANE, rgb=False).prepare())
    cell, daughters = np.zeros((16, 16), np.int32), np.zeros((16, 16), np.int32)
    cell[4:8, 2:12] = 1
    daughters[4:8, 2:6], daughters[4:8, 8:12] = 1, 2
    for plane in stack.planes:
        linker.add(plane, cell if plane[1] == 0 else daughters)
    table, events = linker.close()
    assert [(e["z"], e["event"], e["parents"], e["children"]) for e in events] == [
        (0, "split", "1", "2 3"),
        (1, "split", "4", "5 6"),
    ]
    assert table["label"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["parent"].tolist() == [0, 1, 1, 0, 4, 4]


def test_labels_of_a_large_stack_are_ome_zarr(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_stack, "LARGEST_TIFF", 10_000)
    array = np.stack([moved(2), moved(2, start=30)])
    batch([job(array, tmp_path / "zarr", "stack", axes="TZYX")])
    assert "labels.ome.zarr" in names(tmp_path / "zarr")
    assert "labels.tif" not in names(tmp_path / "zarr")
    monkeypatch.setattr(batch_stack, "LARGEST_TIFF", 2**31)
    batch([job(array, tmp_path / "tiff", "stack", axes="TZYX")])
    read = np.asarray(read_image(tmp_path / "zarr" / "labels.ome.zarr").array)
    assert read.shape == array.shape
    np.testing.assert_array_equal(read.reshape(-1, *PLANE.shape), labels_in(tmp_path / "tiff"))
    assert states(batch([job(array, tmp_path / "zarr", "stack", axes="TZYX")])) == ["skipped"]


def test_a_recipe_of_a_stack_repeats_it(tmp_path):
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, moved(3), imagej=True, metadata={"axes": "ZYX"})
    one = ImageJob("stack", tmp_path / "out", lambda: read_image(file))
    run(iter_batch(recipe_of(), [one], tiny_model(), EmbeddingCache()))
    recipe = Recipe.load(tmp_path / "out" / RECIPE)
    assert json.loads((tmp_path / "out" / RECIPE).read_text())["image"]["shape"][0] == 3
    again = ImageJob("stack", tmp_path / "again", lambda: read_image(file))
    run(iter_batch(recipe, [again], tiny_model(), EmbeddingCache()))
    np.testing.assert_array_equal(labels_in(tmp_path / "again"), labels_in(tmp_path / "out"))


def test_finished_planes_that_cannot_be_kept_are_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "file"))
    (found,) = batch([job(moved(2), tmp_path / "out", "stack", axes="ZYX")])
    assert "SAMSTAR_CACHE" in found.problem
    assert not Path(tmp_path / "out").exists()
