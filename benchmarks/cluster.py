"""A large image in one process and on a cluster: time, equal labels, and what a death costs.

    python -m benchmarks.cluster > cluster.json

All processes have one torch thread. Times are those of `samstar apply` from start to end; of the
tiles alone, the time from the first to the last tile that was kept is given too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import tifffile

from benchmarks.large import draw, score

SAMSTAR = [sys.executable, "-m", "napari_samstar.cli.main"]
UNTIL_LOST = 4
"""Tiles that are kept before a worker or the scheduler is killed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), args.side, args.workers), indent=2))


def measure(folder: Path, side: int, workers: int) -> dict[str, object]:
    image, truth = draw(side, folder)
    recipe = made_recipe(folder, image)
    alone = apply(folder, "alone", recipe, image, "--threads", "1")
    local = f"local:{workers}"
    cluster = apply(folder, "cluster", recipe, image, "--scheduler", local, "--threads", "1")
    killed = apply(folder, "killed", recipe, image, "--scheduler", local, "--threads", "1",
                   on_tiles=kill_a_worker)  # fmt: skip
    lost = scheduler_lost(folder, recipe, image)
    reference = labels(folder / "alone")
    return {
        "image": [side, side],
        "objects": int(reference.max()),
        "score": score(tifffile.imread(truth), reference),
        "one_process": alone,
        f"{workers}_workers": cluster,
        "times_as_fast": round(alone["seconds"] / cluster["seconds"], 2),
        "times_as_fast_tiles_alone": round(alone["tiles_s"] / cluster["tiles_s"], 2),
        "worker_killed": killed,
        "scheduler_lost": lost,
        "same_labels": {
            name: bool(np.array_equal(labels(folder / name), reference))
            for name in ("cluster", "killed", "lost")
        },
        "cores": os.cpu_count(),
        "load_average": [round(v, 1) for v in os.getloadavg()],
    }


def made_recipe(folder: Path, image: Path) -> Path:
    """Write a recipe with the bundled model and tiles at full resolution."""
    small = tifffile.imread(image)[:400, :400]
    tifffile.imwrite(folder / "small.tif", small)
    command = [*SAMSTAR, "segment", str(folder / "small.tif"), "-o", str(folder / "recipe"),
               "--tile-scale", "1", "--device", "cpu"]  # fmt: skip
    subprocess.run(command, env=environment(folder / "cache"), capture_output=True, check=True)
    return folder / "recipe" / "recipe.samstar.json"


def apply(folder: Path, name: str, recipe: Path, image: Path, *options: str, on_tiles=None) -> dict:
    """Run the command with a cache of its own; `on_tiles` is called once some tiles are kept."""
    cache = folder / f"cache {name}"
    command = [*SAMSTAR, "apply", str(recipe), str(image), "-o", str(folder / name), "--json",
               "--device", "cpu", *options]  # fmt: skip
    start, before = time.perf_counter(), processor_time()
    process = subprocess.Popen(
        command, env=environment(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = Watch(cache, process, on_tiles)
    shown, said = process.communicate()
    seconds = time.perf_counter() - start
    watch.join()
    about = {
        "seconds": round(seconds, 1),
        "processor_s": round(processor_time() - before, 1),
        "tiles_s": round(watch.last - watch.first, 1),
        "tiles_seen": watch.most,
    }
    if process.returncode:
        return {**about, "said": said.splitlines()[-1:]}
    return {**about, "objects": json.loads(shown)["images"][0]["objects"], **watch.about}


def processor_time() -> float:
    """Return the processor time of all child processes that ended, workers included, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Watch(threading.Thread):
    """Notes when tiles are kept, and does harm once there are some."""

    def __init__(self, cache: Path, process: subprocess.Popen, on_tiles) -> None:
        super().__init__(daemon=True)
        self.cache, self.process, self.on_tiles = cache, process, on_tiles
        self.first = self.last = 0.0
        self.most = 0
        self.about: dict[str, object] = {}
        self.start()

    def run(self) -> None:
        while self.process.poll() is None:
            n = len(list(self.cache.glob("tiles/*/*.npz")))
            now = time.perf_counter()
            if n and not self.most:
                self.first = now
            if n > self.most:
                self.most, self.last = n, now
            if n >= UNTIL_LOST and self.on_tiles is not None:
                self.about = self.on_tiles(self.process)
                self.on_tiles = None
            time.sleep(0.05)


def kill_a_worker(process: subprocess.Popen) -> dict[str, object]:
    """Kill the worker process that has used most memory; its nanny starts another."""
    family = psutil.Process(process.pid).children(recursive=True)
    workers = sorted(family, key=lambda one: one.memory_info().rss)
    workers[-1].kill()
    return {"killed": workers[-1].pid}


def scheduler_lost(folder: Path, recipe: Path, image: Path) -> dict[str, object]:
    """Kill the scheduler of a cluster in the middle, then finish in one process."""
    about = folder / "scheduler.json"
    scheduler = start("dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard",
                      "--scheduler-file", str(about))  # fmt: skip
    while not (about.exists() and about.stat().st_size):
        time.sleep(0.1)
    worker = start("dask_worker", "--scheduler-file", str(about), "--nthreads", "1",
                   "--no-dashboard", "--no-nanny")  # fmt: skip
    address = json.loads(about.read_text())["address"]

    def kill(process: subprocess.Popen) -> dict[str, object]:
        scheduler.kill()
        return {}

    try:
        stopped = apply(folder, "lost", recipe, image, "--scheduler", address, "--threads", "1",
                        on_tiles=kill)  # fmt: skip
    finally:
        for one in (scheduler, worker):
            one.kill()
            one.wait()
    kept = len(list((folder / "cache lost").glob("tiles/*/*.npz")))
    there = (folder / "lost").exists()
    finished = apply(folder, "lost", recipe, image, "--threads", "1")
    return {
        "said": stopped.get("said"),
        "result_before": there,
        "tiles_kept": kept,
        "finished_without_a_scheduler": finished,
    }


def start(command: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{command}", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "SAMSTAR_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def labels(folder: Path) -> np.ndarray:
    return tifffile.imread(folder / "labels.tif")


if __name__ == "__main__":
    main()
