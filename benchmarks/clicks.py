"""Does SAM learn from one's clicks? Simulated clicks on streams of objects, adapted beside frozen.

    python -m benchmarks.clicks --micrographs DIR > clicks.json
    python -m benchmarks.clicks --micrographs DIR --data choose --arms adapted --change pull=0

Each click goes to the centre of the largest error region. Reaching the target on the last allowed
click counts as success. A stream shows one set's objects in a drawn order; clicking ends at IoU
0.90 or after 30 clicks. What ended at 0.85 or better is accepted and learned from, the rest is
skipped. Masks are judged at the end of a click's learning, as the user sees them a moment later.

Arms: `frozen` is SamPredictor; `local` adds local corrections (`core.clicks.local_change`);
`adapted` adds learning. `choose` data (training and validation images, own synthetic seeds) picked
the settings; `report` data (test and unseen images, other seeds) did not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from napari_samstar.core.adapt import Adaptation, AdaptSettings, Example
from napari_samstar.core.click_simulator import failed, iou_at, next_click, noc, simulate
from napari_samstar.core.clicks import ClickSession, Prompt, predict
from napari_samstar.core.encoder import Embedding, EmbeddingCache
from napari_samstar.core.models import LoadedModel, load
from training import real, scoring, synth

LONG_SIDE = 640  # px; larger images are reduced, as pocket sees 512
LEAST_AREA = 100  # px of the reduced image
ACCEPTED = 0.85
SEEDS = {"choose": 77_000_000, "report": 88_000_000}
SPLITS = {"choose": ("validation", "train"), "report": ("test", "unseen")}
FAMILIES = ("tem", "phase", "tissue")


@dataclass(frozen=True, eq=False)
class Thing:
    """An object to click on."""

    image: str
    embedding: Embedding
    truth: np.ndarray


def main(
    micrographs: Annotated[Path | None, typer.Option()] = None,
    data: str = "report",
    sets: Annotated[str, typer.Option(help="names, with commas; default: all")] = "",
    arms: str = "frozen,local,adapted",
    change: Annotated[list[str] | None, typer.Option(help="name=value of AdaptSettings")] = None,
    model: str = "pocket",
    objects: int = 12,
    images: int = 4,
    orders: int = 3,
    clicks: int = 30,
    target: float = 0.90,
    drift: bool = True,
    threads: int = 1,
) -> None:
    torch.set_num_threads(threads)
    loaded = load(model, "cpu")
    settings = _changed(AdaptSettings(), change or [])
    report: dict[str, Any] = {
        "model": {"name": loaded.name, "sha256": loaded.sha256},
        "plan": {"data": data, "objects": objects, "orders": orders, "clicks": clicks},
        "settings": asdict(settings),
        "sets": {},
    }
    cache = EmbeddingCache()
    streams = _streams(loaded, cache, real.folder(micrographs), data, sets, images, objects)
    adaptations: dict[str, Adaptation] = {}
    known: dict[str, list[Thing]] = {}
    for name, things in streams:
        known[name] = things
        rows: dict[str, list[list[float]]] = {}
        timing = Timing()
        for arm in arms.split(","):
            rounds = orders if arm == "adapted" else 1
            rows[arm] = []
            for order in range(rounds):
                adaptation = Adaptation(loaded, replace(settings, seed=order))
                rows[arm] += _stream(things, order, arm, adaptation, clicks, target, timing)
                adaptations[name] = adaptation
        report["sets"][name] = {
            "objects": len(things),
            **{arm: _summary(traces, clicks) for arm, traces in rows.items()},
            "seconds": timing.summary(),
            "taken_back": adaptations[name].taken_back,
            "traces": {arm: _rounded(traces) for arm, traces in rows.items()},
        }
        print(name, json.dumps({a: _summary(t, clicks) for a, t in rows.items()}), file=sys.stderr)
    report["mean"] = _mean(report["sets"], arms.split(","))
    if drift:
        report["drift"] = _drift(known, adaptations)
    print(json.dumps(report, indent=1))


# --- data -------------------------------------------------------------------------------------


def _streams(
    model: LoadedModel,
    cache: EmbeddingCache,
    root: Path,
    data: str,
    wanted: str,
    images: int,
    objects: int,
) -> Iterator[tuple[str, list[Thing]]]:
    for name, sources in _sources(root, data):
        if wanted and name not in wanted.split(","):
            continue
        some = [scoring.at_most(source(), LONG_SIDE) for source in sources[:images]]
        each = -(-objects // len(some))
        things = [
            Thing(s.name, cache.encode(model, scoring.rgb(s.image)), s.label == i)
            for s in some
            for i in scoring.some_instances(s.label, each, seed=0, least=LEAST_AREA)
        ]
        picked = np.random.default_rng(0).permutation(len(things))[:objects]
        yield name, [things[k] for k in sorted(picked)]


def _sources(root: Path, data: str) -> Iterator[tuple[str, list[Any]]]:
    stems: dict[str, list[str]] = {}
    for split in SPLITS[data]:
        for name, found in real.splits()[split].items():
            if (root / name / "masks").is_dir():
                stems.setdefault(name, []).extend(found)
    for name, found in stems.items():
        yield name, [lambda n=name, s=s: real.load_one(root / n, s) for s in found]
    for family in FAMILIES:
        yield (
            f"synthetic_{family}",
            [lambda f=family, k=k: _synthetic(f, SEEDS[data], k) for k in range(4)],
        )


def _synthetic(family: str, seed: int, k: int) -> real.Micrograph:
    rng = np.random.default_rng((seed, list(synth.FAMILIES).index(family), k))
    made = synth.generate(family, (512, 512), rng)
    return real.Micrograph(f"synthetic_{family}", str(k), made.image, made.label())


# --- clicking ---------------------------------------------------------------------------------


class Timing:
    """CPU seconds of clicks and of learning."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {"click": [], "click_step": [], "object_update": []}

    def summary(self) -> dict[str, float]:
        """Median of each kind, CPU seconds."""
        return {k: round(float(np.median(v)), 4) for k, v in self.spent.items() if v}


