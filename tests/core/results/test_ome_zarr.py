from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import zarr
from zarr.storage import LocalStore

from napari_samstar.core import interrupt
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.results.ome_zarr import LabelsWriter

LABELS = np.random.default_rng(0).integers(0, 2**31 - 1, (2, 3, 50, 70), dtype=np.int32)
WHERE = [(t, z, row, col) for t in (0, 1) for z in (0, 1, 2) for row in range(0, 50, 16)
         for col in range(0, 70, 16)]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.ome.zarr"


def create(path, **options):
    given = {"pixel_size": (0.5, 0.25), "unit": "µm", "z_step": 1.5, "frame_time": 2.0}
    return LabelsWriter.create(path, LABELS.shape, "TZYX", chunk=16, **{**given, **options})


def fill(writer, where=WHERE):
    for t, z, row, col in where:
        writer.write((t, z), row, col, LABELS[t, z, row : row + 16, col : col + 16])
    return writer


def test_what_is_written_is_read_with_its_sizes(path):
    assert fill(create(path)).finish() == path
    image = read_image(path)
    assert [level.shape for level in image.array] == [
        (2, 3, 50, 70), (2, 3, 25, 35), (2, 3, 13, 18), (2, 3, 7, 9),
    ]  # fmt: skip
    assert (image.axes, image.name, image.notes) == ("TZYX", "labels", ())
    assert (image.pixel_size, image.unit) == ((0.5, 0.25), "µm")
    assert (image.z_step, image.frame_time) == (1.5, 2.0)
    for k, level in enumerate(image.array):
        assert level.dtype == np.int32
        np.testing.assert_array_equal(level, LABELS[..., :: 2**k, :: 2**k])


def test_the_metadata_is_that_of_an_ome_zarr_label_image(path):
    fill(create(path)).finish()
    model = ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"), version="0.5")
    assert type(model).__name__ == "ImageLabel"
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert ome["image-label"] == {"version": "0.5"}
    scales = [d["coordinateTransformations"][0]["scale"] for d in ome["multiscales"][0]["datasets"]]
    assert scales == [[2.0, 1.5, 0.5 * k, 0.25 * k] for k in (1, 2, 4, 8)]
    assert [axis.get("unit") for axis in ome["multiscales"][0]["axes"]] == [
        "second",
        "micrometer",
        "micrometer",
        "micrometer",
    ]
    assert zarr.open_array(path, path="0", mode="r").chunks == (1, 1, 16, 16)


def test_sizes_that_are_not_known_are_not_known_when_read(path):
    fill(create(path, pixel_size=None, unit="px", z_step=None, frame_time=None)).finish()
    image = read_image(path)
    assert (image.pixel_size, image.unit, image.z_step, image.frame_time) == (
        None,
        "px",
        None,
        None,
    )
    assert image.notes == ()


def test_napari_shows_what_is_read_as_multiscale_labels(path):
    from napari.layers import Labels

    fill(create(path)).finish()
    image = read_image(path)
    layer = Labels(image.array)
    assert layer.multiscale
    assert layer.level_shapes[0].tolist() == list(LABELS.shape)
    assert layer.data[0] is image.finest


def test_one_plane_of_one_chunk_has_one_level(path):
    writer = LabelsWriter.create(path, (50, 70), "YX")
    writer.write((), 0, 0, LABELS[0, 0])
    writer.finish()
    image = read_image(path)
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.array, LABELS[0, 0])


@pytest.mark.parametrize(
    ("axes", "stored"), [("ZTYX", "TZYX"), ("ZCYX", "CZYX"), ("QIYX", "TZYX"), ("", "TZYX")]
)
def test_axes_are_stored_in_the_order_of_ome_zarr(path, axes, stored):
    writer = LabelsWriter.create(path, LABELS.shape, axes, chunk=16)
    assert writer.shape == LABELS.shape
    fill(writer).finish()
    image = read_image(path)
    assert image.axes == stored
    swapped = axes[:2] in ("ZT", "ZC")
    np.testing.assert_array_equal(image.finest, LABELS.swapaxes(0, 1) if swapped else LABELS)


