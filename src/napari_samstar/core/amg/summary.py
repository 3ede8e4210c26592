"""Settings in one line, for people."""

from __future__ import annotations

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.image.versions import ORIGINAL, VERSIONS

_SHORT = {
    "pred_iou_thresh": "quality ≥ {:.3g}",
    "stability_score_thresh": "stability ≥ {:.3g}",
    "stability_score_offset": "shift {:.3g}",
    "box_nms_thresh": "overlap ≤ {:.3g}",
    "crop_n_layers": "zoom {:g}",
    "crop_nms_thresh": "overlap of zooms ≤ {:.3g}",
    "crop_overlap_ratio": "crops overlap {:.2g}",
    "min_mask_region_area": "regions ≥ {:g} px",
    "min_probability": "probability ≥ {:.3g}",
    "min_likeness": "likeness ≥ {:.3g}",
}
"""How a setting that is not the default is written."""

_OF_CROPS = ("crop_nms_thresh", "crop_overlap_ratio")


def summary(config: AmgConfig) -> str:
    """Return the prompts, the scale of tiles, and all else that is not SAM's default."""
    default = AmgConfig()
    changed = [
        text.format(getattr(config, name))
        for name, text in _SHORT.items()
        if getattr(config, name) != getattr(default, name)
        and (name not in _OF_CROPS or config.crop_n_layers)
    ]
    return " · ".join([what_sam_gets(config), *(changed or ["SAM's defaults"])])


def what_sam_gets(config: AmgConfig) -> str:
    """Return the prompts, the scale of tiles, and how the image is shown unless it is as it is."""
    prompts = {
        "centres": "at centres",
        "boxes": f"{len(config.boxes)} boxes",
        "classical": "classical boxes",
        "combined": "centres and classical boxes",
    }
    side = config.points_per_side
    grid = f"{side} × {side} points" if side else "given points"
    parts = [prompts.get(config.prompts, grid if config.prompts == "grid" else config.prompts)]
    if config.tile_scale:
        parts.append(f"tiles × {config.tile_scale:g}")
    if config.shown != ORIGINAL:
        parts.append(f"image: {VERSIONS[config.shown].label.lower()}")
    return " · ".join(parts)
