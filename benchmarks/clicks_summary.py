"""Statistics of simulated clicks: failures, numbers of clicks, and confidence intervals.

The traces of an arm are nested lists by order, object and click, of the IoU after the click.
Different orders of the same objects are not independent. So everything is averaged over the orders
of an object first, and intervals and tests are over objects.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from napari_samstar.core.interactive.simulated_user import failed, iou_at, noc

Traces = list[list[list[float]]]

N_BOOTSTRAP = 4000


def measures(clicks: int) -> dict[str, Any]:
    """Return the functions that measure one trace, by name."""
    found: dict[str, Any] = {
        "fr20_85": lambda t: float(failed(t, 0.85, 20)),
        "fr20_90": lambda t: float(failed(t, 0.90, 20)),
        "noc20_85": lambda t: float(noc(t, 0.85, 20)),
        "noc20_90": lambda t: float(noc(t, 0.90, 20)),
        **{f"iou_{k}": lambda t, k=k: iou_at(t, k) for k in (1, 3, 5)},
    }
    if clicks >= 30:
        found["fr30_90"] = lambda t: float(failed(t, 0.90, 30))
    return found


def per_object(traces: Traces, measure: Any) -> np.ndarray:
    """Return a measure's mean over orders for each object, shape (n,)."""
    return np.array([[measure(t) for t in order] for order in traces]).mean(0)


def summary(traces: Traces, clicks: int) -> dict[str, float]:
    """Return means over objects and orders, and the range of failures and clicks over orders."""
    out: dict[str, float] = {"n": len(traces[0]), "orders": len(traces)}
    for name, measure in measures(clicks).items():
        by_order = np.array([[measure(t) for t in order] for order in traces]).mean(1)
        out[name] = round(float(by_order.mean()), 4)
        if len(traces) > 1 and not name.startswith("iou"):
            out[f"{name}_range"] = [round(float(v), 3) for v in (by_order.min(), by_order.max())]
    return out


def against(rows: dict[str, Traces], clicks: int, base: str = "frozen") -> dict[str, Any]:
    """Compare every arm with `base`; measurements are paired by object."""
    if base not in rows:
        return {}
    out: dict[str, Any] = {}
    for arm, traces in rows.items():
        if arm == base:
            continue
        pairs = {
            name: (per_object(rows[base], measure), per_object(traces, measure))
            for name, measure in measures(clicks).items()
        }
        out[arm] = {name: compare(*pair) for name, pair in pairs.items()}
    return out


def compare(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Return the mean difference, its bootstrap 95 % interval, the cut and Wilcoxon's p."""
    difference = after - before
    draws = np.random.default_rng(0).integers(len(before), size=(N_BOOTSTRAP, len(before)))
    low, high = np.quantile(difference[draws].mean(1), (0.025, 0.975))
    out: dict[str, Any] = {
        "difference": round(float(difference.mean()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "p": _p(difference),
    }
    if before.mean() > 0:
        out["cut"] = round(float(1 - after.mean() / before.mean()), 4)
    return out


def over_sets(sets: dict[str, Any], arms: list[str], clicks: int) -> dict[str, Any]:
    """Return relative cuts of failures and clicks, averaged over sets where `frozen` fails at all.

    The bootstrap draws objects within each set. "pooled" compares the objects of all sets at once.
    """
    if "frozen" not in arms:
        return {}
    out: dict[str, Any] = {}
    for kind in ("real", "synthetic", "all"):
        names = [n for n in sets if kind == "all" or n.startswith("synthetic") == (kind != "real")]
        out[kind] = {
            arm: {key: _cut(sets, names, arm, clicks, key) for key in measures(clicks)}
            for arm in arms
            if arm != "frozen" and names
        }
    return out


def _cut(sets: dict[str, Any], names: list[str], arm: str, clicks: int, key: str) -> dict[str, Any]:
    measure = measures(clicks)[key]
    pairs = [
        tuple(per_object(sets[n]["traces"][a], measure) for a in ("frozen", arm)) for n in names
    ]
    pooled = compare(*(np.concatenate([p[k] for p in pairs]) for k in (0, 1)))
    if key.startswith("iou"):
        return {"pooled": pooled}
    pairs = [p for p in pairs if p[0].mean() > 0]
    if not pairs:
        return {"pooled": pooled}
    rng, draws = np.random.default_rng(0), []
    for _ in range(N_BOOTSTRAP):
        picks = [rng.integers(len(p[0]), size=len(p[0])) for p in pairs]
        rates = [(p[0][k].mean(), p[1][k].mean()) for p, k in zip(pairs, picks, strict=True)]
        cuts = [1 - b / a for a, b in rates if a > 0]
        if cuts:
            draws.append(np.mean(cuts))
    return {
        "sets": len(pairs),
        "mean_cut": round(float(np.mean([1 - p[1].mean() / p[0].mean() for p in pairs])), 4),
        "interval": [round(float(v), 4) for v in np.quantile(draws, (0.025, 0.975))],
        "pooled": pooled,
    }


def rounded(traces: Traces) -> Traces:
    """Return the traces with three decimals."""
    return [[[round(v, 3) for v in trace] for trace in order] for order in traces]


def _p(difference: np.ndarray) -> float:
    if not np.any(difference):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few objects: the normal approximation is coarse
        return round(float(wilcoxon(difference).pvalue), 5)
