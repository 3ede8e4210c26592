from __future__ import annotations

import errno
import os
import struct
import warnings

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.image.readers.registry import read_image

RAMP = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
COLOUR = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def tif(tmp_path):
    def write(array=RAMP, name="a.tif", **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tifffile.imwrite(tmp_path / name, array, **options)
        return tmp_path / name

    return write


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"bigtiff": True}])
def test_a_plain_tiff(tif, options):
    image = read_image(tif(**options))
    np.testing.assert_array_equal(image.array, RAMP)
    assert (image.rgb, image.axes, image.pixel_size, image.unit) == (False, "YX", None, "px")
    assert (image.name, image.notes) == ("a", ())


def test_lzw_which_old_instruments_write(tif):
    np.testing.assert_array_equal(read_image(tif(compression="lzw")).array, RAMP)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_ends_with_its_samples(tif, planar):
    stored = COLOUR if planar == "contig" else np.moveaxis(COLOUR, -1, 0)
    image = read_image(tif(stored, photometric="rgb", planarconfig=planar))
    assert (image.rgb, image.axes) == (True, "YXS")
    np.testing.assert_array_equal(image.array, COLOUR)
    assert prepare(image.array, rgb=image.rgb).shape == (20, 30)


def test_one_bit_and_white_is_zero(tif):
    bits = RAMP % 3 == 0
    np.testing.assert_array_equal(read_image(tif(bits, photometric="minisblack")).array, bits)
    grey = COLOUR[..., 0].copy()
    image = read_image(tif(grey, photometric="miniswhite"))
    np.testing.assert_array_equal(image.array, 255 - grey)
    assert "inverted" in image.notes[0]


@pytest.mark.parametrize(
    ("unit", "given", "size", "shown"),
    [
        ("nm", (0.5, 0.25), (0.25, 0.5), "nm"),
        ("µm", (0.5, 0.25), (0.25, 0.5), "µm"),
        ("mm", (0.002, 0.001), (1.0, 2.0), "µm"),
        ("Å", (20.0, 10.0), (1.0, 2.0), "nm"),
        ("pixel", (1.0, 1.0), None, "px"),
    ],
)
def test_ome_pixel_sizes(tif, unit, given, size, shown):
    meta = {
        "axes": "ZYX",
        "PhysicalSizeX": given[0],
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": given[1],
        "PhysicalSizeYUnit": unit,
    }
    image = read_image(tif(np.stack([RAMP] * 3), "s.ome.tif", metadata=meta, ome=True))
    assert image.axes == "ZYX"
    assert image.name == "s"
    assert image.unit == shown
    assert image.pixel_size == (size if size is None else pytest.approx(size))


@pytest.mark.parametrize(
    ("unit", "per_pixel", "size", "shown"),
    [
        ("nm", 2.0, 0.5, "nm"),
        ("micron", 4.0, 0.25, "µm"),
        ("\\u00B5m", 4.0, 0.25, "µm"),
        ("um", 4.0, 0.25, "µm"),
        ("inch", 72.0, None, "px"),
        ("pixel", 1.0, None, "px"),
    ],
)
def test_imagej_pixel_sizes(tif, unit, per_pixel, size, shown):
    path = tif(
        np.stack([RAMP] * 2),
        imagej=True,
        resolution=(per_pixel, per_pixel / 2),
        metadata={"unit": unit, "axes": "CYX"},
    )
    image = read_image(path)
    assert image.axes == "CYX"
    assert image.unit == shown
    assert image.pixel_size == (size if size is None else pytest.approx((size * 2, size)))


