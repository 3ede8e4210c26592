"""NSGA-II compared with random search, and the cost of a search after SAM has run.

    python -m benchmarks.search quality                 hypervolume and best total against random
    python -m benchmarks.search speed                   1,000 evaluations, pymoo's own share
    python -m benchmarks.search growth                  cost as the number of candidates grows

`quality` runs both searches with equal budget on the bundled samples, with several seeds. `speed`
and `growth` build their banks first and measure only the search, in processor seconds of one
thread, so that other work on the machine does not count. Rewards are the defaults.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.bank import discs
from napari_samstar import sample_data
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.evaluator import Evaluator
from napari_samstar.core.tuning.front import front, hypervolume, hypervolume_after
from napari_samstar.core.tuning.nsga2 import random_search, search

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph

app = typer.Typer(add_completion=False)

Images = Annotated[list[str] | None, typer.Option("--image", help="A bundled sample; repeat.")]


@app.command()
def quality(
    image: Images = None,
    seeds: int = 5,
    trials: int = 400,
    population: int = StudyConfig.population,
    points: int = 16,
    model: str = "pocket",
) -> None:
    """Compare NSGA-II with random search with equal budget and seeds."""
    torch.set_num_threads(1)
    loaded, rows = load(model, "cpu"), []
    for name in image or sample_data.names():
        evaluator = _evaluator(_sample(name), points, loaded)
        for seed in range(seeds):
            base = AmgConfig(points_per_side=points)
            study_config = StudyConfig("filters", trials, population, seed, base)
            rows.append({"image": name, "seed": seed, **_compare(evaluator, study_config)})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    settings = {"seeds": seeds, "trials": trials, "population": population,
                "points_per_side": points, "model": model, "scope": "filters"}  # fmt: skip
    print(json.dumps({"settings": settings, "summary": _summary(rows), "runs": rows}, indent=2))


def _compare(evaluator: Evaluator, study_config: StudyConfig) -> dict[str, Any]:
    goal = Goal()
    searches = {"nsga2": search(evaluator.evaluate, goal, study_config),
             "random": random_search(evaluator.evaluate, study_config)}  # fmt: skip
    row: dict[str, Any] = {}
    for name, steps in searches.items():
        tried = [s for s in steps if isinstance(s, Trial)]
        found = front(tried, goal)
        quarter = hypervolume_after(tried, goal, [study_config.trials // 4])[0]
        total = goal.total(tried[found.best].rewards)
        row[name] = {"hypervolume": found.hypervolume, "at_a_quarter": quarter, "total": total,
                     "front": len(found.members)}  # fmt: skip
        if name == "nsga2":
            defaults = tried[0]
            row["defaults"] = {"hypervolume": hypervolume(goal.values(defaults.rewards)[None]),
                               "total": goal.total(defaults.rewards)}  # fmt: skip
    return row


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over images of the means over seeds, and the number of runs NSGA-II wins."""
    names = list(dict.fromkeys(r["image"] for r in rows))
    per_image = {name: _image_summary([r for r in rows if r["image"] == name]) for name in names}
    gains = {key: [about[key]["gain"] for about in per_image.values()]
             for key in ("hypervolume", "at_a_quarter", "total")}  # fmt: skip
    return {
        "n_images": len(names),
        "n_runs": len(rows),
        "gain_over_random": {
            key: {"mean": float(np.mean(g)), "sd_over_images": float(np.std(g))}
            for key, g in gains.items()
        },
        "wins_of_nsga2": {
            key: sum(r["nsga2"][key] > r["random"][key] for r in rows) for key in gains
        },
        "images": per_image,
    }


def _image_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("hypervolume", "at_a_quarter", "total"):
        nsga2, random = (np.array([r[kind][key] for r in rows]) for kind in ("nsga2", "random"))
        defaults = rows[0]["defaults"].get(key, rows[0]["defaults"]["hypervolume"])
        # Relative to the gain of random search over SAM's defaults.
        random_gain = max(float(random.mean() - defaults), 1e-9)
        found[key] = {
            "defaults": defaults,
            "nsga2": {"mean": float(nsga2.mean()), "sd": float(nsga2.std())},
            "random": {"mean": float(random.mean()), "sd": float(random.std())},
            "gain": float((nsga2 - random).mean() / random_gain),
        }
    return found


