"""Segment images of many small discs of growing size: quality, time, memory, and where time goes.

    python -m benchmarks.large --sides 2048 4096 8192 > large.json
    python -m benchmarks.large --image 18_large.tif --truth 18_large_truth.tif

Each image is segmented by `samstar segment IMAGE -o FOLDER`, no other option, in a process of its
own; the stages are timed by running the same work once more in another process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

RADII = (8, 16)  # px, lowest and one more than the highest
DENSITY = 6000 / 4096**2  # discs tried for each px


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="*", default=[2048, 4096])
    parser.add_argument("--image", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--stages", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stages is not None:
        print(json.dumps(stages(args.stages)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if args.image is not None:
            jobs = [(args.image, args.truth)]
        else:
            jobs = [draw(side, Path(folder)) for side in args.sides]
        found = [measure(image, truth, Path(folder) / "out") for image, truth in jobs]
    for one in found[1:]:
        one["times_the_first"] = round(one["seconds"] / found[0]["seconds"], 2)
    print(json.dumps({"images": found}, indent=2))


def draw(side: int, folder: Path) -> tuple[Path, Path]:
    """Write an image of discs that do not overlap, and its truth."""
    rng = np.random.default_rng(0)
    image = np.full((side, side), 60, dtype=np.float32)
    truth = np.zeros((side, side), dtype=np.int32)
    y, x = np.mgrid[-16:17, -16:17]
    count = 0
    for _ in range(round(DENSITY * side**2)):
        radius = rng.integers(*RADII)
        row, col = rng.integers(20, side - 20, 2)
        disc = y**2 + x**2 <= radius**2
        here = slice(row - 16, row + 17), slice(col - 16, col + 17)
        if not (truth[here][disc] > 0).any():
            count += 1
            truth[here][disc], image[here][disc] = count, 180
    for start in range(0, side, 512):
        band = image[start : start + 512]
        band += rng.normal(0, 12, band.shape)
    paths = folder / f"discs_{side}.tif", folder / f"truth_{side}.tif"
    tifffile.imwrite(paths[0], image.clip(0, 255).astype(np.uint8), compression="zlib")
    tifffile.imwrite(paths[1], truth, compression="zlib")
    return paths


def measure(image: Path, truth: Path | None, out: Path) -> dict[str, object]:
    """Run the command; returns its time, peak memory and score."""
    samstar = Path(sys.executable).with_name("samstar")
    command = [str(samstar), "segment", str(image), "-o", str(out), "--json"]
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "SAMSTAR_CACHE": cache},
        )  # fmt: skip
        output, errors = process.communicate()
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(errors.decode())
        again = subprocess.run(
            [sys.executable, "-m", "benchmarks.large", "--stages", str(image)],
            env={**os.environ, "SAMSTAR_CACHE": cache}, capture_output=True, check=True,
        )  # fmt: skip
    about = json.loads(output)
    found: dict[str, object] = {
        "image": image.name,
        "shape": about["image"]["shape"],
        "notes": about["image"]["notes"],
        "seconds": round(seconds, 1),
        **json.loads(again.stdout),
    }
    if truth is not None:
        found["score"] = score(tifffile.imread(truth), tifffile.imread(out / "labels.tif"))
    return found


def stages(path: Path) -> dict[str, object]:
    """Return the seconds of each stage, and the peak memory of this process."""
    import resource

    import napari_samstar as ss
    from napari_samstar.api.pipeline import iter_segment
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.models.encoder import default_cache
    from napari_samstar.core.progress import run
    from napari_samstar.core.results.outputs import staged, write_result

    start = time.perf_counter()
    model = ss.load_model("pocket")
    marks = {"start": time.perf_counter() - start}

    def timed(name: str, before: float) -> float:
        now = time.perf_counter()
        marks[name] = now - before
        return now

    now = time.perf_counter()
    config = AmgConfig(prompts="centres", tile_scale=None)
    result = run(iter_segment(ss.read(path), model, config, default_cache()))
    total = time.perf_counter() - now
    spent = result.bank.spent
    marks |= {"read_and_choose_scale_and_stitch": total - sum(spent.values()), **spent}
    now = time.perf_counter()
    result.painting  # noqa: B018 - made when it is first used
    now = timed("paint", now)
    result.table  # noqa: B018
    now = timed("measure", now)
    with tempfile.TemporaryDirectory() as out, staged(out) as folder:
        write_result(result, folder)
    timed("write", now)
    return {
        "objects": result.painting.n_objects,
        "tiles": len(result.bank.tiles(result.config)),
        "tile_scale": result.config.tile_scale,
        "prompts": result.bank.n_prompts,
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "stages_s": {name: round(value, 2) for name, value in marks.items()},
    }


def score(truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Match objects at an IoU above 0.5, where at most one fits; needs little memory."""
    found = int(labels.max()) + 1
    pairs, both = np.unique(
        truth.ravel().astype(np.int64) * found + labels.ravel(), return_counts=True
    )
    t, f = pairs // found, pairs % found
    true_areas, areas = np.bincount(truth.ravel()), np.bincount(labels.ravel())
    real = (t > 0) & (f > 0)
    iou = both[real] / (true_areas[t[real]] + areas[f[real]] - both[real])
    matched = int((iou > 0.5).sum())
    n_true, n_found = int((true_areas[1:] > 0).sum()), int((areas[1:] > 0).sum())
    f1 = 2 * matched / max(n_true + n_found, 1)
    return {"true": n_true, "found": n_found, "matched": matched, "f1": round(f1, 4)}


if __name__ == "__main__":
    main()
