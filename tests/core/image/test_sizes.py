"""Pixel sizes from everything that instruments write, and none from what is about paper."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.image.readers.tiff_sizes import tiff_sizes

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage

PIXELS = (np.arange(64 * 80).reshape(64, 80) % 251).astype(np.uint8)


def _written(folder: Path, **options: Any) -> LoadedImage:
    path = folder / "a.tif"
    tifffile.imwrite(path, PIXELS, **{"metadata": None, **options})
    return read_image(path)


def _tag(code: int, value: bytes) -> tuple[Any, ...]:
    return (code, 7, len(value), value, True)


def _text(code: int, value: str, encoding: str = "latin-1") -> tuple[Any, ...]:
    return (code, 2, 0, value.encode(encoding) + b"\0", True)


def _digital_micrograph(row: float, col: float, row_unit: str, col_unit: str) -> list[Any]:
    units = [(65003, col_unit), (65004, row_unit)]
    return [
        *((code, 7, 2 * len(u), u.encode("utf-16-le"), True) for code, u in units),
        (65009, 12, 1, col, True),
        (65010, 12, 1, row, True),
    ]


FEI_XML = (
    '<?xml version="1.0"?><Metadata xmlns:nil="x"><BinaryResult><PixelSize>'
    '<X unit="m">1.25E-09</X><Y unit="m">2.5E-09</Y></PixelSize></BinaryResult></Metadata>'
)
FLAT_XML = "<Image><pixelWidth unit='nm'>1,25</pixelWidth><pixelHeight>2.5E-9</pixelHeight></Image>"
METASERIES = (
    '<MetaData><PlaneInfo><prop id="spatial-calibration-state" type="bool" value="on"/>'
    '<prop id="spatial-calibration-x" type="float" value="0.25"/>'
    '<prop id="spatial-calibration-y" type="float" value="0.5"/>'
    '<prop id="spatial-calibration-units" type="string" value="um"/></PlaneInfo></MetaData>'
)


@pytest.mark.parametrize(
    ("tags", "size", "unit", "source"),
    [
        ([_text(34682, "[Scan]\r\nPixelWidth=1.5e-009\r\nPixelHeight=2e-009\r\n")],
         (2.0, 1.5), "nm", "FEI or Thermo Fisher"),
        ([_text(34680, "[EScan]\r\nPixelWidth=1.5e-006\r\nPixelHeight=2e-006\r\n")],
         (2.0, 1.5), "µm", "FEI or Thermo Fisher"),
        ([_text(34682, "[Scan]\r\nPixelWidth=1,5e-009\r\nPixelHeight=2,0e-009\r\n")],
         (2.0, 1.5), "nm", "FEI or Thermo Fisher"),
        ([_text(34683, FEI_XML)], (2.5, 1.25), "nm", "FEI or Thermo Fisher"),
        ([_text(270, FEI_XML)], (2.5, 1.25), "nm", "FEI or Thermo Fisher"),
        ([_text(270, FLAT_XML)], (2.5, 1.25), "nm", "FEI or Thermo Fisher"),
        ([_text(34118, "0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2,614 nm\r\n")],
         (2.614, 2.614), "nm", "Zeiss"),
        ([_text(34118, "0\r\nAP_PIXEL_SIZE\r\nPixel Size = 1.5 µm\r\n")],
         (1.5, 1.5), "µm", "Zeiss"),
        ([_text(34118, "0\r\nAP_PIXEL_SIZE\r\nPixel Size = 250 pm\r\n")],
         (0.25, 0.25), "nm", "Zeiss"),
        ([_tag(50431, b"\0\0[MAIN]\r\nPixelSizeX=1.25e-09\r\nPixelSizeY=2.5e-09\r\n")],
         (2.5, 1.25), "nm", "TESCAN"),
        ([_tag(50431, b"[MAIN]\r\nPixelSizeX=1,25e-09\r\nPixelSizeY=2,5e-09\r\n")],
         (2.5, 1.25), "nm", "TESCAN"),
        (_digital_micrograph(0.64, 0.32, "nm", "nm"), (0.64, 0.32), "nm", "DigitalMicrograph"),
        (_digital_micrograph(0.64, 0.32, "µm", "µm"), (0.64, 0.32), "µm", "DigitalMicrograph"),
        (_digital_micrograph(0.001, 1.0, "µm", "nm"), (0.001, 0.001), "µm", "DigitalMicrograph"),
        (_digital_micrograph(3.2, 3.2, "Å", "Å"), (0.32, 0.32), "nm", "DigitalMicrograph"),
        ([_text(270, "Aperio Image Library v1\r\n80x64 |AppMag = 20|MPP = 0.4990")],
         (0.499, 0.499), "µm", "Aperio"),
    ],
)  # fmt: skip
def test_headers_of_instruments(
    tmp_path: Path, tags: list[Any], size: tuple[float, float], unit: str, source: str
) -> None:
    image = _written(tmp_path, extratags=tags, resolution=(72, 72))
    assert image.pixel_size == pytest.approx(size)
    assert image.unit == unit
    assert len(image.notes) == 1
    assert source in image.notes[0]


@pytest.mark.parametrize(("state", "size"), [("on", (0.5, 0.25)), ("off", None)])
def test_metamorph_says_whether_it_is_calibrated(tmp_path: Path, state: str, size: Any) -> None:
    xml = METASERIES.replace('value="on"', f'value="{state}"')
    image = _written(tmp_path, software="MetaSeries", description=xml)
    assert image.pixel_size == size
    assert [("MetaMorph" in note) for note in image.notes] == ([] if size is None else [True])


@pytest.mark.parametrize(
    ("name", "meta", "expected"),
    [
        ("sis", {"pixelsizex": 1e-9, "pixelsizey": 2e-9}, ((2.0, 1.0), "nm")),
        ("lsm", {"VoxelSizeX": 1e-7, "VoxelSizeY": 2e-7, "VoxelSizeZ": 1e-6}, ((0.2, 0.1), "µm")),
        ("stk", {"XCalibration": 0.1, "YCalibration": 0.2, "CalibrationUnits": "um",
                 "SpatialCalibration": True}, ((0.2, 0.1), "µm")),
        ("stk", {"XCalibration": 1.0, "YCalibration": 1.0, "CalibrationUnits": "um",
                 "SpatialCalibration": False}, (None, "px")),
        ("fluoview", {"Dimensions": [("x", 80, 0.0, 0.1, "um"), ("y", 64, 0.0, 0.2, "um")]},
         ((0.2, 0.1), "µm")),
        ("micromanager", {"Summary": {"PixelSizeUm": 0.1}}, ((0.1, 0.1), "µm")),
        ("micromanager", {"Summary": {"PixelSizeUm": 0}}, (None, "px")),
        ("tvips", {"PixelSizeX": 0.1, "PixelSizeY": 0.2}, ((0.2, 0.1), "nm")),
    ],
)  # fmt: skip
def test_what_tifffile_parses_of_other_makers(
    tmp_path: Path, name: str, meta: dict[str, Any], expected: Any
) -> None:
    """No writer makes these files: what tifffile documents of them stands in for one."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, metadata=None)

    class Parsed(tifffile.TiffFile):
        """A file for which tifffile has parsed the metadata of a maker."""

    setattr(Parsed, f"{name}_metadata", property(lambda _: meta))
    setattr(Parsed, f"is_{name}", True)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.series) == 1  # found before the file is taken for one of the maker's
        tif.__class__ = Parsed
        sizes = tiff_sizes(tif, 0, path)
    assert (sizes.pixel_size, sizes.unit) == (
        expected[0] and pytest.approx(expected[0]),
        expected[1],
    )
    assert len(sizes.notes) == (expected[0] is not None)


