"""How good is a model on held-out micrographs? Beside classical baselines, as JSON.

    python -m benchmarks.model pocket --micrographs FOLDER
    python -m benchmarks.model weights.safetensors --micrographs FOLDER --images 1 --synthetic 0
    python -m benchmarks.model vit_b --micrographs FOLDER --points 32

FOLDER holds SET/images/NAME.* and SET/masks/NAME.tif (label images); which files are held out is
fixed in `training/splits.json`. Progress goes to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from napari_samstar.core.models.loading import load
from training import held_out, real
from training.evaluate import Effort, report


def main(
    model: Annotated[str, typer.Argument(help="Registry name or checkpoint.")] = "pocket",
    micrographs: Annotated[
        Path | None, typer.Option(help=f"Else the environment variable {real.ENV}.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, or validation for choices.")] = "test",
    images: Annotated[int, typer.Option(help="Real images per set at most.")] = 3,
    synthetic: Annotated[int, typer.Option(help="Images per synthetic family.")] = 2,
    instances: Annotated[int, typer.Option(help="Prompted objects per image at most.")] = 8,
    points: Annotated[int, typer.Option(help="Points per side of the grid.")] = 16,
    compare: Annotated[int, typer.Option(help="Images per set for the second grid.")] = 1,
    compare_points: Annotated[int, typer.Option(help="Its points per side.")] = 32,
    max_side: Annotated[int, typer.Option(help="Larger images are reduced to this, px.")] = 1024,
    threads: int = 1,
    device: str = "cpu",
) -> None:
    """Measure and print."""
    torch.set_num_threads(threads)
    loaded = load(model, device)
    root = real.folder(micrographs)
    sets = held_out.sets(root, split, images, synthetic, max_side)
    boxed = held_out.boxed(root, images) if split == "test" else []
    effort = Effort(instances, points, (compare_points,), compare)
    found: dict[str, Any] = {
        "model": loaded.name,
        "sha256": loaded.sha256,
        "split": split,
        "points_per_side": points,
        "max_side_px": max_side,
        "device": str(loaded.device),
        "threads": threads,
    }
    found |= report(loaded, sets, boxed, effort, _note)
    print(json.dumps(found, indent=1))


def _note(name: str) -> None:
    print(time.strftime("%H:%M:%S"), name, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