def test_nothing_has_the_final_name_before_the_end(path):
    writer = fill(create(path))
    assert os.listdir(path.parent) == ["labels.ome.zarr.part"]
    work = writer.iter_finish()
    for _ in work:
        assert os.listdir(path.parent) == ["labels.ome.zarr.part"]
    assert os.listdir(path.parent) == ["labels.ome.zarr"]


def test_progress_counts_the_chunks_of_all_coarser_levels(path):
    steps = list(fill(create(path)).iter_finish())
    assert [step.done for step in steps] == list(range(1, 6 * (2 * 3 + 1 * 2 + 1) + 1))
    assert {step.total for step in steps} == {len(steps)}


def test_an_unfinished_image_is_reopened_with_what_was_written(path):
    fill(create(path, key="a"), WHERE[::2])
    writer = LabelsWriter.reopen(path, "a")
    assert writer is not None
    assert (writer.shape, writer.axes, writer.chunk) == (LABELS.shape, "TZYX", 16)
    missing = [w for w in WHERE if not writer.is_written(w[:2], *w[2:])]
    assert missing == WHERE[1::2]
    fill(writer, missing).finish()
    np.testing.assert_array_equal(read_image(path).finest, LABELS)


def test_a_chunk_of_zeros_counts_as_written(path):
    writer = create(path)
    assert not writer.is_written((1, 2), 48, 64)
    writer.write((1, 2), 48, 64, np.zeros((2, 6), dtype=np.int32))
    assert pickle.loads(pickle.dumps(writer)).is_written((1, 2), 48, 64)


def test_only_an_unfinished_image_of_the_same_key_is_reopened(path):
    assert LabelsWriter.reopen(path) is None
    create(path, key="a")
    assert LabelsWriter.reopen(path, "b") is None
    assert LabelsWriter.reopen(path) is not None
    (path.with_name("labels.ome.zarr.part") / "zarr.json").write_text("{")
    assert LabelsWriter.reopen(path, "a") is None
    create(path)
    assert LabelsWriter.reopen(path, "") is not None


def test_finishing_stops_between_chunks_and_can_be_done_again(path):
    writer = fill(create(path))
    stop = [False] * 4 + [True]
    with pytest.raises(interrupt.Interrupted), interrupt.stoppable(lambda: stop.pop(0)):
        writer.finish()
    assert not path.exists()
    again = LabelsWriter.reopen(path)
    assert again is not None
    again.finish()
    np.testing.assert_array_equal(read_image(path).array[3], LABELS[..., ::8, ::8])


def test_creating_again_starts_from_nothing(path):
    fill(create(path))
    create(path).finish()
    assert not read_image(path).finest[...].any()


def test_an_earlier_result_is_replaced_only_at_the_end(path):
    fill(create(path)).finish()
    writer = create(path)
    writer.write((0, 0), 0, 0, np.full((16, 16), 7))
    np.testing.assert_array_equal(read_image(path).finest, LABELS)
    writer.finish()
    assert read_image(path).finest[0, 0, 0, 0] == 7
    assert read_image(path).finest[...].sum() == 7 * 256
    assert os.listdir(path.parent) == ["labels.ome.zarr"]


@pytest.mark.parametrize("kind", ["file", "folder", "image"])
def test_what_is_not_ours_is_never_replaced(path, kind):
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        zarr.create_array(path, data=LABELS)
    with pytest.raises(UserError, match="is not a result of samstar: choose another name"):
        create(path)
    assert os.listdir(path.parent) == ["labels.ome.zarr"]


@pytest.mark.parametrize(
    ("row", "col", "shape", "reason"),
    [
        (8, 0, (16, 16), "does not start at a multiple of 16"),
        (0, 0, (16, 17), "does not end with a chunk of 16"),
        (0, 0, (8, 16), "does not end with a chunk of 16"),
        (48, 64, (2, 7), "64 to 71 of 70"),
        (-16, 0, (16, 16), "-16 to 0 of 50"),
        (0, 0, (0, 16), "0 to 0 of 50"),
    ],
)
def test_blocks_that_share_a_chunk_or_do_not_fit_are_refused(path, row, col, shape, reason):
    with pytest.raises(ValueError, match=reason):
        create(path).write((0, 0), row, col, np.ones(shape, dtype=int))