@pytest.mark.parametrize(
    ("meta", "z_step", "frame_time"),
    [
        ({"PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm", "TimeIncrement": 0.5}, 2000.0, 0.5),
        ({"PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "nm"}, 2.0, None),
        ({"TimeIncrement": 3.0, "TimeIncrementUnit": "min"}, None, 180.0),
        ({"PhysicalSizeZ": 1.0, "PhysicalSizeZUnit": "pixel"}, None, None),
        ({}, None, None),
    ],
)
def test_ome_distances_of_planes_and_frames(tif, meta, z_step, frame_time):
    size = {"PhysicalSizeX": 50.0, "PhysicalSizeXUnit": "nm"}
    size |= {"PhysicalSizeY": 50.0, "PhysicalSizeYUnit": "nm"}
    stack = np.stack([RAMP] * 6).reshape(2, 3, 20, 30)
    path = tif(stack, "s.ome.tif", metadata={"axes": "TZYX", **size, **meta}, ome=True)
    image = read_image(path)
    assert (image.pixel_size, image.unit) == ((50.0, 50.0), "nm")
    assert image.z_step == (z_step if z_step is None else pytest.approx(z_step))
    assert image.frame_time == (frame_time if frame_time is None else pytest.approx(frame_time))


@pytest.mark.parametrize(
    ("meta", "z_step", "frame_time"),
    [
        ({"unit": "um", "spacing": 1.5, "finterval": 0.25}, 1.5, 0.25),
        ({"unit": "um"}, None, None),
        ({"unit": "um", "spacing": 0.0, "finterval": -1.0}, None, None),
        ({"unit": "pixel", "spacing": 1.5}, None, None),
    ],
)
def test_imagej_distances_of_planes_and_frames(tif, meta, z_step, frame_time):
    stack = np.stack([RAMP] * 6).reshape(2, 3, 20, 30)
    path = tif(stack, imagej=True, resolution=(4.0, 4.0), metadata={"axes": "TZYX", **meta})
    image = read_image(path)
    assert (image.z_step, image.frame_time) == (z_step, frame_time)


@pytest.mark.parametrize(
    ("unit", "per_unit", "size"),
    [("CENTIMETER", 1e5, 0.1), ("INCH", 25400.0, 1.0), ("INCH", 300.0, None), ("NONE", 1e5, None)],
)
def test_resolution_tags_unless_they_are_about_paper(tif, unit, per_unit, size):
    image = read_image(tif(resolution=(per_unit, per_unit), resolutionunit=unit))
    assert image.pixel_size == (size if size is None else pytest.approx((size, size)))
    assert image.unit == ("px" if size is None else "µm")


def test_electron_microscope_headers(tif):
    fei = b"[Scan]\r\nPixelWidth=1.5e-009\r\nPixelHeight=2e-009\r\n"
    image = read_image(tif(extratags=[(34682, 2, len(fei) + 1, fei, True)]))
    assert image.pixel_size == pytest.approx((2.0, 1.5))
    assert image.unit == "nm"
    zeiss = b"0\r\n1\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2.5 nm\r\n"
    image = read_image(tif(extratags=[(34118, 2, len(zeiss) + 1, zeiss, True)]))
    assert image.pixel_size == pytest.approx((2.5, 2.5))
    assert image.unit == "nm"


@pytest.mark.parametrize("ending", ["png", "bmp", "jpg"])
def test_plain_images(tmp_path, ending):
    for array, rgb in ((COLOUR, True), (COLOUR[..., 0], False)):
        path = tmp_path / f"b.{ending}"
        iio.imwrite(path, array)
        image = read_image(path)
        assert (image.rgb, image.axes) == (rgb, "YXS" if rgb else "YX")
        assert (image.pixel_size, image.unit, image.name) == (None, "px", "b")
        assert image.array.shape == array.shape
        if ending != "jpg":
            np.testing.assert_array_equal(image.array, array)


def test_the_less_usual_kinds_of_png_and_jpeg(tmp_path):
    path = tmp_path / "c.png"
    iio.imwrite(path, RAMP)
    np.testing.assert_array_equal(read_image(path).array, RAMP)
    iio.imwrite(path, COLOUR[..., :2], mode="LA")
    image = read_image(path)
    np.testing.assert_array_equal(image.array, COLOUR[..., 0])
    assert image.notes
    path = tmp_path / "cmyk.jpg"
    iio.imwrite(path, np.full((16, 16, 4), 100, np.uint8), mode="CMYK", extension=".jpg")
    assert read_image(path).array.shape == (16, 16, 3)


def test_the_content_decides_not_the_name(tif):
    np.testing.assert_array_equal(read_image(tif(name="a.png")).array, RAMP)


def header_only(path, rows, cols, counts=None):
    """Write a TIFF that announces one uint8 strip of rows x cols and holds none of it."""
    tags = [(256, cols), (257, rows), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1)]
    tags += [(278, rows), (279, rows * cols if counts is None else counts)]
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + ifd + b"\0" * 200)
    return path


