"""F1 with the scale that is chosen for an image, against one frame and the best of all scales.

    python -m benchmarks.scales --micrographs DIR > scales.json

On images that training did not see (splits "test" and "unseen"), of those with a side above 700 px
or a median object below 12 px of the frame. The constants of `core.amg.tile_scale` were chosen on
images of the split "train" (``--splits train``).
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

import napari_samstar as ss
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.tile_scale import choose_tile_scale
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.tiles import tiles_of
from napari_samstar.core.masks.metrics import score
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import run
from napari_samstar.core.results.result import segment_bank
from training import real

LADDER = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
MOST_TILES = 40
LARGE, SMALL = 700, 12.0  # px of the image, px of the frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--micrographs")
    parser.add_argument("--splits", default="test,unseen")
    parser.add_argument("--limit", type=int, default=4, help="images of each set")
    args = parser.parse_args()
    root, model = real.folder(args.micrographs), ss.load_model("pocket")
    found = []
    for split in args.splits.split(","):
        for set_name, stems in sorted(real.splits()[split].items()):
            if not (root / set_name / "masks").is_dir():
                continue
            for stem in stems[: args.limit]:
                one = measure(real.load_one(root / set_name, stem), model)
                if one is not None:
                    found.append({"image": f"{set_name}/{stem}", **one})
                    print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"splits": args.splits, **summary(found), "images": found}, indent=2))


def measure(image: real.Micrograph, model: Any) -> dict[str, Any] | None:
    """Return F1 at every scale; None for an image that is neither large nor of small objects."""
    areas = np.bincount(image.label.ravel())[1:]
    if image.image.ndim != 2 or not areas.any():
        return None
    frame, shape = model.backend.frame_side, image.image.shape
    whole, side = frame / max(shape), float(np.sqrt(np.median(areas[areas > 0])))
    if max(shape) <= LARGE and side * whole >= SMALL:
        return None
    micrograph = Micrograph(np.repeat(image.image[..., np.newaxis], 3, axis=2))
    cache = EmbeddingCache(memory_bytes=2**28)
    chosen = run(choose_tile_scale(micrograph, frame, model, cache))

    def f1(scale: float) -> float:
        bank = ProposalBank(micrograph, model, cache)
        result = run(segment_bank(bank, AmgConfig(prompts="centres", tile_scale=scale)))
        return score(image.label, result.labels).f1

    tried = {0.0: f1(0.0)}
    for scale in (*LADDER, chosen.scale):
        fine = scale > 1.05 * whole or scale == chosen.scale
        if not scale or scale in tried or not fine:
            continue
        if len(tiles_of(micrograph.shape, frame, scale)) <= MOST_TILES:
            tried[scale] = f1(scale)
    return {
        "shape": list(shape),
        "objects": int((areas > 0).sum()),
        "median_side_px": round(side, 1),
        "median_side_of_one_frame_px": round(side * whole, 1),
        "measured_side_px": None if chosen.side is None else round(chosen.side, 1),
        "chosen_scale": chosen.scale,
        "f1_chosen": round(tried[chosen.scale], 3),
        "f1_one_frame": round(tried[0.0], 3),
        "f1_best": round(max(tried.values()), 3),
        "f1": {f"{scale:g}": round(value, 3) for scale, value in sorted(tried.items())},
    }


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over images whose objects are found at all, and the worst loss."""
    judged = [one for one in found if one["f1_best"] >= 0.05]
    if not judged:
        return {"n": 0}
    values = {name: np.array([one[name] for one in judged])
              for name in ("f1_chosen", "f1_one_frame", "f1_best")}  # fmt: skip
    gain = values["f1_chosen"] - values["f1_one_frame"]
    return {
        "n": len(judged),
        "left_out_because_nothing_is_found_at_any_scale": len(found) - len(judged),
        **{f"mean_{name}": round(float(v.mean()), 3) for name, v in values.items()},
        "mean_share_of_best": round(float((values["f1_chosen"] / values["f1_best"]).mean()), 3),
        "mean_share_of_best_of_one_frame": round(
            float((values["f1_one_frame"] / values["f1_best"]).mean()), 3
        ),
        "gain_over_one_frame": {
            "mean": round(float(gain.mean()), 3),
            "sd": round(float(gain.std()), 3),
            "worst": round(float(gain.min()), 3),
            "best": round(float(gain.max()), 3),
        },
        "worse_by_more_than_0.02": [
            one["image"] for one, g in zip(judged, gain, strict=True) if g < -0.02
        ],
    }


if __name__ == "__main__":
    main()
