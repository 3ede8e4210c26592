"""Does label-free tuning help? Scored with ground truth that the search never sees.

    python -m benchmarks.tuning                          the bundled samples
    python -m benchmarks.tuning --micrographs FOLDER     images/ and masks/ of a folder as well

For each image: SAM's defaults, what the search picks (knee, best for the default weights), what
random search at equal budget picks by the same weights, and the best that an oracle who knows the
truth could have picked from all these evaluations.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tifffile
import torch
import typer

from napari_samstar import sample_data
from napari_samstar.core.config import AmgConfig
from napari_samstar.core.files import read_image
from napari_samstar.core.goal import Goal
from napari_samstar.core.images import Micrograph, prepare
from napari_samstar.core.labels import paint
from napari_samstar.core.models import load
from napari_samstar.core.pareto import front
from napari_samstar.core.proposals import ProposalBank, run
from napari_samstar.core.scoring import score
from napari_samstar.core.search import Evaluation, Plan, random_search, search
from napari_samstar.core.select import select
from napari_samstar.core.tuning import Judge

PICKS = ("defaults", "knee", "best", "random", "oracle")


@dataclass(frozen=True)
class Case:
    name: str
    image: Micrograph
    truth: np.ndarray


def main(
    micrographs: Annotated[list[Path] | None, typer.Option()] = None,
    model: str = "pocket",
    points: int = 32,
    evaluations: int = 400,
    seed: int = 0,
    threads: int = 1,
) -> None:
    torch.set_num_threads(threads)
    loaded = load(model, "cpu")
    plan = Plan(evaluations=evaluations, seed=seed, base=AmgConfig(points_per_side=points))
    rows = []
    for case in _cases(micrographs or []):
        print(case.name, file=sys.stderr)
        rows.append(_row(case, loaded, plan))
    print(json.dumps({"plan": _about(plan, model), "images": rows, "f1": _summary(rows)}, indent=2))


def _cases(folders: list[Path]) -> Iterator[Case]:
    for name in sample_data.names():
        image, truth, _ = sample_data.load(name)
        if image.ndim == 3:
            middle = len(image) // 2
            image, truth = image[middle], truth[middle]
        yield Case(name, prepare(image, name=name), truth)
    for folder in folders:
        for path in sorted((folder / "images").iterdir()):
            read = read_image(path)
            truth = tifffile.imread(folder / "masks" / f"{path.stem}.tif")
            name = f"{folder.name}/{path.stem}"
            yield Case(name, prepare(read.array, rgb=read.rgb, name=name), truth)


def _row(case: Case, model: Any, plan: Plan) -> dict[str, Any]:
    bank = ProposalBank(case.image, model)
    run(bank.prepare(plan.base))
    judge, goal = Judge.of(bank), Goal()
    searched = _evaluations(search(judge.evaluate, goal, plan))
    drawn = _evaluations(random_search(judge.evaluate, plan))
    f1 = {}
    for evaluation in (*searched, *drawn):
        kept = select(bank, evaluation.config)
        f1[evaluation.config] = score(case.truth, paint(bank.masks, kept.ids))
    tuned = front(searched, goal)
    by_weights = max(drawn, key=lambda e: goal.total(e.rewards))
    picked = {
        "defaults": f1[searched[0].config],
        "knee": f1[searched[tuned.knee].config],
        "best": f1[searched[tuned.best].config],
        "random": f1[by_weights.config],
        "oracle": max(f1.values(), key=lambda s: s.f1),
    }
    scores = {name: vars(picked[name]) for name in PICKS}
    return {"image": case.name, "polarity": judge.features.facts.polarity, **scores}


def _evaluations(steps: Any) -> list[Evaluation]:
    return [step for step in steps if isinstance(step, Evaluation)]


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {name: np.array([row[name]["f1"] for row in rows]) for name in PICKS}
    return {
        name: {"n": len(rows), "mean": round(float(c.mean()), 3), "sd": round(float(c.std()), 3)}
        for name, c in columns.items()
    }


def _about(plan: Plan, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "scope": plan.scope,
        "evaluations": plan.evaluations,
        "seed": plan.seed,
        "points_per_side": plan.base.points_per_side,
    }


if __name__ == "__main__":
    typer.run(main)
