from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import save_file
from skimage.draw import disk
from typer.testing import CliRunner

import napari_samstar
from napari_samstar.cli.main import app
from napari_samstar.core.adaptation import weights
from napari_samstar.core.amg.config import OF_EXAMPLES, SETTINGS
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.models.loading import load
from napari_samstar.core.models.pocket import build_pocket
from napari_samstar.core.models.registry import REGISTRY
from napari_samstar.core.results.outputs import NAMES
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.rewards.registry import REWARDS

QUICK = ("--points-per-side", "4", "--device", "cpu")
ALL = ("--pred-iou-thresh", "0", "--stability-score-thresh", "0")
SEARCH = ("--trials", "12", "--population", "6")


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


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    pixels = np.random.default_rng(0).normal(60, 6, (96, 96))
    for row, col, radius in ((20, 22, 9), (60, 30, 12), (40, 70, 10), (75, 75, 8)):
        pixels[disk((row, col), radius)] += 100
    path = tmp_path_factory.mktemp("image") / "discs.tif"
    tifffile.imwrite(path, pixels.clip(0, 255).astype(np.uint8))
    return str(path)


def samstar(*arguments, code=0):
    """Run the command in this process and return its result."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def one_line(result):
    """Return the only line on stderr, which must be an error."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Model ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    assert result.stdout == ""
    return lines[0]


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def labels_in(folder):
    return read_image(folder / "labels.tif").array


# --- segment and apply ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def segmented(tmp_path_factory, model, image):
    out = tmp_path_factory.mktemp("segmented") / "out"
    calibrated = ("--pixel-size", "0.5", "--unit", "nm")
    result = samstar("segment", image, "-o", out, "--model", model, *QUICK, *ALL, *calibrated)
    return out, result


def test_segment_writes_its_files_and_says_so(segmented):
    out, result = segmented
    assert names(out) == sorted(NAMES[:4])
    labels = labels_in(out)
    assert labels.dtype == np.int32
    assert labels.max() > 0
    assert f"{labels.max()}" in result.stdout
    assert all(str(out / name) in result.stdout for name in NAMES[:4])
    assert read_image(out / "labels.tif").pixel_size == pytest.approx((0.5, 0.5))


def test_a_wide_search_from_the_command_line(tmp_path, model, image):
    how = ("--model", model, *QUICK, "--scope", "wide", "--budget", "3", "--trials", "30", "--json")
    done = json.loads(samstar("tune", image, "-o", tmp_path / "out", *how).stdout)
    study = done["tuning"]["study"]
    assert (study["scope"], study["seconds"], len(study["factors"])) == ("wide", 3.0, 3)
    assert study["cost"] > 0
    front = (tmp_path / "out" / "front.csv").read_text().splitlines()
    assert ",prompts,shown," in front[0]
    assert ",grid,original," in front[1]
    assert len(front) == 31


def test_the_options_are_in_the_recipe(segmented):
    recipe = Recipe.load(segmented[0] / "recipe.samstar.json")
    assert recipe.config.points_per_side == 4
    assert recipe.config.pred_iou_thresh == 0
    assert recipe.config.box_nms_thresh == 0.7
    assert recipe.image["pixel_size"] == [0.5, 0.5]


def test_apply_repeats_the_labels_bit_for_bit(tmp_path, segmented, image):
    out, _ = segmented
    samstar("apply", out / "recipe.samstar.json", image, "-o", tmp_path / "again")
    np.testing.assert_array_equal(labels_in(tmp_path / "again"), labels_in(out))
    again = Recipe.load(tmp_path / "again" / "recipe.samstar.json")
    assert again.image == Recipe.load(out / "recipe.samstar.json").image  # its pixel size too


def test_apply_does_the_other_images_when_one_fails(tmp_path, segmented, image):
    bad = tmp_path / "bad.tif"
    bad.write_text("no image")
    other = tmp_path / "discs.tif"  # the same name in another folder
    tifffile.imwrite(other, np.rot90(read_image(image).array))
    out = tmp_path / "all"
    result = samstar(
        "apply",
        segmented[0] / "recipe.samstar.json",
        image,
        bad,
        other,
        "-o",
        out,
        "--json",
        code=1,
    )
    assert names(out) == ["all_images.csv", "all_objects.csv", "discs", "discs_2"]
    assert "Error: bad.tif is not an image" in result.stderr
    reports = json.loads(result.stdout)["images"]
    assert ["error" in r for r in reports] == [False, True, False]
    assert reports[0]["objects"] == labels_in(segmented[0]).max()


