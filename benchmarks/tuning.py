"""Does tuning without labels help? Scored with ground truth that the search does not use.

    python -m benchmarks.tuning                        the bundled samples
    python -m benchmarks.tuning --micrographs FOLDER   and real images that trained no model
    python -m benchmarks.tuning --only aggregates --zoom 1       small particles need zoom levels

For each image: SAM's defaults on a grid; its default thresholds with the prompts of the search; one
good setting by hand; the choices from the search (knee, best for the default weights, best for a
preset); the best of a random search with equal budget for the default weights; and the oracle, the
best F1 of all these trials. Upper bounds for any search are the best F1 of the random trials, and
the F1 of a search with equal budget whose only reward is F1 itself.
For each set of several images: tuned on one half, scored on the other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import numpy as np
import tifffile
import torch
import typer

from napari_samstar import sample_data
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig, Scope
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.masks.labels import paint
from napari_samstar.core.masks.metrics import Score, score
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.core.tuning.config import WARM_STARTS, StudyConfig, Trial
from napari_samstar.core.tuning.evaluator import Evaluator, MultiImageEvaluator
from napari_samstar.core.tuning.front import Front, front
from napari_samstar.core.tuning.nsga2 import random_search, search

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph

SPLITS = Path(__file__).parents[1] / "training" / "splits.json"
PICKS = ("defaults", "thresholds", "hand", "knee", "best", "preset", "random", "oracle")
BOUNDS = ("random_oracle", "truth_guided")
HAND = WARM_STARTS[1]  # the setting by hand, fixed before any image was scored
PRESET_OF = {
    "nuclei": "nuclei",
    "dsb2018": "nuclei",
    "stardist": "nuclei",
    "nanocrystals": "touching_particles",
    "facets": "touching_particles",
    "ampis": "touching_particles",
    "aggregates": "small_particles",
}
"""The preset that a user would choose, by the beginning of the image's name."""


@dataclass(frozen=True, eq=False)
class Case:
    """One image, its ground truth, and the evaluator of its candidates."""

    name: str
    truth: np.ndarray
    evaluator: Evaluator

    @property
    def group(self) -> str:
        """The set of the image."""
        return self.name.split("/")[0] if "/" in self.name else "samples"

    def score(self, config: AmgConfig, cache: dict[bytes, Score]) -> Score:
        """Score the masks that `config` keeps; `cache` has the scores of equal selections."""
        run(self.evaluator.bank.prepare(config))
        ids = select(self.evaluator.bank, config).ids
        key = ids.tobytes()
        if key not in cache:
            cache[key] = score(self.truth, paint(self.evaluator.bank.masks, ids))
        return cache[key]


def main(
    micrographs: Path | None = None,
    images: Annotated[int, typer.Option(help="Images of each real set, at most.")] = 2,
    model: str = "pocket",
    points: int = 24,
    trials: int = 300,
    seeds: int = 2,
    threads: int = 1,
    samples: bool = True,
    prompts: Annotated[str, typer.Option(help="Of the search: grid or centres.")] = "centres",
    scope: Annotated[str, typer.Option(help="Settings that the search may change.")] = "filters",
    zoom: Annotated[int, typer.Option(help="Zoom levels, for small objects.")] = 0,
    only: Annotated[str, typer.Option(help="Only images whose name begins with this.")] = "",
) -> None:
    torch.set_num_threads(threads)
    loaded = load(model, "cpu")
    defaults = AmgConfig(points_per_side=points)
    base = AmgConfig.from_dict({"prompts": prompts, "points_per_side": points,
                                "crop_n_layers": zoom})  # fmt: skip
    cases, rows = [], []
    for name, image, truth in _images(micrographs, images, samples):
        if not name.startswith(only):
            continue
        print(name, file=sys.stderr, flush=True)
        bank = ProposalBank(image, loaded)
        run(bank.prepare(base))
        case = Case(name, truth, Evaluator.of(bank))
        cases.append(case)
        cache: dict[bytes, Score] = {}
        for seed in range(seeds):
            study_config = _study_config(scope, trials, base, seed)
            rows.append(_row(case, study_config, defaults, cache))
    study_config = _study_config(scope, trials, base)
    found = {
        "model": model, "prompts": prompts, "scope": scope, "points_per_side": points, "zoom": zoom,
        "trials": trials, "seeds": seeds,
        "summary": _summary(rows), "runs": rows,
        "held_out": _held_out(cases, study_config, defaults),
    }  # fmt: skip
    print(json.dumps(found, indent=1))


def _study_config(scope: str, trials: int, base: AmgConfig, seed: int = 0) -> StudyConfig:
    if scope not in get_args(Scope):
        raise typer.BadParameter(f"the scopes are {', '.join(get_args(Scope))}, not {scope!r}")
    return StudyConfig(cast("Scope", scope), trials, seed=seed, base=base)


