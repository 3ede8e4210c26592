from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.image.readers import tiff, tiff_lazy
from napari_samstar.core.image.readers.lazy import LazyArray, full_index
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.image.readers.samples import MappedArray, SampleMap

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 999, (3, 2, 40, 60)).astype(np.uint16)
COLOUR = RNG.integers(0, 255, (40, 60, 3), dtype=np.uint8)

STORED = {
    "one block": {},
    "strips": {"compression": "zlib", "rowsperstrip": 7},
    "one strip": {"compression": "zlib", "rowsperstrip": 40},
    "tiles": {"tile": (16, 32)},
    "compressed tiles": {"tile": (16, 32), "compression": "zlib", "predictor": True},
    "big-endian strips": {"compression": "zlib", "rowsperstrip": 7, "byteorder": ">"},
}


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(tiff, "LAZY_BYTES", 100)


def write(path, array, **options):
    tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
    return path


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("coarse", [False, True])
def test_a_large_stack_is_lazy_and_gives_the_same_values(tmp_path, monkeypatch, stored, coarse):
    if coarse:
        monkeypatch.setattr(tiff_lazy, "COARSE_PIXELS", 10)
    path = write(tmp_path / "a.tif", STACK, metadata={"axes": "TZYX"}, **STORED[stored])
    lazy = read_image(path).array
    assert isinstance(lazy, LazyArray)
    assert (lazy.shape, lazy.dtype, lazy.ndim, len(lazy)) == (STACK.shape, STACK.dtype, 4, 3)
    assert (lazy.size, lazy.nbytes) == (STACK.size, STACK.nbytes)
    for index in [
        (2, 1),
        1,
        (slice(1, 3), 0),
        (1, 1, slice(3, 25), 7),
        (1, 0, slice(3, 25), slice(20, 55)),
        (..., 0),
        (-1, ..., -1),
        (2, 1, slice(-9, None, 3), slice(None, None, 2)),
        (0, 0, slice(9, 3)),
    ]:
        np.testing.assert_array_equal(lazy[index], STACK[index])
    np.testing.assert_array_equal(np.asarray(lazy), STACK)
    mapping = ImageMapping(plane=(0, 1), projection="max")
    np.testing.assert_array_equal(prepare(lazy, mapping).rgb, prepare(STACK, mapping).rgb)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 7}])
def test_lazy_colours_end_with_their_samples(tmp_path, planar, options):
    stored = COLOUR if planar == "contig" else np.moveaxis(COLOUR, -1, 0)
    path = write(tmp_path / "c.tif", stored, photometric="rgb", planarconfig=planar, **options)
    image = read_image(path)
    assert isinstance(image.array, LazyArray)
    assert (image.rgb, image.axes, image.plane_shape) == (True, "YXS", (40, 60))
    np.testing.assert_array_equal(image.array, COLOUR)
    np.testing.assert_array_equal(image.array[3:20, 5:9], COLOUR[3:20, 5:9])
    np.testing.assert_array_equal(image.array[:, 5, 1], COLOUR[:, 5, 1])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_lazy_white_is_zero_is_inverted_as_a_small_one_is(tmp_path, monkeypatch, options):
    path = write(tmp_path / "w.tif", COLOUR[..., 0], photometric="miniswhite", **options)
    lazy = read_image(path)
    monkeypatch.undo()
    small = read_image(path)
    assert isinstance(lazy.array, MappedArray)
    assert isinstance(small.array, np.ndarray)
    np.testing.assert_array_equal(lazy.array, small.array)
    np.testing.assert_array_equal(lazy.array[4:9, 3], 255 - COLOUR[4:9, 3, 0])
    assert lazy.notes == small.notes == ("The file stores white as zero, so it was inverted.",)


def test_one_bit_values_are_lazy_too(tmp_path):
    bits = STACK[0, 0] % 3 == 0
    lazy = read_image(write(tmp_path / "b.tif", bits)).array
    assert isinstance(lazy, LazyArray)
    np.testing.assert_array_equal(lazy[3:30, 9:50], bits[3:30, 9:50])


