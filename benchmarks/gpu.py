"""How fast is `precision="fast"`, and how close to exact? Prints one JSON object.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --models tiny --device cpu --side 256 --points 8 --no-compile

For every model: seconds of an image by upstream's `SamAutomaticMaskGenerator` (float32), by ours
exact and by ours fast, medians after one warm-up; peak memory; the IoU of the masks of the same
prompt, fast against exact. ViT models have random weights (`gpu_models`). The threshold of the
predicted quality lets `--keep` of the candidates pass, as a trained model's would; all other
thresholds are 0 but for the suppression of duplicates. Upstream spends time only on those that
pass, ours measures all of them. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import torch
    from segment_anything import SamAutomaticMaskGenerator

    from benchmarks.gpu_models import micrograph, random_sam
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.select import select
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.checkpoints import build, read_weights
    from napari_samstar.core.models.fast import FastBackend
    from napari_samstar.core.models.sam_backend import SamBackend
    from napari_samstar.version import PACKAGE
except ImportError as missing:
    sys.exit(f"benchmarks.gpu cannot run: {missing}. Start it in the checkout, PYTHONPATH=src:.")

MIB = 2**20
COMPILE_SECONDS = 60  # time that must be left before something is compiled
Found = dict[str, Any]


class Clock:
    """Measures calls on one device, and knows how much of the budget is left."""

    def __init__(self, device: torch.device, repeats: int, budget: float) -> None:
        self.device, self.repeats, self.budget = device, repeats, budget
        self.start = time.perf_counter()

    @property
    def left(self) -> float:
        return self.budget - (time.perf_counter() - self.start)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def once(self, work: Callable[[], Any]) -> tuple[float, Any]:
        self.wait()
        start = time.perf_counter()
        result = work()
        self.wait()
        return time.perf_counter() - start, result

    def median(self, work: Callable[[], Any]) -> tuple[Found, Any]:
        """Return seconds and peak memory of some calls after a first, and the last result."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        first, result = self.once(work)
        times = []
        for _ in range(self.repeats):
            result = None
            seconds, result = self.once(work)
            times.append(seconds)
        found: Found = {"seconds": statistics.median(times), "all": times, "warm_up": first}
        if self.device.type == "cuda":
            found["peak_mib"] = round(torch.cuda.max_memory_allocated(self.device) / MIB)
        return found, result


def say(*words: object) -> None:
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def tried(found: Found, name: str, work: Callable[[], Any]) -> Any:
    """Put what `work` returns into `found`, or why it failed; one failure must not end the run."""
    say(name, "...")
    try:
        found[name] = work()
    except Exception as error:
        found[name] = {"error": f"{type(error).__name__}: {error}"[:1000]}
    say(name, json.dumps(found[name], default=str))
    return found[name]


# --- whole images -----------------------------------------------------------------------------


def bank_of(backend: SamBackend, image: Micrograph, config: AmgConfig) -> ProposalBank:
    """Encode, decode and select with the project's own code; returns the bank."""
    model = LoadedModel(backend, "random", "vit", "0" * 64, backend.device, Path("random"))
    bank = ProposalBank(image, model)
    for _ in bank.prepare(config):
        pass
    select(bank, config)
    return bank


def segmented(clock: Clock, backend: SamBackend, image: Micrograph, config: AmgConfig) -> Any:
    """Return the times of one of our backends, in whole and by stage, and its bank."""
    found, bank = clock.median(lambda: bank_of(backend, image, config))
    found["encode"] = clock.median(lambda: backend.encode(image.rgb))[0]["seconds"]
    found["stages_of_last"] = bank.spent
    found["select"] = clock.once(lambda: select(bank, config))[0]
    found["kept"] = len(select(bank, config))
    found["notes"] = list(bank.image.notes)
    return found, bank


def upstream(clock: Clock, sam: Any, image: Micrograph, config: AmgConfig) -> Found:
    generator = SamAutomaticMaskGenerator(sam, **config.generator_kwargs())
    found, records = clock.median(lambda: generator.generate(image.rgb))
    return {**found, "kept": len(records)}


