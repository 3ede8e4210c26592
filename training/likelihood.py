"""Fit the weights of `core.amg.likelihood`: which candidate masks are objects.

    python -m training.likelihood --micrographs FOLDER          prints the lines for the module

Images are the design half of the new sets (`real.DESIGN_SETS`), the training and validation images
of the old ones, and synthetic ones; never a test image of an old set, nor the other new sets. A
candidate counts as an object where its IoU with one is at least 0.5. Every image has the same
weight. Logistic regression with a small ridge; the scores leave one set out at a time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import optimize, stats

from napari_samstar.core.amg import likelihood
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.candidates import Candidates  # noqa: TC001
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.models.backend import Embedding, LoadedModel  # noqa: TC001
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from training import held_out, real, scoring, synth

SIDE = 768  # px, longest side of an image
PER_SET = 2
LEAST_QUALITY = 0.3  # answers below are nowhere kept
RIDGE = 1.0
SOURCES = (AmgConfig(prompts="combined"), AmgConfig(points_per_side=12))

Sample = tuple[str, np.ndarray, np.ndarray, np.ndarray]  # set, features, given, is an object


class RecordingBank(ProposalBank):
    """A bank that keeps the features of its candidates."""

    def __init__(self, image: object, model: LoadedModel) -> None:
        super().__init__(image, model)  # type: ignore[arg-type]
        self.recorded: list[tuple[Candidates, np.ndarray]] = []

    def rated(self, candidates: Candidates, embedding: Embedding) -> Candidates:
        """Record the features before the weights are applied."""
        maps = self.model.backend.centre_map(embedding)
        assert maps is not None
        seen = likelihood.Seen.of(maps, embedding, candidates.crop_box[:2])
        self.recorded.append((candidates, likelihood.features(candidates, seen)))
        return super().rated(candidates, embedding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--micrographs", type=Path)
    parser.add_argument("--model", default="pocket")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load(arguments.model, "cpu")
    samples = []
    for image in sources(real.folder(arguments.micrographs)):
        samples += recorded(image, model)
        print(image.set_name, image.name, file=sys.stderr, flush=True)
    for given, name in ((False, "OF_ANSWERS"), (True, "OF_GIVEN")):
        chosen = [(s, x[g == given], y[g == given]) for s, x, g, y in samples]
        print(f"# leaving one set out, {scores(chosen)}")
        weights = ", ".join(f"{w:.3f}" for w in fitted([(x, y) for _, x, y in chosen]))
        print(f"{name} = ({weights})")


def sources(root: Path) -> Iterator[real.Micrograph]:
    """Images that may be used for design."""
    splits = real.splits()
    for name in (*real.DESIGN_SETS, *real.OLD_SETS):
        parts = ("train", "validation") if name in real.OLD_SETS else tuple(splits)
        stems = [stem for part in parts for stem in splits[part].get(name, [])]
        for stem in stems[:: max(1, len(stems) // PER_SET)][:PER_SET]:
            yield scoring.at_most(real.load_one(root / name, stem), SIDE)
    for family in synth.FAMILIES:
        yield held_out.one_synthetic("validation", family, 10, 512)


def recorded(source: real.Micrograph, model: LoadedModel) -> Iterator[Sample]:
    """Decode an image; yields the features and the truth of its candidates."""
    rgb = np.repeat(source.image[..., None], 3, axis=2)
    bank = RecordingBank(prepare(rgb, rgb=True, name=source.name), model)
    for config in SOURCES:
        run(bank.prepare(config))
    for candidates, features in bank.recorded:
        given = candidates.given
        given = np.zeros(len(features), dtype=bool) if given is None else given
        use = given | (candidates.predicted_iou.numpy() > LEAST_QUALITY)
        use &= np.array([mask.area > 0 for mask in candidates.masks])
        truth = np.array([best_iou(m, source.label) for m in candidates.masks])
        yield source.set_name, features[use], given[use], truth[use] >= 0.5


def best_iou(mask: object, label: np.ndarray) -> float:
    """IoU of a mask with the object that it shares most with."""
    row0, col0, row1, col1 = mask.box  # type: ignore[attr-defined]
    inside = label[row0:row1, col0:col1][mask.window]  # type: ignore[attr-defined]
    counts = np.bincount(inside[inside > 0], minlength=1)
    if not counts.any():
        return 0.0
    areas = np.bincount(label.ravel(), minlength=len(counts))[: len(counts)]
    return float((counts[1:] / (areas[1:] + mask.area - counts[1:])).max())  # type: ignore[attr-defined]


def fitted(samples: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Intercept and weights of a logistic regression."""
    samples = [(x, y) for x, y in samples if len(y)]
    x = np.concatenate([np.column_stack([np.ones(len(x)), x]) for x, _ in samples])
    y = np.concatenate([y for _, y in samples]).astype(float)
    weight = np.concatenate([np.full(len(y), 1000 / len(y)) for _, y in samples])
    scale = x.std(axis=0) + (np.arange(x.shape[1]) == 0)

    def cost(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = (x / scale) @ w
        loss = weight @ (np.logaddexp(0, z) - y * z) + RIDGE / 2 * w[1:] @ w[1:]
        slope = (x / scale).T @ (weight * (1 / (1 + np.exp(-z)) - y))
        return loss, slope + RIDGE * np.append(0, w[1:])

    found = optimize.minimize(cost, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B")
    return found.x / scale


def scores(samples: list[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """Area under the ROC curve of the probability, and of the quality alone; n images."""
    ours, alone = [], []
    for left_out in sorted({name for name, _, _ in samples}):
        w = fitted([(x, y) for name, x, y in samples if name != left_out])
        for name, x, y in samples:
            if name == left_out and 0 < y.sum() < len(y):
                ours.append(auc(w[0] + x @ w[1:], y))
                alone.append(auc(x[:, 0], y))
    return (
        f"AUROC {np.mean(ours):.3f} (sd {np.std(ours):.3f}), of the quality alone "
        f"{np.mean(alone):.3f} (sd {np.std(alone):.3f}), n {len(ours)}"
    )


def auc(score: np.ndarray, y: np.ndarray) -> float:
    """Probability that an object has a higher score than a mask that is none."""
    found = stats.mannwhitneyu(score[y], score[~y]).statistic
    return float(found / (y.sum() * (~y).sum()))


if __name__ == "__main__":
    main()
