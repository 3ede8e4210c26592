"""Options that commands share. SAM's settings come from `config.SETTINGS`, declared once there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_samstar.cli.errors import set_verbose
from napari_samstar.cli.inputs import Calibration, RegionOptions, View
from napari_samstar.core.amg.config import OF_EXAMPLES, SETTINGS, AmgConfig, Setting
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.plane_text import is_plane_text
from napari_samstar.core.image.units import metres_per
from napari_samstar.core.image.versions import VERSIONS
from napari_samstar.core.models.registry import REGISTRY

SAM = "SAM's settings"
IMAGE = "The image"


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    """How exactly the model computes."""

    reference = "reference"
    fast = "fast"


class Prompts(StrEnum):
    """Where SAM is prompted."""

    auto = "auto"
    grid = "grid"
    centres = "centres"
    classical = "classical"
    combined = "combined"


class Shown(StrEnum):
    """What SAM sees of the image."""

    original = "original"
    inverted = "inverted"
    smoothed = "smoothed"
    local_contrast = "local_contrast"
    main_colour = "main_colour"


class Projection(StrEnum):
    """How a stack becomes one plane."""

    none = "none"
    max = "max"
    mean = "mean"


def parse_pixel_size(text: str) -> tuple[float, float]:
    """Return (row, col) from '0.5', '0.5,0.6' or '0.5x0.6'.

    '1,5' could be 1.5 in the spelling of many countries, and '1,234.5' could be 1234.5, so they are
    asked back.
    """
    parts = [part.strip() for part in re.split("[x×]", text)]
    if len(parts) == 1:
        parts = [part.strip() for part in text.split(",")]
        _check_comma(text, parts)
    try:
        if "_" in text:  # Python would take 1_5 for 15
            raise ValueError
        values = [float(part) for part in parts]
        row, col = values * 2 if len(values) == 1 else values
    except ValueError:
        raise typer.BadParameter(
            f"give one number, or two for row and column such as 0.5x0.6, not {text!r}"
        ) from None
    return row, col


def _check_comma(text: str, parts: list[str]) -> None:
    """Ask back where a comma may stand within one number and not between two."""
    if len(parts) != 2 or all("." in part for part in parts):
        return
    row, col = parts
    one = f"{row}{col}" if "." in col else f"{row}.{col}"
    if "." not in row:
        raise typer.BadParameter(
            f"{text!r} may mean {one}, or {row} along rows and {col} along columns: "
            f"write {one} or {row}x{col}"
        )


def parse_unit(text: str) -> str:
    """Return a unit of length as it is shown: nm, or µm for longer ones."""
    if metres_per(text) is None:
        raise typer.BadParameter(f"{text!r} is not a unit of length: write nm, µm (or um), Å, mm")
    return text


Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder for the result; an earlier result in it is replaced."),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="A name from 'samstar models', a checkpoint file, or a folder in Hugging Face's "
        "format with SAM 2.1 or SAM-HQ.",
    ),
]
OnDevice = Annotated[Device, typer.Option("--device", help="Where the model runs.")]
HowPrecise = Annotated[
    Precision,
    typer.Option("--precision", help="fast: half precision on a GPU; a few pixels may differ."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Log details, those of errors too.", callback=set_verbose),
]


def parse_limits(text: str) -> tuple[float, float]:
    """Return (black, white) from '100,4000'."""
    try:
        black, white = (float(v) for v in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"give two numbers, black first, such as 100,4000, with points as decimal signs; not "
            f"{text!r}"
        ) from None
    return black, white


def parse_plane_text(text: str) -> str:
    """Return a text that names planes; what it names is known once the image is read."""
    if not is_plane_text(text):
        raise typer.BadParameter(
            f"write planes like 3, 0-3 or 0:20:4, or with several axes 0,12 or z=12,t=0; not "
            f"{text!r}"
        )
    return text


OnePlane = Annotated[
    Any,
    typer.Option(
        "--plane", parser=parse_plane_text, metavar="I[,J...]|z=I,t=J", rich_help_panel=IMAGE,
        help="Index along each axis before rows and columns, or along axes by name. "
        "(default: the middle, the first channel)",
    ),
]  # fmt: skip
Channel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|I[,J...]", rich_help_panel=IMAGE,
        help="Channel by name or number; several, or 'all', are merged in colours. Of a colour "
        "image red, green or blue. (default: the first; all colours)",
    ),
]  # fmt: skip
Project = Annotated[
    Projection,
    typer.Option(
        "--projection", rich_help_panel=IMAGE, help="Project a stack along Z, else its first axis."
    ),
]
Limits = Annotated[
    Any,
    typer.Option(
        "--limits", parser=parse_limits, metavar="BLACK,WHITE", rich_help_panel=IMAGE,
        help="Intensities that become black and white. (default: percentiles 0.1 and 99.9)",
    ),
]  # fmt: skip
InRegion = Annotated[
    list[str] | None,
    typer.Option(
        "--region", metavar="X0,Y0,X1,Y1|FILE", rich_help_panel=IMAGE, show_default=False,
        help="Segment only inside a rectangle (px, the end not included) or where a mask or label "
        "file is above 0; repeat it for others.",
    ),
]  # fmt: skip
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(
        "--leave-out", metavar="X0,Y0,X1,Y1|FILE", rich_help_panel=IMAGE, show_default=False,
        help="Leave out a rectangle, or where a mask or label file is above 0; repeat it for "
        "others.",
    ),
]  # fmt: skip
KeepDataBar = Annotated[
    bool,
    typer.Option(
        "--keep-data-bar", rich_help_panel=IMAGE,
        help="Segment the strip with scale bar and text too, which is left out where one is found.",
    ),
]  # fmt: skip
NoBorderObjects = Annotated[
    bool,
    typer.Option(
        "--no-border-objects", rich_help_panel=IMAGE,
        help="Leave out objects that touch the border of the image or of the region.",
    ),
]  # fmt: skip
SaveView = Annotated[
    bool,
    typer.Option(
        "--save-view", rich_help_panel=IMAGE, help="Also write what SAM sees, as view.png."
    ),
]
Invert = Annotated[
    bool, typer.Option("--invert", rich_help_panel=IMAGE, help="Make bright what is dark.")
]
PixelSize = Annotated[
    Any,
    typer.Option(
        "--pixel-size", parser=parse_pixel_size, metavar="SIZE[xSIZE]", rich_help_panel=IMAGE,
        help="Size of a pixel (row, column). (default: as the file says)",
    ),
]  # fmt: skip
Unit = Annotated[
    Any,
    typer.Option(
        "--unit", parser=parse_unit, metavar="UNIT", rich_help_panel=IMAGE,
        help="Unit of --pixel-size, such as nm, µm or Å.",
    ),
]  # fmt: skip
Series = Annotated[
    int | None,
    typer.Option(
        min=0, rich_help_panel=IMAGE,
        help="Which image of a file that holds several, see 'samstar info'. "
        "(default: the first that is no thumbnail)",
    ),
]  # fmt: skip

PromptsOption = Annotated[
    Prompts,
    typer.Option(
        "--prompts",
        rich_help_panel=SAM,
        help="Prompt SAM on its grid of points, only where the model sees centres of objects, with "
        "the boxes of a classical segmentation, or with centres (else the grid) and these boxes. "
        "'auto' is centres with 'pocket', which is quicker and usually better, and the grid with "
        "other models, with --points-per-side and with --scope grids.",
    ),
]

_VERSIONS = " ".join(f"{name}: {about.help}" for name, about in VERSIONS.items())

ShownOption = Annotated[
    Shown,
    typer.Option(
        "--shown",
        rich_help_panel=SAM,
        help=f"What SAM sees of the image; objects are measured on its own pixels. {_VERSIONS}",
    ),
]

Command = Callable[..., None]

_OF_VIEW: dict[str, tuple[Any, Any]] = {
    "channel": (Channel, None),
    "projection": (Project, Projection.none),
    "invert": (Invert, False),
    "limits": (Limits, None),
    "series": (Series, None),
    "region": (InRegion, None),
    "leave_out": (LeaveOut, None),
    "keep_data_bar": (KeepDataBar, False),
    "no_border_objects": (NoBorderObjects, False),
    "pixel_size": (PixelSize, None),
    "unit": (Unit, None),
}
"""What SAM sees of an image, and the size of its pixels: annotation and default by name."""


def with_view(command: Command) -> Command:
    """Give a command the options that say what SAM sees of an image.

    The command receives them as `view`, a `View`, and `calibration`, a `Calibration`.
    """

    def wrapped(**values: Any) -> None:
        of = {name: values.pop(name) for name in _OF_VIEW}
        where = RegionOptions(
            of["region"] or (), of["leave_out"] or (), of["keep_data_bar"],
            not of["no_border_objects"],
        )  # fmt: skip
        projection = of["projection"].value
        view = View(of["channel"], projection, of["invert"], of["limits"], of["series"], where)
        command(**values, view=view, calibration=Calibration(of["pixel_size"], of["unit"]))

    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in _OF_VIEW.items()
    ]
    return _with_parameters(wrapped, command, ("view", "calibration"), added)


def _with_parameters(
    wrapped: Command, command: Command, received: Sequence[str], added: list[inspect.Parameter]
) -> Command:
    """Return `wrapped` as `command`, with options in place of the parameters that it receives."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name not in received]
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    wrapped.__signature__ = signature.replace(parameters=own + added)  # type: ignore[attr-defined]
    return wrapped