def agreement(exact: ProposalBank, fast: ProposalBank, config: AmgConfig) -> Found:
    """Compare the masks of the same prompts; those that pass the threshold also by themselves."""
    (one,), (other,) = exact.tables(config), fast.tables(config)
    iou = np.array([mask_iou(exact.masks[int(i)], fast.masks[int(j)])
                    for i, j in zip(one.ids, other.ids, strict=True)])  # fmt: skip
    quality = one.candidates.predicted_iou.cpu().numpy()
    return {
        "all": spread(iou),
        "above_threshold": spread(iou[quality > config.pred_iou_thresh]),
        "quality_difference_max": float(
            np.abs(quality - other.candidates.predicted_iou.cpu().numpy()).max()
        ),
    }


def mask_iou(one: Any, other: Any) -> float:
    both = one.bit_window.overlap(other.bit_window)
    either = one.area + other.area - both
    return both / either if either else 1.0


def spread(values: Any) -> Found:
    if not len(values):
        return {"n": 0}
    low = float(np.percentile(values, 5))
    return {"n": len(values), "mean": float(np.mean(values)), "percentile_5": low}


def threshold(exact: SamBackend, image: Micrograph, options: Any) -> AmgConfig:
    """Return the settings whose threshold lets a share of the candidates pass."""
    loose = AmgConfig(
        points_per_side=options.points, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )
    (table,) = bank_of(exact, image, loose).tables(loose)
    quality = table.candidates.predicted_iou.cpu().numpy()
    cut = float(np.quantile(quality, 1 - options.keep))
    return loose.replace(pred_iou_thresh=min(max(cut, 1e-6), 1.0))


def vit(name: str, clock: Clock, options: Any) -> Found:
    """Measure one ViT-shaped model."""
    sam = random_sam(name, clock.device)
    image = Micrograph(micrograph(options.side))
    exact, fast = SamBackend(sam), FastBackend(sam)
    config = threshold(exact, image, options)
    found: Found = {"half": str(fast.half), "prompts_at_once": fast.prompts_at_once,
                    "pred_iou_thresh": config.pred_iou_thresh}  # fmt: skip
    banks: dict[str, ProposalBank] = {}

    def ours(kind: str, backend: SamBackend) -> Found:
        result, banks[kind] = segmented(clock, backend, image, config)
        return result

    tried(found, "fast", lambda: ours("fast", fast))
    tried(found, "exact", lambda: ours("exact", exact))
    tried(found, "iou", lambda: agreement(banks["exact"], banks["fast"], config))
    banks.clear()
    tried(found, "upstream", lambda: upstream(clock, sam, image, config))
    found["ratios"] = ratios(found)
    say("ratios", found["ratios"])
    return found


def extras(name: str, clock: Clock, options: Any) -> Found:
    """Measure what is off by default: the compiled encoder, folded positions, other batches."""
    sam = random_sam(name, clock.device)
    rgb = micrograph(options.side)
    found: Found = {}

    def encoder(**how: Any) -> Found:
        backend = FastBackend(sam, **how)
        features = FastBackend(sam).encode(rgb).features
        times, embedding = clock.median(lambda: backend.encode(rgb))
        off = (embedding.features - features).abs().max() / features.std()
        return {**times, "off_in_sd": float(off)}

    tried(found, "encode", encoder)
    tried(found, "encode_folded", lambda: encoder(folded=True))
    tried(found, "encode_float16", lambda: encoder(half=torch.float16))
    tried(found, "decode_batches", lambda: batches(clock, FastBackend(sam), rgb, options))
    if options.compile and clock.left > COMPILE_SECONDS:
        tried(found, "encode_compiled", lambda: encoder(compiled=True))
    if options.compile and clock.left > COMPILE_SECONDS:
        tried(found, "encode_compiled_folded", lambda: encoder(compiled=True, folded=True))
    elif options.compile:
        found["compiled"] = "left out: the time is used up"
    return found


