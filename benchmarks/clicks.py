"""Simulated clicks on real and synthetic objects: with SamPredictor, contour fit, and adaptation.

    python -m benchmarks.clicks --micrographs DIR > clicks.json
    python -m benchmarks.clicks --micrographs DIR --data choose --arms objects --change l2_sp=0

Each click goes to the centre of the largest error region. Reaching the target on the last allowed
click counts as success. A stream goes through the objects of one set in a random order. Clicking
ends at IoU 0.90 or after 30 clicks. Objects that end at IoU 0.85 or better are accepted and learned
from. Where clicks are learned from, the IoU is measured after the update of the mask.

The settings were chosen with `choose` data (training and validation images, synthetic seeds of
their own). `report` data (test and unseen images, other seeds) was not used for that.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer

from benchmarks import clicks_summary
from napari_samstar.core.adaptation.online import Adaptation
from napari_samstar.core.adaptation.targets import AdaptSettings, Example
from napari_samstar.core.interactive.click_session import ClickSession
from napari_samstar.core.interactive.clicks import ClickPrompt
from napari_samstar.core.interactive.next_click import iou, next_click
from napari_samstar.core.interactive.predict import predict
from napari_samstar.core.interactive.simulated_user import simulate
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from training import real, scoring, synth

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Embedding, LoadedModel

LONG_SIDE = 640  # px; larger images are reduced, as pocket sees 512
MIN_AREA = 100  # px of the reduced image
ACCEPTED_IOU = 0.85
SEEDS = {"choose": 77_000_000, "report": 88_000_000}
SPLITS = {"choose": ("validation", "train"), "report": ("test", "unseen")}
FAMILIES = ("tem", "phase", "tissue")

ARMS: dict[str, dict[str, Any] | None] = {
    "frozen": None,  # SamPredictor
    "fitted": None,  # corrections fit the contour, nothing is learned
    "adapted": {},  # the decoder is also adapted, with the default settings
    "clicks": {"click_steps": 1, "object_steps": 0},
    "objects": {"click_steps": 0},
    "both": {"click_steps": 1},
    "no_rollback": {"rollback": False},
    "no_l2_sp": {"l2_sp": 0.0},
    "no_validation": {"validate": False},
    "low_rank": {
        "kind": "low-rank",
        "object_learning_rate": 1e-3,
        "click_learning_rate": 1e-3,
    },
}
"""Changes of `AdaptSettings` of each arm; None where nothing is learned."""


@dataclass(frozen=True, eq=False)
class TrueObject:
    """An object to click on; `truth` is its mask, (H, W)."""

    image: str
    embedding: Embedding
    truth: np.ndarray


def main(
    micrographs: Annotated[Path | None, typer.Option()] = None,
    data: str = "report",
    sets: Annotated[str, typer.Option(help="names, with commas; default: all")] = "",
    arms: str = "frozen,fitted,adapted",
    change: Annotated[list[str] | None, typer.Option(help="name=value of AdaptSettings")] = None,
    model: str = "pocket",
    objects: int = 12,
    images: int = 4,
    orders: int = 3,
    clicks: int = 30,
    target: float = 0.90,
    drift: bool = True,
    careless: Annotated[bool, typer.Option(help="click anywhere in the inner half")] = False,
    out: Annotated[Path | None, typer.Option(help="also written after every set")] = None,
    threads: int = 1,
) -> None:
    torch.set_num_threads(threads)
    loaded = load(model, "cpu")
    settings = _with_changes(AdaptSettings(), change or [])
    report: dict[str, Any] = {
        "model": {"name": loaded.name, "sha256": loaded.sha256},
        "plan": {
            "data": data,
            "objects": objects,
            "orders": orders,
            "clicks": clicks,
            "target": target,
            "careless": careless,
        },
        "settings": asdict(settings),
        "sets": {},
    }
    rule = StopRule(clicks, target, careless)
    root, names = real.folder(micrographs), arms.split(",")
    adaptations: dict[str, Adaptation] = {}
    known: dict[str, list[TrueObject]] = {}
    for name, found in _sets(loaded, root, data, sets, images, objects):
        known[name] = found
        report["sets"][name], adaptation = _run_set(loaded, settings, found, names, orders, rule)
        if adaptation is not None:
            adaptations[name] = adaptation
        for arm in names:
            print(name, arm, json.dumps(report["sets"][name][arm]), file=sys.stderr, flush=True)
        report["over_sets"] = clicks_summary.over_sets(report["sets"], names, clicks)
        if out is not None:
            out.write_text(json.dumps(report, indent=1))
    if drift:
        report["drift"] = _drift(known, adaptations)
        if out is not None:
            out.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))


def _run_set(
    model: LoadedModel,
    settings: AdaptSettings,
    objects: list[TrueObject],
    arms: list[str],
    orders: int,
    rule: StopRule,
) -> tuple[dict[str, Any], Adaptation | None]:
    """Return the report of one set, and the first adaptation that learned from it."""
    traces: dict[str, clicks_summary.Traces] = {}
    timing, rolled_back = Timing(), {}
    first: Adaptation | None = None
    for arm in arms:
        changes = ARMS[arm]
        traces[arm] = []
        for order in range(1 if changes is None else orders):
            adaptation = Adaptation(model, replace(settings, **(changes or {}), seed=order))
            user = SimulatedUser(arm != "frozen", changes is not None, adaptation, rule, timing)
            traces[arm].append(user.run(objects, order))
            rolled_back[arm] = adaptation.n_rolled_back
            if changes is not None and first is None:
                first = adaptation
    report = {
        "objects": len(objects),
        **{arm: clicks_summary.summary(t, rule.clicks) for arm, t in traces.items()},
        "against_frozen": clicks_summary.against(traces, rule.clicks),
        "seconds": timing.summary(),
        "rolled_back": rolled_back,
        "traces": {arm: clicks_summary.rounded(t) for arm, t in traces.items()},
    }
    return report, first


# --- data -------------------------------------------------------------------------------------


def _sets(
    model: LoadedModel, root: Path, data: str, names: str, n_images: int, n_objects: int
) -> Iterator[tuple[str, list[TrueObject]]]:
    """Yield the name and the objects of each set; `names` are separated by commas, empty: all."""
    cache = EmbeddingCache()
    known = dict(_sources(root, data))
    for name in names.split(",") if names else known:
        images = [scoring.at_most(read(), LONG_SIDE) for read in known[name][:n_images]]
        per_image = -(-n_objects // len(images))
        objects = [
            TrueObject(s.name, cache.encode(model, scoring.rgb(s.image)), s.label == i)
            for s in images
            for i in scoring.some_instances(s.label, per_image, seed=0, least=MIN_AREA)
        ]
        picked = np.random.default_rng(0).permutation(len(objects))[:n_objects]
        yield name, [objects[k] for k in sorted(picked)]


def _sources(root: Path, data: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield the name of each set, and functions that load its images."""
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
        self.spent: dict[str, list[float]] = {}

    def add(self, kind: str, seconds: float) -> None:
        """Record one measurement."""
        self.spent.setdefault(kind, []).append(seconds)

    def summary(self) -> dict[str, float]:
        """Return the median of each kind."""
        return {k: round(float(np.median(v)), 4) for k, v in self.spent.items() if v}


