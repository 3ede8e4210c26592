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
from napari_samstar.core.results.autosave import SavedLabels, find, identity, load, save, set_aside

IMAGE = "ab" * 32
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    return tmp_path / autosave.FOLDER


def labels(dtype=np.int32, shape=(40, 50)):
    return RNG.integers(0, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.int64])
def test_labels_come_back_bit_for_bit(dtype):
    work = SavedLabels("cells × µ", labels(dtype, (1, 40, 50)), (3,), {"model": "pocket"})
    save(IMAGE, "one", work)
    ((saved,),) = [s.layers for s in find(IMAGE)]
    back = load(saved)
    assert back.labels.dtype == dtype
    np.testing.assert_array_equal(back.labels, work.labels)
    assert (back.name, back.plane, back.recipe) == (work.name, work.plane, work.recipe)
    assert saved.objects == 8
    assert autosave._count(work.labels.astype(np.int64) - 4) == 8
    assert autosave._count(np.zeros((0, 3), int)) == 0
    assert find("cd" * 32) == ()


def test_each_session_is_offered_newest_first_and_the_present_one_is_not():
    for run in ("old", "new", "present"):
        save(IMAGE, run, SavedLabels("a", labels()))
        save(IMAGE, run, SavedLabels("b", labels()))
        time.sleep(0.01)
    sessions = find(IMAGE, but="present")
    assert [s.layers[0].run for s in sessions] == ["new", "old"]
    assert [x.name for x in sessions[0].layers] == ["a", "b"] or len(sessions[0].layers) == 2
    assert sessions[0].objects == 16
    assert sessions[0].when >= sessions[1].when


def test_a_removed_layer_is_offered_only_where_nothing_else_is_left():
    for name in ("a", "b"):
        save(IMAGE, "one", SavedLabels(name, labels()))
    set_aside(IMAGE, "one", "a")
    (session,) = find(IMAGE)
    assert [x.name for x in session.layers] == ["b"]
    set_aside(IMAGE, "one", "b")
    (session,) = find(IMAGE)
    assert len(session.layers) == 1
    assert session.layers[0].gone
    save(IMAGE, "one", SavedLabels("a", labels()))  # an undo brought it back
    assert [x.name for x in find(IMAGE)[0].layers] == ["a"]


def test_a_kill_in_the_middle_of_a_write_leaves_the_state_before(tmp_path):
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


def test_a_full_disk_is_one_sentence_and_the_state_before_stays(monkeypatch):
    work = SavedLabels("cells", labels())
    save(IMAGE, "one", work)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UserError, match="The disk is full") as caught:
        save(IMAGE, "one", SavedLabels("cells", labels()))
    assert str(caught.value).startswith("'cells' is not being saved in the background: ")
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(load(find(IMAGE)[0].layers[0]).labels, work.labels)


def test_a_damaged_file_is_not_offered(folder):
    path = save(IMAGE, "one", SavedLabels("cells", labels()))
    (saved,) = find(IMAGE)[0].layers
    path.write_bytes(path.read_bytes()[:100])
    assert find(IMAGE) == ()
    with pytest.raises(UserError, match="cannot be read"):
        load(saved)


def test_old_files_go(folder, monkeypatch):
    monkeypatch.setattr(autosave, "MOST_FILES", 3)
    for k in range(5):
        path = save(IMAGE, f"r{k}", SavedLabels("cells", labels()))
        os.utime(path, (k, k))
    assert len(find(IMAGE)) == 3
    monkeypatch.setattr(autosave, "MOST_BYTES", 1)
    save(IMAGE, "last", SavedLabels("cells", labels()))
    assert [s.layers[0].run for s in find(IMAGE)] == ["last"]


def test_what_is_spared_and_the_newest_stay(tmp_path):
    for k in range(6):
        (tmp_path / f"{k}.x").write_bytes(b"12345")
        os.utime(tmp_path / f"{k}.x", (k, k))
    keep_newest(tmp_path, "*.x", files=2, n_bytes=100, keep=[tmp_path / "0.x"])
    assert sorted(p.name for p in tmp_path.glob("*.x")) == ["0.x", "4.x", "5.x"]
    keep_newest(tmp_path, "*.x", files=9, n_bytes=3)
    assert [p.name for p in tmp_path.glob("*.x")] == ["5.x"]
    keep_newest(tmp_path / "missing", "*", files=1, n_bytes=1)


class Counting:
    """An array that knows what was read of it."""

    def __init__(self, array):
        self.array, self.read = array, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, at):
        part = Counting(self.array[at])
        part.read = self
        return part

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array)


def test_images_are_told_apart_by_what_is_in_them():
    image = RNG.integers(0, 999, (40, 50)).astype(np.uint16)
    assert identity(image) == identity(image.copy())
    other = image.copy()
    other[20, 20] += 1
    assert len({identity(x) for x in (image, other, image.astype(np.int32), image.T)}) == 4
    stack = RNG.integers(0, 99, (5, 20, 20)).astype(np.uint8)
    changed = stack.copy()
    changed[4, 0, 0] += 1
    assert identity(stack) != identity(changed)
    assert identity([stack, stack[:, ::2, ::2]]) != identity(stack)
    rgb = RNG.integers(0, 99, (20, 20, 3)).astype(np.uint8)
    assert identity(rgb, rgb=True) == identity(rgb.copy(), rgb=True)


def test_a_very_large_plane_is_not_read_as_a_whole():
    big = np.zeros((5000, 5000), np.uint8)
    before = identity(big)
    big[2400, 2400] = 1  # in the middle block
    assert identity(big) != before
    lazy = Counting(big)
    assert identity(lazy) == identity(big)


def test_the_cache_folder_can_be_moved(tmp_path):
    assert cache_folder("x") == tmp_path / "x"
