"""The held-out figures of a model, beside classical baselines, as plain data.

`python -m benchmarks.model` prints them. Every mean comes with its n and the standard deviation
over what was averaged: objects for prompts, images for "segment everything".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from napari_samstar.core.amg.config import AmgConfig
from training import baselines
from training.boxes import on_boxes
from training.everything import CENTRES, DEFAULTS, TRIED, Asked, Filters, Workplace, asked
from training.held_out import BOXED
from training.prompting import Prompted, prompted

if TYPE_CHECKING:
    from napari_samstar.core.masks.metrics import Score
    from napari_samstar.core.models.backend import LoadedModel
    from training.held_out import Boxed
    from training.real import Micrograph

CLEARLY = 0.05  # of F1: how far ahead of a baseline counts as beating it
BAR = {"click": 0.60, "clicks3": 0.70, "box": 0.75, "f1_defaults": 0.45}
NUCLEI, NUCLEI_BAR = "dsb2018_fluo", 0.75
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
        Points per side of the grid, on which a model that does not see centres is asked.
    sides : tuple of int
        Further grids to compare with, and with proposed centres.
    compared : int
        Images per set that these further grids see; 0 leaves them out.
    tried : tuple
        Thresholds among which the best single configuration is sought.
    """

    instances: int = 8
    points: int = 16
    sides: tuple[int, ...] = (32,)
    compared: int = 1
    tried: tuple[Filters, ...] = TRIED

    @property
    def grid(self) -> str:
        """Name of the grid's way of asking."""
        return f"grid{self.points}"

    def main(self, result: SetResult) -> str:
        """Name of the way in which the panels and the command line ask the model."""
        return CENTRES if CENTRES in result.ways else self.grid


@dataclass
class SetResult:
    """What one set gave: prompts pooled, and per image the ways of asking and the baselines."""

    images: int = 0
    prompts: Prompted = field(default_factory=Prompted)
    ways: dict[str, list[Asked]] = field(default_factory=dict)
    baselines: dict[str, list[Score]] = field(default_factory=dict)
    encoding: list[float] = field(default_factory=list)


def measure(model: LoadedModel, sources: list[Micrograph], effort: Effort) -> SetResult:
    """Measure one set."""
    from napari_samstar.core.masks.metrics import score

    out = SetResult(images=len(sources))
    tried = tuple(dict.fromkeys((DEFAULTS, *effort.tried)))
    for k, source in enumerate(sources):
        place = Workplace.of(model, source.image)
        out.encoding.append(place.encoding)
        classical = baselines.segmented(place.image.rgb)
        for name, labels in classical.items():
            out.baselines.setdefault(name, []).append(score(source.label, labels))
        predictor = model.backend.predictor(place.cache.encode(model, place.image.rgb))
        out.prompts += prompted(predictor, source, effort.instances, classical)
        sides = [effort.points, *(effort.sides if k < effort.compared else ())]
        for name, config in place.ways(sides).items():
            out.ways.setdefault(name, []).append(asked(place, config, source.label, tried))
    return out


def best_filters(results: dict[str, SetResult], way: str) -> Filters:
    """The thresholds with the best mean F1, each set counting alike."""
    first = next(iter(results.values()))
    return max(
        first.ways[way][0].scores,
        key=lambda f: float(np.mean([_f1(r, way, f) for r in results.values()])),
    )


def _f1(result: SetResult, way: str, filters: Filters) -> float:
    return float(np.mean([a.scores[filters].f1 for a in result.ways[way]]))


def spread(values: list[float]) -> dict[str, float | int | None]:
    """Mean, standard deviation and n; None where there is nothing."""
    if not len(values):
        return {"mean": None, "sd": None, "n": 0}
    return {"mean": _short(np.mean(values)), "sd": _short(np.std(values)), "n": len(values)}


def _short(value: Any) -> float:
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
    boxed: list[Boxed],
    effort: Effort,
    note: Note = lambda _: None,
) -> dict[str, Any]:
    """Measure everything; `note` hears the name of each set as it begins."""
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
        "bar": bar(tables),
        "ways_of_asking": ways_table(results, effort),
    }


def set_table(result: SetResult, effort: Effort, best: Filters) -> dict[str, Any]:
    """One set's row."""
    asks = result.prompts
    main = result.ways[effort.main(result)]
    row: dict[str, Any] = {"images": result.images, "objects": len(asks.click)}
    row |= {name: spread(getattr(asks, name)) for name in PROMPTS}
    row["rank_correlation"] = _rank(asks)
    row["defaults"] = scored([a.scores[DEFAULTS] for a in main])
    row["best_configuration"] = scored([a.scores[best] for a in main])
    row["grid"] = scored([a.scores[DEFAULTS] for a in result.ways[effort.grid]])
    row["baselines"] = {
        name: {**scored(scores), "click": spread(asks.baselines[name])}
        for name, scores in result.baselines.items()
    }
    row["not_clearly_beaten"] = _unbeaten(row)
    return row


