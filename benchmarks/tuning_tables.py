"""Write the tables of `docs/benchmarks.md` from the JSON of `python -m benchmarks.tuning`.

    python -m benchmarks.tuning_tables tuning.json

Only the text between the two markers of the page is replaced.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import typer

from benchmarks.tuning import PICKS
from training.card import rewritten

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
MARKS = (
    "<!-- figures: written by benchmarks/tuning_tables.py -->",
    "<!-- end of the figures of tuning -->",
)
HEADS = {
    "defaults": "SAM's defaults", "thresholds": "its thresholds, at centres", "hand": "by hand",
    "likely": "probability ≥ 0.5",
    "knee": "knee", "best": "best", "preset": "preset", "random": "random", "oracle": "oracle",
    "otsu": "Otsu", "log": "LoG",
}  # fmt: skip


class Runs:
    """The runs of one report; values of an image are means over seeds."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report
        self.picks = [p for p in PICKS if all(p in r for r in report["runs"])]
        self.images = list(dict.fromkeys(r["image"] for r in report["runs"]))
        self.samples = [i for i in self.images if "/" not in i]
        self.real = [i for i in self.images if "/" in i]

    def of(self, image: str) -> list[dict[str, Any]]:
        return [r for r in self.report["runs"] if r["image"] == image]

    def values(self, images: list[str], pick: str, measure: str = "f1") -> np.ndarray:
        """Return one value per image."""
        return np.array([np.mean([r[pick][measure] for r in self.of(i)]) for i in images])

    def spread(self, pick: str) -> float:
        """Return the standard deviation over seeds, averaged over images."""
        return float(np.mean([np.std([r[pick]["f1"] for r in self.of(i)]) for i in self.images]))


def tables(report: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    runs = Runs(report)
    parts = [_command(report), _summary(runs), _sentence(runs), _upper_bound(runs), _by_image(runs)]
    return "\n\n".join([*parts, _held_out(report["held_out"])])


def _command(report: dict[str, Any]) -> str:
    return (
        f"`python -m benchmarks.tuning --scope {report['scope']} --prompts {report['prompts']} "
        f"--trials {report['trials']} --seeds "
        f"{report['seeds']} --points {report['points_per_side']} --images 2 --micrographs DIR`. "
        f"SAM's defaults are those of a grid of {report['points_per_side']} points per side. Mean "
        "(standard deviation over images)."
    )


def _summary(runs: Runs) -> str:
    rows = []
    for measure, title in (("f1", "F1 at IoU 0.5"), ("mean_ap", "mean AP")):
        groups = ((runs.samples, "samples"), (runs.real, "real images"), (runs.images, "all"))
        for images, name in groups:
            if images:
                cells = [runs.values(images, pick, measure) for pick in runs.picks]
                spreads = [f"{_short(v.mean())} ({_short(v.std())})" for v in cells]
                rows.append([f"{title}, {name}", str(len(images)), *spreads])
    return _table(["", "images", *(HEADS[p] for p in runs.picks)], rows)


def _sentence(runs: Runs) -> str:
    mean = {pick: runs.values(runs.images, pick).mean() for pick in runs.picks}
    gain = {pick: f"{100 * (value / mean['defaults'] - 1):+.0f} %" for pick, value in mean.items()}
    share = {pick: f"{100 * value / mean['oracle']:.0f} %" for pick, value in mean.items()}
    ahead = runs.values(runs.images, "best") - runs.values(runs.images, "random")
    agreement = np.mean([r["agreement"] for r in runs.report["runs"]])
    return (
        f"Over all {len(runs.images)} images the gain in mean F1 over SAM's defaults is "
        f"{gain['thresholds']} for centres alone, {gain['knee']} for the knee, {gain['best']} for "
        f"*best*, {gain['preset']} for the preset, {gain['random']} for random search and "
        f"{gain['oracle']} for the oracle. The knee reaches {share['knee']} of the oracle, *best* "
        f"{share['best']}, the preset {share['preset']}, the setting by hand {share['hand']}. "
        f"*Best* is above random search on {int((ahead > 1e-9).sum())} images and below on "
        f"{int((ahead < -1e-9).sum())}, by {_interval(ahead)} on average. The spread over seeds is "
        f"{_short(runs.spread('best'))} for *best* and {_short(runs.spread('random'))} for random. "
        "Spearman's correlation of the weighted mean of rewards with F1, over all settings of a "
        f"run, is {agreement:.2f} on average."
    )


def _upper_bound(runs: Runs) -> str:
    guided, random = (runs.values(runs.images, name) for name in ("truth_guided", "random_oracle"))
    return (
        "How much better could any search be? A search with F1 as its only reward reaches "
        f"{_short(guided.mean())} at the same budget, where the best of the random "
        f"settings has {_short(random.mean())}: a gain of {_interval(guided - random)}."
    )


def _interval(differences: np.ndarray) -> str:
    """Return the mean over images with its 95 % confidence interval, by bootstrap."""
    samples = np.random.default_rng(0).choice(differences, (10_000, len(differences)))
    low, high = np.quantile(samples.mean(axis=1), [0.025, 0.975])
    return f"{_signed(differences.mean())} (95 % interval {_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else ''}{_short(abs(value))}"


def _by_image(runs: Runs) -> str:
    head = ["image", "objects", "defaults: found, true", "best: found, true"]
    rows = []
    for image in runs.images:
        first = runs.of(image)[0]
        counts = [f"{first[p]['found']}, {first[p]['matched']}" for p in ("defaults", "best")]
        scores = [_short(runs.values([image], pick)[0]) for pick in runs.picks]
        rows.append([image, str(first["defaults"]["true"]), *counts, *scores])
    legend = "*Found* counts masks, *true* those of them that are objects (IoU 0.5), first seed."
    return _table([*head, *(f"F1: {HEADS[p]}" for p in runs.picks)], rows) + "\n\n" + legend


def _held_out(held_out: list[dict[str, Any]]) -> str:
    head = ["set", "tuned on, scored on", "F1 where tuned: defaults, tuned",
            "F1 held out: defaults, tuned"]  # fmt: skip
    rows = [
        [h["set"], f"{h['n_seen']}, {h['n_held_out']}"]
        + [f"{_short(h[k]['defaults'])}, {_short(h[k]['tuned'])}" for k in ("seen", "held_out")]
        for h in held_out
    ]
    return "Tuned on one half of a set, scored on the other:\n\n" + _table(head, rows)


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def main(report: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    figures = tables(json.loads(report.read_text(encoding="utf-8")))
    PAGE.write_text(rewritten(page, figures, MARKS), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