def _stream(
    things: list[Thing],
    order: int,
    arm: str,
    adaptation: Adaptation,
    clicks: int,
    target: float,
    timing: Timing,
) -> list[list[float]]:
    """IoU after each click of each object, in the order of `things`."""
    traces: list[list[float]] = [[] for _ in things]
    for k in np.random.default_rng(order).permutation(len(things)):
        thing = things[k]
        model = adaptation.begin()
        session = ClickSession(model, thing.embedding, local=arm != "frozen")

        def learn(session: ClickSession, thing: Thing = thing) -> None:
            if arm != "adapted" or not adaptation.settings.click_steps:
                return
            began = time.process_time()
            session.model = _finish(adaptation.learn_clicks(thing.embedding, session.steps))
            timing.spent["click_step"].append(time.process_time() - began)
            session.refresh()

        began = time.process_time()
        traces[k] = list(simulate(session, thing.truth, clicks, target, learn))
        if arm != "adapted":
            spent = (time.process_time() - began) / max(1, len(traces[k]))
            timing.spent["click"].append(spent)
        prediction = session.step.prediction
        if arm == "adapted" and prediction is not None and traces[k][-1] >= ACCEPTED:
            began = time.process_time()
            example = Example(thing.embedding, session.steps, prediction.mask)
            _finish(adaptation.accept(example))
            timing.spent["object_update"].append(time.process_time() - began)
    return traces


def _finish(work: Any) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def _drift(known: dict[str, list[Thing]], adaptations: dict[str, Adaptation]) -> dict[str, Any]:
    """First-click IoU on another set, with the original and after adapting to a set."""
    names = list(known)
    report = {}
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        adaptation = adaptations[name]
        pair = {}
        for label, model in (("frozen", adaptation.original), ("adapted", adaptation.model)):
            ious = []
            for thing in known[other]:
                click = next_click(thing.truth)
                assert click is not None
                mask = predict(model, thing.embedding, Prompt((click,))).mask
                ious.append((mask & thing.truth).sum() / (mask | thing.truth).sum())
            pair[label] = round(float(np.mean(ious)), 4)
        report[f"adapted to {name}, asked on {other}"] = {**pair, "n": len(known[other])}
    return report


# --- summing up -------------------------------------------------------------------------------


def _summary(traces: list[list[float]], clicks: int) -> dict[str, float]:
    measured = {
        "n": len(traces),
        "fr20_85": np.mean([failed(t, 0.85, 20) for t in traces]),
        "fr20_90": np.mean([failed(t, 0.90, 20) for t in traces]),
        **({"fr30_90": np.mean([failed(t, 0.90, 30) for t in traces])} if clicks >= 30 else {}),
        "noc20_85": np.mean([noc(t, 0.85, 20) for t in traces]),
        "noc20_90": np.mean([noc(t, 0.90, 20) for t in traces]),
        **{f"iou_{k}": np.mean([iou_at(t, k) for t in traces]) for k in (1, 3, 5)},
    }
    return {k: round(float(v), 4) for k, v in measured.items()}


def _mean(sets: dict[str, Any], arms: list[str]) -> dict[str, Any]:
    """Means over sets, and the reduction of failures over sets where frozen fails at all."""
    keys = [k for k in next(iter(sets.values()))[arms[0]] if k != "n"]
    out: dict[str, Any] = {
        arm: {k: round(float(np.mean([s[arm][k] for s in sets.values()])), 4) for k in keys}
        for arm in arms
    }
    if "frozen" in arms:
        for arm in arms:
            for key in keys:
                if not key.startswith(("fr", "noc")):
                    continue
                cuts = [
                    1 - s[arm][key] / s["frozen"][key] for s in sets.values() if s["frozen"][key]
                ]
                out[arm][f"cut_{key}"] = round(float(np.mean(cuts)), 4) if cuts else None
    return out


def _rounded(traces: list[list[float]]) -> list[list[float]]:
    return [[round(v, 3) for v in trace] for trace in traces]


def _changed(settings: AdaptSettings, changes: list[str]) -> AdaptSettings:
    kinds = {f.name: type(getattr(settings, f.name)) for f in fields(settings)}
    values: dict[str, Any] = {}
    for text in changes:
        name, _, value = text.partition("=")
        kind = kinds[name]
        values[name] = value.lower() in ("1", "true") if kind is bool else kind(value)
    return replace(settings, **values)


if __name__ == "__main__":
    typer.run(main)