def _rank(asks: Prompted) -> dict[str, float | int | None]:
    """Spearman's correlation of predicted and true IoU over all masks of first clicks."""
    if len(set(asks.true)) < 3 or len(set(asks.predicted)) < 3:
        return {"value": None, "n": len(asks.true)}
    value = spearmanr(asks.predicted, asks.true).statistic
    return {"value": _short(value), "n": len(asks.true)}


def _unbeaten(row: dict[str, Any]) -> dict[str, list[str]]:
    """Baselines that the model does not clearly beat, by what is compared.

    F1 is compared at the model's fixed defaults, not at the configuration chosen afterwards.
    """
    out = {}
    for what, mine in (("f1", row["defaults"]["f1"]), ("click", row["click"])):
        if mine["mean"] is not None:
            others = {name: b[what]["mean"] for name, b in row["baselines"].items()}
            out[what] = [n for n, value in others.items() if mine["mean"] < value + CLEARLY]
    return out


def means(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Means over sets, each set counting alike; the deviation is over sets."""
    columns: dict[str, list[float | None]] = {
        name: [t[name]["mean"] for t in tables.values()] for name in PROMPTS
    }
    columns["rank_correlation"] = [t["rank_correlation"]["value"] for t in tables.values()]
    for name, key in (("defaults", "defaults"), ("best", "best_configuration"), ("grid", "grid")):
        for score in ("f1", "mean_ap"):
            columns[f"{score}_{name}"] = [t[key][score]["mean"] for t in tables.values()]
    for baseline in baselines.BASELINES:
        for what in ("f1", "mean_ap", "click"):
            columns[f"{what}_{baseline}"] = [
                t["baselines"][baseline][what]["mean"] for t in tables.values()
            ]
    return {name: spread([v for v in c if v is not None]) for name, c in columns.items()}


def bar(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Where the means over real sets stand against what was asked for."""
    real = means({k: v for k, v in tables.items() if not k.startswith("synthetic")})
    reached: dict[str, tuple[float, Any]] = {k: (v, real[k]["mean"]) for k, v in BAR.items()}
    reached["f1_grid"] = (BAR["f1_defaults"], real["f1_grid"]["mean"])
    if NUCLEI in tables:
        for name, key in (("f1_defaults_nuclei", "defaults"), ("f1_grid_nuclei", "grid")):
            reached[name] = (NUCLEI_BAR, tables[NUCLEI][key]["f1"]["mean"])
    return {
        name: {"asked": least, "reached": value, "met": value is not None and value >= least}
        for name, (least, value) in reached.items()
    }


def ways_table(results: dict[str, SetResult], effort: Effort) -> dict[str, Any]:
    """Ways of asking side by side, on the images that saw all of them."""
    n = effort.compared or None
    out: dict[str, Any] = {"images_per_set": n or "all", "encoding_s": _mean_encoding(results)}
    names = list(next(iter(results.values())).ways)
    for name in names:
        rows = [a for r in results.values() for a in r.ways[name][:n]]
        best = best_filters({k: _first(r, n) for k, r in results.items()}, name)
        out[name] = {
            "prompts": spread([float(a.prompts) for a in rows]),
            "decoding_s": spread([a.seconds for a in rows]),
            "by_set": {
                key: {"prompts": int(sum(a.prompts for a in r.ways[name][:n])),
                      "f1": _short(_f1(_first(r, n), name, DEFAULTS)),
                      "f1_best": _short(_f1(_first(r, n), name, best))}
                for key, r in results.items()
            },
            "defaults": scored([a.scores[DEFAULTS] for a in rows]),
            "best": {"filters": best, **scored([a.scores[best] for a in rows])},
        }  # fmt: skip
    if CENTRES in out:
        mine = out[CENTRES]["decoding_s"]["mean"]
        out["decoding_time_over_centres"] = {
            name: round(out[name]["decoding_s"]["mean"] / mine, 2) for name in names
        }
    return out


def _first(result: SetResult, n: int | None) -> SetResult:
    return SetResult(ways={name: asks[:n] for name, asks in result.ways.items()})


def _mean_encoding(results: dict[str, SetResult]) -> dict[str, float | int | None]:
    return spread([s for r in results.values() for s in r.encoding])


def boxes_table(model: LoadedModel, boxed: list[Boxed], effort: Effort) -> dict[str, Any]:
    """The row of the set of which only boxes are known."""
    prompts = "centres" if model.backend.sees_centres else "grid"
    config = AmgConfig(prompts=prompts, points_per_side=effort.points)
    got = on_boxes(model, boxed, config, effort.instances)
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
