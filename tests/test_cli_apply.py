"""`samstar apply` on folders, stacks and clusters, killed and begun again."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from benchmarks.bank import discs
from napari_samstar.api.batch_folder import UNFINISHED
from napari_samstar.cli.apply import folders
from napari_samstar.cli.main import app
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.models.pocket import build_pocket
from napari_samstar.core.results.outputs import NAMES
from napari_samstar.core.results.recipe import Recipe

TABLES = ["all_images.csv", "all_objects.csv"]
ALL = ("--pred-iou-thresh", "0", "--stability-score-thresh", "0")
PIXELS = discs((96, 120)).pixels[..., 0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pocket of random weights that rates its masks well, so that some are kept."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = build_pocket().state_dict()
    weights["mask_decoder.iou_prediction_head.layers.2.bias"][:] = 0.9
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_file({n: v.contiguous() for n, v in weights.items()}, path, metadata={"arch": "pocket"})
    return str(path)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SAMSTAR_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, model):
    """A recipe without tiles."""
    return made_recipe(tmp_path_factory.mktemp("recipe"), model, "0")


@pytest.fixture(scope="module")
def tiled(tmp_path_factory, model):
    """A recipe that cuts 96 x 120 px into six tiles."""
    return made_recipe(tmp_path_factory.mktemp("tiled"), model, "8")


def made_recipe(folder, model, scale):
    tifffile.imwrite(folder / "image.tif", PIXELS)
    samstar(
        "segment", folder / "image.tif", "-o", folder / "out", "--model", model, "--device", "cpu",
        "--points-per-side", "4", *ALL, "--tile-scale", scale,
    )  # fmt: skip
    return folder / "out" / "recipe.samstar.json"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for k in (1, 2, 10):
        tifffile.imwrite(folder / f"img{k}.tif", np.roll(PIXELS, 9 * k, axis=1))
    return folder


def samstar(*arguments, code=0):
    """Run the command in this process and return its result."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def start(*arguments):
    # A signal in the middle of an import leaves a file of Python's own to the garbage collector.
    warnings = ("-W", "error", "-W", "ignore:unclosed file:ResourceWarning")
    return subprocess.Popen(
        [sys.executable, *warnings, "-m", "napari_samstar.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def labels_in(folder):
    return read_image(folder / "labels.tif").array


def content(folder):
    """Return time of change and hash of all files of a folder."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).digest())
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def said(result):
    return [line for line in result.stderr.splitlines() if not line.startswith("Model ")]


@pytest.mark.parametrize("scale", ["0", "8"])
def test_a_recipe_shows_the_image_to_sam_in_the_same_way(tmp_path, model, scale):
    tifffile.imwrite(tmp_path / "image.tif", PIXELS)
    common = ("--model", model, "--device", "cpu", "--points-per-side", "4", *ALL,
              "--tile-scale", scale)  # fmt: skip
    for name in ("original", "smoothed"):
        out = tmp_path / name
        samstar("segment", tmp_path / "image.tif", "-o", out, *common, "--shown", name)
    path = tmp_path / "smoothed" / "recipe.samstar.json"
    assert Recipe.load(path).config.shown == "smoothed"
    samstar("apply", path, tmp_path / "image.tif", "-o", tmp_path / "again")
    labels = [labels_in(tmp_path / name) for name in ("original", "smoothed", "again")]
    assert labels[1].max() > 0
    np.testing.assert_array_equal(labels[2], labels[1])
    assert not np.array_equal(labels[0], labels[1])


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_and_a_pattern_give_a_folder_for_each_image(tmp_path, recipe, images):
    shown = samstar("apply", recipe, images, "-o", tmp_path / "out").stdout
    assert names(tmp_path / "out") == [*TABLES, "img1", "img10", "img2"]
    assert names(tmp_path / "out" / "img1") == sorted(NAMES[:4])
    assert shown.index("/img1/") < shown.index("/img2/") < shown.index("/img10/")
    samstar("apply", recipe, images / "img?.tif", "-o", tmp_path / "pattern")
    assert names(tmp_path / "pattern") == [*TABLES, "img1", "img2"]
    samstar("apply", recipe, images / "img1*.tif", "-o", tmp_path / "two")
    samstar("apply", recipe, images / "img2.*", "-o", tmp_path / "one of a pattern")
    assert names(tmp_path / "one of a pattern") == [*TABLES, "img2"]
    samstar("apply", recipe, images / "img2.tif", "-o", tmp_path / "one")
    assert names(tmp_path / "one") == sorted(NAMES[:4])


def test_two_tables_hold_all_images_and_all_objects(tmp_path, recipe, images):
    (images / "img3.tif").write_bytes(b"II*\0broken")
    run = ("apply", recipe, images, "-o", tmp_path / "out", "--pixel-size", "2", "--unit", "µm")
    samstar(*run, code=1)
    about = pd.read_csv(tmp_path / "out" / "all_images.csv")
    assert about["image"].tolist() == [str(images / f"img{k}.tif") for k in (1, 2, 3, 10)]
    assert about["state"].tolist() == ["done", "done", "failed", "done"]
    assert about["notes"][2].startswith("img3.tif is a TIFF file without an image")
    objects = pd.read_csv(tmp_path / "out" / "all_objects.csv")
    for k in (0, 1, 3):
        own = pd.read_csv(tmp_path / "out" / about["folder"][k] / "measurements.csv")
        rows = objects[objects["image"] == about["image"][k]].drop(columns="image")
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), own)
        assert about["objects"][k] == len(own) > 0
        assert about["median_diameter"][k] == pytest.approx(own["diameter_µm"].median(), rel=1e-5)
        assert about["unit"][k] == "µm"
    samstar(*run, code=1)
    again = pd.read_csv(tmp_path / "out" / "all_images.csv")
    assert again["state"].tolist() == ["skipped", "skipped", "failed", "skipped"]
    assert again["objects"].equals(about["objects"])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / "all_objects.csv"), objects)


def test_a_pattern_without_images_is_one_line(tmp_path, recipe):
    result = samstar("apply", recipe, tmp_path / "*.tif", "-o", tmp_path / "out", code=1)
    assert said(result) == [f"Error: No image matches {tmp_path}/*.tif: "
                            "check the folder and the wildcard."]  # fmt: skip
    assert names(tmp_path) == []


def test_the_same_command_again_does_only_what_is_missing_and_says_so(tmp_path, recipe, images):
    run = ("apply", recipe, images, "-o", tmp_path / "out")
    samstar(*run)
    before = content(tmp_path / "out")
    tifffile.imwrite(images / "img3.tif", PIXELS[::-1])
    result = samstar(*run, "--json")
    reports = json.loads(result.stdout)["images"]
    assert [r.get("skipped", False) for r in reports] == [True, True, False, True]
    assert result.stderr.count("skipped, its result is in") == 3
    after = content(tmp_path / "out")
    assert {name: after[name] for name in before if name not in TABLES} == {
        name: about for name, about in before.items() if name not in TABLES
    }
    assert "img3/labels.tif" in after
    assert not any(r.get("skipped") for r in json.loads(samstar(*run, "--redo", "--json").stdout)
                   ["images"])  # fmt: skip


def test_images_of_one_name_get_numbered_folders():
    out = Path("out")
    paths = [Path(p) for p in ("a/x.tif", "b/x.tif", "c/x.ome.zarr", "d/y.ome.tif")]
    assert folders(paths, out) == [out / "x", out / "x_2", out / "x_3", out / "y"]


# --- stacks -------------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path):
    planes = np.stack([np.roll(PIXELS, 2 * k, axis=1) for k in range(4)])
    tifffile.imwrite(tmp_path / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    return tmp_path / "stack.tif"


def test_a_stack_means_all_planes_with_one_id_for_an_object(tmp_path, recipe, stack):
    run = ("apply", recipe, stack, "-o", tmp_path / "out", "--json")
    (report,) = json.loads(samstar(*run).stdout)["images"]
    labels = labels_in(tmp_path / "out")
    assert labels.shape == (4, *PIXELS.shape)
    assert report["planes"] == 4
    assert report["objects"] == len(np.unique(labels[labels > 0])) > 0
    assert report["image"]["link"] == "depth"
    assert "links.csv" in report["files"]
    (again,) = json.loads(samstar(*run).stdout)["images"]
    assert again["skipped"]
    assert "Objects" in samstar(*run[:-1], "--redo").stdout


def test_planes_and_their_linking_can_be_chosen(tmp_path, recipe, stack):
    run = ("apply", recipe, stack, "--json", "--pixel-size", "0.5", "--unit", "nm")
    two = ("-o", tmp_path / "two", "--planes", "0,2", "--plane-distance", "3")
    (report,) = json.loads(samstar(*run, *two).stdout)["images"]
    labels = labels_in(tmp_path / "two")
    assert (report["planes"], len(labels)) == (2, 2)
    table = (tmp_path / "two" / "measurements.csv").read_text(encoding="utf-8").splitlines()
    volumes = [float(dict(zip(table[0].split(","), row.split(","), strict=True))["volume_nm3"])
               for row in table[1:]]  # fmt: skip
    assert sum(volumes) == pytest.approx((labels > 0).sum() * 0.25 * 6, rel=1e-4)
    samstar(*run, "-o", tmp_path / "alone", "--link", "none")
    assert "links.csv" not in names(tmp_path / "alone")
    samstar(*run, "-o", tmp_path / "one", "--planes", "2")
    assert labels_in(tmp_path / "one").shape == PIXELS.shape
    assert Recipe.load(tmp_path / "one" / "recipe.samstar.json").mapping.plane == (2,)
    np.testing.assert_array_equal(labels_in(tmp_path / "one"), labels_in(tmp_path / "alone")[2])


# --- killed -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_killed_segment_goes_on_with_its_tiles(tmp_path, model, cache_folder, monkeypatch):
    tifffile.imwrite(tmp_path / "image.tif", PIXELS)
    run = ("segment", tmp_path / "image.tif", "--model", model, "--device", "cpu",
           "--points-per-side", "4", *ALL, "--tile-scale", "8", "-o")  # fmt: skip
    process = start(*run, tmp_path / "out")
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
        if list(cache_folder.glob("tiles/*/[!.]*.npz")):
            break
    process.kill()
    process.communicate()
    kept = list(cache_folder.glob("tiles/*/[!.]*.npz"))
    assert kept
    assert not (tmp_path / "out" / "labels.tif").exists()
    decode, decoded = ProposalBank.decode, []
    monkeypatch.setattr(
        ProposalBank, "decode", lambda self, part: decoded.append(part) or decode(self, part)
    )
    samstar(*run, tmp_path / "out")
    assert len(decoded) == 6 - len(kept)
    assert list(cache_folder.glob("tiles/*/*.npz")) == []
    samstar(*run, tmp_path / "whole")
    np.testing.assert_array_equal(labels_in(tmp_path / "out"), labels_in(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_killed_run_leaves_nothing_unfinished_and_loses_a_tile_at_most(
    tmp_path, tiled, images, cache_folder
):
    out = tmp_path / "out"
    run = ("apply", tiled, images, "-o", out, "--device", "cpu")
    process = start(*run)
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
        if (out / "img1").exists() and list(cache_folder.glob("tiles/*/[!.]*.npz")):
            break
    process.kill()
    _, before_kill = process.communicate()
    assert (out / "img1").exists(), before_kill
    finished = [name for name in names(out) if not name.endswith(UNFINISHED)]
    assert len(finished) < 3
    for name in finished:
        assert names(out / name) == sorted(NAMES[:4])
    kept, before = len(list(cache_folder.glob("tiles/*/[!.]*.npz"))), content(out / "img1")
    result = samstar(*run)
    assert result.stderr.count("skipped") == len(finished)
    assert content(out / "img1") == before
    assert names(out) == [*TABLES, "img1", "img10", "img2"]
    assert not list(cache_folder.glob("tiles/*"))
    assert kept >= 1
    samstar(*run[:3], "-o", tmp_path / "at once", "--device", "cpu")
    for name in ("img1", "img10", "img2"):
        np.testing.assert_array_equal(labels_in(out / name), labels_in(tmp_path / "at once" / name))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_ends_the_workers_too_and_keeps_finished_tiles(
    tmp_path, tiled, images, cache_folder
):
    out = tmp_path / "out"
    process = start("apply", tiled, images / "img1.tif", "-o", out, "--scheduler", "local:1",
                    "--device", "cpu")  # fmt: skip
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
        if list(cache_folder.glob("tiles/*/[!.]*.npz")):
            break
    process.send_signal(signal.SIGINT)
    shown, said_before = process.communicate(timeout=300)
    assert process.returncode == 130, said_before
    assert shown == ""
    assert said_before.splitlines()[-1] == "Stopped: nothing unfinished was left behind."
    assert "Traceback" not in said_before
    assert names(tmp_path) == ["images"]
    samstar("apply", tiled, images / "img1.tif", "-o", out, "--threads", "1", "--device", "cpu")
    assert names(out) == sorted(NAMES[:4])


def test_two_runs_on_one_folder_are_refused(tmp_path, recipe, images):
    from napari_samstar.api.batch_folder import only_run

    with only_run(tmp_path / "out"):
        result = samstar("apply", recipe, images, "-o", tmp_path / "out", code=1)
    assert "Another run writes to" in said(result)[-1]


# --- clusters -----------------------------------------------------------------------------------


def test_wrong_addresses_and_a_missing_extra_are_one_line(tmp_path, recipe, images, monkeypatch):
    run = ("apply", recipe, images, "-o", tmp_path / "out", "--scheduler")
    assert "write it like local:4" in said(samstar(*run, "local:x", code=1))[-1]
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "napari_samstar.api.cluster", raising=False)
    assert "pip install napari-samstar[cluster]" in said(samstar(*run, "local:2", code=1))[-1]
    assert not (tmp_path / "out").exists()
