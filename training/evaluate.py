"""Scores of a model on held-out images, and of classical baselines, as plain data.

`python -m benchmarks.model` prints them. Every mean has its n and the standard deviation over what
was averaged: objects for prompts, images for "segment everything".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from napari_samstar.core.amg.config import AmgConfig
from training import baselines
from training.boxes import score_boxes
from training.everything import (
    CENTRES,
    DEFAULTS,
    FILTER_GRID,
    EncodedImage,
    EverythingResult,
    Filters,
    segment_everything,
)
from training.held_out import BOXED
from training.prompting import PromptScores, score_prompts

if TYPE_CHECKING:
    from napari_samstar.core.masks.metrics import Score
    from napari_samstar.core.models.backend import LoadedModel
    from training.held_out import BoxedImage
    from training.real import Micrograph

MIN_MARGIN = 0.05  # of F1 or IoU: the least difference that counts as better than a baseline
TARGETS = {"click": 0.60, "clicks3": 0.70, "box": 0.75, "f1_defaults": 0.45}
NUCLEI, NUCLEI_TARGET = "dsb2018_fluo", 0.75
FILTER_NAMES = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")
PROMPTS = ("click", "best_of_3", "clicks3", "box")

Note = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes
    ----------
    instances : int
        Prompted objects per image at most.
    points : int
        Points per side of the grid, the prompts of a model that does not detect centres.
    sides : tuple of int
        Points per side of further grids for comparison.
    compared : int
        Images per set for these further grids; 0 for none.
    tried : tuple
        Thresholds from which the best single configuration is chosen.
    """

    instances: int = 8
    points: int = 16
    sides: tuple[int, ...] = (32,)
    compared: int = 1
    tried: tuple[Filters, ...] = FILTER_GRID

    @property
    def grid(self) -> str:
        """Name of the grid's configuration."""
        return f"grid{self.points}"

    def main(self, result: SetResult) -> str:
        """Name of the configuration that the panels and the command line use by default."""
        return CENTRES if CENTRES in result.everything else self.grid


@dataclass
class SetResult:
    """Scores of one set: of prompts, and per image of "segment everything" and the baselines."""

    images: int = 0
    prompts: PromptScores = field(default_factory=PromptScores)
    everything: dict[str, list[EverythingResult]] = field(default_factory=dict)
    baselines: dict[str, list[Score]] = field(default_factory=dict)
    encoding: list[float] = field(default_factory=list)


def measure(model: LoadedModel, sources: list[Micrograph], effort: Effort) -> SetResult:
    """Measure one set."""
    from napari_samstar.core.masks.metrics import score

    out = SetResult(images=len(sources))
    tried = tuple(dict.fromkeys((DEFAULTS, *effort.tried)))
    for k, source in enumerate(sources):
        encoded = EncodedImage.of(model, source.image)
        out.encoding.append(encoded.encoding)
        classical = baselines.segmented(encoded.image.rgb)
        for name, labels in classical.items():
            out.baselines.setdefault(name, []).append(score(source.label, labels))
        predictor = model.backend.predictor(encoded.cache.encode(model, encoded.image.rgb))
        out.prompts += score_prompts(predictor, source, effort.instances, classical)
        sides = [effort.points, *(effort.sides if k < effort.compared else ())]
        for name, config in encoded.configs(sides).items():
            scores = segment_everything(encoded, config, source.label, tried)
            out.everything.setdefault(name, []).append(scores)
    return out


def best_filters(results: dict[str, SetResult], config: str) -> Filters:
    """The thresholds with the best mean F1; all sets have equal weight."""
    first = next(iter(results.values()))
    return max(
        first.everything[config][0].scores,
        key=lambda f: float(np.mean([_f1(r, config, f) for r in results.values()])),
    )


def _f1(result: SetResult, config: str, filters: Filters) -> float:
    return float(np.mean([a.scores[filters].f1 for a in result.everything[config]]))


