from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels, Layer

from napari_samstar import sample_data
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.registry import read_image

NAMES = sample_data.names()


def test_there_are_six_samples_below_five_megabytes(repository):
    assert NAMES == (
        "nanocrystals",
        "facets",
        "aggregates",
        "nuclei",
        "nuclei_stack",
        "phase_cells",
    )
    assert sum(file.stat().st_size for file in (repository / "sample_data").iterdir()) < 5e6


@pytest.mark.parametrize("name", NAMES)
def test_the_metadata_agree_with_the_pixels(name):
    image, labels, info = sample_data.load(name)
    assert image.shape == labels.shape == info.shape
    assert image.dtype == info.dtype
    assert labels.dtype == np.uint16
    # ids are numbered without gaps
    assert set(np.unique(labels)) == set(range(info.n_objects + 1))
    assert info.n_true >= info.n_objects
    assert np.bincount(labels.ravel())[1:].min() >= 12
    assert np.mean(image == np.iinfo(image.dtype).max) < 0.01  # hardly any pixel is saturated


@pytest.mark.parametrize("name", NAMES)
def test_readers_find_the_pixel_size(name):
    info = sample_data.info(name)
    for file in (sample_data.path(name), sample_data.labels_path(name)):
        loaded = read_image(file)
        assert loaded.unit == info.unit
        assert loaded.pixel_size == pytest.approx(info.pixel_size[-2:], rel=1e-6)
        assert loaded.axes == ("ZYX" if len(info.shape) == 3 else "YX")


@pytest.mark.parametrize("name", NAMES)
def test_objects_differ_from_their_surroundings(name):
    """Intensities inside and outside of the labels differ."""
    image, labels, _ = sample_data.load(name)
    inside, outside = image[labels > 0].astype(float), image[labels == 0].astype(float)
    spread = np.hypot(inside.std(), outside.std())
    assert abs(inside.mean() - outside.mean()) > 0.5 * spread


def test_the_error_for_an_unknown_name_lists_the_samples():
    with pytest.raises(UserError, match=r"no sample 'dust'.*nanocrystals"):
        sample_data.path("dust")


@pytest.mark.parametrize("name", NAMES)
def test_napari_creates_the_layers(name):
    image, truth = (Layer.create(*data) for data in getattr(sample_data, f"open_{name}")())
    info = sample_data.info(name)
    assert isinstance(image, Image)
    assert isinstance(truth, Labels)
    assert truth.name == f"{name} ground truth"
    assert image.visible
    assert not truth.visible
    for layer in (image, truth):
        assert tuple(layer.scale) == pytest.approx(info.pixel_size)
        assert {f"{unit:~}" for unit in layer.units} == {info.unit.replace("µ", "µ")}


@pytest.mark.parametrize("name", ["aggregates", "nuclei"])
def test_the_script_reproduces_the_files(name, repository, tmp_path):
    script = repository / "sample_data" / "make_samples.py"
    subprocess.run([sys.executable, script, name, "--out", tmp_path], check=True)
    for file in (f"{name}.tif", f"{name}_labels.tif"):
        made, expected = (tifffile.imread(f / file) for f in (tmp_path, repository / "sample_data"))
        # filters may round the last bit differently on other processors
        assert np.mean(made != expected) < 1e-3
    committed = json.loads((repository / "sample_data" / "samples.json").read_text("utf-8"))
    assert json.loads((tmp_path / "samples.json").read_text("utf-8")) == {name: committed[name]}


def test_the_installed_copy_is_up_to_date(repository):
    """An editable install copies the folder; `make lint` reinstalls after a change."""
    for file in (repository / "sample_data").glob("*.*"):
        assert (sample_data.path("nuclei").parent / file.name).read_bytes() == file.read_bytes()
