"""Do suggested weights find what a user wants, and does a user without a wish get none?

    python -m benchmarks.preference --users 40 --choices 8

Real searches with the bundled model on quarters of the sample images. A simulated user has hidden
weights, sees the knee and some other points of each front, and applies the best of them by the
hidden weights. The weights that are then suggested pick on fronts of other images: which share of
these picks is what the user would apply, against the picks by the present (default) weights? Users
who apply points at random, and users who want one thing and then its opposite, should get no
suggestion.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import typer

from napari_samstar import sample_data
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.evaluator import Evaluator
from napari_samstar.core.tuning.front import Front, front
from napari_samstar.core.tuning.nsga2 import search
from napari_samstar.core.tuning.preference import Choice, Option, suggest
from napari_samstar.core.tuning.preference_words import sentence

Pick = Callable[[Sequence[Trial]], int]
"""Position of the trial that a user applies among those on show."""

WISHES: dict[str, dict[str, float]] = {
    "round objects": {"likely_objects": 1, "circularity": 3, "solidity": 1},
    "sure objects": {"confidence": 3, "contrast": 1, "likely_objects": 0.5},
    "small objects": {"small_objects": 3, "coverage": 0.5, "likely_objects": 1},
    "large objects": {"large_objects": 3, "no_oversegmentation": 1, "likely_objects": 1},
    "outlines on edges": {"boundary": 3, "outlined": 1, "likely_objects": 1},
    "all of the foreground": {"coverage": 3, "likely_objects": 1},
}
"""Hidden weights of the simulated users."""


@dataclass(frozen=True, eq=False)
class Searched:
    """The trials of a search, and the image that it was made on."""

    image: str
    trials: tuple[Trial, ...]


def searches(
    names: Sequence[str], quarters: int = 4, trials: int = 96, seeds: int = 1, points: int = 0
) -> Iterator[Searched]:
    """Search the settings on the first quarters of sample images.

    Parameters
    ----------
    points : int
        Points per side of the grid; 0 prompts at centres.
    """
    model = load("pocket", "cpu")
    base = AmgConfig(points_per_side=points) if points else AmgConfig(prompts="centres")
    for name in names:
        image = sample_data.load(name)[0]
        plane = image if image.ndim == 2 else image[len(image) // 2]
        rows, cols = (n // 2 for n in plane.shape)
        for k in range(quarters):
            row, col = k // 2 * rows, k % 2 * cols
            bank = ProposalBank(
                prepare(plane[row : row + rows, col : col + cols], rgb=False), model
            )
            run(bank.prepare(base))
            evaluator = Evaluator.of(bank)
            for seed in range(seeds):
                steps = search(
                    evaluator.evaluate, Goal(), StudyConfig("filters", trials, seed=seed, base=base)
                )
                yield Searched(f"{name} {k}", tuple(s for s in steps if isinstance(s, Trial)))


def by_weights(weights: dict[str, float]) -> Pick:
    """Return a user with hidden weights."""
    goal = Goal(weights)
    return lambda shown: int(np.argmax([goal.total(t.rewards) for t in shown]))


def at_random(rng: np.random.Generator) -> Pick:
    """Return a user without a wish."""
    return lambda shown: int(rng.integers(len(shown)))


def choose(
    found: Searched, goal: Goal, pick: Pick, rng: np.random.Generator, name: str, shown: int = 5
) -> Choice | None:
    """Let a user see the knee and some more members of the front, and apply one of them."""
    seen = front(found.trials, goal)
    others = rng.permutation([m for m in seen.members if m != seen.knee])[: shown - 1]
    trials = [found.trials[k] for k in (seen.knee, *others.tolist())]
    taken = pick(trials)
    applied = trials[taken]
    passed = tuple(Option(t.rewards, t.n_masks) for t in trials if t.rewards != applied.rewards)
    if not passed:
        return None
    return Choice(
        Option(applied.rewards, applied.n_masks), passed, taken != 0, dict(goal.weights),
        name, found.image, found.image, "",
    )  # fmt: skip


def choices_of(
    pick: Pick, fronts: Sequence[Searched], n: int, rng: np.random.Generator
) -> list[Choice]:
    """Return the choices of a user on `n` fronts, drawn at random."""
    drawn = rng.choice(len(fronts), n, replace=n > len(fronts))
    made = [choose(fronts[k], Goal(), pick, rng, str(i)) for i, k in enumerate(drawn)]
    return [c for c in made if c is not None]


def agreement(weights: Goal, pick: Pick, fronts: Sequence[Searched]) -> float:
    """Return the share of fronts whose best point by `weights` is the one that the user applies."""
    return float(np.mean([_same(front(f.trials, Goal()), weights, pick) for f in fronts]))


def _same(seen: Front, weights: Goal, pick: Pick) -> bool:
    members = [seen.trials[k] for k in seen.members]
    best = int(np.argmax([weights.total(t.rewards) for t in members]))
    return members[best].rewards == members[pick(members)].rewards


def split(
    fronts: Sequence[Searched], rng: np.random.Generator
) -> tuple[list[Searched], list[Searched]]:
    """Return the fronts to choose from, and those of two images (all their parts) held out."""
    names = sorted({f.image.split()[0] for f in fronts})
    held = set(rng.permutation(names)[:2].tolist())
    parts: tuple[list[Searched], list[Searched]] = ([], [])
    for found in fronts:
        parts[found.image.split()[0] in held].append(found)
    return parts


def user(pick: Pick, fronts: Sequence[Searched], n: int, seed: int) -> dict[str, Any]:
    """Return what a user gets after `n` choices, and the agreement on held-out images."""
    rng = np.random.default_rng(seed)
    chosen_from, held = split(fronts, rng)
    found = suggest(choices_of(pick, chosen_from, n, rng), Goal())
    out: dict[str, Any] = {"suggested": found is not None}
    if found is not None:
        out |= {
            "before": agreement(Goal(), pick, held),
            "after": agreement(found.goal, pick, held),
            "words": sentence(found),
        }
    return out


def contradictory(weights: dict[str, float], fronts: Sequence[Searched], n: int, seed: int) -> bool:
    """Return whether a user gets a suggestion who wants the opposite in every second choice."""
    rng = np.random.default_rng(seed)
    likes, goal = by_weights(weights), Goal(weights)

    def dislikes(shown: Sequence[Trial]) -> int:
        return int(np.argmin([goal.total(t.rewards) for t in shown]))

    drawn = rng.choice(len(fronts), n)
    made = [
        choose(fronts[at], Goal(), likes if k % 2 else dislikes, rng, str(k))
        for k, at in enumerate(drawn)
    ]
    return suggest([c for c in made if c is not None], Goal()) is not None


def _mean_sd(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    return {
        "n": len(values),
        "mean": round(float(np.mean(values)), 3),
        "sd": round(float(np.std(values)), 3),
    }


def main(users: int = 40, choices: str = "6,12,24", trials: int = 96) -> None:
    found = searches(sample_data.names(), trials=trials)
    fronts = [f for f in found if len(front(f.trials, Goal()).members) > 1]
    print(len(fronts), "fronts", file=sys.stderr, flush=True)
    report: dict[str, Any] = {"fronts": len(fronts), "users": users}
    for n in (int(x) for x in choices.split(",")):
        rows: dict[str, Any] = {}
        for name, weights in WISHES.items():
            made = [user(by_weights(weights), fronts, n, seed) for seed in range(users)]
            got = [m for m in made if m["suggested"]]
            rows[name] = {
                "suggested": round(len(got) / users, 3),
                "agreement_before": _mean_sd([m["before"] for m in got]),
                "agreement_after": _mean_sd([m["after"] for m in got]),
                "words": sorted({m["words"] for m in got}),
            }
        aimless = [
            user(at_random(np.random.default_rng(1000 + s)), fronts, n, s) for s in range(users)
        ]
        rows["at random"] = {
            "suggested": round(float(np.mean([m["suggested"] for m in aimless])), 3)
        }
        both = [contradictory(w, fronts, n, s) for w in WISHES.values() for s in range(users)]
        rows["contradictory"] = {"suggested": round(float(np.mean(both)), 3)}
        report[f"after {n} choices"] = rows
    print(json.dumps(report))


if __name__ == "__main__":
    typer.run(main)
