from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_samstar.cli.paths import expand, natural_key
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.registry import suffixes
from napari_samstar.core.results.ome_zarr import LabelsWriter


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".zarr"):
                zarr.create_array(path, data=np.zeros((8, 8)))
            else:
                path.touch()
        return tmp_path

    return make


def names(found, folder):
    return [path.relative_to(folder).as_posix() for path in found]


def test_a_folder_means_its_images_in_natural_order(folder):
    root = folder(
        "img10.tif", "img2.tif", "IMG1.TIF", "b.PNG", "c.jpeg", "d.ome.zarr", "a.bmp", "notes.txt",
        "table.csv", "deeper/x.tif",
    )  # fmt: skip
    expected = ["a.bmp", "b.PNG", "c.jpeg", "d.ome.zarr", "IMG1.TIF", "img2.tif", "img10.tif"]
    assert names(expand([root]), root) == expected
    assert names(expand([f"{root}{os.sep}"]), root) == expected


def test_hidden_files_and_our_own_results_are_not_images(folder):
    root = folder(
        "a.tif", ".hidden.tif", ".hidden.zarr", "._a.tif", "recipe.samstar.json", "labels.tif",
        "labels.ome.zarr", "overlay.png", "front.png",
    )  # fmt: skip
    LabelsWriter.create(root / "b.ome.zarr", (8, 8))
    assert names(expand([root]), root) == ["a.tif"]
    assert names(expand([root / "*"]), root) == ["a.tif"]


def test_a_name_that_is_given_is_taken_whatever_it_is(folder):
    root = folder("labels.tif", "image.dat", ".hidden.tif", "run1/labels.tif", "run2/labels.tif")
    given = [root / "labels.tif", root / "image.dat", root / ".hidden.tif"]
    assert expand(given) == given
    assert names(expand([root / "run*" / "labels.tif"]), root) == [
        "run1/labels.tif",
        "run2/labels.tif",
    ]


def test_a_zarr_folder_is_one_image(folder):
    root = folder("a.ome.zarr", "other/plain.zarr")
    assert expand([root / "a.ome.zarr"]) == [root / "a.ome.zarr"]
    group = zarr.open_group(root / "g", mode="w")
    group.create_array("0", data=np.zeros((8, 8)))
    assert expand([root / "g"]) == [root / "g"]
    assert names(expand([root]), root) == ["a.ome.zarr", "g"]
    assert names(expand([root / "**"]), root) == ["a.ome.zarr", "g", "other/plain.zarr"]


def test_wildcards_are_expanded(folder):
    root = folder("img10.tif", "img2.tif", "img3.txt", "x.tif", "run1/img5.tif", "run1/in/img1.tif")
    assert names(expand([str(root / "img*")]), root) == ["img2.tif", "img10.tif"]
    assert names(expand([str(root / "img?.tif")]), root) == ["img2.tif"]
    assert names(expand([str(root / "img[13]*")]), root) == ["img10.tif"]
    assert names(expand([str(root / "*" / "*.tif")]), root) == ["run1/img5.tif"]
    assert names(expand([str(root / "**" / "img*.tif")]), root) == [
        "img2.tif",
        "img10.tif",
        "run1/img5.tif",
        "run1/in/img1.tif",
    ]


def test_wildcards_work_relative_to_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder("b.tif", "a.tif"))
    assert expand(["*.tif"]) == [Path("a.tif"), Path("b.tif")]
    assert expand(["."]) == [Path("a.tif"), Path("b.tif")]


def test_a_file_with_brackets_in_its_name_is_not_a_wildcard(folder):
    root = folder("img[1].tif", "img1.tif")
    assert expand([root / "img[1].tif"]) == [root / "img[1].tif"]


def test_arguments_keep_their_order_and_images_come_once(folder):
    root = folder("a.tif", "b.tif", "c.tif", "x/deeper.tif")
    found = expand([root / "c.tif", root, root / "*.tif", root / "x" / ".." / "b.tif"])
    assert found == [root / "c.tif", root / "a.tif", root / "b.tif"]


def test_nothing_given_is_nothing_found():
    assert expand([]) == []


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("missing.tif", "There is no file or folder .*missing.tif: check its name"),
        ("empty", "There are no images in .*empty: give a folder with TIFF"),
        ("empty/*.tif", r"No image matches .*\*\.tif: check the folder and the wildcard"),
        ("*.txt", r"No image matches"),
    ],
)
def test_what_names_no_image_is_one_sentence(folder, argument, sentence):
    root = folder("notes.txt", "a.tif", "empty/notes.txt")
    with pytest.raises(UserError, match=sentence):
        expand([root / "a.tif", root / argument])


def test_endings_are_those_of_the_readers():
    assert {".tif", ".png", ".zarr"} <= set(suffixes())
    assert all(one == one.lower() and one.startswith(".") for one in suffixes())


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), max_size=5))
def test_any_names_can_be_sorted(texts):
    paths = [Path(text) for text in texts]
    ordered = sorted(paths, key=natural_key)
    assert sorted(map(str, ordered)) == sorted(map(str, paths))


def test_numbers_in_names_are_compared_by_their_value():
    paths = [Path(f"s{k}_t{t}") for k in (10, 2, 1) for t in (100, 10, 9)]
    assert sorted(paths, key=natural_key) == paths[::-1]
