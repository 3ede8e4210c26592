"""Exactness and speed of the proposal bank, compared with `SamAutomaticMaskGenerator`.

    python -m benchmarks.bank exactness --configs 200
    python -m benchmarks.bank exactness --random vit_b --configs 5
    python -m benchmarks.bank warm
    python -m benchmarks.bank build

Each command prints one JSON object. The timings of one command are taken in turns, so their ratios
are valid on a busy machine too.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import records, select
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.models.backend import LoadedModel
from napari_samstar.core.models.loading import load
from napari_samstar.core.models.pocket import build_pocket
from napari_samstar.core.models.sam_backend import SamBackend
from napari_samstar.core.progress import run
from napari_samstar.core.tuning.evaluator import Evaluator

SHAPES = ((160, 200), (200, 160), (97, 131), (601, 433))
"""Landscape, portrait, odd, and larger than a small model's input, px."""

Records = list[dict[str, Any]]
app = typer.Typer(add_completion=False, help=__doc__)
Model = Annotated[str, typer.Option(help="Registry name or checkpoint.")]
Random = Annotated[str, typer.Option(help="Or an architecture with random weights, or 'tiny'.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 1 is fastest beside other work.")]


def discs(shape: tuple[int, int], seed: int = 0, n: int = 20) -> Micrograph:
    """Return an image of `n` bright discs on a dark, noisy background."""
    rng = np.random.default_rng(seed)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    image = rng.normal(60, 6, shape)
    for _ in range(n):
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius = rng.uniform(0.03, 0.09) * min(shape)
        image[(rows - row) ** 2 + (cols - col) ** 2 < radius**2] += rng.uniform(60, 120)
    gray = np.clip(image, 0, 255).astype(np.uint8)
    return Micrograph(np.repeat(gray[..., None], 3, axis=2))


def random_config(rng: np.random.Generator, most_points: int = 8) -> AmgConfig:
    """Draw a configuration of all settings, including edge cases and crops."""
    layers = int(rng.choice([0, 0, 0, 1, 1, 2]))
    strict = rng.random() < 0.15  # few masks are kept: empty batches, crops and results
    values: dict[str, Any] = {
        "points_per_side": int(rng.integers(4, (most_points if layers < 2 else 4) + 1)),
        "points_per_batch": int(rng.choice([5, 16, 64, 1000])),
        "pred_iou_thresh": float(rng.uniform(0.85, 1) if strict else rng.uniform(-0.2, 0.9)),
        "stability_score_thresh": float(rng.uniform(-0.2, 0.9)),
        "stability_score_offset": round(float(rng.integers(1, 41)) * 0.05, 10),
        "box_nms_thresh": float(rng.uniform(0, 1)),
        "crop_n_layers": layers,
        "crop_nms_thresh": float(rng.uniform(0, 1)),
        "crop_overlap_ratio": float(rng.choice([0.0, 0.2, 512 / 1500, 0.5])),
        "crop_n_points_downscale_factor": int(rng.choice([1, 2])),
        "min_mask_region_area": int(rng.choice([0, 0, 5, 40, 400, 5000])),
        "output_mode": str(rng.choice(["binary_mask", "uncompressed_rle", "coco_rle"])),
    }
    if rng.random() < 0.15:
        values["points_per_side"] = None
        values["point_grids"] = tuple(_random_grid(rng) for _ in range(layers + 1))
    for name in ("pred_iou_thresh", "stability_score_thresh"):
        values[name] = max(0.0, values[name])
    return AmgConfig(**values)