def with_settings(chosen: Callable[[Setting], bool]) -> Callable[[Command], Command]:
    """Give a command an option for each of SAM's settings that `chosen` accepts.

    Those of examples need some, which only a search is given.

    The command receives them as `settings`, an `AmgConfig`.
    """
    names = [n for n, s in SETTINGS.items() if chosen(s) and n not in OF_EXAMPLES]
    defaults = {f.name: f.default for f in fields(AmgConfig)}

    def decorate(command: Command) -> Command:
        def wrapped(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            given = {name: value for name, value in given.items() if value is not None}
            on_grid = "points_per_side" in given or values.get("scope") == "grids"
            prompts = prompts_for(values.pop("prompts"), values["model"], on_grid=on_grid)
            if "tile_scale" not in given and not given.get("crop_n_layers"):
                given["tile_scale"] = None  # chosen for the image
            given |= {"prompts": prompts, "shown": values.pop("shown").value}
            config = AmgConfig.for_model(values["model"], given)
            command(**values, settings=config)

        sliders = (_option(name, SETTINGS[name], defaults[name]) for name in names)
        added = [_prompts(), _shown(), *sliders]
        return _with_parameters(wrapped, command, ("settings",), added)

    return decorate


def prompts_for(wanted: Prompts, model: str, *, on_grid: bool) -> str:
    """Return the prompt source for a model, by name.

    `on_grid` says that the density of a grid is given or searched.
    """
    known = REGISTRY.get(model)
    sees_centres = known is not None and known.sees_centres
    if wanted is Prompts.auto:
        return "centres" if sees_centres and not on_grid else "grid"
    has_grid = wanted is Prompts.grid or (wanted is Prompts.combined and not sees_centres)
    if on_grid and not has_grid:
        raise UserError(
            f"--prompts {wanted} has no grid whose density could be set or searched: leave out "
            "--points-per-side and --scope grids, or use --prompts grid."
        )
    return wanted.value


_DEFAULTS = {
    "tile_scale": "by the size of the objects",
    "pred_iou_thresh": "0.88; models of micro-sam have their own",
    "stability_score_thresh": "0.95; models of micro-sam have their own",
}
"""What is chosen where an option is left out and the setting's own default does not apply."""


def _prompts() -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter("prompts", kind, default=Prompts.auto, annotation=PromptsOption)


def _shown() -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter("shown", kind, default=Shown.original, annotation=ShownOption)


def _option(name: str, setting: Setting, default: Any) -> inspect.Parameter:
    kind = int if setting.step == 1 else float
    unit = f" In {setting.unit}." if setting.unit else ""
    option = typer.Option(
        "--" + name.replace("_", "-"),
        min=kind(setting.low),
        max=kind(setting.high),
        help=f"{setting.help}{unit} (default: {_DEFAULTS.get(name, f'{default:g}')})",
        rich_help_panel=SAM,
        metavar=f"{setting.low:g}..{setting.high:g}",
        show_default=False,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )
