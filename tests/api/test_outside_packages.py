"""Another package adds a model family, a prompt source and a reader, without a change here."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

TOY = '''
"""A model that needs no weights, prompts at bright corners, and files of raw pixels."""
import hashlib
from pathlib import Path
import numpy as np
import torch
from scipy import ndimage
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.models.backend import Embedding
from napari_samstar.core.models.registry import ModelInfo
from napari_samstar.core.prompts.base import Prompts

class FloodBackend:
    """Answers a prompt with the connected pixels of a similar brightness."""
    device = torch.device("cpu")
    frame_side, low_res_shape, mask_threshold = 256, (64, 64), 0.0
    mask_prompt_level, logit_scale, sees_centres = 10.0, 1.0, False
    window_side = 0

    def encode(self, rgb):
        grey = torch.from_numpy(rgb[..., 0].astype(np.float32))[None, None]
        return Embedding(grey, rgb.shape[:2], rgb.shape[:2])

    def decode(self, embedding, points, labels, boxes, *, multimask):
        grey = embedding.features[0, 0].numpy()
        found = []
        for x, y in points[:, 0]:
            seed = grey[int(y), int(x)]
            parts, _ = ndimage.label(np.abs(grey - seed) < 40)
            found.append(np.where(parts == parts[int(y), int(x)], 9.0, -9.0))
        logits = torch.from_numpy(np.stack(found).astype(np.float32))[:, None]
        logits = logits.repeat(1, 3 if multimask else 1, 1, 1)
        return logits, torch.full(logits.shape[:2], 0.95)

    def upscale(self, low_res, embedding, shape=None):
        return low_res

class FloodFamily:
    name = "flood"
    models = (ModelInfo(name="flood", architecture="flood", file=__file__, url=None,
                        sha256=None, size_bytes=0, licence="CC0-1.0", advice="A toy.",
                        family="flood"),)

    def recognises(self, path):
        return path.suffix == ".flood"

    def load(self, path, device):
        return FloodBackend(), "flood"

class DiagonalSource:
    name, label, help = "diagonal", "Diagonal", "Points on the diagonal."

    def key(self, settings, layer, sees_centres):
        return 8

    def expected(self, key):
        return key

    def prompts(self, key, crop):
        rows, cols = crop.embedding.original_size
        steps = (np.arange(key) + 0.5) / key
        return Prompts.single_points(np.column_stack([steps * cols, steps * rows]))

class RawReader:
    name, kinds = "raw", "64 x 64 raw bytes"

    def supports(self, path, head):
        return path.suffix == ".raw"

    def read(self, path):
        array = np.fromfile(path, np.uint8).reshape(64, 64)
        return LoadedImage(array, False, "YX", (2.0, 2.0), "nm", path.stem, path=path)

family, source, reader = FloodFamily(), DiagonalSource(), RawReader()
'''

ENTRY_POINTS = """
[napari_samstar.model_families]
flood = toy_plugin:family

[napari_samstar.prompt_sources]
diagonal = toy_plugin:source

[napari_samstar.readers]
raw = toy_plugin:reader
"""

USE = """
import json, sys
import napari_samstar as ss
image = ss.read("squares.raw")
result = ss.segment(image, "flood", prompts="diagonal", pred_iou_thresh=0.5)
result.save("out")
again = ss.apply("out/recipe.samstar.json", "squares.raw")
study = ss.tune(image, model="flood", prompts="diagonal", trials=24, seed=3)
print(json.dumps({
    "objects": int(result.labels.max()), "unit": result.image.unit, "model": result.recipe.model,
    "prompts": result.recipe.config.prompts, "prompted": result.bank.missing([]).prompts,
    "same": bool((again.labels == result.labels).all()), "axes": image.axes,
    "tuned": int(study.knee.segment().labels.max()), "trials": len(study.trials),
    "corner": result.labels[2:4, 2:4].tolist(),
}))
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with the installed toy package, and an image of three squares."""
    (tmp_path / "toy_plugin.py").write_text(TOY)
    info = tmp_path / "toy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    pixels = np.full((64, 64), 20, np.uint8)
    for k in (4, 24, 44):
        pixels[k : k + 12, k : k + 12] = 200
    pixels.tofile(tmp_path / "squares.raw")
    return tmp_path


def python(code, folder):
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path, "SAMSTAR_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_outside_package_adds_a_model_a_prompt_source_and_a_reader(folder):
    about = json.loads(python(USE, folder).splitlines()[-1])
    assert about["objects"] == about["tuned"] == 4  # three squares and the ground
    assert (about["unit"], about["axes"]) == ("nm", "YX")
    assert (about["model"], about["prompts"]) == ("flood", "diagonal")
    assert about["same"]
    assert about["trials"] == 24


def test_the_command_line_uses_an_outside_package(folder):
    code = """
import sys
from napari_samstar.cli.main import main
sys.argv = ["samstar", "segment", "squares.raw", "--model", "flood", "-o", "cli"]
main()
"""
    assert "Objects" in python(code, folder)
    code = "import napari_samstar as ss; print(ss.Recipe.load('cli/recipe.samstar.json').model)"
    assert python(code, folder).split() == ["flood"]


def test_a_package_that_does_not_load_is_left_out(folder):
    (folder / "toy_plugin.py").write_text("raise RuntimeError('broken')")
    code = """
import napari_samstar as ss
from napari_samstar.core.models.families import other_families
from napari_samstar.core.prompts.sources import prompt_sources
from napari_samstar.core.image.readers.registry import readers
outside = [one for one in readers() if not type(one).__module__.startswith("napari_samstar.")]
print([f.name for f in other_families()], sorted(prompt_sources()), outside)
"""
    ours = ["boxes", "centres", "classical", "combined", "grid"]
    assert python(code, folder).split("\n")[0] == f"['transformers'] {ours} []"
