"""Calibrate weights so that SAM's default thresholds suit the model.

    python -m training.calibrate runs/pocket/average.safetensors -o pocket.safetensors \
        --micrographs DIR

The candidate masks of the validation split and of held-out synthetic images are decoded once,
prompted at the centres that the model detects, as in the panels (`--side N`: on a grid of N x N
points). Then two numbers are chosen that give the best mean F1 of "segment everything" at SAM's
defaults (predicted IoU 0.88, stability 0.95, offset 1.0): a factor on the logits, which determines
how sharp an edge must be to count as stable, and the predicted IoU that is mapped to 0.88. The
mapping is a power of predicted IoU, so neither masks at threshold 0 nor their ranking change.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.ops import nms

from napari_samstar.core.models.pocket import FINE_STRIDE, IMAGE_SIZE, Pocket
from napari_samstar.core.prompts.centres import peaks
from training import held_out, real, scoring
from training.train import export, uncalibrate

SHARPNESS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0)
PRED_IOU, STABILITY, NMS = 0.88, 0.95, 0.7  # SAM's defaults


@dataclass(frozen=True)
class Candidates:
    """The candidate masks of one image, reduced to what the selection needs."""

    set_name: str
    objects: int
    predicted: np.ndarray  # (N,) raw predicted IoU
    stability: np.ndarray  # (N, len(SHARPNESS)) at offset 1.0, for each factor on the logits
    box: np.ndarray  # (N, 4) xyxy in cells of 2 px
    owner: np.ndarray  # (N,) id of the object with the highest IoU
    iou: np.ndarray  # (N,) with that object


@torch.no_grad()
def candidates(model: Pocket, source: real.Micrograph, side: int | None) -> Candidates:
    """Decode all centres, or a `side` x `side` grid, on one image scaled to the model's frame."""
    source = to_frame(source)
    h, w = source.image.shape
    embedding = model.image_encoder(scoring.frame_tensor(source.image, model))
    xy = _centres(model, embedding, (h, w)) if side is None else _grid(side, (h, w))
    points = torch.from_numpy(xy).float().to(model.device)
    parts = [_decode(model, embedding, p, source.label) for p in points[:, None].split(32)]
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    objects = int((np.bincount(source.label.ravel())[1:] >= 16).sum())
    return Candidates(source.set_name, objects, *joined)