def spread(values: list[float]) -> dict[str, float | int | None]:
    """Mean, standard deviation and n; None without values."""
    if not len(values):
        return {"mean": None, "sd": None, "n": 0}
    return {"mean": _rounded(np.mean(values)), "sd": _rounded(np.std(values)), "n": len(values)}


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def scored(scores: list[Score]) -> dict[str, Any]:
    """F1, mean AP and counts over images."""
    return {
        "f1": spread([s.f1 for s in scores]),
        "mean_ap": spread([s.mean_ap for s in scores]),
        "found": sum(s.found for s in scores),
        "true": sum(s.true for s in scores),
    }


def report(
    model: LoadedModel,
    sets: dict[str, list[Micrograph]],
    boxed: list[BoxedImage],
    effort: Effort,
    note: Note = lambda _: None,
) -> dict[str, Any]:
    """Measure all sets; `note` is called with the name of each set before it is measured."""
    results = {}
    for name, sources in sets.items():
        note(name)
        results[name] = measure(model, sources, effort)
    best = best_filters(results, effort.main(next(iter(results.values()))))
    tables = {name: set_table(result, effort, best) for name, result in results.items()}
    if boxed:
        note(BOXED)
    return {
        "best_configuration": {
            "chosen": "on the evaluated images themselves, so it flatters",
            **dict(zip(FILTER_NAMES, best, strict=True)),
        },
        "sets": tables,
        "boxes": boxes_table(model, boxed, effort) if boxed else None,
        "means": {
            kind: means({k: v for k, v in tables.items() if k.startswith("synthetic") is made})
            for kind, made in (("real", False), ("synthetic", True))
        },
        "bar": targets_table(tables),
        "ways_of_asking": configs_table(results, effort),
    }


def set_table(result: SetResult, effort: Effort, best: Filters) -> dict[str, Any]:
    """The row of one set."""
    prompted = result.prompts
    main = result.everything[effort.main(result)]
    row: dict[str, Any] = {"images": result.images, "objects": len(prompted.click)}
    row |= {name: spread(getattr(prompted, name)) for name in PROMPTS}
    row["rank_correlation"] = _rank_correlation(prompted)
    row["defaults"] = scored([a.scores[DEFAULTS] for a in main])
    row["best_configuration"] = scored([a.scores[best] for a in main])
    row["grid"] = scored([a.scores[DEFAULTS] for a in result.everything[effort.grid]])
    row["baselines"] = {
        name: {**scored(scores), "click": spread(prompted.baselines[name])}
        for name, scores in result.baselines.items()
    }
    row["not_clearly_beaten"] = _not_beaten(row)
    return row


def _rank_correlation(prompted: PromptScores) -> dict[str, float | int | None]:
    """Spearman's correlation of predicted and true IoU over all masks of first clicks."""
    if len(set(prompted.true)) < 3 or len(set(prompted.predicted)) < 3:
        return {"value": None, "n": len(prompted.true)}
    value = spearmanr(prompted.predicted, prompted.true).statistic
    return {"value": _rounded(value), "n": len(prompted.true)}


def _not_beaten(row: dict[str, Any]) -> dict[str, list[str]]:
    """Baselines that the model does not beat by `MIN_MARGIN`, by measure.

    F1 is that of the model's default thresholds, not of the configuration chosen afterwards.
    """
    out = {}
    for measure, ours in (("f1", row["defaults"]["f1"]), ("click", row["click"])):
        if ours["mean"] is not None:
            others = {name: b[measure]["mean"] for name, b in row["baselines"].items()}
            out[measure] = [n for n, value in others.items() if ours["mean"] < value + MIN_MARGIN]
    return out