def _random_grid(rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    points = rng.uniform(0, 1, (int(rng.integers(1, 30)), 2))
    return tuple((float(x), float(y)) for x, y in points)


def upstream(model: LoadedModel, image: Micrograph, config: AmgConfig) -> Records:
    """Return the records of upstream; [] where it crashes because no crop has masks."""
    generator = SamAutomaticMaskGenerator(model.sam, **config.generator_kwargs())
    try:
        return generator.generate(image.rgb)  # type: ignore[no-any-return]
    except IndexError:
        assert config.crop_n_layers > 0
        return []


def differences(ours: Records, theirs: Records) -> list[str]:
    """Return the differences of records in bits, order, values and Python types."""
    if len(ours) != len(theirs):
        return [f"{len(ours)} records instead of {len(theirs)}"]
    found = []
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if list(a) != list(b):
            found.append(f"record {k} has keys {list(a)} instead of {list(b)}")
            continue
        found += [f"record {k}: {name}" for name in a if not _same(a[name], b[name])]
    return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    return repr(a) == repr(b)


@dataclass
class ExactnessReport:
    """Counts and mismatches of the configurations compared so far."""

    counts: list[int] = field(default_factory=list)
    crops: int = 0
    regions: int = 0
    mismatches: list[str] = field(default_factory=list)

    def add(self, bank: ProposalBank, config: AmgConfig) -> None:
        """Compare one configuration."""
        run(bank.prepare(config))
        ours = records(bank, select(bank, config))
        found = differences(ours, upstream(bank.model, bank.image, config))
        self.counts.append(len(ours))
        self.crops += config.crop_n_layers > 0
        self.regions += config.min_mask_region_area > 0
        if found:
            self.mismatches.append(f"{bank.shape} {config}: {found[:3]}")

    def summary(self) -> dict[str, Any]:
        """Return the counts as plain numbers."""
        n = len(self.counts)
        return {
            "configurations": n,
            "records": sum(self.counts),
            "median_records": statistics.median(self.counts),
            "empty": self.counts.count(0),
            "share_with_crops": round(self.crops / n, 3),
            "share_with_small_regions": round(self.regions / n, 3),
            "mismatching_configurations": len(self.mismatches),
            "first_mismatches": self.mismatches[:5],
        }


def compare(
    banks: Sequence[ProposalBank], n: int, seed: int, most_points: int = 8
) -> ExactnessReport:
    """Compare `n` random configurations on `banks` in turn."""
    rng = np.random.default_rng(seed)
    exactness_report = ExactnessReport()
    for k in range(n):
        exactness_report.add(banks[k % len(banks)], random_config(rng, most_points))
    return exactness_report


@app.command()
def exactness(
    model: Model = "pocket",
    random: Random = "",
    configs: int = 200,
    seed: int = 0,
    most_points: int = 8,
    threads: Threads = 1,
) -> None:
    """Compare random configurations with upstream, record for record."""
    chosen = _model(model, random, threads)
    shapes = SHAPES if random in ("", "tiny") else SHAPES[:1]
    banks = [ProposalBank(discs(shape, k), chosen) for k, shape in enumerate(shapes)]
    exactness_report = compare(banks, configs, seed, most_points)
    _print(chosen, {"shapes": shapes, **exactness_report.summary()})
    raise typer.Exit(1 if exactness_report.mismatches else 0)


@app.command()
def warm(
    model: Model = "pocket",
    random: Random = "",
    side: int = 1024,
    points: int = 32,
    configs: int = 60,
    seed: int = 0,
    generate: bool = True,
    threads: Threads = 1,
) -> None:
    """Time evaluations after decoding, and one upstream `generate` for comparison."""
    chosen = _model(model, random, threads)
    image = discs((side, side), seed, n=120)
    bank = ProposalBank(image, chosen)
    base = AmgConfig(points_per_side=points)
    built = _seconds(lambda: run(bank.prepare(base)))
    evaluator = Evaluator.of(bank)
    rng = np.random.default_rng(seed)
    settings = [_random_thresholds(base, rng) for _ in range(configs)]
    report: dict[str, Any] = {"candidates": len(bank.masks), "build_s": round(built, 2)}
    for turn in ("cold", "warm"):
        selected = [_timed(lambda c=c: select(bank, c)) for c in settings]
        rewarded = [_timed(lambda s=s: evaluator.rewards(s)) for s, _ in selected]
        report[f"{turn}_select_ms"] = _range([t for _, t in selected])
        report[f"{turn}_rewards_ms"] = _range([t for _, t in rewarded])
        both = [a + b for (_, a), (_, b) in zip(selected, rewarded, strict=True)]
        report[f"{turn}_evaluation_ms"] = _range(both)
    report["masks_kept"] = _range([len(s) for s, _ in selected])
    report["bank_mb"] = round(bank.nbytes / 2**20, 1)
    if generate:
        report["upstream_s"] = round(_seconds(lambda: upstream(chosen, image, base)), 2)
        median = report["warm_evaluation_ms"]["median"] / 1000
        report["upstream_over_warm_evaluation"] = round(report["upstream_s"] / median)
    _print(chosen, report)


def _random_thresholds(base: AmgConfig, rng: np.random.Generator) -> AmgConfig:
    """Draw the settings that need no decoding, within the ranges of the search."""
    return base.replace(
        pred_iou_thresh=float(rng.uniform(0.5, 0.98)),
        stability_score_thresh=float(rng.uniform(0.5, 0.98)),
        stability_score_offset=round(float(rng.integers(10, 31)) * 0.05, 10),
        box_nms_thresh=float(rng.uniform(0.1, 0.95)),
        min_mask_region_area=int(rng.integers(0, 201)),
    )


@app.command()
def build(
    model: Model = "pocket",
    random: Random = "",
    side: int = 1024,
    points: int = 32,
    seed: int = 0,
    threads: Threads = 1,
) -> None:
    """Time building the bank and one upstream `generate`, in turns."""
    chosen = _model(model, random, threads)
    image = discs((side, side), seed, n=120)
    config = AmgConfig(points_per_side=points)
    run(ProposalBank(image, chosen).prepare(config.replace(points_per_side=4)))  # warm up
    times: dict[str, list[float]] = {"bank": [], "upstream": []}
    for _ in range(2):
        times["bank"].append(_seconds(lambda: run(ProposalBank(image, chosen).prepare(config))))
        times["upstream"].append(_seconds(lambda: upstream(chosen, image, config)))
    best = {name: min(t) for name, t in times.items()}
    _print(
        chosen,
        {
            "bank_s": round(best["bank"], 2),
            "upstream_s": round(best["upstream"], 2),
            "bank_over_upstream": round(best["bank"] / best["upstream"], 3),
        },
    )


def _model(name: str, random: str, threads: int) -> LoadedModel:
    torch.set_num_threads(threads)
    if random == "tiny":
        from tests.core.tiny import tiny_model

        return tiny_model()
    if not random:
        return load(name, device="cpu")
    torch.manual_seed(0)
    sam = build_pocket() if random == "pocket" else sam_model_registry[random]()
    return LoadedModel(
        backend=SamBackend(sam.eval().requires_grad_(False)),
        name=f"random {random}",
        architecture=random,
        sha256=hashlib.sha256(random.encode()).hexdigest(),
        device=torch.device("cpu"),
        path=Path(random),
    )


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of `work` and its time, ms."""
    start = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - start) * 1000


def _seconds(work: Callable[[], Any]) -> float:
    return _timed(work)[1] / 1000


def _range(values: Sequence[float]) -> dict[str, float]:
    low, median, high = np.quantile(values, [0, 0.5, 1])
    return {"min": round(low, 2), "median": round(median, 2), "max": round(high, 2)}


def _print(model: LoadedModel, report: dict[str, Any]) -> None:
    about = {"model": model.name, "device": str(model.device), "threads": torch.get_num_threads()}
    print(json.dumps({**about, **report}, indent=2))


if __name__ == "__main__":
    app()
