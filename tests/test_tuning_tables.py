from __future__ import annotations

from typing import Any

from benchmarks.tuning import BOUNDS, PICKS
from benchmarks.tuning_tables import Runs, tables


def run(image: str, seed: int, **f1: float) -> dict[str, Any]:
    def scored(value: float) -> dict[str, Any]:
        return {"f1": value, "mean_ap": value / 2, "found": 7, "matched": 5, "true": 9}

    picks = {pick: scored(f1.get(pick, 0.5)) for pick in (*PICKS, *BOUNDS)}
    return {"image": image, "seed": seed, "agreement": 0.75, **picks}


REPORT = {
    "scope": "zoom", "prompts": "centres", "trials": 10, "seeds": 2, "points_per_side": 20,
    "held_out": [{"set": "set", "n_seen": 1, "n_held_out": 2,
                  "seen": {"defaults": 0.1, "tuned": 0.2},
                  "held_out": {"defaults": 0.3, "tuned": 0.45}}],
    "runs": [run("sample", 0, defaults=0.4, best=0.5, oracle=0.8, random=0.45, truth_guided=0.8),
             run("sample", 1, defaults=0.4, best=0.7, oracle=0.8, random=0.45, truth_guided=0.9),
             run("set/one", 0, defaults=0.2, best=0.3, oracle=0.4, random=0.35),
             run("set/one", 1, defaults=0.2, best=0.3, oracle=0.4, random=0.35)],
}  # fmt: skip


def test_seeds_are_averaged_before_images() -> None:
    runs = Runs(REPORT)
    assert (runs.samples, runs.real) == (["sample"], ["set/one"])
    assert runs.values(runs.images, "best").tolist() == [0.6, 0.3]


def test_gains_shares_and_wins_are_of_the_means_over_images() -> None:
    text = tables(REPORT)
    assert "+50 % for *best*" in text  # .45 over .30
    assert "*best* 75 %" in text  # .45 of .60
    assert "above random search on 1 images and below on 1" in text
    assert "below on 1, by .050 (95 % interval -.050 to .150) on average" in text
    assert "reaches .675 at the same budget, where the best of the random settings has .500" in text
    assert "a gain of .175 (95 % interval .000 to .350)" in text
    assert "| F1 at IoU 0.5, all | 2 | .300 (.100) |" in text
    assert "| set | 1, 2 | .100, .200 | .300, .450 |" in text