def test_diffraction_patterns_have_no_size_of_pixels(tmp_path: Path) -> None:
    image = _written(tmp_path, extratags=_digital_micrograph(0.1, 0.1, "1/nm", "1/nm"))
    assert (image.pixel_size, image.unit) == (None, "px")


# --- text files beside the image ------------------------------------------------------------------

JEOL = "$CM_FORMAT JEOL-SEM\r\n$CM_FULL_SIZE {width} 60\r\n$$SM_MICRON_BAR 100\r\n" \
       "$$SM_MICRON_MARKER {marker}\r\n"  # fmt: skip
HITACHI = "[SemImageFile]\r\nDataSize={width}x64\r\nPixelSize={size}\r\n"
TESCAN = "[MAIN]\r\nPixelSizeX=1.25e-09\r\nPixelSizeY=2.5e-09\r\n"


@pytest.mark.parametrize("ending", ["tif", "png", "bmp", "jpg"])
@pytest.mark.parametrize(
    ("name", "text", "size", "unit", "maker"),
    [
        ("a.txt", JEOL.format(width=80, marker="1um"), (0.01, 0.01), "µm", "JEOL"),
        ("a.TXT", JEOL.format(width=80, marker="1 µm"), (0.01, 0.01), "µm", "JEOL"),
        ("a.txt", JEOL.format(width=80, marker="0,5µm"), (0.005, 0.005), "µm", "JEOL"),
        ("a.txt", JEOL.format(width=80, marker="100nm"), (1.0, 1.0), "nm", "JEOL"),
        ("a.txt", JEOL.format(width=1280, marker="100nm"), None, "px", ""),  # scaled since
        ("a.txt", HITACHI.format(width=80, size="4.96"), (4.96, 4.96), "nm", "Hitachi"),
        ("a.txt", HITACHI.format(width=160, size="4.96"), None, "px", ""),
        ("a.hdr", TESCAN, (2.5, 1.25), "nm", "TESCAN"),
        ("a.txt", "PixelSize = 3\r\nsome notes of the user", None, "px", ""),
        ("b.txt", JEOL.format(width=80, marker="1um"), None, "px", ""),
    ],
)  # fmt: skip
def test_text_files_beside_the_image(
    tmp_path: Path, ending: str, name: str, text: str, size: Any, unit: str, maker: str
) -> None:
    path = tmp_path / f"a.{ending}"
    PillowImage.fromarray(PIXELS).save(path)
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    image = read_image(path)
    assert image.pixel_size == (None if size is None else pytest.approx(size))
    assert image.unit == unit
    sources = [note for note in image.notes if "is from" in note]
    assert [maker in note for note in sources] == ([True] if maker else [])


