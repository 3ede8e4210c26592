"""What the user asks of the rewards: presets, weights, expectations, marked objects."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_samstar.cli.images import read_truth
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.units import factor_to_shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.rewards.expectations import Expectations
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.inputs import ExtraImage, Truth

GOAL = "What matters"
_QUANTITY = re.compile(r"\s*([-+]?[0-9.,]+(?:[eE][-+]?[0-9]+)?)\s*([^\W\d_].*)?")


def parse_weight(text: str) -> tuple[str, float]:
    """Return (name, weight) from 'name=2'."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise typer.BadParameter(
            f"write it as name=number, such as coverage=2, not {text!r}"
        ) from None


def parse_expectation(text: str) -> tuple[str, float, str]:
    """Return (name, value, unit) from 'small=20nm'; the unit is empty where none is given.

    Lengths come back in px, nm or µm.
    """
    name, _, quantity = text.partition("=")
    found = _QUANTITY.fullmatch(quantity.strip())
    number, unit = ("", "") if found is None else (found[1], (found[2] or "").strip())
    if "," in number:
        raise typer.BadParameter(f"write numbers with a point, such as small=1.5nm, not {text!r}")
    try:
        value = float(number)
    except ValueError:
        raise typer.BadParameter(
            f"write it as name=number and unit, such as small=20nm, not {text!r}"
        ) from None
    try:
        factor, unit = factor_to_shown(unit) if unit else (1.0, "")
    except UserError as error:
        raise typer.BadParameter(str(error)) from None
    return name.strip(), value * factor, unit


Preset = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=GOAL,
        help="A goal in words: balanced, small_particles, large_aggregates, touching_particles, "
        "nuclei, count_only or like_examples. (default: balanced; like_examples with --examples)",
    ),
]
Weights = Annotated[
    list[Any] | None,
    typer.Option(
        "--weight",
        parser=parse_weight,
        metavar="REWARD=W",
        rich_help_panel=GOAL,
        help="Weight of a reward, 0 or more; repeat for others. The rest keep the preset's.",
    ),
]
Expect = Annotated[
    list[Any] | None,
    typer.Option(
        "--expect",
        parser=parse_expectation,
        metavar="NAME=VALUE",
        rich_help_panel=GOAL,
        help="What you know about the objects, such as small=20nm or count=150; repeat for others.",
    ),
]
Examples = Annotated[
    list[Path] | None,
    typer.Option(
        "--examples",
        rich_help_panel=GOAL,
        help="Labels of a few good objects, one file for each image in the same order: only "
        "objects of their shape and size are looked for.",
    ),
]
Annotations = Annotated[
    list[Path] | None,
    typer.Option(
        "--annotations",
        rich_help_panel=GOAL,
        help="Labels of some true objects, one file for each image in the same order, for the "
        "reward annotations.",
    ),
]


def goal_of(
    weights: Sequence[tuple[str, float]] | None,
    preset: str | None = None,
    *,
    examples: bool = False,
) -> Goal:
    """Return the goal of a preset with some weights changed.

    Without a preset, that for `examples` where there are some, or else the balanced one.
    """
    from napari_samstar.core.rewards import presets

    preset = preset or ("like_examples" if examples else "balanced")
    return presets.goal_of(preset, dict(weights or ()))


def expectations_of(given: Sequence[tuple[str, float, str]] | None) -> Expectations:
    """Put expectations together; all lengths in one unit.

    Raises
    ------
    UserError
        Where a name is unknown, a number is given a unit, or lengths differ in unit.
    """
    from napari_samstar.core.rewards.expectations import EXPECTED, Expectations

    values: dict[str, float] = {}
    units: dict[str, str] = {}
    for name, value, unit in given or ():
        if name not in EXPECTED:
            raise UserError(f"Unknown expectation {name!r}: choose from {', '.join(EXPECTED)}.")
        if EXPECTED[name].kind == "length":
            units[name] = unit or "px"
        elif unit:
            raise UserError(f"{name} has no unit: write {name}={value:g}.")
        values[name] = value
    if len(set(units.values())) > 1:
        shown = ", ".join(f"{n} in {u}" for n, u in units.items())
        raise UserError(f"Give all lengths in one unit ({shown}).")
    return Expectations(**values, unit=next(iter(units.values()), "px"))


def with_marks(
    images: Sequence[ExtraImage],
    paths: Sequence[Path],
    examples: Sequence[Path] | None,
    annotations: Sequence[Path] | None,
    *,
    split: bool = False,
) -> list[ExtraImage]:
    """Give images their marked objects; the files belong to `paths` in order.

    `split` makes each connected part of a mask of one value an object.
    """
    from napari_samstar.core.rewards.marks import Marks

    files = {"examples": examples or (), "annotations": annotations or ()}
    for option, some in files.items():
        if len(some) > len(paths):
            raise UserError(
                f"There are {len(some)} --{option} for {len(paths)} images: "
                "give at most one for each."
            )
    good, true = (dict(zip(paths, some, strict=False)) for some in files.values())
    return [
        replace(
            extra,
            marks=Marks(
                examples=_marked(good, extra.image, "file of examples", split),
                annotations=_marked(true, extra.image, "file of annotations", split),
            ),
        )
        for extra in images
    ]


def _marked(files: dict[Path, Path], image: LoadedImage, what: str, split: bool) -> Truth | None:
    assert image.path is not None
    if image.path not in files:
        return None
    return read_truth(files[image.path], image, what, split=split)