@dataclass(frozen=True)
class StopRule:
    """When clicking on an object ends, and whether the clicks are careless."""

    clicks: int
    target: float
    careless: bool


@dataclass(frozen=True, eq=False)
class SimulatedUser:
    """Clicks on one object after the other; with `learns`, the decoder is adapted to them."""

    fit_contour: bool
    learns: bool
    adaptation: Adaptation
    rule: StopRule
    timing: Timing

    def run(self, objects: list[TrueObject], order: int) -> list[list[float]]:
        """Return the IoU after each click of each object, in the order of `objects`.

        They are clicked in a random order, of the seed `order`.
        """
        traces: list[list[float]] = [[] for _ in objects]
        for k in np.random.default_rng(order).permutation(len(objects)):
            traces[k] = self._click_on(objects[k])
        return traces

    def _click_on(self, target: TrueObject) -> list[float]:
        adaptation, rule = self.adaptation, self.rule
        session = ClickSession(
            adaptation.start_object(),
            target.embedding,
            fit_contour=self.fit_contour,
            competitor=adaptation.competitor if self.learns else None,
        )
        competes = session.competitor is not None
        learn = self._learn_clicks if self.learns and adaptation.settings.click_steps else None
        rng = np.random.default_rng(0) if rule.careless else None
        began = time.process_time()
        trace = list(simulate(session, target.truth, rule.clicks, rule.target, learn, rng))
        if learn is None:
            kind = "two_decoders" if competes else "fitted" if self.fit_contour else "frozen"
            spent = (time.process_time() - began) / max(1, len(trace))
            self.timing.add(f"click_{kind}", spent)
        prediction = session.state.prediction
        if self.learns and prediction is not None and trace[-1] >= ACCEPTED_IOU:
            began = time.process_time()
            run(adaptation.learn_object(Example(target.embedding, session.states, prediction.mask)))
            self.timing.add("object_update", time.process_time() - began)
        return trace

    def _learn_clicks(self, session: ClickSession) -> None:
        if len(session.states) < 2:
            return
        began = time.process_time()
        session.model = run(self.adaptation.learn_clicks(session.embedding, session.states))
        session.competitor = self.adaptation.original
        self.timing.add("click_step", time.process_time() - began)
        session.refresh()


def _drift(
    known: dict[str, list[TrueObject]], adaptations: dict[str, Adaptation]
) -> dict[str, Any]:
    """Return the IoU of first clicks on the next set, by the original and the adapted model."""
    names = list(known)
    report = {}
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        if name not in adaptations:
            continue
        adaptation = adaptations[name]
        models = {"frozen": adaptation.original, "adapted": adaptation.model}
        means = {arm: _first_click_iou(model, known[other]) for arm, model in models.items()}
        report[f"adapted to {name}, tested on {other}"] = {**means, "n": len(known[other])}
    return report


def _first_click_iou(model: LoadedModel, objects: list[TrueObject]) -> float:
    ious = []
    for target in objects:
        click = next_click(target.truth)
        assert click is not None
        mask = predict(model, target.embedding, ClickPrompt((click,))).mask
        ious.append(iou(mask, target.truth))
    return round(float(np.mean(ious)), 4)


def _with_changes(settings: AdaptSettings, changes: list[str]) -> AdaptSettings:
    """Return the settings with changes of the form name=value."""
    kinds = {f.name: type(getattr(settings, f.name)) for f in fields(settings)}
    values: dict[str, Any] = {}
    for text in changes:
        name, _, value = text.partition("=")
        kind = kinds[name]
        values[name] = value.lower() in ("1", "true") if kind is bool else kind(value)
    return replace(settings, **values)


if __name__ == "__main__":
    typer.run(main)