@pytest.mark.parametrize("plane", [(), (0,), (2, 0), (0, 3), (-1, 0), (0, 0, 0)])
def test_planes_that_do_not_exist_are_refused(path, plane):
    with pytest.raises(ValueError, match="does not exist"):
        create(path).write(plane, 0, 0, np.ones((16, 16), dtype=int))


def test_larger_blocks_of_whole_chunks_are_written(path):
    writer = LabelsWriter.create(path, (50, 70), chunk=16)
    writer.write((), 16, 0, LABELS[0, 0, 16:, :32])
    writer.finish()
    expected = np.zeros((50, 70))
    expected[16:, :32] = LABELS[0, 0, 16:, :32]
    np.testing.assert_array_equal(read_image(path).finest, expected)


def test_labels_that_the_type_cannot_hold_are_refused(path):
    writer = create(path, dtype=np.uint16)
    block = np.zeros((16, 16), dtype=np.int64)
    for value in (-1, 2**16):
        block[0, 0] = value
        with pytest.raises(ValueError, match="uint16 does not hold"):
            writer.write((0, 0), 0, 0, block)


@pytest.mark.parametrize("n", [1, 6])
def test_labels_have_two_to_five_axes(path, n):
    with pytest.raises(ValueError, match="2 to 5 axes"):
        LabelsWriter.create(path, (4,) * n)


def test_processes_write_the_same_image_at_the_same_time(path):
    writer = create(path)
    np.save(path.parent / "all.npy", LABELS)
    (path.parent / "writer.pickle").write_bytes(pickle.dumps(writer))
    code = (
        "import pickle, sys, pathlib, numpy;"
        "folder = pathlib.Path(sys.argv[1]);"
        "writer = pickle.loads((folder / 'writer.pickle').read_bytes());"
        "labels = numpy.load(folder / 'all.npy');"
        "[writer.write((t, z), r, c, labels[t, z, r:r + 16, c:c + 16])"
        " for t in (0, 1) for z in (0, 1, 2) for r in range(0, 50, 16)"
        " for c in range(16 * int(sys.argv[2]), 70, 32)]"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path.parent), str(k)], cwd=Path(path.anchor)
        )
        for k in (0, 1)
    ]
    assert [process.wait() for process in running] == [0, 0]
    writer.finish()
    np.testing.assert_array_equal(read_image(path).finest, LABELS)


def test_threads_write_the_same_image_at_the_same_time(path):
    writer = create(path)
    threads = [threading.Thread(target=fill, args=(writer, WHERE[k::4])) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.finish()
    np.testing.assert_array_equal(read_image(path).finest, LABELS)


def test_a_writer_that_comes_late_does_not_leave_a_part_behind(path):
    writer = create(path)
    late = pickle.loads(pickle.dumps(writer))
    late.write((0, 0), 0, 0, LABELS[0, 0, :16, :16])
    writer.finish()
    with pytest.raises(UserError, match=r"labels\.ome\.zarr\.part is gone"):
        late.write((0, 0), 0, 0, LABELS[0, 0, :16, :16])
    assert os.listdir(path.parent) == ["labels.ome.zarr"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EACCES, "cannot be written to"),
        (errno.EIO, "could not be written"),
    ],
)
def test_errors_of_the_disk_are_one_sentence_and_the_image_stays(path, monkeypatch, code, sentence):
    writer = fill(create(path), WHERE[:-1])

    async def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", fail)
        t, z, row, col = WHERE[-1]
        with pytest.raises(UserError, match=sentence):
            writer.write((t, z), row, col, LABELS[t, z, row:, col:])
        with pytest.raises(UserError, match=sentence):
            writer.finish()
    assert not path.exists()
    fill(writer, WHERE[-1:]).finish()
    np.testing.assert_array_equal(read_image(path).finest, LABELS)


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        create(tmp_path / "no" / "labels.ome.zarr")
    with pytest.raises(UserError, match="is gone"):
        LabelsWriter(tmp_path / "never.ome.zarr").finish()


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a folder closed even to root")
def test_a_folder_that_is_really_read_only():
    with pytest.raises(UserError, match="cannot be written to"):
        create("/sys/kernel/labels.ome.zarr")