def test_apply_refuses_other_weights(tmp_path, segmented, image):
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    weights = {n: v.contiguous() for n, v in build_pocket().state_dict().items()}
    save_file(weights, other, metadata={"arch": "pocket"})
    out = tmp_path / "out"
    recipe = segmented[0] / "recipe.samstar.json"
    result = samstar("apply", recipe, image, "-o", out, "--model", other, code=1)
    assert "was made with weights" in one_line(result)
    assert not out.exists()


def test_apply_takes_what_was_learned_from_its_file(tmp_path, segmented, image, model):
    original = load(model, "cpu")
    learned = weights.initial_delta(original.backend.decoder_weights())
    learned.tensors["iou_prediction_head.layers.2.bias"][:] += 0.1
    saved = weights.save(learned, original, tmp_path / "learned.safetensors", {})
    recipe = json.loads((segmented[0] / "recipe.samstar.json").read_text())
    recipe["adapter"] = learned.digest()
    (tmp_path / "r.json").write_text(json.dumps(recipe))
    run = ("apply", tmp_path / "r.json", image, "-o", tmp_path / "out")
    assert "no adapter" in one_line(samstar(*run, code=1))
    samstar(*run, "--adapter", saved)
    again = Recipe.load(tmp_path / "out" / "recipe.samstar.json")
    assert again.adapter == learned.digest()
    assert labels_in(tmp_path / "out").max() > 0
    without = ("apply", segmented[0] / "recipe.samstar.json", image, "-o", tmp_path / "other")
    assert "no adapter" in one_line(samstar(*without, "--adapter", saved, code=1))


