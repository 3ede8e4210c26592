"""Kill `samstar apply` on a folder at random moments, and look at what it leaves.

    python -m benchmarks.kill > kill.json

After each kill: no file is half-written, finished images are as they were, and after the last one
the same command finishes with the same labels as a run that nobody killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.bank import discs

SAMSTAR = [sys.executable, "-m", "napari_samstar.cli.main"]
FILES = ["labels.tif", "measurements.csv", "overlay.png", "recipe.samstar.json"]
STACK_FILES = sorted([*FILES, "links.csv"])
UNFINISHED = ".samstar-unfinished"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), args), indent=2))


def measure(folder: Path, args: argparse.Namespace) -> dict[str, object]:
    rng = random.Random(args.seed)
    recipe, images = draw(folder, args.images)
    command = [*SAMSTAR, "apply", str(recipe), str(images), "--device", "cpu", "-o"]
    start = time.perf_counter()
    run([*command, str(folder / "whole")], folder / "cache of the whole run")
    seconds = time.perf_counter() - start
    out, cache = folder / "out", folder / "cache"
    before: dict[str, tuple[int, str]] = {}
    kills: list[dict[str, object]] = []
    while sum(not k["ended_by_itself"] for k in kills) < args.kills:
        killed_after = rng.uniform(0.02, 1.0) * seconds
        ended = kill_after([*command, str(out)], cache, killed_after)
        after = content(out)
        kills.append(
            {
                "after_s": round(killed_after, 2),
                "ended_by_itself": ended,
                "finished_images": len(finished(out)),
                "half_written": half_written(out),
                "changed": [name for name, about in before.items() if after.get(name) != about],
                "tiles_kept": len(list(cache.glob("tiles/*/*.npz"))),
            }
        )
        before = after
        if ended:  # all is done: begin anew, so that every kill has something to harm
            run(["rm", "-rf", str(out)], cache)
            before = {}
    start = time.perf_counter()
    run([*command, str(out)], cache)
    repeated = time.perf_counter() - start
    after = content(out)
    same = {
        each.name: bool(np.array_equal(labels(out / each.name), labels(each)))
        for each in sorted((folder / "whole").iterdir())
    }
    return {
        "images": args.images + 1,
        "kills": args.kills,
        "ended_before_the_kill": sum(bool(k["ended_by_itself"]) for k in kills),
        "half_written": sum(len(k["half_written"]) for k in kills),
        "finished_files_changed": sum(len(k["changed"]) for k in kills)
        + sum(after.get(name) != about for name, about in before.items()),
        "left_behind": sorted(p.name for p in out.iterdir() if p.name.startswith(".")),
        "tiles_left_behind": len(list(cache.glob("tiles/*/*.npz"))),
        "same_labels_as_a_whole_run": all(same.values()) and len(same) == args.images + 1,
        "other_labels": [name for name, value in same.items() if not value],
        "whole_run_s": round(seconds, 1),
        "last_repetition_s": round(repeated, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "each": kills,
    }


def draw(folder: Path, n: int) -> tuple[Path, Path]:
    """Write a recipe, and a folder of n images of several tiles and a stack."""
    images = folder / "images"
    images.mkdir()
    pixels = discs((300, 420)).pixels[..., 0]
    for k in range(n):
        tifffile.imwrite(images / f"image_{k}.tif", np.roll(pixels, 17 * k, axis=1))
    planes = np.stack([np.roll(pixels, 3 * k, axis=1) for k in range(4)])
    tifffile.imwrite(images / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    command = [*SAMSTAR, "segment", str(images / "image_0.tif"), "-o", str(folder / "recipe"),
               "--tile-scale", "2.5", "--device", "cpu"]  # fmt: skip
    run(command, folder / "cache of the recipe")
    return folder / "recipe" / "recipe.samstar.json", images


def run(command: list[str], cache: Path) -> None:
    done = subprocess.run(
        command, env=environment(cache), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "SAMSTAR_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def kill_after(command: list[str], cache: Path, seconds: float) -> bool:
    """Run a command and kill it; returns whether it ended by itself before."""
    process = subprocess.Popen(
        command, env=environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False
    return True


def finished(out: Path) -> list[Path]:
    """Return the folders that a user sees."""
    visible = sorted(out.iterdir()) if out.exists() else []
    return [each for each in visible if not each.name.startswith(".")]


def half_written(out: Path) -> list[str]:
    """Return the folders that a user sees and that are not complete and readable."""
    found = []
    for each in finished(out):
        files = sorted(p.name for p in each.iterdir())
        try:
            readable = labels(each).ndim >= 2 and json.loads((each / FILES[3]).read_text())
        except Exception:
            readable = False
        if not readable or files not in (FILES, STACK_FILES):
            found.append(each.name)
    return found


def content(out: Path) -> dict[str, tuple[int, str]]:
    """Return time of change and hash of every finished file."""
    return {
        str(p.relative_to(out)): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
        for each in finished(out)
        for p in sorted(each.rglob("*"))
        if p.is_file()
    }


def labels(folder: Path) -> np.ndarray:
    return tifffile.imread(folder / "labels.tif")


if __name__ == "__main__":
    main()