def test_a_window_of_tiles_reads_only_the_tiles_that_it_touches(tmp_path):
    path = write(tmp_path / "t.tif", STACK[0, 0, :32], tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        starts = tif.pages[0].dataoffsets
    content = bytearray(path.read_bytes())
    content[starts[5] : starts[5] + 20] = b"\xff" * 20  # the tile of rows 16-31, columns 16-31
    path.write_bytes(content)
    lazy = read_image(path).array
    np.testing.assert_array_equal(lazy[:16], STACK[0, 0, :16])
    np.testing.assert_array_equal(lazy[16:, 32:], STACK[0, 0, 16:32, 32:])
    with pytest.raises(UserError, match=r"t\.tif is damaged"):
        lazy[16:, :20]


def test_damage_of_one_plane_is_said_when_that_plane_is_read(tmp_path):
    path = write(tmp_path / "d.tif", STACK[:, 0], compression="zlib")
    lazy = read_image(path).array
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[2].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    np.testing.assert_array_equal(lazy[0], STACK[0, 0])
    with pytest.raises(UserError, match=r"d\.tif is damaged"):
        lazy[2]


def test_a_file_that_is_gone_when_it_is_read_says_so(tmp_path):
    path = write(tmp_path / "g.tif", STACK)
    lazy = read_image(path).array
    path.unlink()
    with pytest.raises(UserError, match=r"g\.tif is gone"):
        lazy[0, 0]


@pytest.mark.parametrize("stored", STORED)
def test_another_process_reads_the_same_from_a_pickle(tmp_path, stored):
    path = write(tmp_path / "p.tif", STACK, metadata={"axes": "TZYX"}, **STORED[stored])
    lazy = read_image(path).array
    lazy[0, 0]  # an open file must not hinder pickling
    sent = pickle.dumps(lazy)
    assert len(sent) < 1000
    (tmp_path / "lazy.pickle").write_bytes(sent)
    code = (
        "import pickle, pathlib, numpy;"
        f"lazy = pickle.loads(pathlib.Path({str(tmp_path / 'lazy.pickle')!r}).read_bytes());"
        f"numpy.save({str(tmp_path / 'out.npy')!r}, lazy[2, 1, 5:30, 10:50])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(tmp_path.anchor))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), STACK[2, 1, 5:30, 10:50])


@pytest.mark.parametrize("stored", STORED)
def test_threads_share_one_lazy_image(tmp_path, stored):
    path = write(tmp_path / "m.tif", STACK, metadata={"axes": "TZYX"}, **STORED[stored])
    lazy = read_image(path).array
    wrong: list[object] = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(40):
            t, z, row, col = rng.integers(0, (3, 2, 30, 50))
            index = (int(t), int(z), slice(row, row + 9), slice(col, col + 9))
            try:
                if not np.array_equal(lazy[index], STACK[index]):
                    wrong.append(index)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_plane_above_the_limit_is_read_by_windows_where_its_parts_allow(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "LAZY_BYTES", 10**9)
    monkeypatch.setattr(tiff, "MOST_PIXELS", 1000)
    for k, options in enumerate([{}, {"tile": (16, 32), "compression": "zlib"}]):
        lazy = read_image(write(tmp_path / f"{k}.tif", STACK[0, 0], **options)).array
        assert isinstance(lazy, LazyArray)
        np.testing.assert_array_equal(lazy[30:, 50:], STACK[0, 0, 30:, 50:])
    path = write(tmp_path / "s.tif", STACK[0, 0], compression="zlib", rowsperstrip=40)
    with pytest.raises(UserError, match=r"planes of 40 x 60 pixels.*save it with tiles"):
        read_image(path)


def test_the_file_is_closed_when_the_image_is_gone(tmp_path):
    path = write(tmp_path / "f.tif", STACK, compression="zlib")
    lazy = read_image(path).array
    lazy[0, 0]
    stored = lazy._opened()
    handle = stored.store._data[0].keyframe.parent.filehandle
    assert not handle.closed
    del lazy
    assert handle.closed


def two_files(folder, **options):
    """Write one OME image of two frames in two files; return the path of the first."""
    ids = ["urn:uuid:11111111-1111-1111-1111-111111111111", "urn:uuid:2" + "2" * 35]
    blocks = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="{t}.ome.tif">{ids[t]}'
        "</UUID></TiffData>"
        for t in range(2)
    )
    for t in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[t]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="60" SizeY="40" SizeZ="1" SizeC="1" SizeT="2">'
            f'<Channel ID="Channel:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
        )
        write(folder / f"{t}.ome.tif", STACK[t, 0], description=xml, metadata=None, **options)
    return folder / "0.ome.tif"


