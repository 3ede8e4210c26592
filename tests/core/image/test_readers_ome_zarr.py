from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import zarr

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.channels import with_channels
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.planes import find_plane
from napari_samstar.core.image.readers.lazy import LazyArray
from napari_samstar.core.image.readers.registry import read_image

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 999, (2, 3, 40, 60)).astype(np.uint16)
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


def axes_of(names, units=UNITS):
    return [
        {"name": n, "type": KINDS[n], **({"unit": units[n]} if n in units else {})} for n in names
    ]


def metadata(names="tzyx", scale=(2.0, 1.5, 0.5, 0.25), levels=2, units=UNITS, **more):
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [
                {"type": "scale", "scale": [*scale[:-2], scale[-2] * 2**k, scale[-1] * 2**k]}
            ],
        }
        for k in range(levels)
    ]
    return {"axes": axes_of(names, units), "datasets": datasets, **more}


def attributes(version, multiscale, **more):
    if version == "0.5":
        return {"ome": {"version": "0.5", "multiscales": [multiscale], **more}}
    return {"multiscales": [{"version": "0.4", **multiscale}], **more}


def write(path, array=STACK, version="0.5", levels=2, **options):
    """Write an OME-Zarr image whose level k is every 2**k-th row and column."""
    fmt = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=fmt)
    for k in range(levels):
        level = array[..., :: 2**k, :: 2**k]
        chunks = (1,) * (array.ndim - 2) + (16, 16)
        group.create_array(str(k), data=level, chunks=chunks)
    group.attrs.update(attributes(version, metadata(levels=levels, **options)))
    return path


def change(path, edit):
    """Apply `edit` to the OME metadata of a version 0.5 image on disk."""
    file = path / "zarr.json"
    content = json.loads(file.read_text())
    edit(content["attributes"]["ome"])
    file.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_multiscale_image_is_lazy_with_its_axes_and_sizes(tmp_path, version):
    image = read_image(write(tmp_path / "cells.ome.zarr", version=version))
    assert [type(level) for level in image.array] == [LazyArray, LazyArray]
    assert [level.shape for level in image.array] == [(2, 3, 40, 60), (2, 3, 20, 30)]
    assert (image.axes, image.rgb, image.name, image.notes) == ("TZYX", False, "cells", ())
    assert (image.pixel_size, image.unit) == ((0.5, 0.25), "µm")
    assert (image.z_step, image.frame_time) == (1.5, 2.0)
    assert (image.plane_sizes, image.plane_shape) == ((2, 3), (40, 60))
    assert image.path == tmp_path / "cells.ome.zarr"
    np.testing.assert_array_equal(image.finest, STACK)
    np.testing.assert_array_equal(image.array[1], STACK[..., ::2, ::2])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_one_level_is_one_array(tmp_path, version):
    image = read_image(write(tmp_path / "one.zarr", version=version, levels=1))
    assert isinstance(image.array, LazyArray)
    assert image.name == "one"
    np.testing.assert_array_equal(image.array, STACK)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plane_is_taken_without_reading_any_other(tmp_path, version):
    path = write(tmp_path / "a.zarr", version=version)
    wanted = "1.2." if version == "0.4" else "c/1/2/"
    for file in (path / "0").rglob("*"):
        name = file.relative_to(path / "0").as_posix()
        if file.is_file() and name[-1].isdigit() and not name.startswith(wanted):
            file.write_bytes(b"damaged")
    image = read_image(path)
    found = find_plane(image.array, ImageMapping(plane=(1, 2)), False, image.axes)
    assert not found.parts[0].colour
    assert found.notes == ("The finest of 2 resolution levels was taken.",)
    np.testing.assert_array_equal(found.parts[0].values(), STACK[1, 2])
    assert image.at((1, 2)).prepare().shape == (40, 60)
    with pytest.raises(UserError, match=r"a\.zarr is damaged"):
        image.finest[0, 2]


def test_a_pickle_is_small_and_reads_the_same(tmp_path):
    array = read_image(write(tmp_path / "a.zarr")).finest
    array[0]
    sent = pickle.dumps(array)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)[1, 0, 3:30], STACK[1, 0, 3:30])


@pytest.mark.parametrize(
    ("units", "scale", "size", "unit", "z_step", "time"),
    [
        ({**UNITS, "y": "nanometer"}, (1, 2, 500, 0.25), (0.5, 0.25), "µm", 2.0, 1.0),
        ({"y": "nm", "x": "nm", "z": "micrometer"}, (1, 2, 5, 4), (5, 4), "nm", 2000.0, None),
        ({**UNITS, "t": "minute", "z": "kelvin"}, (3, 2, 5, 4), (5, 4), "µm", None, 180.0),
        ({}, (1, 1, 1, 1), None, "px", None, None),
    ],
)
def test_units_are_converted(tmp_path, units, scale, size, unit, z_step, time):
    image = read_image(write(tmp_path / "u.zarr", units=units, scale=scale))
    assert image.pixel_size == (size if size is None else pytest.approx(size))
    assert (image.unit, image.z_step, image.frame_time) == (unit, z_step, time)
    assert image.notes == ()