def _images(
    root: Path | None, most: int, samples: bool
) -> Iterator[tuple[str, Micrograph, np.ndarray]]:
    for name in sample_data.names() if samples else ():
        image, truth, _ = sample_data.load(name)
        if image.ndim == 3:
            middle = len(image) // 2
            image, truth = image[middle], truth[middle]
        yield name, prepare(image, name=name), truth
    splits = json.loads(SPLITS.read_text()) if root else {}
    for split in ("test", "unseen"):
        for folder, stems in splits.get(split, {}).items():
            if not (root / folder / "masks").is_dir():
                continue
            for stem in stems[:: max(1, len(stems) // most)][:most]:
                (path,) = sorted((root / folder / "images").glob(f"{stem}.*"))
                truth = tifffile.imread(root / folder / "masks" / f"{stem}.tif")
                read = read_image(path)
                yield f"{folder}/{stem}", prepare(read.array, rgb=read.rgb), truth


def _row(
    case: Case, study_config: StudyConfig, defaults: AmgConfig, cache: dict[bytes, Score]
) -> dict[str, Any]:
    evaluator, goal = case.evaluator, Goal()
    searched = _trials(search(evaluator.evaluate, goal, study_config))
    random_trials = _trials(random_search(evaluator.evaluate, study_config))
    preset = next((p for start, p in PRESET_OF.items() if case.name.startswith(start)), "balanced")
    tuned, by_preset = front(searched, goal), front(searched, PRESETS[preset].goal)
    configs = {
        "defaults": defaults,
        "thresholds": searched[0].config,
        "hand": study_config.base.replace(**HAND),
        "knee": searched[tuned.knee].config,
        "best": searched[tuned.best].config,
        "preset": searched[by_preset.best].config,
        "random": max(random_trials, key=lambda e: goal.total(e.rewards)).config,
    }
    scores = {name: case.score(config, cache) for name, config in configs.items()}
    all_scores = [case.score(e.config, cache) for e in (*searched, *random_trials)]
    scores["oracle"] = max(all_scores, key=lambda s: s.f1)
    totals = [goal.total(e.rewards) for e in (*searched, *random_trials)]
    by_truth = [
        case.score(e.config, cache) for e in _trials(_truth_guided(case, study_config, cache))
    ]
    scores["random_oracle"] = max(all_scores[len(searched) :], key=lambda s: s.f1)
    scores["truth_guided"] = max(by_truth, key=lambda s: s.f1)
    return {
        "image": case.name,
        "seed": study_config.seed,
        "polarity": evaluator.features.cues.polarity,
        "preset": preset,
        "agreement": round(_rank_correlation(totals, [s.f1 for s in all_scores]), 3),
        "front": _operating_points(tuned, case, cache),
        "preset_front": _operating_points(by_preset, case, cache),
        **{name: vars(scores[name]) for name in (*PICKS, *BOUNDS)},
    }


def _truth_guided(
    case: Case, study_config: StudyConfig, cache: dict[bytes, Score]
) -> Iterator[Any]:
    """Search with F1 as the only reward."""

    def evaluate(config: AmgConfig) -> Iterator[Any]:
        found = case.score(config, cache)
        yield {"annotations": found.f1}, found.found

    return search(evaluate, Goal({"annotations": 1.0}), study_config)


def _operating_points(found: Front, case: Case, cache: dict[bytes, Score]) -> list[dict[str, int]]:
    chosen = [found.trials[k] for k in found.members.tolist()]
    return [{"masks": e.n_masks, "true": case.score(e.config, cache).matched} for e in chosen]


def _rank_correlation(a: list[float], b: list[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b)[0]) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def _trials(steps: Any) -> list[Trial]:
    return [step for step in steps if isinstance(step, Trial)]


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean over images (seeds averaged first), and standard deviations over images and seeds."""
    images = sorted({row["image"] for row in rows})
    out: dict[str, Any] = {"images": len(images)}
    for measure in ("f1", "mean_ap"):
        table = {
            name: np.array([[r[name][measure] for r in rows if r["image"] == i] for i in images])
            for name in (*PICKS, *BOUNDS)
        }
        gain = table["best"].mean(1) / np.maximum(table["defaults"].mean(1), 0.01) - 1
        out[measure] = {
            name: {
                "mean": round(float(values.mean()), 3),
                "sd_images": round(float(values.mean(1).std()), 3),
                "sd_seeds": round(float(values.std(1).mean()), 3),
            }
            for name, values in table.items()
        } | {
            "gain_of_means": {
                n: round(float(table[n].mean() / table["defaults"].mean() - 1), 3)
                for n in ("knee", "best", "preset", "random", "oracle")
            },
            "median_gain_of_best": round(float(np.median(gain)), 3),
            "share_of_oracle": {
                n: round(float(table[n].mean() / table["oracle"].mean()), 3)
                for n in PICKS
                if n != "oracle"
            },
        }
    return out


def _held_out(
    cases: list[Case], study_config: StudyConfig, defaults: AmgConfig
) -> list[dict[str, Any]]:
    """Tune on every second image of a set, score on the others."""
    out = []
    for group in sorted({c.group for c in cases if c.group != "samples"}):
        members = [c for c in cases if c.group == group]
        tuned, held_out = members[::2], members[1::2]
        if not held_out:
            continue
        print(f"{group}: tuned on {len(tuned)}, scored on {len(held_out)}", file=sys.stderr)
        evaluator = MultiImageEvaluator(tuple(c.evaluator for c in tuned))
        searched = _trials(search(evaluator.evaluate, Goal(), study_config))
        best = searched[front(searched, Goal()).best].config
        means = {
            name: {
                "defaults": round(float(np.mean([c.score(defaults, {}).f1 for c in part])), 3),
                "tuned": round(float(np.mean([c.score(best, {}).f1 for c in part])), 3),
            }
            for name, part in (("seen", tuned), ("held_out", held_out))
        }
        out.append({"set": group, "n_seen": len(tuned), "n_held_out": len(held_out), **means})
    return out


if __name__ == "__main__":
    typer.run(main)
