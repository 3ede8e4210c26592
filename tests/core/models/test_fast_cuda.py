"""Precision "fast" on an NVIDIA GPU.

It imports little, so that it runs where only PyTorch, segment_anything and OpenCV are installed:
``python -m pytest -c /dev/null --rootdir . --noconftest tests/core/models/test_fast_cuda.py``
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.fallback import ON_CPU
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.models.backend import LoadedModel
from napari_samstar.core.models.checkpoints import build, read_weights
from napari_samstar.core.models.fast import FastBackend
from napari_samstar.core.models.sam_backend import SamBackend
from napari_samstar.version import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_samstar.core.amg.candidates import Candidates

DEVICE = torch.device("cuda")
SAMPLE = Path(__file__).parents[3] / "sample_data" / "nanocrystals.tif"
CONFIG = AmgConfig(points_per_side=12, pred_iou_thresh=0.5, stability_score_thresh=0.7)
TILED = CONFIG.replace(tile_scale=1.0)
FEWER = "fewer were decoded at once"

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="this machine has no NVIDIA GPU"
)


@pytest.fixture(autouse=True)
def _all_memory() -> Iterator[None]:
    """Give each test the whole memory, whatever the one before it did."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def image(side: int = 640) -> Micrograph:
    grey = cv2.imread(str(SAMPLE), cv2.IMREAD_UNCHANGED)
    assert grey is not None
    return Micrograph(np.repeat(grey[:side, :side, None], 3, 2).astype(np.uint8))


def bank_of(kind: type[SamBackend], device: torch.device = DEVICE, side: int = 640) -> ProposalBank:
    sam = build("pocket", read_weights(PACKAGE / "weights" / "pocket.safetensors")[0]).to(device)
    backend = kind(sam)
    model = LoadedModel(backend, "pocket", "pocket", "0" * 64, backend.device, Path("pocket"))
    return ProposalBank(image(side), model)


def candidates_of(bank: ProposalBank, config: AmgConfig = CONFIG) -> list[Candidates]:
    for _ in bank.prepare(config):
        pass
    return [table.candidates for table in bank.tables(config)]


def labels_of(bank: ProposalBank, config: AmgConfig) -> np.ndarray:
    """Return in how many kept masks each pixel lies."""
    candidates_of(bank, config)
    layers = [bank.masks.dense(int(i)) for i in select(bank, config).ids]
    return np.sum(layers, axis=0) if layers else np.zeros(bank.shape, int)


def iou(one: Candidates, other: Candidates) -> np.ndarray:
    """Return the IoU of the masks of the same prompts."""
    values = []
    for a, b in zip(one.masks, other.masks, strict=True):
        both = a.bit_window.overlap(b.bit_window)
        either = a.area + b.area - both
        values.append(both / either if either else 1.0)
    return np.array(values)


def good(candidates: Candidates) -> np.ndarray:
    """Return which masks the model rates above the threshold."""
    return candidates.predicted_iou.cpu().numpy() > CONFIG.pred_iou_thresh


@pytest.mark.parametrize("config", [CONFIG, TILED], ids=["whole", "tiles"])
def test_the_exact_path_gives_nearly_the_labels_of_the_cpu(config):
    there = labels_of(bank_of(SamBackend), config)
    here = labels_of(bank_of(SamBackend, torch.device("cpu")), config)
    assert there.any()
    assert (there == here).mean() > 0.98


def test_the_exact_path_keeps_candidates_on_the_gpu():
    (found,) = candidates_of(bank_of(SamBackend))
    assert {found.boxes.device.type, found.predicted_iou.device.type} == {DEVICE.type}
    assert found.n_batches == 3  # 144 prompts, 64 at once, as upstream


@pytest.mark.parametrize("config", [CONFIG, TILED], ids=["whole", "tiles"])
def test_fast_masks_agree_with_exact_ones(config):
    exact = candidates_of(bank_of(SamBackend), config)
    fast = candidates_of(bank_of(FastBackend), config)
    pairs = list(zip(exact, fast, strict=True))
    alike = np.concatenate([iou(a, b)[good(a)] for a, b in pairs])
    assert len(alike) > 20
    assert alike.mean() > 0.95


def test_a_batch_that_does_not_fit_is_halved_or_goes_to_the_cpu():
    (whole,) = candidates_of(bank_of(FastBackend))
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    notes: list[tuple[str, ...]] = []
    for spare in (2000, 1000, 500, 250, 120, 60, 20):  # MiB beside what is in use
        bank = bank_of(FastBackend)
        torch.cuda.empty_cache()
        limit = torch.cuda.memory_reserved(DEVICE) + spare * 2**20
        torch.cuda.set_per_process_memory_fraction(limit / total)
        (found,) = candidates_of(bank)
        torch.cuda.set_per_process_memory_fraction(1.0)
        assert iou(whole, found)[good(whole)].mean() > 0.9
        notes.append(bank.image.notes)
        if any(FEWER in note for note in bank.image.notes):
            break
    told = {note for some in notes for note in some}
    assert any(FEWER in note for note in told), notes
    assert all(FEWER in note or note == ON_CPU for note in told)


def test_nothing_is_left_behind_after_twenty_images():
    bank = bank_of(FastBackend)
    backend = bank.model.backend
    used = []
    for _ in range(20):
        again = ProposalBank(bank.image, bank.model)
        for _ in again.prepare(CONFIG):
            pass
        select(again, CONFIG)
        del again
        gc.collect()
        torch.cuda.synchronize()
        used.append(torch.cuda.memory_allocated(DEVICE))
    assert isinstance(backend, FastBackend)
    assert max(used[3:]) - min(used[3:]) < 2**20