@app.command()
def speed(points: int = 32, trials: int = 1000, side: int = 1024, image: str = "") -> None:
    """Time a search with empty and with filled caches, and profile the share of pymoo."""
    torch.set_num_threads(1)
    micrograph = _sample(image) if image else discs((side, side))
    start = time.process_time()
    evaluator = _evaluator(micrograph, points, load("pocket", "cpu"))
    build = time.process_time() - start
    study_config = StudyConfig("filters", trials, base=AmgConfig(points_per_side=points))
    seconds, n_masks = {}, np.zeros(0)
    for name in ("cold", "warm"):
        start = time.process_time()
        tried = [
            s for s in search(evaluator.evaluate, Goal(), study_config) if isinstance(s, Trial)
        ]
        seconds[name] = time.process_time() - start
        n_masks = np.array([e.n_masks for e in tried])
    start = time.process_time()
    front(tried, Goal())
    report = {
        "trials": trials,
        "candidates": _candidates(evaluator, study_config.base),
        "masks_kept": {"median": float(np.median(n_masks)), "most": int(n_masks.max())},
        "build_seconds": build,
        "search_seconds": seconds,
        "front_seconds": time.process_time() - start,
        "share_of_warm_search": _shares(evaluator, study_config),
    }
    print(json.dumps(report, indent=2))


def _shares(evaluator: Evaluator, study_config: StudyConfig) -> dict[str, float]:
    """Return the shares of select, rewards and pymoo in a warm search, from a profile."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in search(evaluator.evaluate, Goal(), study_config):
        pass
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    functions = {
        "select": ("core/amg/select.py", "select"),
        "rewards": ("core/tuning/evaluator.py", "rewards"),
        "search": ("core/tuning/nsga2.py", "search"),
    }
    spent = dict.fromkeys(functions, 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in stats.items():
        for name, (path, wanted) in functions.items():
            if file.replace("\\", "/").endswith(path) and function == wanted:
                spent[name] += cumulative
    rest = spent["search"] - spent["select"] - spent["rewards"]
    total = max(spent["search"], 1e-9)
    shares = {"select": spent["select"], "rewards": spent["rewards"], "pymoo_and_rest": rest}
    return {name: value / total for name, value in shares.items()}


@app.command()
def growth(trials: int = 60, side: int = 512) -> None:
    """Time evaluations for grids of 10, 32 and 64 points: 300, 3,072 and 12,288 candidates."""
    torch.set_num_threads(1)
    loaded, rows = load("pocket", "cpu"), []
    for points in (10, 32, 64):
        evaluator = _evaluator(discs((side, side)), points, loaded)
        study_config = StudyConfig("filters", trials, base=AmgConfig(points_per_side=points))
        row = {"candidates": _candidates(evaluator, study_config.base)}
        for name in ("cold", "warm"):
            times = list(_evaluation_times(evaluator, study_config))
            row[name] = {"median_ms": 1e3 * float(np.median(times)), "most_ms": 1e3 * max(times),
                         "sum_s": float(np.sum(times))}  # fmt: skip
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    print(json.dumps({"trials": trials, "side": side, "rows": rows}, indent=2))


def _evaluation_times(evaluator: Evaluator, study_config: StudyConfig) -> Iterator[float]:
    for step in random_search(lambda c: _timed(evaluator, c), study_config):
        if isinstance(step, Trial):
            yield step.rewards["seconds"]


def _timed(evaluator: Evaluator, config: AmgConfig) -> Iterator[tuple[dict[str, float], int]]:
    start = time.process_time()
    *_, (_, n) = evaluator.evaluate(config)
    yield {"seconds": time.process_time() - start}, n


def _sample(name: str) -> Micrograph:
    image, _, _ = sample_data.load(name)
    return prepare(image[len(image) // 2] if image.ndim == 3 else image, name=name)


def _evaluator(image: Micrograph, points: int, model: Any) -> Evaluator:
    bank = ProposalBank(image, model)
    run(bank.prepare(AmgConfig(points_per_side=points)))
    return Evaluator.of(bank)


def _candidates(evaluator: Evaluator, base: AmgConfig) -> int:
    return sum(len(table.ids) for table in evaluator.bank.tables(base))


if __name__ == "__main__":
    app()