def test_a_scale_without_a_unit_is_told_and_not_used(tmp_path):
    image = read_image(write(tmp_path / "u.zarr", units={}))
    assert (image.pixel_size, image.unit, image.z_step) == (None, "px", None)
    assert image.notes == ("The pixel size 0.5 x 0.25 has no unit and was not used.",)


def test_the_scale_of_all_levels_multiplies_that_of_each(tmp_path):
    scale = {"type": "scale", "scale": [1.0, 2.0, 10.0, 10.0]}
    path = write(tmp_path / "u.zarr", coordinateTransformations=[scale])
    image = read_image(path)
    assert (image.pixel_size, image.z_step) == ((5.0, 2.5), 3.0)


def test_axes_have_the_letters_of_their_types_where_names_are_free(tmp_path):
    def rename(ome):
        for axis, name in zip(
            ome["multiscales"][0]["axes"], ["when", "depth", "down", "right"], strict=True
        ):
            axis["name"] = name

    image = read_image(change(write(tmp_path / "n.zarr"), rename))
    assert image.axes == "TZYX"
    assert image.z_step == 1.5


def test_rows_and_columns_are_last_whatever_their_order(tmp_path):
    path = write(tmp_path / "xy.zarr", names="tzxy", scale=(2.0, 1.5, 0.25, 0.5))
    image = read_image(path)
    assert (image.axes, image.pixel_size) == ("TZYX", (0.5, 0.25))
    np.testing.assert_array_equal(image.finest, STACK.swapaxes(2, 3))
    np.testing.assert_array_equal(image.finest[1, 0, 3:9, 2], STACK[1, 0, 2, 3:9])


def test_channels_are_axes_not_colours(tmp_path):
    array = RNG.integers(0, 255, (3, 20, 30), dtype=np.uint8)
    path = write(tmp_path / "c.zarr", array, names="cyx", scale=(1.0, 0.5, 0.5))
    image = read_image(path)
    assert (image.axes, image.rgb, image.plane_sizes) == ("CYX", False, (3,))
    found = find_plane(image.array, ImageMapping(channel=2), image.rgb, image.axes)
    channel = found.parts[0].values()
    np.testing.assert_array_equal(channel, array[2])


def test_a_level_that_is_not_smaller_is_left_out(tmp_path):
    path = tmp_path / "same.zarr"
    write(path, levels=1)
    group = zarr.open_group(path, mode="r+")
    group.create_array("1", data=STACK, chunks=(1, 1, 16, 16))
    group.attrs["ome"] = attributes("0.5", metadata(levels=2))["ome"]
    np.testing.assert_array_equal(read_image(path).array, STACK)


@pytest.mark.parametrize("fmt", [2, 3])
def test_a_plain_array_is_read(tmp_path, fmt):
    path = tmp_path / "plain.zarr"
    zarr.create_array(path, data=STACK, chunks=(1, 1, 16, 16), zarr_format=fmt)
    image = read_image(path)
    assert isinstance(image.array, LazyArray)
    assert (image.axes, image.pixel_size, image.unit, image.name) == ("", None, "px", "plain")
    np.testing.assert_array_equal(image.array, STACK)


@pytest.mark.parametrize(
    ("names", "axes"),
    [(("t", "z", "y", "x"), "TZYX"), (("a", "z", "y", "x"), ""), (("y", "x", "z", "t"), "")],
)
def test_a_plain_array_has_axes_where_all_their_names_are_known(tmp_path, names, axes):
    path = tmp_path / "plain.zarr"
    zarr.create_array(path, data=STACK, dimension_names=names)
    assert read_image(path).axes == axes


def test_plain_colours_are_found_by_their_array(tmp_path):
    colour = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    zarr.create_array(tmp_path / "rgb.zarr", data=colour)
    image = read_image(tmp_path / "rgb.zarr")
    assert (image.plane_sizes, image.plane_shape) == ((), (20, 30))
    np.testing.assert_array_equal(image.prepare().rgb.shape, (20, 30, 3))


