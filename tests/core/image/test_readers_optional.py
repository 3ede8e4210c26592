"""Formats that other packages read, and the sentence where such a package is missing."""

from __future__ import annotations

import importlib
import pickle

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.optional import OPTIONAL_READERS
from napari_samstar.core.image.readers.registry import read_image

STACK = np.arange(3 * 40 * 50, dtype=np.int16).reshape(3, 40, 50)


def test_mrc(tmp_path):
    mrcfile = pytest.importorskip("mrcfile", reason="needs the extra 'em'")
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(STACK)
        file.voxel_size = (2.5, 5, 10)  # x, y, z in angstrom
    image = read_image(tmp_path / "a.mrc")
    np.testing.assert_array_equal(image.array, STACK)
    assert isinstance(image.array, np.memmap)
    assert (image.axes, image.unit, image.name) == ("ZYX", "nm", "a")
    assert image.pixel_size == pytest.approx((0.5, 0.25))
    assert image.z_step == pytest.approx(1.0)
    with mrcfile.new(tmp_path / "flat.mrc") as file:
        file.set_data(STACK[0])
    flat = read_image(tmp_path / "flat.mrc")
    assert (flat.axes, flat.pixel_size) == ("YX", None)
    assert flat.prepare().shape == (40, 50)


def test_emd(tmp_path):
    pytest.importorskip("ncempy", reason="needs the extra 'em'")
    emd = importlib.import_module("ncempy.io.emd")
    dims = tuple(
        (np.arange(n) * step, name, unit)
        for n, step, name, unit in ((40, 0.5, "y", "[n_m]"), (50, 0.25, "x", "[n_m]"))
    )
    with emd.fileEMD(str(tmp_path / "a.emd"), readonly=False) as file:
        file.put_emdgroup("image", STACK[0], dims)
    image = read_image(tmp_path / "a.emd")
    np.testing.assert_array_equal(image.array, STACK[0])
    assert image.axes == "YX"
    assert (image.pixel_size, image.unit) == ((0.5, 0.25), "nm")


def test_czi(tmp_path):
    czi = pytest.importorskip("pylibCZIrw.czi", reason="needs the extra 'light'")
    path = tmp_path / "a.czi"
    data = np.random.default_rng(0).integers(0, 9999, (2, 3, 40, 50)).astype(np.uint16)
    with czi.create_czi(str(path)) as document:
        for c in range(2):
            for z in range(3):
                document.write(data=data[c, z], plane={"C": c, "T": 0, "Z": z})
        document.write_metadata(
            "a", channel_names={0: "DAPI", 1: "actin"}, scale_x=2e-7, scale_y=1e-7, scale_z=1e-6
        )
    image = read_image(path)
    assert (image.axes, image.array.shape) == ("CZYX", data.shape)
    np.testing.assert_array_equal(image.array, data)
    np.testing.assert_array_equal(image.array[1, :, 5:9, 7], data[1, :, 5:9, 7])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.array))[0, 2], data[0, 2])
    assert image.pixel_size == pytest.approx((0.1, 0.2))
    assert image.z_step == pytest.approx(1.0)
    assert image.channel_names == ("DAPI", "actin")


@pytest.mark.parametrize("reader", OPTIONAL_READERS, ids=lambda one: one.name)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path, monkeypatch, reader
):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    path = tmp_path / f"a{reader.suffixes[0]}"
    path.write_bytes(reader.heads[0] + b"and more")
    with pytest.raises(UserError, match=r"needs the package .*pip install 'napari-samstar\["):
        read_image(path)


@pytest.mark.parametrize("name", ["mrc", "dm", "ser", "nd2", "lif", "czi"])
def test_damaged_files_are_one_sentence(tmp_path, name):
    reader = next(one for one in OPTIONAL_READERS if one.name == name)
    pytest.importorskip(reader.package, reason=f"needs the extra '{reader.extra}'")
    path = tmp_path / f"a{reader.suffixes[0]}"
    path.write_bytes(reader.heads[0] + b"nothing of this kind" * 100)
    with pytest.raises(UserError, match="is damaged or not a complete image"):
        read_image(path)
