"""The 13 settings of SAM's automatic mask generator and two of ours, declared once."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from napari_samstar.core.amg.ladder import OFFSET_STEP
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.versions import ORIGINAL, check_shown
from napari_samstar.core.models.registry import model_defaults

if TYPE_CHECKING:
    from napari_samstar.core.masks.shape import Shapes

Reruns = Literal["nothing", "decoder", "encoder"]
Scope = Literal["filters", "zoom", "scale", "grids", "wide", "everything"]

OF_GRIDS = ("points_per_side", "crop_n_points_downscale_factor")
"""Settings without effect where SAM is not prompted on a grid."""

ON_GRID = ("grid", "combined")
"""Prompt sources that have a grid; "combined" only with a model that sees no centres."""

OF_EXAMPLES = ("min_likeness",)
"""Settings without effect where no good objects are marked."""


@dataclass(frozen=True)
class Setting:
    """What a person, a slider and the search need to know about one setting."""

    label: str
    help: str
    low: float
    high: float
    step: float
    reruns: Reruns
    search_low: float | None = None
    search_high: float | None = None
    choices: tuple[float | str, ...] = ()  # a short ladder, where new values cost new decoding
    unit: str = ""


def _setting(default: Any, **about: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(**about)})


@dataclass(frozen=True)
class AmgConfig:
    """One configuration of `segment_anything.SamAutomaticMaskGenerator`.

    Names, defaults and meaning are upstream's, but for `prompts`, `boxes`, `min_probability`,
    `min_likeness`, `examples`, `tile_scale` and `shown`, which are ours. Each searchable field
    carries a `Setting` in its metadata; the others are settable but not searched.

    Attributes
    ----------
    prompts : str
        The prompt source (see `prompts.sources`): "grid" is upstream's grid of points, "centres"
        prompts where the model sees centres of objects, "boxes" with the given `boxes`,
        "classical" with the boxes of a classical segmentation, "combined" with these and points;
        others come from other packages. `points_per_side` is used by "grid", and by "combined" with
        a model that sees no centres.
    points_per_side : int
        Prompts along each side of the image.
    points_per_batch : int
        Prompts decoded at once; changes speed and memory, and the last bits of the scores.
    point_grids : tuple of tuple of (float, float), optional
        Explicit prompts instead of a grid, per crop layer, as (x, y) fractions of the crop, the
        frame upstream uses. Set exactly one of this and `points_per_side`.
    boxes : tuple of (float, float, float, float)
        (x0, y0, x1, y1) in px of the image, one for each object, for ``prompts="boxes"``.
    min_probability : float
        Least probability to be an object, see `likelihood`; applied before duplicates are removed,
        like the filters of quality and stability. 0 keeps all.
    min_likeness : float
        Least likeness to the `examples`, see `ShapeTable.likeness`; applied before duplicates are
        removed, like the filters of quality and stability. 0 keeps every shape.
    tile_scale : float, optional
        0: the whole image is one frame, as upstream. Else the image is cut into overlapping tiles
        that SAM sees at this scale, in px of its frame for each px of the image. None: chosen for
        each image by the size of its objects, before anything is decoded (see `tiling`).
    shown : str
        What SAM sees of the image (see `image.shown`): "original" are its pixels. Everything else
        sees the pixels, always.
    examples : tuple of (float, float, float, float)
        Shapes of good objects: log diameter (px), log aspect ratio, circularity, solidity.
    """

    prompts: str = "grid"
    points_per_side: int | None = _setting(
        32,
        label="Points per side",
        help="How densely SAM is prompted. More points find smaller objects and cost time.",
        low=4, high=96, step=1, reruns="decoder", choices=(12, 16, 24, 32, 48, 64),
    )  # fmt: skip
    points_per_batch: int = 64
    pred_iou_thresh: float = _setting(
        0.88,
        label="Predicted quality",
        help="Drop masks that SAM itself rates lower than this. Lower finds more objects, "
        "also worse ones.",
        low=0.0, high=1.0, step=0.01, reruns="nothing", search_low=0.5, search_high=0.98,
    )  # fmt: skip
    stability_score_thresh: float = _setting(
        0.95,
        label="Stability",
        help="Drop masks whose outline moves when the cut-off moves. Lower keeps blurred objects.",
        low=0.0, high=1.0, step=0.01, reruns="nothing", search_low=0.5, search_high=0.98,
    )  # fmt: skip
    stability_score_offset: float = _setting(
        1.0,
        label="Stability shift",
        help="How far the cut-off is moved for the stability test. Smaller is more forgiving.",
        low=OFFSET_STEP, high=2.0, step=OFFSET_STEP, reruns="nothing",
        search_low=0.5, search_high=1.5,
    )  # fmt: skip
    box_nms_thresh: float = _setting(
        0.7,
        label="Allowed overlap",
        help="Of two objects whose boxes overlap more than this, the worse one goes. "
        "Higher keeps touching and overlapping objects, lower removes duplicates.",
        low=0.0, high=1.0, step=0.01, reruns="nothing", search_low=0.1, search_high=0.95,
    )  # fmt: skip
    crop_n_layers: int = _setting(
        0,
        label="Zoom levels",
        help="Also run SAM on enlarged crops: 1 adds 4 crops, 2 adds 16 more. "
        "Finds small objects; each crop costs a full run of SAM.",
        low=0, high=2, step=1, reruns="encoder", choices=(0, 1, 2),
    )  # fmt: skip
    crop_nms_thresh: float = _setting(
        0.7,
        label="Allowed overlap between zooms",
        help="As 'Allowed overlap', for objects found in different crops.",
        low=0.0, high=1.0, step=0.01, reruns="nothing", search_low=0.1, search_high=0.95,
    )  # fmt: skip
    crop_overlap_ratio: float = _setting(
        512 / 1500,
        label="Overlap of crops",
        help="How far neighbouring crops overlap, as a share of the image's short side.",
        low=0.0, high=0.9, step=0.01, reruns="encoder", choices=(0.1, 0.2, 512 / 1500, 0.5),
    )  # fmt: skip
    crop_n_points_downscale_factor: int = _setting(
        1,
        label="Fewer points in crops",
        help="Divide 'Points per side' by this in each zoom level. 2 saves most of the time.",
        low=1, high=4, step=1, reruns="decoder", choices=(1, 2, 3, 4),
    )  # fmt: skip
    point_grids: tuple[tuple[tuple[float, float], ...], ...] | None = None
    min_mask_region_area: int = _setting(
        0,
        label="Smallest region",
        help="Fill holes and remove specks smaller than this area, then drop new duplicates.",
        low=0, high=100_000, step=1, reruns="nothing", search_low=0, search_high=200, unit="px",
    )  # fmt: skip
    min_probability: float = _setting(
        0.0,
        label="Likely an object",
        help="Drop masks that are less likely an object than this, by SAM's scores and by the "
        "centres and sizes that the model sees. 0 keeps all, as SAM itself.",
        low=0.0, high=1.0, step=0.01, reruns="nothing", search_low=0.0, search_high=0.9,
    )  # fmt: skip
    min_likeness: float = _setting(
        0.0,
        label="Like my examples",
        help="Drop masks whose shape and size are less like the good examples than this. "
        "0 keeps every shape.",
        low=0.0, high=1.0, step=0.01, reruns="nothing", search_low=0.0, search_high=0.9,
    )  # fmt: skip
    tile_scale: float | None = _setting(
        0.0,
        label="Tile scale",
        help="Cut the image into tiles that SAM sees at this scale: 1 is full resolution, 0.5 half "
        "of it, 2 twice. 0 shows it the whole image at once, in which small objects get lost.",
        low=0.0, high=8.0, step=0.01, reruns="encoder", choices=(0.0, 0.5, 1.0, 2.0),
    )  # fmt: skip
    shown: str = ORIGINAL
    examples: tuple[tuple[float, ...], ...] = ()
    boxes: tuple[tuple[float, ...], ...] = ()
    output_mode: Literal["binary_mask", "uncompressed_rle", "coco_rle"] = "binary_mask"

    def __post_init__(self) -> None:
        for name, about in SETTINGS.items() if SETTINGS else ():
            self._check(name, getattr(self, name), about)
        check_shown(self.shown)
        if (self.points_per_side is None) == (self.point_grids is None):
            raise UserError("Give either points_per_side or point_grids, not both and not neither.")
        if self.prompts != "grid" and self.point_grids is not None:
            raise UserError(f"Give either point_grids or prompts={self.prompts!r}, not both.")
        if bool(self.boxes) != (self.prompts == "boxes"):
            raise UserError("Give boxes together with prompts='boxes', and only then.")
        if any(not _is_box(box) for box in self.boxes):
            raise UserError("boxes must be rows of four finite numbers, x0 < x1 and y0 < y1.")
        if self.tile_scale != 0 and self.crop_n_layers > 0:
            raise UserError(
                "Zoom levels are crops of the whole image: use crop_n_layers=0 with tiles, or "
                "tile_scale=0 with zoom levels."
            )
        if self.min_likeness > 0 and not self.examples:
            raise UserError("min_likeness needs examples: mark a few good objects.")
        if any(len(row) != 4 or not all(map(math.isfinite, row)) for row in self.examples):
            raise UserError("examples must be rows of four finite numbers.")
        if self.points_per_batch < 1:
            raise UserError("points_per_batch must be at least 1.")
        snapped = round(round(self.stability_score_offset / OFFSET_STEP) * OFFSET_STEP, 10)
        if abs(snapped - self.stability_score_offset) > 1e-9:
            raise UserError(
                f"stability_score_offset must be a multiple of {OFFSET_STEP}: use {snapped:g} "
                f"instead of {self.stability_score_offset:g}."
            )

    @staticmethod
    def _check(name: str, value: Any, about: Setting) -> None:
        if value is None and name in ("points_per_side", "tile_scale"):
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{name} must be a number, not {value!r}.")
        if not about.low <= value <= about.high:
            raise UserError(
                f"{name} must lie between {about.low:g} and {about.high:g}, not {value!r}."
            )

    def replace(self, **changes: Any) -> AmgConfig:
        """Return a copy with `changes` applied, checked."""
        return dataclasses.replace(self, **changes)

    def like(self, examples: Shapes) -> AmgConfig:
        """Return a copy that knows these examples; without any, every shape is kept."""
        return self.replace(examples=examples, min_likeness=self.min_likeness if examples else 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready values, every field by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AmgConfig:
        """Build from `to_dict` output; an unknown name is an error that lists the known ones."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(
                f"Unknown setting {unknown[0]!r}; the settings are {', '.join(sorted(known))}."
            )
        values = dict(values)
        if values.get("point_grids") is not None:
            values["point_grids"] = tuple(
                tuple((float(x), float(y)) for x, y in grid) for grid in values["point_grids"]
            )
        for rows in ("examples", "boxes"):
            values[rows] = tuple(tuple(float(x) for x in row) for row in values.get(rows, ()))
        for name, about in SETTINGS.items():
            if name in values and values[name] is not None and about.step == 1:
                values[name] = _whole(name, values[name])
        return cls(**values)

    @classmethod
    def for_model(cls, name_or_path: str, given: dict[str, Any]) -> AmgConfig:
        """Build from the settings that are `given`; the others are the model's defaults.

        They are upstream's for all models but micro-sam's; see `registry.model_defaults`.
        """
        return cls.from_dict({**model_defaults(name_or_path), **given})

    def generator_kwargs(self) -> dict[str, Any]:
        """Return the keyword arguments for `SamAutomaticMaskGenerator(model, **kwargs)`.

        Raises
        ------
        UserError
            With what upstream does not have: other prompts than "grid", another image than the
            original, `min_likeness` or tiles.
        """
        import numpy as np

        values = self.to_dict()
        if values.pop("prompts") != "grid":
            raise UserError(
                "SAM's own generator only prompts on a grid: use prompts='grid' for it."
            )
        if values.pop("shown") != ORIGINAL:
            raise UserError("SAM's own generator sees the image as it is: use shown='original'.")
        del values["examples"], values["boxes"]
        if values.pop("min_probability") > 0:
            raise UserError(
                "SAM's own generator knows no probabilities: use min_probability=0 for it."
            )
        if values.pop("min_likeness") > 0:
            raise UserError("SAM's own generator knows no shapes: use min_likeness=0 for it.")
        if values.pop("tile_scale") != 0:
            raise UserError("SAM's own generator knows no tiles: use tile_scale=0 for it.")
        if self.point_grids is not None:
            values["point_grids"] = [
                np.asarray(g, dtype=float).reshape(-1, 2) for g in self.point_grids
            ]
        return values