def _centres(model: Pocket, embedding: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """Detected centres (n, 2) in (x, y) px of the frame, as in `core.prompts.centres`."""
    heat = model.dense_maps(embedding).centre[0].cpu().numpy()
    rows, cols = (-(-side // FINE_STRIDE) for side in shape)
    return (peaks(heat[:rows, :cols])[:, ::-1] + 0.5) * FINE_STRIDE - 0.5


def _grid(side: int, shape: tuple[int, int]) -> np.ndarray:
    """Points (side * side, 2) in (x, y) px of the frame."""
    h, w = shape
    x, y = np.meshgrid((np.arange(side) + 0.5) * w / side, (np.arange(side) + 0.5) * h / side)
    return np.stack([x.ravel(), y.ravel()], 1)


def to_frame(source: real.Micrograph) -> real.Micrograph:
    """The micrograph scaled so that its long side fills the model's frame."""
    reduced = scoring.at_most(source, IMAGE_SIZE)
    h, w = reduced.image.shape
    if max(h, w) == IMAGE_SIZE:
        return reduced
    scale = IMAGE_SIZE / max(h, w)
    new = (round(w * scale), round(h * scale))
    image = cv2.resize(reduced.image, new, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(reduced.label, new, interpolation=cv2.INTER_NEAREST)
    return real.Micrograph(source.set_name, source.name, image, label)


def _decode(
    model: Pocket, embedding: torch.Tensor, points: torch.Tensor, label: np.ndarray
) -> tuple[np.ndarray, ...]:
    labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
    sparse, dense = model.prompt_encoder((points, labels), None, None)
    pe = model.prompt_encoder.get_dense_pe()
    logits, iou = model.mask_decoder(embedding, pe, sparse, dense, True)
    label = label[::2, ::2]  # low-resolution masks have stride 2, which is precise enough here
    low = logits[:, :, : label.shape[0], : label.shape[1]].flatten(0, 1)
    masks = (low > 0).cpu().numpy()
    stability = [
        ((low > 1 / k).sum((1, 2)) / (low > -1 / k).sum((1, 2)).clamp(min=1)).cpu().numpy()
        for k in SHARPNESS
    ]
    owner, true = scoring.best_overlaps(masks, label)
    return iou.flatten().cpu().numpy(), np.stack(stability, 1), _boxes(masks), owner, true


def _boxes(masks: np.ndarray) -> np.ndarray:
    out = np.zeros((len(masks), 4), np.float32)
    for row, mask in zip(out, masks, strict=True):
        cols, rows = np.nonzero(mask.any(0))[0], np.nonzero(mask.any(1))[0]
        if len(cols):
            row[:] = cols[0], rows[0], cols[-1], rows[-1]
    return out


def select(c: Candidates, factor: int, least: float) -> np.ndarray:
    """Indices of candidates that SAM's mask generator keeps; `least` is the raw predicted IoU."""
    keep = np.nonzero((c.predicted > least) & (c.stability[:, factor] >= STABILITY))[0]
    boxes, scores = torch.from_numpy(c.box[keep]), torch.from_numpy(c.predicted[keep])
    return keep[nms(boxes, scores, NMS).numpy()]


def score(all_candidates: list[Candidates], factor: int, least: float) -> dict[str, float]:
    """F1 at IoU 0.5 by set, images of a set averaged."""
    by_set: dict[str, list[float]] = {}
    for c in all_candidates:
        kept = select(c, factor, least)
        by_set.setdefault(c.set_name, []).append(scoring.f1(c.owner[kept], c.iou[kept], c.objects))
    return {name: float(np.mean(values)) for name, values in by_set.items()}


def search(all_candidates: list[Candidates]) -> tuple[int, float, dict[str, float]]:
    """Index of the factor, and raw threshold, with the best mean F1, and the F1 by set."""
    raw = np.concatenate([c.predicted for c in all_candidates])
    thresholds = np.unique(np.quantile(raw, np.linspace(0.4, 0.995, 35)).clip(0.05, 0.95))
    trials = [(f, float(t)) for f in range(len(SHARPNESS)) for t in thresholds]
    scores = [score(all_candidates, f, t) for f, t in trials]
    best = int(np.argmax([_mean(s) for s in scores]))
    return (*trials[best], scores[best])


def _mean(scores: dict[str, float]) -> float:
    """Mean with half the weight on real sets and half on synthetic families."""
    kinds = [
        [v for k, v in scores.items() if k.startswith("synthetic") is s] for s in (True, False)
    ]
    return float(np.mean([np.mean(values) for values in kinds if values]))


def set_calibration(model: Pocket, factor: float, least: float) -> None:
    """Multiply the logits by `factor`, and map predicted IoU `least`, in (0, 1), to 0.88."""
    with torch.no_grad():
        uncalibrate(model)
        model.mask_decoder.sharpness.fill_(factor)
        model.prompt_encoder.mask_softness *= factor  # which divides mask prompts
        model.mask_decoder.quality_power.fill_(math.log(PRED_IOU) / math.log(least))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--micrographs", default=None)
    parser.add_argument("--side", type=int, help="prompt on a grid with this many points per side")
    parser.add_argument("--synthetic", type=int, default=1, help="images per synthetic family")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = scoring.load_model(args.weights)
    uncalibrate(model)
    images = real.load(real.folder(args.micrographs), "validation")
    images += [s for s in held_out.synthetic_images("validation", args.synthetic) if s.label.any()]
    found = [candidates(model, image, args.side) for image in images]
    factor, least, scores = search(found)
    set_calibration(model, SHARPNESS[factor], least)
    report = {
        "sharpness": SHARPNESS[factor], "raw_pred_iou": least,
        "mean_f1": _mean(scores), "f1": scores,
    }  # fmt: skip
    export(model, args.output, {"calibration": json.dumps(report)})
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
