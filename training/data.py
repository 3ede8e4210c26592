"""Training batches: real and synthetic crops, augmented, with dense targets and prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset

from training import prompts, real, synth
from training.styles import restyle
from training.synth.camera import blur
from training.synth.sample import masks_of_label
from training.targets import dense_targets

if TYPE_CHECKING:
    from collections.abc import Iterator

STYLED_SHARE = 0.3  # of the crops get the look of another contrast
FRAME = 512  # px, the model's frame
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SET_WEIGHTS = {
    "dsb2018_fluo": 3.0,
    "usiigaci_phase_t98g": 2.0,
    "nasa_superalloy_sem": 2.0,
    "ampis_powder_sem": 2.0,
    "nasa_meltpool": 1.0,
    "omnipose_bacteria_phase": 1.5,
    "plantseg_ovule_3d": 0.5,
}

Masks = tuple[tuple[int, int, np.ndarray], ...]


@dataclass(frozen=True)
class BatchConfig:
    """Composition of a batch."""

    size: int = 256  # px, side of a crop of the 512 px frame
    crops: int = 8
    prompts: int = 8  # per crop
    real_share: float = 0.45


def whole_frames(config: BatchConfig) -> BatchConfig:
    """The same amount of work as `config` in whole frames of 512 px."""
    return BatchConfig(FRAME, max(config.crops // 4, 1), config.prompts * 2, config.real_share)


class Batches(IterableDataset):  # type: ignore[type-arg]
    """Endless batches; a share of `full_share` has whole frames instead of crops."""

    def __init__(
        self,
        sources: list[real.Micrograph],
        seed: int,
        config: BatchConfig,
        full_share: float = 0.12,
    ) -> None:
        self.sources, self.seed, self.config, self.full_share = sources, seed, config, full_share

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        info = torch.utils.data.get_worker_info()
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, info.id if info else 0))
        while True:
            whole = rng.random() < self.full_share
            yield batch(self.sources, whole_frames(self.config) if whole else self.config, rng)


def batch(
    sources: list[real.Micrograph], config: BatchConfig, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """One batch: image (B, 3, S, S) float16, dense (B, 7, S/4, S/4), prompts over all its crops.

    Prompt tensors (see `prompts.Prompt`): owner (P,), point (P, 2), box (P, 4), kind (P,),
    target (P, S/2, S/2) uint8, 0 to 4. Coordinates are (x, y) px of the crop.
    """
    images, dense, drawn = [], [], []
    for i in range(config.crops):
        is_real = bool(sources) and rng.random() < config.real_share
        image, masks = _real(sources, config.size, rng) if is_real else _synthetic(config.size, rng)
        if rng.random() < STYLED_SHARE:
            image = restyle(image, rng)
        image, masks = flip(image, masks, rng)
        label = paint(masks, (config.size, config.size))
        images.append(normalise(image, config.size, rng))
        dense.append(dense_targets(label))
        drawn += prompts.draw(masks, label, image.shape, config.prompts, i, rng)
    return {
        "image": torch.from_numpy(np.stack(images)).half(),
        "dense": torch.from_numpy(np.stack(dense)),
        **prompts.collate(drawn, config.size),
    }


def _real(
    sources: list[real.Micrograph], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, Masks]:
    weight = np.array([SET_WEIGHTS.get(s.set_name, 1.0) for s in sources])
    names = [s.set_name for s in sources]
    weight /= np.array([names.count(n) for n in names])  # images share the weight of their set
    source = sources[int(rng.choice(len(sources), p=weight / weight.sum()))]
    image, label = real.crop(source, size, FRAME, rng)
    return augment(image, rng), masks_of_label(compact(label), least=12)


def compact(label: np.ndarray) -> np.ndarray:
    """Ids renumbered from 1 without gaps, so that absent ids cost no time."""
    _, inverse = np.unique(np.append(label.ravel(), 0), return_inverse=True)
    return inverse[:-1].reshape(label.shape).astype(np.int32)


def _synthetic(size: int, rng: np.random.Generator) -> tuple[np.ndarray, Masks]:
    family = synth.any_family(rng)
    zoom = size == FRAME or rng.random() < 0.12
    made = synth.generate(family, (size // 2, size // 2) if zoom else (size, size), rng)
    if not zoom:
        return made.image, made.masks
    image = cv2.resize(made.image, (size, size), interpolation=cv2.INTER_CUBIC)
    masks = tuple((2 * r, 2 * c, _double(m)) for r, c, m in made.masks)
    return image, masks


def _double(mask: np.ndarray) -> np.ndarray:
    h, w = mask.shape
    soft = cv2.resize(mask.astype(np.float32), (2 * w, 2 * h), interpolation=cv2.INTER_LINEAR)
    return soft > 0.5


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast, gamma, inversion, blur and noise of a (H, W) uint8 image."""
    out = image.astype(np.float32) / 255
    if rng.random() < 0.3:
        out = blur(out, rng.uniform(0.3, 1.2))
    if rng.random() < 0.4:
        out = out ** np.float32(np.exp(rng.uniform(-0.6, 0.6)))
    if rng.random() < 0.1:
        out = 1 - out
    if rng.random() < 0.4:
        level = np.exp(rng.uniform(np.log(0.005), np.log(0.12)))
        out = out + np.float32(level) * rng.standard_normal(out.shape, np.float32)
    if rng.random() < 0.4:
        gain = np.exp(rng.uniform(-0.7, 0.3))
        out = gain * (out - 0.5) + 0.5 + rng.uniform(-0.15, 0.15)
    return np.round(255 * np.clip(out, 0, 1)).astype(np.uint8)


def flip(image: np.ndarray, masks: Masks, rng: np.random.Generator) -> tuple[np.ndarray, Masks]:
    """Apply a random symmetry of the square."""
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    h, w = image.shape
    moved = []
    for r, c, m in masks:
        y, x, hh, ww, mm = r, c, h, w, m
        for _ in range(turns):  # np.rot90 sends (r, c) to (w - 1 - c, r)
            y, x, hh, ww = ww - x - mm.shape[1], y, ww, hh
            mm = np.rot90(mm)
        if mirror:
            x, mm = ww - x - mm.shape[1], mm[:, ::-1]
        moved.append((y, x, np.ascontiguousarray(mm)))
    image = np.rot90(image, turns)
    return np.ascontiguousarray(image[:, ::-1] if mirror else image), tuple(moved)


def paint(masks: Masks, shape: tuple[int, int]) -> np.ndarray:
    """Label image (H, W) int32, with smaller instances on top."""
    return synth.Sample(np.empty(shape, np.uint8), masks).label()


def normalise(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Normalise a grey image as SAM does, sometimes tinted, and zero-pad it to (3, size, size)."""
    tint = rng.uniform(0.8, 1.2, 3) if rng.random() < 0.1 else np.ones(3)
    out = np.zeros((3, size, size), np.float32)
    h, w = image.shape
    for channel, gain, mean, std in zip(out, tint, MEAN, STD, strict=True):
        channel[:h, :w] = (np.minimum(image * np.float32(gain), 255) - mean) / std
    return out
