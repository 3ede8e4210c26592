from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_samstar.core.cache_folder import cache_folder, keep_newest
from napari_samstar.core.errors import UserError
from napari_samstar.core.results import autosave
from napari_samstar.core.results.autosave import (
    SavedLabels,
    find,
    image_id,
    load,
    mark_removed,
    save,
)

IMAGE = "ab" * 32
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    return tmp_path / autosave.FOLDER


def labels(dtype=np.int32, shape=(40, 50)):
    return RNG.integers(0, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.int64])
def test_labels_are_loaded_bit_for_bit(dtype):
    layer = SavedLabels("cells × µ", labels(dtype, (1, 40, 50)), (3,), {"model": "pocket"})
    save(IMAGE, "one", layer)
    ((saved,),) = [s.layers for s in find(IMAGE)]
    back = load(saved)
    assert back.labels.dtype == dtype
    np.testing.assert_array_equal(back.labels, layer.labels)
    assert (back.name, back.plane, back.recipe) == (layer.name, layer.plane, layer.recipe)
    assert saved.objects == 8
    assert autosave._count_labels(layer.labels.astype(np.int64) - 4) == 8
    assert autosave._count_labels(np.zeros((0, 3), int)) == 0
    assert find("cd" * 32) == ()


def test_find_returns_sessions_newest_first_without_the_current_one():
    for run in ("old", "new", "present"):
        save(IMAGE, run, SavedLabels("a", labels()))
        save(IMAGE, run, SavedLabels("b", labels()))
        time.sleep(0.01)
    sessions = find(IMAGE, exclude_run="present")
    assert [s.layers[0].run for s in sessions] == ["new", "old"]
    assert [x.name for x in sessions[0].layers] == ["a", "b"] or len(sessions[0].layers) == 2
    assert sessions[0].objects == 16
    assert sessions[0].when >= sessions[1].when


def test_removed_layers_are_found_only_if_the_session_has_no_other():
    for name in ("a", "b"):
        save(IMAGE, "one", SavedLabels(name, labels()))
    mark_removed(IMAGE, "one", "a")
    (session,) = find(IMAGE)
    assert [x.name for x in session.layers] == ["b"]
    mark_removed(IMAGE, "one", "b")
    (session,) = find(IMAGE)
    assert len(session.layers) == 1
    assert session.layers[0].removed
    save(IMAGE, "one", SavedLabels("a", labels()))  # an undo brought it back
    assert [x.name for x in find(IMAGE)[0].layers] == ["a"]


def test_a_process_killed_while_writing_leaves_the_previous_file(tmp_path):
    code = (
        "import numpy as np, itertools\n"
        "from napari_samstar.core.results.autosave import SavedLabels, save\n"
        "noise = np.random.default_rng(0).integers(0, 99, (1500, 1500)).astype(np.int32)\n"
        f"for k in itertools.count():\n    save({IMAGE!r}, 'one', SavedLabels('a', noise + k))\n"
        "    print(k, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = int(child.stdout.readline())
        time.sleep(0.15)
        child.kill()
        done = [first, *map(int, child.stdout.read().split())]
    noise = np.random.default_rng(0).integers(0, 99, (1500, 1500)).astype(np.int32)
    back = load(find(IMAGE)[0].layers[0]).labels
    k = int(back[0, 0] - noise[0, 0])
    assert k in (done[-1], done[-1] + 1)
    np.testing.assert_array_equal(back, noise + k)


def test_a_full_disk_raises_one_sentence_and_keeps_the_previous_file(monkeypatch):
    layer = SavedLabels("cells", labels())
    save(IMAGE, "one", layer)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UserError, match="The disk is full") as caught:
        save(IMAGE, "one", SavedLabels("cells", labels()))
    assert str(caught.value).startswith("'cells' is not being saved in the background: ")
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(load(find(IMAGE)[0].layers[0]).labels, layer.labels)


def test_a_damaged_file_is_not_found(folder):
    path = save(IMAGE, "one", SavedLabels("cells", labels()))
    (saved,) = find(IMAGE)[0].layers
    path.write_bytes(path.read_bytes()[:100])
    assert find(IMAGE) == ()
    with pytest.raises(UserError, match="cannot be read"):
        load(saved)


def test_old_files_are_deleted(folder, monkeypatch):
    monkeypatch.setattr(autosave, "MAX_FILES", 3)
    for k in range(5):
        path = save(IMAGE, f"r{k}", SavedLabels("cells", labels()))
        os.utime(path, (k, k))
    assert len(find(IMAGE)) == 3
    monkeypatch.setattr(autosave, "MAX_BYTES", 1)
    save(IMAGE, "last", SavedLabels("cells", labels()))
    assert [s.layers[0].run for s in find(IMAGE)] == ["last"]


def test_keep_newest_keeps_listed_files_and_the_newest(tmp_path):
    for k in range(6):
        (tmp_path / f"{k}.x").write_bytes(b"12345")
        os.utime(tmp_path / f"{k}.x", (k, k))
    keep_newest(tmp_path, "*.x", files=2, n_bytes=100, keep=[tmp_path / "0.x"])
    assert sorted(p.name for p in tmp_path.glob("*.x")) == ["0.x", "4.x", "5.x"]
    keep_newest(tmp_path, "*.x", files=9, n_bytes=3)
    assert [p.name for p in tmp_path.glob("*.x")] == ["5.x"]
    keep_newest(tmp_path / "missing", "*", files=1, n_bytes=1)


class LazyArray:
    """An array that records the sizes of the parts that are read."""

    def __init__(self, array, sizes=None):
        self.array, self.sizes = array, [] if sizes is None else sizes
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, at):
        return LazyArray(self.array[at], self.sizes)

    def __array__(self, dtype=None, copy=None):
        self.sizes.append(self.array.size)
        return np.array(self.array)


def test_image_id_depends_on_pixels_shape_and_dtype():
    image = RNG.integers(0, 999, (40, 50)).astype(np.uint16)
    assert image_id(image) == image_id(image.copy())
    other = image.copy()
    other[20, 20] += 1
    assert len({image_id(x) for x in (image, other, image.astype(np.int32), image.T)}) == 4
    stack = RNG.integers(0, 99, (5, 20, 20)).astype(np.uint8)
    changed = stack.copy()
    changed[4, 0, 0] += 1
    assert image_id(stack) != image_id(changed)
    assert image_id([stack, stack[:, ::2, ::2]]) != image_id(stack)
    rgb = RNG.integers(0, 99, (20, 20, 3)).astype(np.uint8)
    assert image_id(rgb, rgb=True) == image_id(rgb.copy(), rgb=True)


def test_image_id_reads_only_blocks_of_very_large_planes():
    big = np.zeros((5000, 5000), np.uint8)
    before = image_id(big)
    big[2400, 2400] = 1  # in the middle block
    assert image_id(big) != before
    lazy = LazyArray(big)
    assert image_id(lazy) == image_id(big)
    assert max(lazy.sizes) == autosave.BLOCK_SIDE**2


def test_the_cache_folder_is_set_by_the_environment(tmp_path):
    assert cache_folder("x") == tmp_path / "x"