def test_the_first_image_of_bioformats2raw_is_read(tmp_path):
    root = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    (tmp_path / "b.zarr" / "OME").mkdir()
    (tmp_path / "b.zarr" / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    (tmp_path / "b.zarr" / ".DS_Store").write_text("a file of the system")
    for k in (0, 1, 10):
        write(tmp_path / "b.zarr" / str(k), STACK + k, version="0.4")
    image = read_image(tmp_path / "b.zarr")
    assert image.notes == ("The first of 3 images in the folder was read.",)
    assert (image.series, image.series_index) == (("0", "1", "10"), 0)
    other = read_image(tmp_path / "b.zarr", series=2)
    assert (other.series_index, other.notes) == (2, ())
    np.testing.assert_array_equal(other.finest, STACK + 10)
    with pytest.raises(UserError, match=r"There is no image 3 in b\.zarr: choose one from 0 to 2"):
        read_image(tmp_path / "b.zarr", series=3)
    with pytest.raises(UserError, match="holds one image"):
        read_image(tmp_path / "b.zarr" / "0", series=1)
    assert image.name == "b"
    np.testing.assert_array_equal(image.finest, STACK)


def test_labels_inside_an_image_do_not_hinder_reading_it(tmp_path):
    path = write(tmp_path / "i.zarr")
    zarr.open_group(path / "labels", mode="w").attrs["ome"] = {"version": "0.5", "labels": ["gone"]}
    np.testing.assert_array_equal(read_image(path).finest, STACK)


@pytest.mark.parametrize(
    ("ome", "inside"),
    [
        ({"plate": {"wells": [{"path": "B/3", "rowIndex": 1}]}}, os.path.join("B", "3", "0")),
        ({"plate": {"wells": [{"path": "B/3", "rowIndex": 1}]}}, "B/3/0"),
        ({"well": {"images": [{"path": "0"}]}}, "0"),
        ({"labels": ["nuclei"]}, "nuclei"),
    ],
)
def test_a_plate_a_well_and_labels_name_an_image_to_give_instead(tmp_path, ome, inside):
    path = tmp_path / "p.zarr"
    zarr.open_group(path, mode="w").attrs["ome"] = {"version": "0.5", **ome}
    with pytest.raises(UserError, match=r"p\.zarr holds several images: give one") as caught:
        read_image(path)
    assert str(path / inside) in str(caught.value)


def no_axes(ome):
    del ome["multiscales"][0]["axes"]


def no_scale(ome):
    del ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]


def no_datasets(ome):
    ome["multiscales"][0]["datasets"] = []


def a_level_that_is_not_there(ome):
    ome["multiscales"][0]["datasets"][1]["path"] = "nowhere"


def too_few_axes(ome):
    multiscale = ome["multiscales"][0]
    multiscale["axes"] = multiscale["axes"][1:]
    for dataset in multiscale["datasets"]:
        dataset["coordinateTransformations"] = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]


def words_for_multiscales(ome):
    ome["multiscales"] = "none"


@pytest.mark.parametrize(
    "edit",
    [
        no_axes,
        no_scale,
        no_datasets,
        a_level_that_is_not_there,
        too_few_axes,
        words_for_multiscales,
    ],
)
def test_damaged_metadata_is_one_sentence(tmp_path, edit):
    path = change(write(tmp_path / "d.zarr"), edit)
    with pytest.raises(UserError, match=r"d\.zarr is damaged.*get a fresh copy\.") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_another_version_is_refused_with_a_way_out(tmp_path):
    path = change(write(tmp_path / "v.zarr"), lambda ome: ome.update(version="0.9"))
    with pytest.raises(UserError, match=r"version 0\.9, but versions 0\.4 and 0\.5 are read"):
        read_image(path)


@pytest.mark.parametrize("name", ["zarr.json", ".zgroup", ".zarray"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe"])
def test_files_that_are_no_zarr_metadata_are_damaged(tmp_path, name, content):
    folder = tmp_path / "x.zarr"
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"x\.zarr is (damaged|a zarr group without an image)"):
        read_image(folder)


def test_groups_without_an_image_say_what_to_give(tmp_path):
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    with pytest.raises(UserError, match=r"g\.zarr is a zarr group without an image"):
        read_image(tmp_path / "g.zarr")
    group.create_array("raw", data=STACK)
    with pytest.raises(UserError, match=r"no OME metadata: give one part of it") as caught:
        read_image(tmp_path / "g.zarr")
    assert str(tmp_path / "g.zarr" / "raw") in str(caught.value)


def test_a_folder_that_is_not_zarr_is_still_a_folder(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UserError, match="is a folder"):
        read_image(tmp_path)


def test_damage_in_a_chunk_is_said_when_it_is_read(tmp_path):
    path = write(tmp_path / "d.zarr")
    (path / "0" / "c" / "0" / "0" / "1" / "1").write_bytes(b"nonsense")
    array = read_image(path).finest
    np.testing.assert_array_equal(array[0, 0, :16], STACK[0, 0, :16])
    with pytest.raises(UserError, match=r"d\.zarr is damaged"):
        array[0, 0]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("listed", "names", "colours"),
    [
        (
            [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "00FF00"}],
            ("DAPI", "GFP"),
            ("#0000ff", "#00ff00"),
        ),
        ([{"label": "DAPI"}, {"label": "GFP"}], ("DAPI", "GFP"), ()),
        ([{"label": "DAPI"}], (), ()),
        ([{"label": "", "color": "red"}, 7], (), ()),
        ("nothing", (), ()),
    ],
)
def test_channels_have_the_names_and_colours_for_display(tmp_path, version, listed, names, colours):
    array = np.zeros((2, 40, 60), dtype=np.uint16)
    array[1, 5:20, 5:20] = 900
    path = tmp_path / "c.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("0", data=array)
    multiscale = metadata("cyx", (1, 1, 1), levels=1, units={})
    group.attrs.update(attributes(version, multiscale, omero={"channels": listed}))
    image = read_image(path)
    assert (image.axes, image.channel_names, image.channel_colours) == ("CYX", names, colours)
    if names:
        assert with_channels(image, "gfp").mapping.channel == 1