def _is_box(box: tuple[float, ...]) -> bool:
    finite = len(box) == 4 and all(map(math.isfinite, box))
    return finite and box[0] < box[2] and box[1] < box[3]


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise UserError(f"{name} must be a whole number, not {value!r}.")
    return int(value)


SETTINGS: dict[str, Setting] = {}
SETTINGS.update(
    {f.name: f.metadata["setting"] for f in fields(AmgConfig) if "setting" in f.metadata}
)

_SCOPE_RERUNS: dict[Scope, tuple[Reruns, ...]] = {
    "filters": ("nothing",),
    "zoom": ("nothing",),
    "scale": ("nothing",),
    "grids": ("nothing", "decoder"),
    "wide": ("nothing",),  # and those of `tuning.factors`, which depend on image and model
    "everything": ("nothing", "decoder", "encoder"),
}

_ONE_ZOOM = (0, 1)
"""Zoom levels of the scope "zoom": a second one costs four times as much again."""


def searched(scope: Scope) -> dict[str, Setting]:
    """Return the settings that a search of this `scope` may change, in declaration order."""
    settings = dict(SETTINGS)
    if scope == "zoom":
        about = SETTINGS["crop_n_layers"]
        settings["crop_n_layers"] = dataclasses.replace(about, choices=_ONE_ZOOM, reruns="nothing")
    if scope == "scale":
        about = SETTINGS["tile_scale"]
        settings["tile_scale"] = dataclasses.replace(about, reruns="nothing")
    else:  # searched only when it is wanted: each scale costs as much as all other settings
        del settings["tile_scale"]
    return {name: s for name, s in settings.items() if s.reruns in _SCOPE_RERUNS[scope]}
