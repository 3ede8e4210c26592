"""Is a wide search worth its time? Three searches with the same number of seconds.

    python -m benchmarks.wide                                    the bundled samples
    python -m benchmarks.wide --micrographs FOLDER --images 4    and real images

For each image and seed: the wide search that plans by cost, random search over the same space (arms
are opened as they are drawn), and NSGA-II over thresholds only. Each begins with an empty bank and
ends after so many seconds of wall-clock time, decoding included. Judged twice: told the truth (F1
is the only reward: the best that the space offers to each search), and without labels by the
weighted mean of the default rewards, with the F1 of the pick, which no search sees.

Real images are of the splits "test" and "unseen" of training/splits.json, which trained no model.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.tuning import Case, _images
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning import nsga2, planned
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.evaluator import Evaluator
from napari_samstar.core.tuning.factors import planned as with_plan
from napari_samstar.core.tuning.front import front

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel

SEARCHES = ("planned", "random", "filters")
TRUTH = Goal({"annotations": 1.0})
MOST_TRIALS = 100_000  # the clock ends a search, not this


def main(
    micrographs: Path | None = None,
    images: Annotated[int, typer.Option(help="Images of each real set, at most.")] = 2,
    seconds: Annotated[float, typer.Option(help="For each search, decoding included.")] = 60,
    share: Annotated[float, typer.Option(help="Of the seconds, for opening arms.")] = 0.7,
    seeds: int = 3,
    model: str = "pocket",
    prompts: Annotated[str, typer.Option(help="Of the base: grid or centres.")] = "centres",
    points: int = 24,
    threads: int = 2,
    samples: bool = True,
    sets: Annotated[str, typer.Option(help="Of real images: old, design or final.")] = "old",
    only: Annotated[str, typer.Option(help="Only images whose name begins with this.")] = "",
) -> None:
    torch.set_num_threads(threads)
    loaded = load(model, "cpu")
    base = AmgConfig.from_dict({"prompts": prompts, "points_per_side": points})
    rows = []
    for name, image, truth in _images(micrographs, images, samples, sets):
        if not name.startswith(only):
            continue
        for seed in range(seeds):
            study = StudyConfig("wide", MOST_TRIALS, seed=seed, base=base, seconds=share * seconds)
            for told in (False, True):
                row: dict[str, Any] = {"image": name, "seed": seed, "told_the_truth": told}
                for kind in SEARCHES:
                    row[kind] = _run(kind, name, image, truth, loaded, study, seconds, told)
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
    settings = {
        "model": model, "prompts": prompts, "points_per_side": points, "seconds": seconds,
        "share_for_arms": share, "seeds": seeds, "threads": threads,
    }  # fmt: skip
    print(json.dumps({"settings": settings, "summary": _summary(rows), "runs": rows}, indent=1))


def _run(
    kind: str, name: str, image: Micrograph, truth: np.ndarray, model: LoadedModel,
    study: StudyConfig, seconds: float, told: bool,
) -> dict[str, Any]:  # fmt: skip
    """Run one search for so many seconds from an empty bank; return how its pick does."""
    evaluator = Evaluator.of(ProposalBank(image, model, EmbeddingCache()))  # cues: not timed
    case, cache = Case(name, truth, evaluator, {}), {}
    goal = TRUTH if told else Goal()
    evaluate = _truth_of(case, cache) if told else evaluator.evaluate
    start = time.perf_counter()
    run(evaluator.bank.prepare(study.base))
    steps = _steps(kind, evaluate, goal, study, evaluator.bank)
    tried: list[Trial] = []
    for step in steps:
        if time.perf_counter() - start > seconds and tried:
            break
        if isinstance(step, Trial):
            tried.append(step)
    spent = time.perf_counter() - start
    best = tried[front(tried, goal).best]
    return {
        "value": goal.total(best.rewards),
        "f1": case.score(best.config, cache).f1,
        "trials": len(tried),
        "arms": len({_arm(e.config) for e in tried}),
        "picked": " ".join(map(str, _arm(best.config))),
        "seconds": round(spent, 2),
    }


def _steps(
    kind: str, evaluate: Any, goal: Goal, study: StudyConfig, bank: ProposalBank
) -> Iterator[Any]:
    if kind == "filters":
        filters = StudyConfig("filters", study.trials, seed=study.seed, base=study.base)
        return nsga2.search(evaluate, goal, filters)
    study = with_plan(study, [bank])
    if kind == "random":
        return planned.random_search(evaluate, study, [bank])
    return planned.search(evaluate, goal, study, [bank])


def _truth_of(case: Case, cache: dict[bytes, Any]) -> Callable[[AmgConfig], Iterator[Any]]:
    def evaluate(config: AmgConfig) -> Iterator[Any]:
        yield from case.evaluator.bank.prepare(config)
        found = case.score(config, cache)
        yield {"annotations": found.f1}, found.found

    return evaluate


def _arm(config: AmgConfig) -> tuple[Any, ...]:
    return config.prompts, config.shown, config.crop_n_layers or config.tile_scale


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Seeds are averaged first; n is the number of images, spread the deviation over them."""
    found: dict[str, Any] = {}
    for told in (False, True):
        some = [row for row in rows if row["told_the_truth"] == told]
        names = sorted({row["image"] for row in some})
        for measure in ("f1",) if told else ("value", "f1"):
            table = {
                kind: np.array([[r[kind][measure] for r in some if r["image"] == n] for n in names])
                for kind in SEARCHES
            }
            key = f"{measure}_{'told_the_truth' if told else 'without_labels'}"
            found[key] = {"images": len(names)} | {
                kind: {
                    "mean": round(float(t.mean()), 4),
                    "sd_images": round(float(t.mean(1).std()), 4),
                    "sd_seeds": round(float(t.std(1).mean()), 4),
                }
                for kind, t in table.items()
            } | {
                f"planned_less_{other}": _compared(table["planned"], table[other])
                for other in ("random", "filters")
            }  # fmt: skip
    return found


def _compared(one: np.ndarray, other: np.ndarray, draws: int = 10_000) -> dict[str, Any]:
    """Return the mean difference over images, its bootstrap interval, and wins by image."""
    gain = (one - other).mean(axis=1)
    rng = np.random.default_rng(0)
    means = gain[rng.integers(0, len(gain), (draws, len(gain)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": round(float(gain.mean()), 4),
        "interval_95": [round(float(low), 4), round(float(high), 4)],
        "wins": int((gain > 1e-6).sum()),
        "losses": int((gain < -1e-6).sum()),
        "runs_won": int((one > other + 1e-6).sum()),
        "runs_lost": int((one < other - 1e-6).sum()),
    }


if __name__ == "__main__":
    typer.run(main)