@pytest.mark.parametrize("others", ["there", "gone", "renamed"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_of_a_set_of_files_the_named_one_is_read(tmp_path, capfd, options, others):
    two_files(tmp_path, **options)
    for k in range(2):
        path = tmp_path / f"{k}.ome.tif"
        if others == "gone":
            (tmp_path / f"{1 - k}.ome.tif").rename(tmp_path / "away")
        elif others == "renamed":
            path = path.rename(tmp_path / f"other{k}.tif")
        image = read_image(path)
        assert isinstance(image.array, LazyArray)
        note = "The file belongs to a set of 2; only its own planes were read."
        assert (image.axes, image.notes) == ("YX", (note,))
        np.testing.assert_array_equal(image.array, STACK[k, 0])
        if others == "gone":
            (tmp_path / "away").rename(tmp_path / f"{1 - k}.ome.tif")
    assert capfd.readouterr() == ("", "")


@st.composite
def indices(draw):
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    one = st.one_of(
        st.integers(-5, 5),
        st.builds(
            slice,
            st.none() | st.integers(-7, 7),
            st.none() | st.integers(-7, 7),
            st.none() | st.integers(1, 3),
        ),
    )
    index = draw(st.lists(one, max_size=len(shape)))
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), ...)
    return shape, tuple(index)


@settings(max_examples=300, deadline=None)
@given(indices())
def test_an_index_in_full_means_what_numpy_means(case):
    shape, index = case
    array = np.arange(np.prod(shape)).reshape(shape)
    try:
        expected = array[index]
    except IndexError:
        with pytest.raises(IndexError):
            full_index(index, shape)
        return
    np.testing.assert_array_equal(array[full_index(index, shape)], expected)


@pytest.mark.parametrize("index", [[0, 1], None, (0, 0, 0), 1.0, slice(None, None, -1), "a"])
def test_indices_of_other_kinds_are_refused(index):
    with pytest.raises(IndexError):
        full_index(index, (3, 4))


MAPS = {
    "first": ((4, 5, 2), SampleMap("first")),
    "colours": ((3, 4, 5, 4), SampleMap("colours")),
    "reversed": ((4, 5, 3), SampleMap("reversed")),
    "invert": ((3, 4, 5), SampleMap("invert")),
    "cmyk": ((2, 4, 5, 4), SampleMap("cmyk")),
    "ycbcr": ((4, 5, 3), SampleMap("ycbcr")),
    "palette": (
        (2, 4, 5),
        SampleMap("palette", np.arange(768, dtype=np.int64).reshape(256, 3).astype(np.uint8)),
    ),
}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MAPS)), st.data())
def test_mapped_samples_are_indexed_as_numpy_is(name, data):
    shape, samples = MAPS[name]
    stored = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    lazy, whole = MappedArray(stored, samples), samples(stored)
    assert (lazy.shape, lazy.dtype, lazy.ndim) == (whole.shape, whole.dtype, whole.ndim)
    np.testing.assert_array_equal(lazy, whole)
    one = st.one_of(st.integers(-2, 1), st.builds(slice, st.integers(0, 2), st.integers(2, 9)))
    index = tuple(data.draw(st.lists(one, max_size=lazy.ndim)))
    np.testing.assert_array_equal(lazy[index], whole[index])