def test_a_text_file_is_better_than_resolution_tags_but_not_than_imagej(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(JEOL.format(width=80, marker="1um"))
    tags = {"resolution": (25400, 25400), "resolutionunit": "INCH"}
    assert _written(tmp_path, **tags).pixel_size == pytest.approx((0.01, 0.01))
    imagej = {"imagej": True, "resolution": (5, 5), "metadata": {"unit": "um"}}
    assert _written(tmp_path, **imagej).pixel_size == pytest.approx((0.2, 0.2))


# --- paper ----------------------------------------------------------------------------------------

DPI = [72, 96, 150, 200, 300, 600, 1200, 2400]


@pytest.mark.parametrize("dpi", DPI)
@pytest.mark.parametrize("how", ["INCH", "CENTIMETER", "inch", "inches", "in", "cm", "centimeter"])
def test_resolutions_of_paper_in_tiff(tmp_path: Path, dpi: int, how: str) -> None:
    per_unit = dpi / 2.54 if how[0] in "cC" else dpi
    options: dict[str, Any] = {"resolution": (per_unit, per_unit)}
    if how.isupper():
        options["resolutionunit"] = how
    else:
        options |= {"imagej": True, "metadata": {"unit": how}}
    image = _written(tmp_path, **options)
    assert (image.pixel_size, image.unit) == (None, "px")
    assert image.notes == (
        f"Its resolution of {dpi} dpi is for printing: the pixel size is not known.",
    )


@pytest.mark.parametrize("dpi", DPI)
@pytest.mark.parametrize("ending", ["png", "bmp", "jpg"])
def test_resolutions_of_paper_in_other_files(tmp_path: Path, dpi: int, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    PillowImage.fromarray(PIXELS).save(path, dpi=(dpi, dpi))
    image = read_image(path)
    assert (image.pixel_size, image.unit) == (None, "px")
    assert image.notes == (
        f"Its resolution of {dpi} dpi is for printing: the pixel size is not known.",
    )


@pytest.mark.parametrize(("ending", "rel"), [("png", 1e-4), ("bmp", 1e-3), ("jpg", 1e-3)])
def test_fine_resolutions_are_pixel_sizes(tmp_path: Path, ending: str, rel: float) -> None:
    path = tmp_path / f"a.{ending}"
    PillowImage.fromarray(PIXELS).save(path, dpi=(25400, 12700))  # 1 µm per column, 2 µm per row
    image = read_image(path)
    assert image.unit == "µm"
    if ending != "bmp":  # Pillow writes one number for both
        assert image.pixel_size == pytest.approx((2.0, 1.0), rel=rel)
    assert image.notes == ("The pixel size is from the file's resolution.",)


@pytest.mark.parametrize("unit", ["nm", "um", "micron", "mm", "\\u00B5m"])
def test_imagej_in_units_of_the_microscope_is_never_paper(tmp_path: Path, unit: str) -> None:
    image = _written(tmp_path, imagej=True, resolution=(72, 72), metadata={"unit": unit})
    assert image.pixel_size is not None
    assert image.notes == ()


def test_tags_that_say_nothing(tmp_path: Path) -> None:
    for options in (
        {},
        {"resolution": (1, 1)},
        {"resolution": (1, 1), "resolutionunit": "NONE"},
        {"resolution": (0, 1)},
    ):
        image = _written(tmp_path, **options)
        assert (image.pixel_size, image.unit, image.notes) == (None, "px", ())


def test_a_png_whose_pixels_are_only_not_square(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PillowImage.fromarray(PIXELS).save(path, dpi=(300, 300))
    data = path.read_bytes()
    at = data.index(b"pHYs") + 4
    chunk = b"pHYs" + struct.pack(">IIB", 1, 2, 0)  # an aspect, no size
    crc = struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[: at - 4] + chunk + crc + data[at + 13 :])
    image = read_image(path)
    assert (image.pixel_size, image.notes) == (None, ())
