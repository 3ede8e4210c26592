"""Points of one Pareto front on small particles beside aggregates: true objects of each class.

    python -m benchmarks.operating_points --seeds 3

As in the SAM* paper (arXiv 2509.07047), where points of one front keep 117, 22 or 11 masks. The
objectives are small objects, large objects, and clean ones. Of the front three points are taken:
the most small, the most large objects by the rewards, and the knee. An object is true at IoU 0.5;
the classes are those of the ground truth, small and large by Otsu's threshold of the log area.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
import typer
from skimage.filters import threshold_otsu

from napari_samstar import sample_data
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.metrics import iou_matrix
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.evaluator import Evaluator
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.nsga2 import search

WEIGHTS = {"small_objects": 1.0, "large_objects": 1.0, "likely_objects": 1.0, "boundary": 0.3}
OBJECTIVES = {"small_objects": 0, "large_objects": 1, "likely_objects": 2, "boundary": 2}


def main(
    sample: str = "aggregates", trials: int = 300, seeds: int = 3, zoom: int = 1, threads: int = 1
) -> None:
    torch.set_num_threads(threads)
    image, truth, _ = sample_data.load(sample)
    base = AmgConfig(prompts="centres", crop_n_layers=zoom)
    bank = ProposalBank(prepare(image, name=sample), load("pocket", "cpu"))
    run(bank.prepare(base))
    evaluator = Evaluator.of(bank, base=base)
    goal = Goal({**dict.fromkeys(REWARDS, 0.0), **WEIGHTS}, OBJECTIVES)
    areas = np.bincount(truth.ravel())[1:]
    areas = areas[areas > 0]
    large = np.log(areas) > threshold_otsu(np.log(areas))
    points = []
    for seed in range(seeds):
        steps = search(
            evaluator.evaluate, goal, StudyConfig("filters", trials, seed=seed, base=base)
        )
        tried = [step for step in steps if isinstance(step, Trial)]
        found = front(tried, goal)
        members = found.members.tolist()
        chosen = {
            "most small": max(members, key=lambda k: tried[k].rewards.get("small_objects", 0)),
            "most large": max(members, key=lambda k: tried[k].rewards.get("large_objects", 0)),
            "knee": found.knee,
        }
        for name, k in chosen.items():
            points.append({"seed": seed, "point": name, **_classes(bank, tried[k], truth, large)})
    print(json.dumps({"sample": sample, "small": int((~large).sum()), "large": int(large.sum()),
                      "trials": trials, "zoom": zoom, "points": points}, indent=1))  # fmt: skip


def _classes(
    bank: ProposalBank, trial: Trial, truth: np.ndarray, large: np.ndarray
) -> dict[str, Any]:
    """Count masks, and the true objects of each class that one of them matches."""
    labels = paint(bank.masks, select(bank, trial.config).ids)
    matched = (iou_matrix(truth, labels) >= 0.5).any(axis=1)
    return {
        "masks": trial.n_masks,
        "small": int((matched & ~large).sum()),
        "large": int((matched & large).sum()),
    }


if __name__ == "__main__":
    typer.run(main)
