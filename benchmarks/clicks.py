"""Does SAM learn from one's clicks? Simulated clicks on streams of objects, adapted beside frozen.

    python -m benchmarks.clicks --micrographs DIR > clicks.json
    python -m benchmarks.clicks --micrographs DIR --data choose --arms objects --change pull=0

Each click goes to the centre of the largest error region. Reaching the target on the last allowed
click counts as success. A stream shows one set's objects in a drawn order; clicking ends at IoU
0.90 or after 30 clicks. What ended at 0.85 or better is accepted and learned from, the rest is
skipped. Masks are judged at the end of a click's learning, as the user sees them a moment later.

`choose` data (training and validation images, own synthetic seeds) picked the settings; `report`
data (test and unseen images, other seeds) did not.
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
from training import real, scoring, synth

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Embedding, LoadedModel

LONG_SIDE = 640  # px; larger images are reduced, as pocket sees 512
LEAST_AREA = 100  # px of the reduced image
ACCEPTED = 0.85
SEEDS = {"choose": 77_000_000, "report": 88_000_000}
SPLITS = {"choose": ("validation", "train"), "report": ("test", "unseen")}
FAMILIES = ("tem", "phase", "tissue")

ARMS: dict[str, dict[str, Any] | None] = {
    "frozen": None,  # SamPredictor
    "fitted": None,  # corrections fit the outline, nothing is learned
    "adapted": {},  # and the decoder learns as it does by default
    "clicks": {"click_steps": 1, "object_steps": 0},
    "objects": {"click_steps": 0},
    "both": {"click_steps": 1},
    "no_guard": {"guard": False},
    "no_pull": {"pull": 0.0},
    "no_proof": {"proof": False},
    "low_rank": {"kind": "low-rank", "object_rate": 1e-3, "click_rate": 1e-3},
}
"""What is compared: the changes of `AdaptSettings`, None where nothing is learned."""


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
    settings = _changed(AdaptSettings(), change or [])
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
    cache = EmbeddingCache()
    streams = _streams(loaded, cache, real.folder(micrographs), data, sets, images, objects)
    adaptations: dict[str, Adaptation] = {}
    known: dict[str, list[Thing]] = {}
    wanted = arms.split(",")
    for name, things in streams:
        known[name] = things
        rows: dict[str, list[list[list[float]]]] = {}
        timing, taken_back = Timing(), {}
        for arm in wanted:
            rows[arm] = []
            changes = ARMS[arm]
            for order in range(1 if changes is None else orders):
                mine = replace(settings, **(changes or {}), seed=order)
                adaptation = Adaptation(loaded, mine)
                teaches = changes is not None
                stream = Stream(
                    arm != "frozen", teaches, adaptation, clicks, target, timing, careless
                )
                rows[arm].append(stream.run(things, order))
                taken_back[arm] = adaptation.taken_back
                if teaches:
                    adaptations.setdefault(name, adaptation)
        report["sets"][name] = {
            "objects": len(things),
            **{arm: clicks_summary.summary(traces, clicks) for arm, traces in rows.items()},
            "against_frozen": clicks_summary.against(rows, clicks),
            "seconds": timing.summary(),
            "taken_back": taken_back,
            "traces": {arm: clicks_summary.rounded(traces) for arm, traces in rows.items()},
        }
        for arm in wanted:
            print(name, arm, json.dumps(report["sets"][name][arm]), file=sys.stderr, flush=True)
        report["over_sets"] = clicks_summary.over_sets(report["sets"], wanted, clicks)
        if out is not None:
            out.write_text(json.dumps(report, indent=1))
    if drift:
        report["drift"] = _drift(known, adaptations)
        if out is not None:
            out.write_text(json.dumps(report, indent=1))
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
    known = dict(_sources(root, data))
    for name in wanted.split(",") if wanted else known:
        sources = known[name]
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
        self.spent: dict[str, list[float]] = {}

    def summary(self) -> dict[str, float]:
        """Median of each kind, CPU seconds."""
        return {k: round(float(np.median(v)), 4) for k, v in self.spent.items() if v}


@dataclass(frozen=True, eq=False)
class Stream:
    """A user who goes from object to object."""

    fitted: bool
    teaches: bool
    adaptation: Adaptation
    clicks: int
    target: float
    timing: Timing
    careless: bool = False

    def run(self, things: list[Thing], order: int) -> list[list[float]]:
        """Return the IoU after each click of each object, in the order of `things`."""
        traces: list[list[float]] = [[] for _ in things]
        for k in np.random.default_rng(order).permutation(len(things)):
            traces[k] = self._object(things[k])
        return traces

    def _object(self, thing: Thing) -> list[float]:
        adaptation = self.adaptation
        model = adaptation.begin()
        beside = adaptation.beside if self.teaches else None
        session = ClickSession(model, thing.embedding, fitted=self.fitted, beside=beside)
        began = time.process_time()
        learn = self._learn if self.teaches and adaptation.settings.click_steps else None
        chance = np.random.default_rng(0) if self.careless else None
        trace = list(simulate(session, thing.truth, self.clicks, self.target, learn, chance))
        if learn is None:
            spent = (time.process_time() - began) / max(1, len(trace))
            kind = "frozen" if not self.fitted else "fitted" if beside is None else "two_decoders"
            self.timing.spent.setdefault(f"click_{kind}", []).append(spent)
        prediction = session.state.prediction
        if self.teaches and prediction is not None and trace[-1] >= ACCEPTED:
            began = time.process_time()
            _finish(adaptation.accept(Example(thing.embedding, session.states, prediction.mask)))
            self.timing.spent.setdefault("object_update", []).append(time.process_time() - began)
        return trace

    def _learn(self, session: ClickSession) -> None:
        began = time.process_time()
        if len(session.states) < 2:
            return
        training_target = self.adaptation.learn_clicks(session.embedding, session.states)
        session.model, session.beside = _finish(training_target), self.adaptation.original
        self.timing.spent.setdefault("click_step", []).append(time.process_time() - began)
        session.refresh()


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
        if name not in adaptations:
            continue
        adaptation = adaptations[name]
        pair = {}
        for label, model in (("frozen", adaptation.original), ("adapted", adaptation.model)):
            ious = []
            for thing in known[other]:
                click = next_click(thing.truth)
                assert click is not None
                mask = predict(model, thing.embedding, ClickPrompt((click,))).mask
                ious.append(iou(mask, thing.truth))
            pair[label] = round(float(np.mean(ious)), 4)
        report[f"adapted to {name}, asked on {other}"] = {**pair, "n": len(known[other])}
    return report


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
