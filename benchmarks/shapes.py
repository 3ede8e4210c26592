"""Does the search find rods if rods are marked as good examples? Real SAM on drawn images.

    python -m benchmarks.shapes --seeds 8

Rods and spheres of equal area are mixed, touching and crossing; three rods are marked. The searches
compared are: the balanced goal; the balanced goal with the mean circularity of the examples as
expectation, as in published shape objectives; the preset for examples where only SAM's own
thresholds are searched, which do not depend on shape; and the same preset where the likeness to the
examples is searched too, by NSGA-II and by random search. The oracles are the best configurations
of all trials.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from numpy.typing import NDArray
from skimage.draw import disk, polygon
from skimage.filters import gaussian

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.metrics import iou_matrix
from napari_samstar.core.masks.shape import shape_of
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.marks import Marks
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.evaluator import Evaluator
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.nsga2 import random_search, search

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel

SIDE, WIDTH, LENGTH = 512, 16, 72  # px

OWN_THRESHOLDS = ("balanced", "mean_circularity", "examples_sams_thresholds")
WITH_LIKENESS = ("examples", "examples_random")


def scene(seed: int, each: int = 22) -> tuple[NDArray[np.uint8], NDArray[np.int32], set[int]]:
    """Return a drawn image (H, W), its labels, and the ids of the rods; spheres follow them."""
    rng = np.random.default_rng(seed)
    thickness, labels = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), np.int32)
    radius = np.sqrt(WIDTH * LENGTH / np.pi)
    for k in range(2 * each):
        middle = rng.uniform(40, SIDE - 40, 2)
        if k < each:
            along = np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)]) * LENGTH / 2
            across = np.array([-along[1], along[0]]) * WIDTH / LENGTH
            offsets = (along + across, along - across, -along - across, -along + across)
            corners = middle + np.array(offsets)
            at = polygon(*corners.T, shape=labels.shape)
        else:
            at = disk(middle, radius, shape=labels.shape)
        thickness[at] += 1
        labels[at] = k + 1
    signal = 170 * np.exp(-0.5 * gaussian(thickness, 1))
    image = rng.poisson(signal * 2) / 2 + rng.normal(0, 4, signal.shape)
    kept = np.flatnonzero(np.bincount(labels.ravel(), minlength=2 * each + 1) > 200)
    labels[~np.isin(labels, kept)] = 0
    return image.clip(0, 255).astype(np.uint8), labels, {int(k) for k in kept if 0 < k <= each}


def goals(labels: NDArray[np.int32], rods: set[int]) -> dict[str, tuple[Goal, Expectations, Marks]]:
    """Return each goal with its inputs: three rods as examples, or their mean circularity."""
    visible = sorted(rods, key=lambda k: -int((labels == k).sum()))[:3]
    marks = Marks(examples=np.where(np.isin(labels, visible), labels, 0))
    mean = float(np.mean([shape_of(labels == k)[0] for k in visible]))
    circularity_goal = Goal(dict(Goal().weights) | {"circularity": 4.0})
    examples_goal = (PRESETS["like_examples"].goal, Expectations(), marks)
    return {
        "balanced": (Goal(), Expectations(), Marks()),
        "mean_circularity": (circularity_goal, Expectations(circularity=mean), Marks()),
        "examples_sams_thresholds": examples_goal,
        "examples": examples_goal,
        "examples_random": examples_goal,
    }


def rod_score(bank: ProposalBank, config: AmgConfig, labels: Any, rods: set[int]) -> dict[str, Any]:
    """Count the kept masks that match rods and spheres at IoU 0.5, and return the F1 for rods."""
    found = paint(bank.masks, select(bank, config).ids)
    n = int(found.max(initial=0))
    ids = np.unique(labels[labels > 0])
    matched = ids[(iou_matrix(labels, found) >= 0.5).any(axis=1)]
    n_rods = int(np.isin(matched, sorted(rods)).sum())
    return {
        "masks": n,
        "rods": n_rods,
        "spheres": len(matched) - n_rods,
        "f1_rods": round(2 * n_rods / max(n + len(rods), 1), 3),
        "share_rods": round(n_rods / max(n, 1), 3),
    }


def run_searches(model: LoadedModel, seed: int, trials: int) -> dict[str, Any]:
    image, labels, rods = scene(seed)
    bank = ProposalBank(prepare(image), model)
    base = AmgConfig(prompts="centres")
    run(bank.prepare(base))
    evaluator, study_config = Evaluator.of(bank), StudyConfig(trials=trials, seed=seed, base=base)
    out: dict[str, Any] = {"seed": seed, "true_rods": len(rods)}
    tried: dict[str, list[AmgConfig]] = {}
    for name, (goal, expectations, marks) in goals(labels, rods).items():
        inputs = evaluator.with_inputs(expectations, marks)
        config = study_config.like(inputs.examples) if name in WITH_LIKENESS else study_config
        at_random = name.endswith("random")
        steps = (
            random_search(inputs.evaluate, config)
            if at_random
            else search(inputs.evaluate, goal, study_config=config)
        )
        found = [step for step in steps if isinstance(step, Trial)]
        tried[name] = [t.config for t in found]
        out[name] = rod_score(bank, found[front(found, goal).best].config, labels, rods)
    for oracle, names in (("oracle_sams_thresholds", OWN_THRESHOLDS), ("oracle", tuple(tried))):
        scored = [rod_score(bank, c, labels, rods) for name in names for c in set(tried[name])]
        out[oracle] = max(scored, key=lambda s: s["f1_rods"])
    return out


def main(seeds: int = 8, trials: int = 150) -> None:
    model = load("pocket", "cpu")
    runs = []
    for seed in range(seeds):
        print(seed, file=sys.stderr, flush=True)
        runs.append(run_searches(model, seed, trials))
    summary = {
        name: {
            key: {"mean": round(float(np.mean(v)), 3), "sd": round(float(np.std(v)), 3)}
            for key in ("f1_rods", "share_rods")
            for v in [[r[name][key] for r in runs]]
        }
        for name in (*OWN_THRESHOLDS, *WITH_LIKENESS, "oracle_sams_thresholds", "oracle")
    }
    print(json.dumps({"n": seeds, "trials": trials, "summary": summary, "runs": runs}))


if __name__ == "__main__":
    typer.run(main)
