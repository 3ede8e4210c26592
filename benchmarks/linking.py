"""Do objects keep their id through a stack or movie? Scored with ids that the linking does not see.

    python -m benchmarks.linking                        drawn stacks and movies, time and memory
    python -m benchmarks.linking --micrographs FOLDER   and real ones
    python -m benchmarks.linking --labels FOLDER        keeps our own segmentations there

A link is a pair of an object and the same object in the next plane that has it. Recall is the share
of the true links that are made, precision the share of the made links that are true. Linking gets
labels whose ids are shuffled in each plane: the true masks of all planes, of every third plane, in
depth also with each connected part as an object of its own, and the masks of our own segmentation
of each plane at its defaults. Of the latter, the links among objects that match a true one with an
IoU of at least 0.5 count; the others are offered too, and may mislead.

`ours` has the default settings, `ours_no_divisions` those for objects that do not divide; `overlap`
matches neighbouring planes one to one by IoU > 0.1, greatest first; `laptrack` does so by optimal
assignment, closes gaps of one plane and, in time, finds divisions.

The default settings were chosen on the drawn scenes; only the IoU of 0.1 was known before to work
on chloroplasts and yeast.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import sys
import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tifffile
import typer
from numpy.typing import NDArray
from scipy.spatial import KDTree
from skimage import measure

import napari_samstar as ss
from benchmarks.linking_scenes import SCENES, Scene
from napari_samstar.core.linking.linker import Linker
from napari_samstar.core.linking.settings import LinkSettings, Mode
from napari_samstar.core.linking.solids import SolidMeasurer
from napari_samstar.core.linking.stack import LinkedStack, link_stack
from napari_samstar.core.masks.metrics import iou_matrix
from napari_samstar.core.progress import run

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage

Labels = NDArray[np.integer]
Assignment = list[dict[int, int]]
"""For each plane, the id in the stack of each object that is judged."""

Link = tuple[int, int, int, int]  # (plane, object, later plane, object)


@dataclass(frozen=True, eq=False)
class Case:
    """Labels of each plane, and the true ids of those of its objects that are judged."""

    planes: list[Labels]
    truth: Assignment


@dataclass(frozen=True)
class Source:
    """A set of micrographs: what follows from plane to plane, files, whether ids follow too."""

    mode: Mode
    pattern: str
    has_links: bool = True


SOURCES = {
    "wsu_chloroplast_em": Source("depth", "stack_z*"),
    "plantseg_ovule_3d": Source("depth", "ovule3d*"),
    "yeastvision_phase_time": Source("time", "t*"),
    "laptrack_c2c12_phase_time": Source("time", "t*", has_links=False),  # ids are of each frame
}


def links_of(assignment: Assignment) -> set[Link]:
    """Return the links of planes whose objects have ids of the stack."""
    last: dict[int, tuple[int, list[int]]] = {}
    links = set()
    for k, ids in enumerate(assignment):
        members = defaultdict(list)
        for label, i in ids.items():
            members[i].append(label)
        for i, labels in members.items():
            before, earlier = last.get(i, (k, []))
            links |= {(before, a, k, b) for a in earlier for b in labels}
            last[i] = k, labels
    return links


def shuffled(planes: list[Labels], parts: bool, missed: float, seed: int) -> Case:
    """Return planes with random ids, as one segmentation after another would give them.

    Parameters
    ----------
    parts : bool
        Whether connected parts of an object in a plane become objects of their own.
    missed : float
        Share of the objects that is removed.
    """
    rng = np.random.default_rng(seed)
    found: list[Labels] = []
    truth: Assignment = []
    for plane in planes:
        apart = measure.label(plane, connectivity=2) if parts else plane
        sizes = np.bincount(apart.ravel())
        sizes[0] = 0
        objects = np.flatnonzero(sizes >= (10 if parts else 1))  # crumbs of a drawing do not count
        objects = objects[rng.random(len(objects)) >= missed]
        new = np.zeros(len(sizes), np.int32)
        new[objects] = rng.permutation(len(objects)) + 1
        found.append(new[apart])
        owner = np.zeros(len(sizes), np.int64)
        owner[apart.ravel()] = plane.ravel()
        truth.append({int(new[k]): int(owner[k]) for k in objects})
    return Case(found, truth)


def matched(planes: list[Labels], found: list[Labels]) -> Case:
    """Return found planes with the true ids of the objects that match one at IoU >= 0.5."""
    truth: Assignment = []
    for true, labels in zip(planes, found, strict=True):
        true_ids, found_ids = np.unique(true[true > 0]), np.unique(labels[labels > 0])
        rows, cols = np.nonzero(iou_matrix(true, labels) >= 0.5)
        pairs = zip(found_ids[cols].tolist(), true_ids[rows].tolist(), strict=True)
        truth.append(dict(pairs))
    return Case(found, truth)


def ours(case: Case, mode: Mode, divisions: bool = True) -> tuple[Assignment, Counter[str]]:
    """Link by `Linker`; also count the events."""
    linker = Linker(LinkSettings(mode=mode, divisions=divisions))
    linked = [linker.add(plane) for plane in case.planes]
    events = Counter(event.kind for plane in linked for event in plane.events)
    return [
        {k: _value(plane.labels, labels, k) for k in truth}
        for plane, labels, truth in zip(linked, case.planes, case.truth, strict=True)
    ], events


def _value(values: Labels, labels: Labels, label: int) -> int:
    return int(values.ravel()[np.argmax(labels.ravel() == label)])


def overlap(case: Case, mode: Mode) -> tuple[Assignment, Counter[str]]:
    """Link neighbouring planes one to one by IoU > 0.1, greatest first."""
    assigned: list[dict[int, int]] = []
    n = 0
    for k, plane in enumerate(case.planes):
        labels = np.unique(plane[plane > 0]).tolist()
        ids: dict[int, int] = {}
        if k:
            before = case.planes[k - 1]
            earlier = np.unique(before[before > 0]).tolist()
            ious = iou_matrix(before, plane)
            taken: set[int] = set()
            for i, j in zip(
                *np.unravel_index(np.argsort(-ious, axis=None), ious.shape), strict=True
            ):
                if ious[i, j] <= 0.1:
                    break
                if i not in taken and labels[j] not in ids:
                    taken.add(int(i))
                    ids[labels[j]] = assigned[-1][earlier[i]]
        for label in labels:
            if label not in ids:
                n += 1
                ids[label] = n
        assigned.append(ids)
    return _judged(assigned, case), Counter()


def laptrack(case: Case, mode: Mode) -> tuple[Assignment, Counter[str]]:
    """Link by laptrack's overlap mode: IoU > 0.1, gaps of a plane, divisions in time."""
    from laptrack import OverLapTrack

    by_iou, inside = (1.0, 0.0, -1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, -1.0)
    tracker = OverLapTrack(
        metric_coefs=by_iou, cutoff=0.9, gap_closing_metric_coefs=by_iou, gap_closing_cutoff=0.9,
        gap_closing_max_frame_count=1, splitting_metric_coefs=inside,
        splitting_cutoff=0.5 if mode == "time" else False,
    )  # fmt: skip
    tracks, splits, merges = tracker.predict_overlap_dataframe(case.planes)
    assigned: list[dict[int, int]] = [{} for _ in case.planes]
    for (frame, label), i in tracks["track_id"].items():
        assigned[int(frame)][int(label)] = int(i)
    events = Counter({"split": len(splits) // 2, "merge": len(merges)})
    return _judged(assigned, case), events


def _judged(assigned: list[dict[int, int]], case: Case) -> Assignment:
    return [{k: ids[k] for k in truth} for ids, truth in zip(assigned, case.truth, strict=True)]


METHODS: dict[str, Callable[[Case, Mode], tuple[Assignment, Counter[str]]]] = {
    "ours": ours,
    "ours_no_divisions": partial(ours, divisions=False),
    "overlap": overlap,
    "laptrack": laptrack,
}


def judge(case: Case, mode: Mode) -> dict[str, Any]:
    """Return recall and precision of the links of each method, and their numbers."""
    true = links_of(case.truth)
    out: dict[str, Any] = {
        "planes": len(case.planes),
        "objects": sum(len(ids) for ids in case.truth),
        "true_links": len(true),
    }
    for name, method in METHODS.items():
        if name == "laptrack" and importlib.util.find_spec("laptrack") is None:
            out[name] = "not installed"
            continue
        start = time.perf_counter()
        assigned, events = method(case, mode)
        seconds = time.perf_counter() - start
        made = links_of(assigned)
        out[name] = {
            "recall": round(len(true & made) / max(len(true), 1), 4),
            "precision": round(len(true & made) / max(len(made), 1), 4),
            "made_links": len(made),
            "events": dict(sorted(events.items())),
            "ms_per_plane": round(1000 * seconds / len(case.planes), 1),
        }
    return out


def drawn(name: str, mode: Mode, draw: Callable[[int], Scene], seeds: int) -> dict[str, Any]:
    """Return mean and standard deviation over seeds for a scene in which 5 % are missed."""
    rows = []
    for seed in range(seeds):
        print(f"{name}, seed {seed}", file=sys.stderr)
        rows.append(judge(shuffled(draw(seed).planes, mode == "depth", 0.05, seed), mode))
    return {
        method: {
            measure: {
                "mean": round(float(np.mean([row[method][measure] for row in rows])), 4),
                "sd": round(float(np.std([row[method][measure] for row in rows])), 4),
            }
            for measure in ("recall", "precision")
        }
        for method in METHODS
        if isinstance(rows[0][method], dict)
    } | {"n_seeds": seeds, "true_links": sum(row["true_links"] for row in rows)}


def divisions(seeds: int) -> dict[str, dict[str, int]]:
    """Count true divisions of drawn cells, and those that are found with the right three ids."""
    out = {}
    for name, (mode, draw) in SCENES.items():
        if mode != "time":
            continue
        counts: Counter[str] = Counter()
        for seed in range(seeds):
            scene = draw(seed)
            case = shuffled(scene.planes, False, 0.05, seed)
            counts += _divisions(scene, case)
        out[name] = {key: counts[key] for key in ("true", "made", "right")}
    return out


def _divisions(scene: Scene, case: Case) -> Counter[str]:
    linker = Linker(LinkSettings(mode="time"))
    linked = [linker.add(plane) for plane in case.planes]
    ids = [
        {true: _value(plane.labels, labels, k) for k, true in truth.items()}
        for plane, labels, truth in zip(linked, case.planes, case.truth, strict=True)
    ]
    true = {
        (k, before[parent], frozenset(after[c] for c in children))
        for k, (before, after) in enumerate(pairwise(ids), 1)
        for parent, children in scene.divisions.items()
        if parent in before and all(c in after for c in children)
    }
    made = {
        (e.plane, e.parents[0], frozenset(e.children))
        for plane in linked
        for e in plane.events
        if e.kind == "split"
    }
    return Counter({"true": len(true), "made": len(made), "right": len(true & made)})


def real(folder: Path, name: str, source: Source, cache: Path | None) -> dict[str, Any]:
    """Judge a set of micrographs."""
    planes = _true_planes(folder / name / "masks", source.pattern)
    out: dict[str, Any] = {"mode": source.mode}
    if not source.has_links:
        return out | {
            "note": "ids are of each frame: links cannot be judged",
            "true_masks": _unjudged(shuffled(planes, False, 0.0, 0), source.mode),
        }
    own = _own_planes(folder / name / "images", source.pattern, cache, name)
    for step, suffix in ((1, ""), (3, "_every_third")):
        kept = planes[::step]
        out["true_masks" + suffix] = judge(shuffled(kept, False, 0.0, 0), source.mode)
        if source.mode == "depth":
            out["true_parts" + suffix] = judge(shuffled(kept, True, 0.0, 0), source.mode)
        out["own_masks" + suffix] = judge(matched(kept, own[::step]), source.mode)
    return out


def _unjudged(case: Case, mode: Mode) -> dict[str, Any]:
    """Return how many links each method makes, and how many of ours another method makes too."""
    made = {
        name: method(case, mode)
        for name, method in METHODS.items()
        if name != "laptrack" or importlib.util.find_spec("laptrack")
    }
    links = {name: links_of(assigned) for name, (assigned, _) in made.items()}
    return {
        name: {
            "made_links": len(links[name]),
            "also_ours": len(links[name] & links["ours"]),
            "events": dict(sorted(events.items())),
        }
        for name, (_, events) in made.items()
    }


def _true_planes(folder: Path, pattern: str) -> list[Labels]:
    planes: list[Labels] = []
    for path in sorted(folder.glob(pattern)):
        labels = tifffile.imread(path)
        planes += list(labels) if labels.ndim == 3 else [labels]
    return planes


def _own_planes(folder: Path, pattern: str, cache: Path | None, name: str) -> list[Labels]:
    """Segment each plane with the bundled model, or read what an earlier run kept."""
    images: list[LoadedImage] = []
    for path in sorted(folder.glob(pattern)):
        image = ss.read(path)
        sizes = image.plane_sizes
        images += [image.at((z,)) for z in range(sizes[0])] if sizes else [image]
    model = None
    planes: list[Labels] = []
    for k, image in enumerate(images):
        kept = None if cache is None else cache / f"{name}_{k:03d}.npy"
        if kept is not None and kept.exists():
            planes.append(np.load(kept))
            continue
        print(f"{name}, plane {k + 1} of {len(images)}", file=sys.stderr)
        model = model or ss.load_model()
        planes.append(ss.segment(image, model).labels)
        if kept is not None:
            np.save(kept, planes[-1])
    return planes


def _drifting(n: int, side: int = 1024) -> Iterator[Labels]:
    """Yield planes of about 300 cells; each ends after 17 planes, and another one begins there."""
    rng = np.random.default_rng(0)
    tree = KDTree(rng.uniform(0, side, (300, 2)))
    pixels = np.stack([axis.ravel() for axis in np.mgrid[:side, :side]], axis=1)
    cells = (tree.query(pixels)[1] + 1).astype(np.int32).reshape(side, side)
    cells[(cells != np.roll(cells, 1, 0)) | (cells != np.roll(cells, 1, 1))] = 0
    for k in range(n):
        plane = np.roll(cells, k, axis=1)
        plane[(plane + k) % 20 < 3] = 0  # three planes without it end a cell
        yield plane


def _linked(n: int) -> LinkedStack:
    steps = link_stack(_drifting(n), LinkSettings(), SolidMeasurer(), lambda plane: None, n)
    return run(steps)


def scaling(counts: tuple[int, ...] = (10, 50, 250)) -> list[dict[str, Any]]:
    """Return time per plane and greatest memory for stacks of different depth, 1024 x 1024 px."""
    out = []
    for n in counts:
        print(f"{n} planes", file=sys.stderr)
        start = time.process_time()
        for _ in _drifting(n):
            pass
        drawing = time.process_time() - start
        start = time.process_time()
        linked = _linked(n)
        seconds = time.process_time() - start - drawing
        tracemalloc.start()
        _linked(n)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        out.append({
            "planes": n,
            "objects": len(linked.objects["label"]),
            "ms_per_plane": round(1000 * seconds / n, 1),
            "peak_mb": round(peak / 2**20, 1),
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10),
        })  # fmt: skip
    return out


def main(
    micrographs: Annotated[Path | None, typer.Option(help="Folder of real stacks.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Folder to keep segmentations in.")] = None,
    seeds: Annotated[int, typer.Option(help="Drawn stacks of each kind.")] = 5,
) -> None:
    """Print the scores as JSON."""
    report: dict[str, Any] = {"scaling": scaling()}
    report["drawn"] = {
        name: drawn(name, mode, draw, seeds) for name, (mode, draw) in SCENES.items()
    }
    report["drawn_divisions"] = divisions(seeds)
    if micrographs is not None:
        sets = {name: real(micrographs, name, s, labels) for name, s in SOURCES.items()}
        report["micrographs"] = sets
        report["over_sets"] = _over_sets(sets)
    print(json.dumps(report, indent=2))


def _over_sets(sets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return mean and range over sets, for each kind of masks, method and measure."""
    out: dict[str, Any] = {}
    for kind in ("true_masks", "true_masks_every_third", "own_masks", "own_masks_every_third"):
        rows = [r[kind] for r in sets.values() if "true_links" in r.get(kind, {})]
        out[kind] = {"n_sets": len(rows)}
        for method in METHODS:
            scores = [row[method] for row in rows if isinstance(row[method], dict)]
            if scores:
                out[kind][method] = {
                    name: _spread([score[name] for score in scores])
                    for name in ("recall", "precision")
                }
    return out


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "min": min(values),
        "max": max(values),
    }


if __name__ == "__main__":
    typer.run(main)
