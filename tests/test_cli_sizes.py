"""Sizes and units on the command line: in every spelling, or asked back before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from napari_samstar.cli.main import app
from napari_samstar.cli.options import parse_pixel_size, parse_unit
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.results.outputs import _label_tags


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0.5", (0.5, 0.5)),
        ("0.5,0.6", (0.5, 0.6)),
        ("0.5, 0.6", (0.5, 0.6)),
        ("1.0,5", (1.0, 5.0)),
        ("1x5", (1.0, 5.0)),
        (" 1 x 5.5 ", (1.0, 5.5)),
        ("1×5", (1.0, 5.0)),
        ("2", (2.0, 2.0)),
        ("1e-3", (0.001, 0.001)),
    ],
)
def test_pixel_sizes(text: str, size: tuple[float, float]) -> None:
    assert parse_pixel_size(text) == size


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,5", "may mean 1.5, or 1 along rows and 5 along columns: write 1.5 or 1x5"),
        ("0,32", "write 0.32 or 0x32"),
        ("1, 5", "write 1.5 or 1x5"),
        ("1,234.5", "may mean 1234.5, or 1 along rows and 234.5 along columns"),
        ("0,5x0,6", "such as 0.5x0.6"),
        ("1_5", "such as 0.5x0.6"),
        ("1,2,3", "such as 0.5x0.6"),
        ("", "such as 0.5x0.6"),
        ("0.5,", "such as 0.5x0.6"),
    ],
)
def test_what_may_mean_something_else_is_asked_back(text: str, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        parse_pixel_size(text)


@pytest.mark.parametrize("unit", ["Å", "\u212b", "A", "angstrom", "µm", "\u03bcm", "um", "microns"])
def test_units_in_every_spelling(unit: str) -> None:
    assert parse_unit(unit) == unit


@pytest.mark.parametrize("unit", ["", "px", "kg", "1/nm", "nm2", "lunch"])
def test_what_is_no_unit_is_asked_back(unit: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a unit of length"):
        parse_unit(unit)


@pytest.mark.parametrize("command", ["segment", "tune", "apply"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--pixel-size", "1,5", "--unit", "nm"), "write 1.5 or 1x5"),
        (("--pixel-size", "1.5", "--unit", "lunch"), "not a unit of length"),
        (("--plane-distance", "1,5"), "Invalid value for --plane-distance"),
        (("--pred-iou-thresh", "0,8"), "Invalid value for --pred-iou-thresh"),
        (("--limits", "1,5,20"), "give two numbers"),
    ],
)
def test_no_option_takes_a_decimal_comma_for_something_else(
    tmp_path: Path, command: str, options: tuple[str, str], sentence: str
) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, np.eye(64, dtype=np.uint8))
    inputs = ("none.json", str(file)) if command == "apply" else (str(file),)
    run = CliRunner().invoke(app, [command, *inputs, "-o", str(tmp_path / "out"), *options])
    assert run.exit_code == 2
    text = " ".join(run.output.replace("│", " ").replace("'--", "--").replace("':", ":").split())
    assert sentence in text or "No such option" in text
    assert not (tmp_path / "out").exists()


def test_info_in_angstrom(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, np.eye(64, dtype=np.uint8))
    run = CliRunner().invoke(
        app, ["info", str(file), "--json", "--pixel-size", "3.2", "--unit", "Å"]
    )
    about = json.loads(run.stdout)["images"][0]
    assert (about["pixel_size"], about["unit"]) == (pytest.approx([0.32, 0.32]), "nm")


@pytest.mark.parametrize("unit", ["Å", "A", "\u212b", "µm", "\u03bcm", "mm"])
def test_labels_are_exported_in_any_unit(tmp_path: Path, unit: str) -> None:
    image = Micrograph(np.zeros((64, 64, 3), np.uint8), (0.4, 0.2), unit)
    labels = np.eye(64, dtype=np.int32)
    tifffile.imwrite(tmp_path / "l.tif", labels, **_label_tags(image, 1))
    found = read_image(tmp_path / "l.tif")
    assert found.unit == image.unit
    assert found.pixel_size == pytest.approx(image.pixel_size)
