"""`samstar info` says what was understood, and what SAM sees."""

from __future__ import annotations

import json

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_samstar.cli.main import app


def samstar(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def stack(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(100, 4000, (2, 3, 40, 60)).astype(np.uint16)
    array[1] += 9000
    tifffile.imwrite(
        tmp_path / "cells.ome.tif",
        array,
        ome=True,
        metadata={
            "axes": "CZYX",
            "PhysicalSizeX": 0.2,
            "PhysicalSizeY": 0.2,
            "PhysicalSizeZ": 1.5,
            "Channel": {"Name": ["DAPI", "actin"]},
        },
    )
    return tmp_path / "cells.ome.tif"


def test_axes_sizes_and_notes(stack):
    (about,) = json.loads(samstar("info", stack, "--json").stdout)["images"]
    assert (about["axes"], about["shape"], about["dtype"]) == ("CZYX", [2, 3, 40, 60], "uint16")
    assert (about["pixel_size"], about["unit"], about["z_step"]) == ([0.2, 0.2], "µm", 1.5)
    assert about["channels"] == 2
    assert about["sam_sees"]["shape"] == [40, 60]
    assert "Plane 1 of 0 to 2 was taken along axis 1 (Z)." in about["notes"]
    assert "Channel 0 of 0 to 1 was taken along axis 0 (C)." in about["notes"]
    shown = samstar("info", stack).stdout
    assert "C 2, Z 3, Y 40, X 60" in shown
    assert "0.2 x 0.2 µm" in shown


def test_the_view_is_what_sam_sees_of_plane_and_channel(stack, tmp_path):
    view = tmp_path / "view.png"
    run = ("info", stack, "--save-view", view, "--json", "--limits", "0,13000")
    samstar(*run, "--channel", "1", "--plane", "z=2")
    stored = tifffile.imread(stack)[1, 2]
    expected = np.rint(stored / 13000 * 255)
    np.testing.assert_array_equal(iio.imread(view)[..., 1], expected)
    samstar(*run, "--channel", "all", "--plane", "2")
    merged = iio.imread(view)
    np.testing.assert_array_equal(merged[..., 1], expected)
    assert not merged[..., 2].any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--channel", "5"], "There is no channel '5'"),
        (["--plane", "t=1"], "no axis T"),
        (["--limits", "3,1"], "the smaller first"),
    ],
)
def test_what_does_not_exist_is_one_line(stack, options, sentence):
    assert sentence in samstar("info", stack, *options, code=1).stderr


def test_limits_with_decimal_commas_are_asked_back(stack):
    assert "give two numbers" in samstar("info", stack, "--limits", "1,5,2,5", code=2).stderr


def test_of_several_files_one_may_fail(stack, tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0broken")
    result = samstar("info", tmp_path, "--json", code=1)
    first, second = json.loads(result.stdout)["images"]
    assert first["error"].startswith("broken.tif")
    assert second["name"] == "cells"
    assert "give one image" in samstar("info", tmp_path, "--save-view", "a.png", code=1).stderr
