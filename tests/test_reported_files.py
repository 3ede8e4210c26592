"""Files of the kinds that people reported to other projects, each with what is right.

Rows 03, 12 and 13 (layers of the window) are in `widgets/test_world.py`, 14 in
`widgets/test_multiscale_stack.py`.
"""

from __future__ import annotations

import json
import uuid

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import napari_samstar as ss
from napari_samstar.cli.main import app
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.labels import read_labels

PLAIN = {"photometric": "minisblack"}
BARE = PLAIN | {"metadata": None}


def discs(rows=256, cols=320, step=64, radius=14, level=190) -> np.ndarray:
    y, x = np.mgrid[:rows, :cols]
    near = (y % step - step // 2) ** 2 + (x % step - step // 2) ** 2 < radius**2
    near &= (x < cols // step * step) & (y < rows // step * step)
    image = np.where(near, level, 60) + np.random.default_rng(0).normal(0, 6, (rows, cols))
    return np.clip(image, 0, 255).astype(np.uint8)


DISCS = discs()


def samstar(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return result


def n_objects(path, out, *options) -> int:
    shown = samstar("segment", path, "-o", out, "--json", "--device", "cpu", *options).stdout
    return int(json.loads(shown)["objects"])


def test_01_channels_are_channels(tmp_path):
    czyx = np.zeros((2, 7, 256, 320), np.uint8)
    czyx[0], czyx[1] = discs(step=128, radius=30), DISCS
    path = tmp_path / "czyx.ome.tif"
    tifffile.imwrite(path, czyx, **PLAIN, metadata={"axes": "CZYX"})
    for channel in (0, 1):
        image = ss.read(path, channel=channel, stretch="none")
        np.testing.assert_array_equal(image.prepare().pixels[..., 0], czyx[channel, 3])
    assert n_objects(path, tmp_path / "out", "--channel", "0") == 4
    assert "no channel '5'" in samstar(
        "segment", path, "-o", tmp_path / "none", "--channel", "5", code=1
    ).stderr  # fmt: skip


def test_02_the_file_that_was_named_is_read(tmp_path, capfd):
    stack = np.stack([DISCS, 255 - DISCS, DISCS // 2]).astype(np.uint16)
    ids = [f"urn:uuid:{uuid.UUID(int=k + 1)}" for k in range(3)]
    blocks = "".join(
        f'<TiffData IFD="0" FirstZ="{k}" FirstC="0" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="z{k}.ome.tif">{ids[k]}</UUID></TiffData>'
        for k in range(3)
    )
    for k in range(3):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[k]}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            'SizeX="320" SizeY="256" SizeC="1" SizeZ="3" SizeT="1" PhysicalSizeX="0.2">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"z{k}.ome.tif", stack[k], **BARE, description=xml)
    for k in range(3):
        image = ss.read(tmp_path / f"z{k}.ome.tif")
        np.testing.assert_array_equal(image.array, stack[k])
        assert image.pixel_size == (0.2, 0.2)
        assert "belongs to a set of 3" in image.notes[0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("fill", [0, 65535])
def test_04_a_filled_border(tmp_path, fill):
    image = (30000 + DISCS.astype(np.float32)).astype(np.uint16)
    image[:, :8] = fill
    tifffile.imwrite(tmp_path / "a.tif", image, **PLAIN)
    assert n_objects(tmp_path / "a.tif", tmp_path / "out") == 20


def test_05_grey_with_transparency(tmp_path):
    path = tmp_path / "a.tif"
    both = np.dstack([DISCS, np.full_like(DISCS, 255)])
    tifffile.imwrite(path, both, **PLAIN, planarconfig="contig", extrasamples=["unassalpha"])
    image = ss.read(path)
    np.testing.assert_array_equal(image.array, DISCS)
    assert image.notes == ("Its transparency was left out.",)


def test_06_inks(tmp_path):
    rgb = np.dstack([DISCS, DISCS // 2, 255 - DISCS])
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(ss.read(tmp_path / "a.tif").array, rgb)


@pytest.mark.parametrize(
    ("unit", "resolution", "code"),
    [("cm", 28.346, 3), ("cm", 118.11, 3), ("inch", 72, 2), ("inch", 300, 2), ("cm", 37.795, 3)],
)
def test_07_printing_resolutions_are_no_pixel_size(tmp_path, unit, resolution, code):
    tifffile.imwrite(
        tmp_path / "a.tif", DISCS, **BARE, description=f"ImageJ=1.54f\nimages=1\nunit={unit}\n",
        resolution=(resolution, resolution), resolutionunit=code,
    )  # fmt: skip
    image = ss.read(tmp_path / "a.tif")
    assert (image.pixel_size, image.unit) == (None, "px")
    assert any("dpi" in note for note in image.notes)


@pytest.mark.parametrize("unit", ["\u00c5", "\u212b", "angstrom", "A"])
def test_08_units_in_any_spelling(tmp_path, unit):
    tifffile.imwrite(tmp_path / "a.tif", DISCS, **PLAIN)
    run = ("info", tmp_path / "a.tif", "--json", "--pixel-size", ".32", "--unit", unit)
    (about,) = json.loads(samstar(*run).stdout)["images"]
    assert about["pixel_size"] == pytest.approx([0.032, 0.032])
    assert about["unit"] == "nm"
    assert "is not a unit of length" in samstar(*run[:-1], "kg", code=2).stderr


def labelled() -> np.ndarray:
    labels = np.zeros(DISCS.shape, np.uint8)
    labels[20:50, 20:50], labels[20:50, 80:110] = 1, 2
    return labels


def test_09_10_labels_are_numbers(tmp_path):
    image = ss.read(_written(tmp_path / "image.tif", DISCS))
    white = tmp_path / "white.tif"
    tifffile.imwrite(white, labelled(), photometric="miniswhite", metadata=None,
                     description="ImageJ=1.54f\nimages=1\n")  # fmt: skip
    floats = _written(tmp_path / "float.tif", labelled().astype(np.float32))
    for path in (white, floats):
        np.testing.assert_array_equal(read_labels(path, image).labels, labelled())
    mask = _written(tmp_path / "mask.tif", np.where(labelled(), 255, 0).astype(np.uint8))
    assert "counts as one object; it has 2 connected parts" in read_labels(mask, image).note


def _written(path, array):
    tifffile.imwrite(path, array, **PLAIN)
    return path


def test_11_a_thumbnail_comes_first(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(DISCS[::4, ::4], subfiletype=1, **BARE)
        writer.write(DISCS, subfiletype=0, **BARE)
    image = ss.read(path)
    np.testing.assert_array_equal(image.array, DISCS)
    assert len(image.series) == 2
    (about,) = json.loads(samstar("info", path, "--json", "--series", "0").stdout)["images"]
    assert about["shape"] == [64, 80]
    assert "There is no image 2" in samstar("info", path, "--series", "2", code=1).stderr


def test_15_decimal_commas(tmp_path):
    header = (
        "\r\n0\r\n0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2,614 nm\r\nDP_X\r\nFoo = Bar\r\n"
    )
    path = tmp_path / "a.tif"
    tags = [(34118, "s", 0, header.encode("cp1252"), True)]
    tifffile.imwrite(path, DISCS, **BARE, extratags=tags)
    image = ss.read(path)
    assert (image.pixel_size, image.unit) == ((2.614, 2.614), "nm")
    asked = samstar("info", path, "--pixel-size", "1,5", "--unit", "nm", code=2).stderr
    assert "1.5" in asked


def test_16_headers_of_other_makers(tmp_path):
    nm = "nm\0".encode("utf-16-le")
    dm = [(65003, "B", len(nm), nm, True), (65004, "B", len(nm), nm, True),
          (65009, "d", 1, 0.32, True), (65010, "d", 1, 0.32, True)]  # fmt: skip
    text = b"[MAIN]\r\nPixelSizeX=1.25e-009\r\nPixelSizeY=1.25e-009\r\n"
    tescan = [(50431, "B", len(text), text, True)]
    for tags, size in ((dm, 0.32), (tescan, 1.25)):
        tifffile.imwrite(tmp_path / "a.tif", DISCS, **BARE, extratags=tags)
        image = ss.read(tmp_path / "a.tif")
        assert image.pixel_size == pytest.approx((size, size))
        assert image.unit == "nm"


def test_17_a_data_bar_is_no_object(tmp_path):
    bar = Image.new("L", (640, 48), 0)
    pen = ImageDraw.Draw(bar)
    pen.rectangle((0, 0, 639, 47), outline=255)
    pen.text((10, 15), "HV 10.0 kV  WD 5.0 mm  mag 50 000 x  HFW 4.16 um", fill=255)
    pen.rectangle((430, 22, 600, 30), fill=255)
    pen.text((490, 32), "1 um", fill=255)
    image = np.vstack([discs(448, 640), np.asarray(bar)])
    ini = "[Scan]\r\nPixelWidth=6.5e-009\r\n[PrivateFei]\r\nDatabarHeight=48\r\n"
    tifffile.imwrite(tmp_path / "fei.tif", image, **BARE, extratags=[(34682, "s", 0, ini, True)])
    tifffile.imwrite(tmp_path / "plain.tif", image, **BARE)
    for name in ("fei", "plain"):
        assert n_objects(tmp_path / f"{name}.tif", tmp_path / name) == 70
    kept = n_objects(tmp_path / "fei.tif", tmp_path / "kept", "--keep-data-bar")
    assert kept > 70
    corner = ("--keep-data-bar", "--leave-out", "0,448,640,496")
    assert n_objects(tmp_path / "fei.tif", tmp_path / "two clicks", *corner) == 70


def test_19_20_patterns_folders_and_tables(tmp_path):
    folder = tmp_path / "A"
    folder.mkdir()
    for k in (1, 2):
        tifffile.imwrite(folder / f"Größe {k}.tif", np.roll(DISCS, 9 * k, axis=0), **PLAIN)
    samstar("segment", folder / "Größe 1.tif", "-o", tmp_path / "one", "--pixel-size", "2",
            "--unit", "um", "--device", "cpu")  # fmt: skip
    recipe = tmp_path / "one" / "recipe.samstar.json"
    for k, given in enumerate((folder, folder / "*.tif")):
        samstar(
            "apply", recipe, given, "-o", tmp_path / str(k), "--pixel-size", "2", "--unit", "um"
        )
        about = pd.read_csv(tmp_path / str(k) / "all_images.csv")
        assert about["image"].tolist() == [str(folder / f"Größe {n}.tif") for n in (1, 2)]
        objects = pd.read_csv(tmp_path / str(k) / "all_objects.csv")
        assert len(objects) == about["objects"].sum() > 30
        assert objects["diameter_µm"].median() == pytest.approx(56, rel=0.05)
        raw = (tmp_path / str(k) / "all_objects.csv").read_bytes()
        assert raw.startswith(b"\xef\xbb\xbf")  # Excel needs it to read µ and ß
    with pytest.raises(UserError, match="There is no file"):
        ss.read(folder / "*.tif")
