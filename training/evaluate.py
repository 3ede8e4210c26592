"""Held-out figures of a weights file, as JSON.

    python -m training.evaluate pocket.safetensors --micrographs DIR > report.json

Per set of the test and unseen splits: IoU of one click (the mask with the highest predicted IoU,
and the best of three), of three clicks (centre of the largest error, previous logits handed on),
of the tight box; rank correlation of predicted and true IoU; F1 at IoU 0.5 of
`SamAutomaticMaskGenerator` with its default thresholds. Each mean comes with its number of objects
or images, and the standard deviation over images.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import spearmanr
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

from training import real, scoring

if TYPE_CHECKING:
    from napari_samstar.core.pocket import Pocket


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def prompted(model: Pocket, source: real.Micrograph, most: int) -> dict[str, list[float]]:
    """Scores of up to `most` objects of one image, by kind of prompt."""
    predictor = SamPredictor(model)
    predictor.set_image(scoring.rgb(source.image))
    names = ("click", "click_best", "clicks3", "box", "predicted", "true")
    out: dict[str, list[float]] = {name: [] for name in names}
    for i in scoring.some_instances(source.label, most, seed=0):
        truth = source.label == i
        row, col = scoring.deepest(truth)
        masks, scores, logits = predictor.predict(np.array([[col, row]]), np.array([1]))
        found = [iou(m, truth) for m in masks]
        chosen = int(scores.argmax())
        out["click"].append(found[chosen])
        out["click_best"].append(max(found))
        out["predicted"] += scores.tolist()
        out["true"] += found
        start = (masks[chosen], logits[chosen], (row, col))
        out["clicks3"].append(_corrected(predictor, truth, *start))
        rows, cols = np.nonzero(truth)
        box = np.array([cols.min(), rows.min(), cols.max(), rows.max()])
        boxed, _, _ = predictor.predict(box=box, multimask_output=False)
        out["box"].append(iou(boxed[0], truth))
    return out


def _corrected(
    predictor: SamPredictor,
    truth: np.ndarray,
    mask: np.ndarray,
    logits: np.ndarray,
    first: tuple[int, int],
    clicks: int = 3,
) -> float:
    points, labels = [first], [1]
    for _ in range(clicks - 1):
        missing, extra = truth & ~mask, mask & ~truth
        if not (missing | extra).any():
            break
        wrong = missing if missing.sum() >= extra.sum() else extra
        points.append(scoring.deepest(wrong))
        labels.append(int(wrong is missing))
        masks, _, low = predictor.predict(
            np.array([(c, r) for r, c in points]),
            np.array(labels),
            mask_input=logits[None],
            multimask_output=False,
        )
        mask, logits = masks[0], low[0]
    return iou(mask, truth)


def everything(model: Pocket, source: real.Micrograph, side: int) -> tuple[float, int]:
    """F1 at IoU 0.5 of "segment everything" at SAM's default thresholds, and how many it kept."""
    generator = SamAutomaticMaskGenerator(model, points_per_side=side)
    records = generator.generate(scoring.rgb(source.image))
    masks = np.array([r["segmentation"] for r in records]).reshape(-1, *source.image.shape)
    owner, overlap = scoring.best_overlaps(masks, source.label)
    objects = int((np.bincount(source.label.ravel())[1:] >= 16).sum())
    return scoring.f1(owner, overlap, objects), len(records)


def boxes_only(model: Pocket, set_folder: Path, stem: str, most: int) -> list[float]:
    """IoU of the box around a one-click mask with the true box, where only boxes are known."""
    from skimage import io

    (path,) = sorted((set_folder / "images").glob(f"{stem}.*"))
    boxes = np.loadtxt(set_folder / "boxes" / f"{stem}.csv", delimiter=",", skiprows=1, ndmin=2)
    predictor = SamPredictor(model)
    predictor.set_image(scoring.rgb(real.stretch(real.grey(io.imread(path)))))
    out = []
    for y0, x0, y1, x1 in np.random.default_rng(0).permutation(boxes)[:most]:
        masks, scores, _ = predictor.predict(np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]), np.ones(1))
        rows, cols = np.nonzero(masks[scores.argmax()])
        if not len(rows):
            out.append(0.0)
            continue
        mine = (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        out.append(_box_iou(mine, (y0, x0, y1, x1)))
    return out


def _box_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    both = height * width
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return float(both / max(sum(area) - both, 1e-6))


def report_set(
    model: Pocket, sources: list[real.Micrograph], args: argparse.Namespace
) -> dict[str, float]:
    """Means over one set's images, with counts and spread."""
    each = [prompted(model, s, args.instances) for s in sources]
    pooled = {k: [v for e in each for v in e[k]] for k in each[0]}
    out: dict[str, float] = {"images": len(sources), "objects": len(pooled["click"])}
    for name in ("click", "click_best", "clicks3", "box"):
        out[name] = float(np.mean(pooled[name]))
    out["click_sd_over_images"] = float(np.std([np.mean(e["click"]) for e in each]))
    out["iou_rank_correlation"] = float(spearmanr(pooled["predicted"], pooled["true"]).statistic)
    if args.side:
        scored = [everything(model, s, args.side) for s in sources[: args.everything]]
        out["f1_default"] = float(np.mean([f for f, _ in scored]))
        out["f1_sd_over_images"] = float(np.std([f for f, _ in scored]))
        out["f1_images"] = len(scored)
        out["masks_per_image"] = float(np.mean([n for _, n in scored]))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--micrographs", default=None)
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--images", type=int, default=6, help="most per set")
    parser.add_argument("--instances", type=int, default=12, help="most per image")
    parser.add_argument("--everything", type=int, default=3, help="images for the mask generator")
    parser.add_argument("--side", type=int, default=16, help="its points per side; 0: leave it out")
    parser.add_argument("--max-side", type=int, default=1024, help="larger images are reduced")
    parser.add_argument("--synthetic", type=int, default=1, help="images per synthetic family")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = scoring.load_model(args.weights)
    root = real.folder(args.micrographs)
    sets: dict[str, list[real.Micrograph]] = {}
    for source in _held_out(root, args):
        sets.setdefault(source.set_name, []).append(scoring.at_most(source, args.max_side))
    report: dict[str, object] = {"weights": args.weights.name, "split": args.split}
    for name, sources in sets.items():
        report[name] = report_set(model, sources[: args.images], args)
        print(name, report[name], file=sys.stderr, flush=True)
    if args.split == "test":
        report["ardagen_stem_boxes"] = _stem_boxes(model, root, args)
    print(json.dumps(report, indent=1))


def _held_out(root: Path, args: argparse.Namespace) -> list[real.Micrograph]:
    images = real.load(root, args.split)
    if args.split == "test":
        unseen = real.splits()["unseen"]
        with_masks = {k: v for k, v in unseen.items() if (root / k / "masks").is_dir()}
        images += [real.load_one(root / k, stem) for k, v in with_masks.items() for stem in v]
    return images + scoring.held_out_synthetic(args.synthetic)


def _stem_boxes(model: Pocket, root: Path, args: argparse.Namespace) -> dict[str, float]:
    name = "ardagen_stem_boxes"
    stems = real.splits()["unseen"][name][: args.images]
    each = [boxes_only(model, root / name, stem, args.instances) for stem in stems]
    pooled = [v for e in each for v in e]
    return {"images": len(stems), "objects": len(pooled), "click_box_iou": float(np.mean(pooled))}


if __name__ == "__main__":
    main()