def truncated(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def with_bytes(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p, tif: p / "missing.tif", "There is no file"),
        (lambda p, tif: p, "is a folder"),
        (lambda p, tif: with_bytes(p / "e.tif", b""), "is empty"),
        (lambda p, tif: with_bytes(p / "t.tif", b"some text\n"), "not an image of a kind"),
        (lambda p, tif: with_bytes(p / "h.tif", b"II*\0\0\0\0\0"), "without an image|damaged"),
        (lambda p, tif: with_bytes(p / "j.png", b"\x89PNG\r\n\x1a\nxxxx"), "is damaged"),
        (lambda p, tif: header_only(p / "g.tif", 40_000, 40_000), "incomplete: it announces 152"),
        (lambda p, tif: header_only(p / "g.tif", 40_000, 40_000, 9), "incomplete: it announces"),
        (lambda p, tif: truncated(tif()), "incomplete|damaged"),
        (lambda p, tif: truncated(tif(compression="zlib")), "incomplete|damaged"),
        (lambda p, tif: truncated(tif(np.stack([RAMP] * 9))), "incomplete|damaged"),
    ],
)
def test_what_cannot_be_read_is_one_clear_sentence(tmp_path, tif, make, sentence):
    with pytest.raises(UserError, match=sentence):
        read_image(make(tmp_path, tif))


def test_a_truncated_png_is_damaged(tmp_path):
    path = tmp_path / "p.png"
    iio.imwrite(path, np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8))
    with pytest.raises(UserError, match="is damaged"):
        read_image(truncated(path))


def test_write_atomic_replaces_in_one_step(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with write_atomic(path) as part:
        assert part.parent == tmp_path
        assert part.suffix == ".csv"
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.csv"]


def write_half(path, error):
    with write_atomic(path) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize(
    ("error", "raised", "sentence"),
    [
        (OSError(errno.ENOSPC, "full"), UserError, "The disk is full"),
        (OSError(errno.EIO, "I/O error"), UserError, "could not be written"),
        (ValueError("a bug"), ValueError, "a bug"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, error, raised, sentence):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(raised, match=sentence):
        write_half(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.csv"]


def write_to_full_device(path):
    with write_atomic(path) as part:
        part.symlink_to("/dev/full")
        part.write_text("x" * 10_000)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_disk_that_is_really_full(tmp_path):
    with pytest.raises(UserError, match="The disk is full"):
        write_to_full_device(tmp_path / "a")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a folder closed even to root")
def test_a_folder_that_is_really_read_only():
    with pytest.raises(UserError, match="cannot be written to"):
        write_half("/sys/kernel/a.csv", RuntimeError("not reached"))


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="There is no folder"), write_atomic(tmp_path / "no" / "a"):
        pass
    with pytest.raises(UserError, match="is a folder"), write_atomic(tmp_path):
        pass
    with pytest.raises(UserError, match="could not be written"), write_atomic(tmp_path / "a"):
        pass  # nothing was written


@pytest.mark.parametrize("bits", [2, 4, 12])
@pytest.mark.parametrize("white", [False, True])
def test_low_bit_depths_are_inverted_within_their_bits(tif, bits, white):
    rows, cols = 16, 24
    values = np.random.default_rng(0).integers(0, 2**bits, (rows, cols))
    as_bits = ((values[..., None] >> np.arange(bits)[::-1]) & 1).reshape(rows, cols * bits)
    path = tif(np.packbits(as_bits.astype(np.uint8), axis=1), photometric="minisblack",
               metadata=None)  # fmt: skip
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages.first.tags
        tags["ImageWidth"].overwrite(cols)
        tags["BitsPerSample"].overwrite(bits)
        tags["PhotometricInterpretation"].overwrite(0 if white else 1)
    image = read_image(path)
    np.testing.assert_array_equal(image.array, 2**bits - 1 - values if white else values)