def test_plane_channel_and_projection_reach_the_image(tmp_path, model, image):
    stack = np.stack([read_image(image).array, np.rot90(read_image(image).array)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    run = ("segment", tmp_path / "stack.tif", "--model", model, *QUICK, "--json")
    first = json.loads(samstar(*run, "-o", tmp_path / "a", "--plane", "0").stdout)
    largest = json.loads(samstar(*run, "-o", tmp_path / "b", "--projection", "max").stdout)
    flipped = json.loads(samstar(*run, "-o", tmp_path / "c", "--plane", 0, "--invert").stdout)
    keys = {r["image"]["key"] for r in (first, largest, flipped)}
    assert len(keys) == 3
    plain = json.loads(samstar("segment", image, *run[2:], "-o", tmp_path / "d").stdout)
    assert plain["image"]["key"] == first["image"]["key"]


# --- tune ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, model, image):
    out = tmp_path_factory.mktemp("tuned") / "out"
    result = samstar("tune", image, "-o", out, "--model", model, *QUICK, *SEARCH, "--json")
    return out, json.loads(result.stdout)


def test_tune_writes_every_file(tuned):
    out, about = tuned
    assert names(out) == sorted(NAMES)
    assert about["files"] == list(NAMES)
    with (out / "front.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert [int(r["trial"]) for r in rows if r["on_front"] == "1"] == sorted(
        about["front"]["members"]
    )
    assert [int(r["trial"]) for r in rows if r["picked"] == "1"] == [about["picked"]["trial"]]


def test_what_a_search_says_is_on_stderr_and_in_json(tmp_path, model, image):
    run = ("tune", image, "-o", tmp_path / "out", "--model", model, *QUICK, *SEARCH)
    result = samstar(*run, "--trials", 24, "--json")
    remarks = json.loads(result.stdout)["diagnosis"]
    assert remarks
    for remark in remarks:
        assert f"{remark['seen']} {remark['step']}" in result.stderr.splitlines()


def test_the_recipe_of_a_search_repeats_its_labels(tmp_path, tuned, image):
    out, about = tuned
    samstar("apply", out / "recipe.samstar.json", image, "-o", tmp_path / "again")
    np.testing.assert_array_equal(labels_in(tmp_path / "again"), labels_in(out))
    assert about["objects"] == labels_in(out).max()
    assert Recipe.load(out / "recipe.samstar.json").tuning.study["seed"] == 0


def test_same_seed_same_search(tmp_path, tuned, model, image):
    run = ("tune", image, "--model", model, *QUICK, *SEARCH)
    result = samstar(*run, "-o", tmp_path / "again")
    assert "SAM's defaults" in result.stdout
    samstar(*run, "-o", tmp_path / "other", "--seed", 1, "--pick", "best", "--weight", "coverage=3")
    front = (tuned[0] / "front.csv").read_bytes()
    assert (tmp_path / "again" / "front.csv").read_bytes() == front
    assert (tmp_path / "other" / "front.csv").read_bytes() != front
    weights = Recipe.load(tmp_path / "other" / "recipe.samstar.json").tuning.goal["weights"]
    assert (weights["coverage"], weights["boundary"]) == (3, REWARDS["boundary"].weight)


@pytest.fixture(scope="module")
def other_image(tmp_path_factory, image):
    path = tmp_path_factory.mktemp("other") / "turned.tif"
    tifffile.imwrite(path, np.rot90(read_image(image).array))
    return str(path)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    labels = np.zeros((96, 96), np.uint16)
    for k, (row, col, radius) in enumerate(((20, 22, 9), (60, 30, 12), (40, 70, 10))):
        labels[disk((row, col), radius)] = k + 1
    folder = tmp_path_factory.mktemp("truth")
    tifffile.imwrite(folder / "a.tif", labels)
    tifffile.imwrite(folder / "b.tif", np.rot90(labels))
    return str(folder / "a.tif"), str(folder / "b.tif")


def test_several_images_held_out_ones_truth_and_report(tmp_path, model, image, other_image, truth):
    third = tmp_path / "discs.tif"  # the same name as the first
    tifffile.imwrite(third, np.flipud(read_image(image).array))
    out = tmp_path / "out"
    run = ("tune", image, third, "--hold-out", other_image, "-o", out, "--model", model, *QUICK,
           *SEARCH, "--truth", truth[0], "--truth", truth[1], "--truth", truth[1],
           "--against-random", "--report", "--json")  # fmt: skip
    about = json.loads(samstar(*run).stdout)
    assert names(out) == ["all_images.csv", "all_objects.csv", "front.csv", "front.png", "images",
                          "recipe.samstar.json", "report.html"]  # fmt: skip
    assert names(out / "images") == ["discs", "discs_2", "turned"]
    assert names(out / "images" / "turned") == sorted(NAMES[:4])
    assert all((out / name).is_file() for name in about["files"])
    assert [c["held_out"] for c in about["checks"]] == [False, False, True]
    assert about["picked"]["n_masks"] == sum(c["chosen"]["n_masks"] for c in about["checks"][:2])
    for reward, value in about["picked"]["rewards"].items():
        tuned = [c["chosen"]["rewards"][reward] for c in about["checks"][:2]]
        assert value == pytest.approx(np.mean(tuned))
    agreement, held = about["ground_truth"], about["ground_truth_held_out"]
    assert list(agreement) == ["defaults", "chosen", "random", "oracle"]
    assert agreement["oracle"]["f1"] >= max(a["f1"] for a in agreement.values())
    assert len(agreement["chosen"]["images"]) == 2
    assert list(held) == ["defaults", "chosen", "random"]
    assert held["chosen"]["images"][0]["true"] == 3
    assert len(about["hypervolume"]["random"]) == len(about["hypervolume"]["searched"])
    recipe = Recipe.load(out / "recipe.samstar.json")
    assert [i["held_out"] for i in recipe.tuning.images] == [False, False, True]
    samstar("apply", out / "recipe.samstar.json", other_image, "-o", tmp_path / "again")
    np.testing.assert_array_equal(
        labels_in(tmp_path / "again"), labels_in(out / "images" / "turned")
    )
    shown = samstar(*run[:-1]).stdout  # once more into the same folder, for people
    assert all(text in shown for text in ("held out", "random", "Oracle", "Settings that matter"))


def test_a_folder_of_the_user_is_not_replaced(tmp_path, model, image, other_image):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.tif").write_text("mine")
    run = ("tune", image, other_image, "-o", tmp_path, "--model", model, *QUICK, *SEARCH)
    assert "not from an earlier run" in one_line(samstar(*run, code=1))
    assert names(tmp_path / "images") == ["mine.tif"]


def test_planes_are_tuned_together_and_held_out(tmp_path, model, image):
    first = read_image(image).array
    stack = np.stack([np.roll(first, 7 * k, axis=k % 2) for k in range(6)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    run = ("tune", tmp_path / "stack.tif", "-o", tmp_path / "out", "--model", model, *QUICK,
           *SEARCH, "--plane", "0:5:2", "--hold-out-plane", "1", "--json")  # fmt: skip
    about = json.loads(samstar(*run).stdout)
    shown = [(c["image"], c["held_out"]) for c in about["checks"]]
    assert shown == [("stack_plane0", False), ("stack_plane2", False), ("stack_plane4", False),
                     ("stack_plane1", True)]  # fmt: skip
    recipe = Recipe.load(tmp_path / "out" / "images" / "stack_plane2" / "recipe.samstar.json")
    assert recipe.mapping.plane == (2,)
    again = ("tune", tmp_path / "stack.tif", "-o", tmp_path / "no", "--model", model)
    both = samstar(*again, "--plane", "1:3", "--hold-out-plane", "2", code=1)
    assert "both tuned on and held out" in one_line(both)


def test_a_larger_budget_continues_and_other_weights_start_from_it(
    tmp_path, tuned, model, other_image
):
    run = ("tune", other_image, "--model", model, *QUICK, "--population", "6", "-o", tmp_path / "o")
    said = samstar(*run, "--trials", "12", "--continue").stderr
    assert "no earlier run" in said
    small = (tmp_path / "o" / "front.csv").read_text().splitlines()
    said = samstar(*run, "--trials", "30", "--continue").stderr
    assert "Going on" in said
    large = (tmp_path / "o" / "front.csv").read_text().splitlines()
    settings = [",".join(line.split(",")[6:16]) for line in small]
    assert [",".join(line.split(",")[6:16]) for line in large[: len(small)]] == settings
    said = samstar(*run, "--trials", "12", "--continue", "--weight", "boundary=3").stderr
    assert "starting from the best of" in said
    plain = samstar(*run, "--trials", "12", "--weight", "boundary=3")
    assert "earlier" not in plain.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_killed_run_continues_to_the_same_result(tmp_path, model, image, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "cache"))
    run = ("tune", image, "--model", model, *QUICK, "--population", "6")
    process = start(*run, "--trials", "10000", "-o", tmp_path / "killed")
    until = time.monotonic() + 240
    written = 0
    while written < 20 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
        journals = list((tmp_path / "cache" / "journals").glob("*.jsonl"))
        written = sum(len(j.read_bytes().splitlines()) for j in journals)
    process.kill()
    _, said_before = process.communicate()
    assert written >= 20, said_before
    run += ("--trials", "150")
    said = samstar(*run, "-o", tmp_path / "continued", "--continue").stderr
    assert "Going on with an earlier run" in said
    samstar(*run, "-o", tmp_path / "whole")
    front = [(tmp_path / name / "front.csv").read_bytes() for name in ("continued", "whole")]
    assert front[0] == front[1]


def test_a_damaged_journal_is_one_line_and_stops_no_new_run(tmp_path, model, image, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "cache"))
    run = ("tune", image, "-o", tmp_path / "out", "--model", model, *QUICK, *SEARCH)
    samstar(*run)
    (journal,) = (tmp_path / "cache" / "journals").iterdir()
    journal.write_text("{}\nan essay\n")
    result = samstar(*run, "--continue", code=1)
    assert "is damaged" in one_line(result)
    assert "not written down" in samstar(*run).stderr
    assert journal.read_text() == "{}\nan essay\n"


def test_a_run_without_a_writable_cache_goes_on(tmp_path, model, image, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "file"))
    result = samstar("tune", image, "-o", tmp_path / "out", "--model", model, *QUICK, *SEARCH)
    assert result.stderr.count("The journal") == 1
    assert names(tmp_path / "out") == sorted(NAMES)


# --- bad input -----------------------------------------------------------------------------------


def write_text(path):
    path.write_text("This is not an image.")


def write_empty_tiff(path):
    path.write_bytes(b"II*\0\0\0\0\0")


def write_huge_header(path):
    """Announce 40,000 x 40,000 pixels and hold none."""
    tags = [(256, 40_000), (257, 40_000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1),
            (278, 40_000), (279, 1_600_000_000)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0")


def array_writer(array):
    return lambda path: tifffile.imwrite(path, array, photometric="minisblack")


BAD_IMAGES = {
    "missing": (lambda path: None, "There is no file"),
    "folder": (lambda path: path.mkdir(), "folder"),
    "text": (write_text, "not an image"),
    "empty file": (lambda path: path.write_bytes(b""), "is empty"),
    "empty TIFF": (write_empty_tiff, "bad.tif"),
    "header only": (write_huge_header, "bad.tif"),
    "NaN": (array_writer(np.full((32, 32), np.nan, np.float32)), "no finite value"),
    "constant": (array_writer(np.ones((32, 32), np.uint8)), "constant"),
    "1 x 1": (array_writer(np.ones((1, 1), np.uint8)), "1 x 1"),
    "one row": (array_writer(np.arange(50, dtype=np.uint8)[None]), "1 x 50"),
    "complex": (array_writer(np.ones((32, 32), np.complex64)), "complex"),
}


@pytest.mark.parametrize("command", ["segment", "tune"])
@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_one_line_and_leaves_nothing(tmp_path, model, kind, command):
    write, says = BAD_IMAGES[kind]
    write(tmp_path / "bad.tif")
    before = names(tmp_path)
    run = (command, tmp_path / "bad.tif", "-o", tmp_path / "a" / "out", "--model", model)
    assert says in one_line(samstar(*run, code=1))
    assert names(tmp_path) == before


@pytest.mark.parametrize("command", ["segment", "tune"])
def test_a_bad_place_is_found_before_the_work(tmp_path, image, command):
    (tmp_path / "file").write_text("mine")
    assert "is a file" in one_line(samstar(command, image, "-o", tmp_path / "file", code=1))
    below = samstar(command, image, "-o", tmp_path / "file" / "out", code=1)
    assert "cannot be written to" in one_line(below)
    if sys.platform == "linux":  # a folder where not even root may write
        assert "cannot be written to" in one_line(samstar(command, image, "-o", "/proc/x", code=1))
    assert (tmp_path / "file").read_text() == "mine"


def test_bad_models(tmp_path, image):
    run = ("segment", image, "-o", tmp_path / "out", "--model")
    assert "no model or file" in one_line(samstar(*run, "vit_x", code=1))
    (tmp_path / "text.pt").write_text("no weights")
    assert "text.pt" in one_line(samstar(*run, tmp_path / "text.pt", code=1))
    assert names(tmp_path) == ["text.pt"]


def test_bad_recipes(tmp_path, image, model):
    run = ("apply", tmp_path / "r.json", image, "-o", tmp_path / "out")
    assert "There is no recipe" in one_line(samstar(*run, code=1))
    (tmp_path / "r.json").write_text("{}")
    assert "not a recipe" in one_line(samstar(*run, code=1))
    assert names(tmp_path) == ["r.json"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--population", "2"), "population must be at least"),
        (("--trials", "8"), "budget"),
        (("--weight", "beauty=1"), "Unknown reward"),
        (("--weight", "coverage=-1"), "0 or more"),
        (("--pixel-size", "0.5"), "--unit"),
        (("--pixel-size", "0", "--unit", "nm"), "positive"),
        (("--plane", "0"), "plane"),
        (("--truth", "none.tif"), "There is no file"),
        (("--truth", "a.tif", "--truth", "b.tif"), "2 ground truths for 1 images"),
        (("--hold-out", "none.tif"), "There is no file"),
        (("--device", "cuda", "--model", "vit_x"), "Error"),
    ],
)
def test_wrong_values_are_one_line(tmp_path, image, options, says):
    result = samstar("tune", image, "-o", tmp_path / "out", *options, code=1)
    assert says.lower() in one_line(result).lower()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "options",
    [
        ("tune", "x.tif"),
        ("tune", "x.tif", "-o", "out", "--weight", "coverage"),
        ("tune", "x.tif", "-o", "out", "--scope", "nothing"),
        ("tune", "x.tif", "-o", "out", "--pixel-size", "1,2,3"),
        ("tune", "x.tif", "-o", "out", "--plane", "1:a"),
        ("tune", "x.tif", "-o", "out", "--plane", "3:1"),
        ("tune", "x.tif", "-o", "out", "--minutes", "0"),
        ("segment", "x.tif", "-o", "out", "--pred-iou-thresh", "2"),
        ("segment", "x.tif", "-o", "out", "--plane", "a"),
        ("apply", "r.json", "-o", "out"),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_with_2(options):
    result = samstar(*options, code=2)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_defect_is_one_line_and_verbose_has_the_trace(tmp_path, monkeypatch, caplog):
    def broken(path, series=None):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("napari_samstar.core.image.readers.registry.read_image", broken)
    run = ("segment", "x.tif", "-o", tmp_path / "out")
    assert "ZeroDivisionError: oops" in one_line(samstar(*run, code=1))
    caplog.clear()
    with caplog.at_level("DEBUG", logger="napari_samstar"):
        samstar(*run, "--verbose", code=1)
    assert any(record.exc_info for record in caplog.records)


# --- the real command ----------------------------------------------------------------------------


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "napari_samstar.cli.main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_leaves_nothing(tmp_path, model, image):
    out = tmp_path / "new" / "out"
    long = ("--points-per-side", "64", "--trials", "10000", "--device", "cpu")
    process = start("tune", image, "-o", out, "--model", model, *long)
    assert "Model random" in process.stderr.readline()  # it works now
    assert names(tmp_path) == ["new"]
    time.sleep(0.5)  # into the decoding; every moment must do
    process.send_signal(signal.SIGINT)
    inputs, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert inputs == ""
    assert said.splitlines() == ["Stopped: nothing unfinished was left behind."]
    assert names(tmp_path) == []


def test_a_text_file_through_the_real_command(tmp_path):
    write_text(tmp_path / "bad.tif")
    process = start("segment", tmp_path / "bad.tif", "-o", tmp_path / "out")
    inputs, said = process.communicate(timeout=300)
    assert (process.returncode, inputs) == (1, "")
    assert said.startswith("Error: bad.tif")
    assert said.count("\n") == 1
    assert names(tmp_path) == ["bad.tif"]


HELP_IMPORTS = """
import sys
from napari_samstar.cli.main import main
try:
    main()
except SystemExit as error:
    assert not error.code
heavy = {"torch", "numpy", "napari", "qtpy", "matplotlib", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("command", ["", "demo", "segment", "tune", "apply", "models", "doctor"])
def test_help_loads_nothing_heavy(command):
    arguments = [command, "--help"] if command else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", HELP_IMPORTS, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_every_setting_is_an_option_of_segment():
    wide = CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    shown = wide.invoke(app, ["segment", "--help"]).stdout
    assert all("--" + name.replace("_", "-") in shown for name in set(SETTINGS) - {*OF_EXAMPLES})


def test_version():
    assert samstar("--version").stdout == f"samstar {napari_samstar.__version__}\n"


# --- models and doctor ---------------------------------------------------------------------------


def test_models_lists_the_registry():
    listed = json.loads(samstar("models", "--json").stdout)["models"]
    assert [m["name"] for m in listed] == list(REGISTRY)
    assert not next(m for m in listed if m["name"] == "vit_b")["present"]  # the tests' own cache
    shown = samstar("models").stdout
    assert all(name in shown for name in REGISTRY)


def test_an_unknown_download_is_one_line():
    assert "no model 'vit_x'" in one_line(samstar("models", "--download", "vit_x", code=1))


def test_doctor_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "file" / "cache"))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    about = json.loads(result.stdout)
    assert result.exit_code == (0 if about["well"] else 1)
    checks = {check["name"]: check for check in about["checks"]}
    assert checks["torch"]["found"] == torch.__version__.split("+")[0]
    assert not checks["Cache"]["well"]
    assert "SAMSTAR_CACHE" in checks["Cache"]["advice"]
    assert all(check["well"] or check["advice"] for check in checks.values())
    shown = CliRunner().invoke(app, ["doctor"]).stdout
    assert "SAMSTAR_CACHE" in shown


# --- demo ----------------------------------------------------------------------------------------


def test_the_bundled_model_is_prompted_at_centres_unless_a_grid_is_chosen(tmp_path, image):
    own = tmp_path / "own.safetensors"
    shutil.copy(Path(napari_samstar.__file__).parent / "weights" / "pocket.safetensors", own)

    def config(*options):
        samstar("segment", image, "-o", tmp_path / "out", "--device", "cpu", *options)
        return Recipe.load(tmp_path / "out" / "recipe.samstar.json").config

    assert config().prompts == "centres"
    assert config("--prompts", "grid", *QUICK).prompts == "grid"
    assert (config(*QUICK).prompts, config(*QUICK).points_per_side) == ("grid", 4)
    assert config("--model", own, *QUICK).prompts == "grid"
    assert config("--model", own, "--prompts", "centres").prompts == "centres"
    both = samstar("segment", image, "-o", tmp_path, "--prompts", "centres", *QUICK, code=1)
    assert "--prompts centres has no grid" in both.stderr
    assert config("--prompts", "classical").prompts == "classical"
    assert config("--model", own, "--prompts", "combined", *QUICK).points_per_side == 4
    both = samstar("segment", image, "-o", tmp_path, "--prompts", "combined", *QUICK, code=1)
    assert "--prompts combined has no grid" in both.stderr


@pytest.mark.parametrize("prompts", ["centres", "combined"])
def test_a_recipe_finds_its_prompts_anew_in_each_image(tmp_path, image, prompts):
    moved = tmp_path / "moved.tif"
    tifffile.imwrite(moved, np.roll(tifffile.imread(image), 7, axis=1))
    options = ("--device", "cpu", "--prompts", prompts)
    samstar("segment", image, "-o", tmp_path / "first", *options)
    samstar("segment", moved, "-o", tmp_path / "second", *options)
    recipe = tmp_path / "first" / "recipe.samstar.json"
    samstar("apply", recipe, moved, "-o", tmp_path / "applied", "--device", "cpu")
    second, applied = (
        tifffile.imread(next((tmp_path / folder).rglob("*labels.tif")))
        for folder in ("second", "applied")
    )
    assert second.max() >= 3
    np.testing.assert_array_equal(applied, second)


def test_demo_scores_defaults_and_tuned_against_the_truth(tmp_path, model, monkeypatch, image):
    truth = np.zeros((96, 96), np.uint16)
    truth[10:30, 10:30], truth[50:70, 20:40] = 1, 2
    known = type("Known", (), {"n_objects": 2})()
    monkeypatch.setattr("napari_samstar.sample_data.path", lambda name: image)
    monkeypatch.setattr(
        "napari_samstar.sample_data.load", lambda name: (read_image(image).array, truth, known)
    )
    run = ("demo", "-o", tmp_path / "out", "--model", model, "--points-per-side", "4",
           "--trials", "32", "--device", "cpu")  # fmt: skip
    scores = json.loads(samstar(*run, "--json").stdout)["scores"]
    assert scores["defaults"]["true"] == scores["tuned"]["true"] == 2
    assert scores["tuned"]["found"] == labels_in(tmp_path / "out").max()
    shown = samstar(*run).stdout
    assert "against the ground truth" in shown
    assert names(tmp_path / "out") == sorted(NAMES)


def test_an_unknown_sample_lists_the_known_ones(tmp_path):
    line = one_line(samstar("demo", "-o", tmp_path / "out", "--sample", "x", code=1))
    assert "nanocrystals" in line
    assert names(tmp_path) == []


CTRL_C_IN_A_DESTRUCTOR = """
import os, signal, time
import typer
from napari_samstar.cli.errors import OneLineErrors

class Deleted:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

app = typer.Typer(cls=OneLineErrors)

@app.command()
def wait():
    thing = Deleted()
    del thing
    time.sleep(60)
    print("never stopped")

@app.command()
def other():
    pass

app()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
def test_ctrl_c_while_python_deletes_an_object_stops_with_one_line():
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_IN_A_DESTRUCTOR, "wait"],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert done.stderr == "Stopped: nothing unfinished was left behind.\n"
    assert done.stdout == ""