def batches(clock: Clock, backend: SamBackend, rgb: Any, options: Any) -> Found:
    """Return seconds of decoding all prompts, alone, for several numbers of prompts at once."""
    embedding = backend.encode(rgb)
    points = grid(options.points, options.side)
    labels = np.ones((len(points), 1), dtype=np.int64)

    def decode(size: int) -> None:
        for k in range(0, len(points), size):
            some = slice(k, k + size)
            backend.decode(embedding, points[some], labels[some], None, multimask=True)

    found: Found = {}
    for size in (64, 128, 256, 512, 1024):
        if size <= len(points):
            tried(found, str(size), lambda size=size: clock.median(lambda: decode(size))[0])
    return found


def grid(points: int, side: int) -> Any:
    at = (np.arange(points) + 0.5) / points * side
    return np.stack(np.meshgrid(at, at), -1).reshape(-1, 1, 2)


def ratios(found: Found) -> Found:
    """Return how many times faster each is than upstream, and fast than exact."""
    seconds = {k: found[k].get("seconds") for k in ("upstream", "exact", "fast")}
    pairs = (("upstream", "exact"), ("upstream", "fast"), ("exact", "fast"))
    return {
        f"{slow}_over_{quick}": seconds[slow] / seconds[quick]
        for slow, quick in pairs
        if seconds[slow] and seconds[quick]
    }


# --- pocket -----------------------------------------------------------------------------------


def pocket(clock: Clock, options: Any) -> Found:
    """Measure the bundled model: encoding, 64 prompts, and the masks' IoU."""
    path = PACKAGE / "weights" / "pocket.safetensors"
    sam = build("pocket", read_weights(path)[0]).to(clock.device)
    rgb = micrograph(512)
    points, labels = grid(8, 512), np.ones((64, 1), dtype=np.int64)
    found: Found = {}
    logits = {}
    for kind, backend in (("exact", SamBackend(sam)), ("fast", FastBackend(sam))):
        embedding = backend.encode(rgb)

        def decode(backend: SamBackend = backend, embedding: Any = embedding) -> Any:
            return backend.decode(embedding, points, labels, None, multimask=True)

        encoding = clock.median(lambda backend=backend: backend.encode(rgb))[0]
        decoding, (logits[kind], _) = clock.median(decode)
        found[kind] = {"encode": encoding, "decode_64_prompts": decoding}
    one, other = (logits[k].flatten(0, 1) > 0 for k in ("exact", "fast"))
    either = (one | other).sum((1, 2))
    iou = ((one & other).sum((1, 2)) / either)[either > 0]
    found["iou"] = spread(iou.cpu().numpy())
    return found


# --- all --------------------------------------------------------------------------------------


def about(device: torch.device) -> Found:
    found: Found = {"torch": torch.__version__, "device": str(device)}
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    found["tf32_matmul"] = torch.backends.cuda.matmul.allow_tf32
    found["tf32_cudnn"] = torch.backends.cudnn.allow_tf32
    return found


def parsed(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--models", default="pocket,vit_b,vit_h", help="vit_b, vit_l, vit_h, "
                        "tiny, pocket; separated by commas.")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budget-seconds", type=float, default=220, help="No model or compilation "
                        "begins after it.")  # fmt: skip
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=1024, help="Of the image, px.")
    parser.add_argument("--points", type=int, default=32, help="Points per side.")
    parser.add_argument("--keep", type=float, default=0.1, help="Share above the threshold.")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(arguments)


def measured(options: Any) -> Found:
    device = torch.device(options.device)
    clock = Clock(device, options.repeats, options.budget_seconds)
    found: Found = about(device)
    names = options.models.split(",")
    for name in names:
        if clock.left <= 0:
            found[name] = "left out: the time is used up"
        elif name == "pocket":
            tried(found, name, lambda: pocket(clock, options))
        else:
            tried(found, name, lambda name=name: vit(name, clock, options))
    for name in names:
        if name != "pocket":
            if clock.left <= 0:
                found[f"{name}_extras"] = "left out: the time is used up"
            else:
                tried(found, f"{name}_extras", lambda name=name: extras(name, clock, options))
    found["total_seconds"] = options.budget_seconds - clock.left
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parsed(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("benchmarks.gpu found no NVIDIA GPU: use --device cpu for a try.")
    print(json.dumps(measured(options), indent=1))


if __name__ == "__main__":
    main()
