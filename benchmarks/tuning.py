"""Does tuning without labels help? Scored with ground truth that the search does not use.

    python -m benchmarks.tuning                        the bundled samples
    python -m benchmarks.tuning --micrographs FOLDER   and real images that trained no model
    python -m benchmarks.tuning --only aggregates --zoom 1       small particles need zoom levels
    python -m benchmarks.tuning --micrographs FOLDER --sets final --no-samples   the final test

The sets "old" are in the tables since the first version; of the ten newer ones, the rewards were
designed on the half "design", and "final" is the other half.

For each image: SAM's defaults on a grid; its default thresholds with the prompts of the search; one
good setting by hand; all that is more likely an object than not; the choices from the search (knee,
best for the default weights, best for a preset); the best of a random search with equal budget for
the default weights; and the oracle, the best F1 of all these trials. Beside them Otsu's threshold
and blobs (LoG), both with a watershed, as `training.baselines` has them. Upper bounds for any
search are the best F1 of the random trials, and the F1 of a search with equal budget whose only
reward is F1 itself.
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
from training.baselines import segmented
from training.real import DESIGN_SETS, FINAL_SETS, OLD_SETS

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph

SETS = {"old": OLD_SETS, "design": DESIGN_SETS, "final": FINAL_SETS}
SPLITS = Path(__file__).parents[1] / "training" / "splits.json"
PICKS = (
    "defaults", "thresholds", "hand", "likely", "knee", "best", "preset", "random",
    "oracle", "otsu", "log",
)  # fmt: skip
BOUNDS = ("random_oracle", "truth_guided")
HAND = WARM_STARTS[1]  # the setting by hand, fixed before any image was scored
LIKELY = WARM_STARTS[2]  # whatever is more likely an object than not, without any search
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
    classical: dict[str, Score]

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
    sets: Annotated[str, typer.Option(help="Of real images: old, design or final.")] = "old",
    only: Annotated[str, typer.Option(help="Only images whose name begins with this.")] = "",
) -> None:
    torch.set_num_threads(threads)
    loaded = load(model, "cpu")
    defaults = AmgConfig(points_per_side=points)
    base = AmgConfig.from_dict({"prompts": prompts, "points_per_side": points,
                                "crop_n_layers": zoom})  # fmt: skip
    cases, rows = [], []
    for name, image, truth in _images(micrographs, images, samples, sets):
        if not name.startswith(only):
            continue
        print(name, file=sys.stderr, flush=True)
        bank = ProposalBank(image, loaded)
        run(bank.prepare(base))
        baselines = segmented(image.pixels)
        classical = {
            "otsu": score(truth, baselines["otsu_watershed"]),
            "log": score(truth, baselines["log_watershed"]),
        }
        case = Case(name, truth, Evaluator.of(bank, base=base), classical)
        cases.append(case)
        cache: dict[bytes, Score] = {}
        for seed in range(seeds):
            study_config = _study_config(scope, trials, base, seed)
            rows.append(_row(case, study_config, defaults, cache))
    study_config = _study_config(scope, trials, base)
    found = {
        "model": model, "prompts": prompts, "scope": scope, "points_per_side": points, "zoom": zoom,
        "trials": trials, "seeds": seeds, "sets": sets,
        "summary": _summary(rows), "runs": rows,
        "held_out": _held_out(cases, study_config, defaults),
    }  # fmt: skip
    print(json.dumps(found, indent=1))


def _study_config(scope: str, trials: int, base: AmgConfig, seed: int = 0) -> StudyConfig:
    if scope not in get_args(Scope):
        raise typer.BadParameter(f"the scopes are {', '.join(get_args(Scope))}, not {scope!r}")
    return StudyConfig(cast("Scope", scope), trials, seed=seed, base=base)


def _images(
    root: Path | None, most: int, samples: bool, sets: str
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
            if folder not in SETS[sets]:
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
        "likely": study_config.base.replace(**LIKELY),
        "knee": searched[tuned.knee].config,
        "best": searched[tuned.best].config,
        "preset": searched[by_preset.best].config,
        "random": max(random_trials, key=lambda e: goal.total(e.rewards)).config,
    }
    scores = {name: case.score(config, cache) for name, config in configs.items()} | case.classical
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
    agreement = [np.mean([r["agreement"] for r in rows if r["image"] == i]) for i in images]
    out: dict[str, Any] = {
        "images": len(images),
        "agreement": {
            "median": round(float(np.median(agreement)), 3),
            "below_half": [i for i, a in zip(images, agreement, strict=True) if a < 0.5],
        },
        "differences": _differences(rows, images),
        "sets": _by_set(rows),
    }
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


def _differences(rows: list[dict[str, Any]], images: list[str]) -> dict[str, Any]:
    """Differences in F1 of two picks: mean over images, and its 95 % interval by bootstrap."""
    mean = {
        name: np.array([np.mean([r[name]["f1"] for r in rows if r["image"] == i]) for i in images])
        for name in PICKS
    }
    mean["classical"] = np.maximum(mean["otsu"], mean["log"])
    out = {}
    for one, other in (("best", "defaults"), ("best", "thresholds"), ("best", "random"),
                       ("best", "classical"), ("thresholds", "classical")):  # fmt: skip
        gain = mean[one] - mean[other]
        drawn = np.random.default_rng(0).choice(gain, (10_000, len(gain))).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        out[f"{one} - {other}"] = [round(float(x), 3) for x in (gain.mean(), low, high)]
    return out


def _by_set(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean F1 of each pick in each set; samples are sets of one image."""
    names = dict.fromkeys(r["image"].split("/")[0] for r in rows)
    return {
        name: {
            pick: round(
                float(np.mean([r[pick]["f1"] for r in rows if r["image"].split("/")[0] == name])), 3
            )
            for pick in PICKS
        }
        for name in names
    }


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