def means(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Means and standard deviations over sets; all sets have equal weight."""
    columns: dict[str, list[float | None]] = {
        name: [t[name]["mean"] for t in tables.values()] for name in PROMPTS
    }
    columns["rank_correlation"] = [t["rank_correlation"]["value"] for t in tables.values()]
    for name, key in (("defaults", "defaults"), ("best", "best_configuration"), ("grid", "grid")):
        for score in ("f1", "mean_ap"):
            columns[f"{score}_{name}"] = [t[key][score]["mean"] for t in tables.values()]
    for baseline in baselines.BASELINES:
        for measure in ("f1", "mean_ap", "click"):
            columns[f"{measure}_{baseline}"] = [
                t["baselines"][baseline][measure]["mean"] for t in tables.values()
            ]
    return {name: spread([v for v in c if v is not None]) for name, c in columns.items()}


def targets_table(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The means over real sets and their target values."""
    real = means({k: v for k, v in tables.items() if not k.startswith("synthetic")})
    reached: dict[str, tuple[float, Any]] = {k: (v, real[k]["mean"]) for k, v in TARGETS.items()}
    reached["f1_grid"] = (TARGETS["f1_defaults"], real["f1_grid"]["mean"])
    if NUCLEI in tables:
        for name, key in (("f1_defaults_nuclei", "defaults"), ("f1_grid_nuclei", "grid")):
            reached[name] = (NUCLEI_TARGET, tables[NUCLEI][key]["f1"]["mean"])
    return {
        name: {"asked": least, "reached": value, "met": value is not None and value >= least}
        for name, (least, value) in reached.items()
    }


def configs_table(results: dict[str, SetResult], effort: Effort) -> dict[str, Any]:
    """Scores of all prompt configurations, on the images that were measured with all of them."""
    n = effort.compared or None
    out: dict[str, Any] = {"images_per_set": n or "all", "encoding_s": _mean_encoding(results)}
    names = list(next(iter(results.values())).everything)
    for name in names:
        rows = [a for r in results.values() for a in r.everything[name][:n]]
        best = best_filters({k: _first(r, n) for k, r in results.items()}, name)
        out[name] = {
            "prompts": spread([float(a.prompts) for a in rows]),
            "decoding_s": spread([a.seconds for a in rows]),
            "by_set": {
                key: {"prompts": int(sum(a.prompts for a in r.everything[name][:n])),
                      "f1": _rounded(_f1(_first(r, n), name, DEFAULTS)),
                      "f1_best": _rounded(_f1(_first(r, n), name, best))}
                for key, r in results.items()
            },
            "defaults": scored([a.scores[DEFAULTS] for a in rows]),
            "best": {"filters": best, **scored([a.scores[best] for a in rows])},
        }  # fmt: skip
    if CENTRES in out:
        centres = out[CENTRES]["decoding_s"]["mean"]
        out["decoding_time_over_centres"] = {
            name: round(out[name]["decoding_s"]["mean"] / centres, 2) for name in names
        }
    return out


def _first(result: SetResult, n: int | None) -> SetResult:
    """The results of the first n images."""
    everything = {name: scores[:n] for name, scores in result.everything.items()}
    return SetResult(everything=everything)


def _mean_encoding(results: dict[str, SetResult]) -> dict[str, float | int | None]:
    return spread([s for r in results.values() for s in r.encoding])


def boxes_table(model: LoadedModel, boxed: list[BoxedImage], effort: Effort) -> dict[str, Any]:
    """The row of the set with true boxes instead of true masks."""
    prompts = "centres" if model.backend.sees_centres else "grid"
    config = AmgConfig(prompts=prompts, points_per_side=effort.points)
    got = score_boxes(model, boxed, config, effort.instances)
    return {
        "images": len(boxed),
        "mask_inside_box": spread(got.inside),
        "box_filled": spread(got.filled),
        "box_iou_of_box_prompt": spread(got.box),
        "box_iou_of_click": spread(got.click),
        "true": sum(got.true),
        "everything": {
            name: {
                "found": sum(found),
                "count_error": spread(
                    [abs(f - t) / t for f, t in zip(found, got.true, strict=True)]
                ),
                "box_f1": spread(got.f1[name]),
            }
            for name, found in got.found.items()
        },
    }
