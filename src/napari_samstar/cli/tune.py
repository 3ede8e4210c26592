"""`samstar tune`: search SAM's settings for one image, or for several together."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_samstar.cli import goals, options
from napari_samstar.cli.console import emit, show, show_files
from napari_samstar.cli.images import open_images, search_inputs, with_truth
from napari_samstar.cli.inputs import Calibration, View, model_choice
from napari_samstar.cli.paths import expand, expand_each
from napari_samstar.cli.segment import summary
from napari_samstar.cli.tables import tables
from napari_samstar.core.amg.config import AmgConfig  # noqa: TC001 - typer reads annotations

if TYPE_CHECKING:
    from napari_samstar.api.study import Study
    from napari_samstar.core.results.result import Result
    from napari_samstar.core.tuning.front import Front

SEARCH, CHECKS = "The search", "Checks"


class Scope(StrEnum):
    """Which settings the search may change."""

    filters = "filters"
    zoom = "zoom"
    scale = "scale"
    grids = "grids"
    wide = "wide"
    everything = "everything"


class Pick(StrEnum):
    """Which point of the front is used."""

    best = "best"
    knee = "knee"


Planes = Annotated[
    list[Any] | None,
    typer.Option(
        "--plane",
        parser=options.parse_plane_text, metavar="I[,J...]", rich_help_panel=options.IMAGE,
        help="Planes to tune on: '0, 4, 8', '0-3' or '0:20:4'; with several axes before rows and "
        "columns '0,3; 1,3'. (default: the middle)",
    ),
]  # fmt: skip
HoldOutPlanes = Annotated[
    list[Any] | None,
    typer.Option(
        "--hold-out-plane",
        parser=options.parse_plane_text, metavar="I[,J...]", rich_help_panel=CHECKS,
        help="Planes of the same images that the search does not see, to check the choice.",
    ),
]  # fmt: skip
HoldOut = Annotated[
    list[Path] | None,
    typer.Option(
        rich_help_panel=CHECKS,
        help="An image that the search does not see, to check the choice; repeat for others.",
    ),
]
Truths = Annotated[
    list[Path] | None,
    typer.Option(
        rich_help_panel=CHECKS,
        help="Labels to score against afterwards, one for each image in the same order, held-out "
        "ones last. The search never sees them.",
    ),
]

SplitMasks = Annotated[
    bool,
    typer.Option(
        "--split-masks", rich_help_panel=CHECKS,
        help="Take each connected part of a mask of one value (0 and 255) as an object, in "
        "--truth, --examples and --annotations.",
    ),
]  # fmt: skip


@options.with_settings(lambda setting: setting.reruns != "nothing")
@options.with_view
def tune(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="TIFF, PNG, JPEG or BMP; several are tuned together.", show_default=False
        ),
    ],
    *,
    out: options.Out,
    settings: AmgConfig,
    view: View,
    calibration: Calibration,
    model: options.Model = "pocket",
    device: options.OnDevice = options.Device.auto,
    precision: options.HowPrecise = options.Precision.reference,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    scope: Annotated[
        Scope,
        typer.Option(
            rich_help_panel=SEARCH,
            help="What may change: thresholds only, also one zoom level, the scale of tiles, "
            "point grids, what SAM is asked and shown ('wide'), or all settings of SAM.",
        ),
    ] = Scope.filters,
    trials: Annotated[
        int,
        typer.Option(
            "--trials",
            "--evaluations",
            min=1,
            rich_help_panel=SEARCH,
            help="Configurations to try.",
        ),
    ] = 400,
    budget: Annotated[
        float,
        typer.Option(
            min=1,
            rich_help_panel=SEARCH,
            help="With --scope wide: about how many seconds SAM may run.",
        ),
    ] = 60,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, rich_help_panel=SEARCH, help="Stop searching after so long."),
    ] = None,
    population: Annotated[
        int, typer.Option(min=1, rich_help_panel=SEARCH, help="Configurations per generation.")
    ] = 24,
    seed: Annotated[
        int, typer.Option(min=0, rich_help_panel=SEARCH, help="Same seed, same result.")
    ] = 0,
    preset: goals.Preset = None,
    weight: goals.Weights = None,
    expect: goals.Expect = None,
    examples: goals.Examples = None,
    annotations: goals.Annotations = None,
    pick: Annotated[
        Pick,
        typer.Option(
            rich_help_panel=SEARCH,
            help="Highest weighted mean of all rewards (SAM's defaults if none is clearly better), "
            "or best balance of the objectives.",
        ),
    ] = Pick.best,
    resume: Annotated[
        bool,
        typer.Option(
            "--continue",
            rich_help_panel=SEARCH,
            help="Go on with an earlier run on the same images: an interrupted one, or one with "
            "fewer evaluations or other weights.",
        ),
    ] = False,
    hold_out: HoldOut = None,
    hold_out_plane: HoldOutPlanes = None,
    against_random: Annotated[
        bool,
        typer.Option(
            "--against-random",
            rich_help_panel=CHECKS,
            help="Also run random search with the same budget, and compare.",
        ),
    ] = False,
    truth: Truths = None,
    split_masks: SplitMasks = False,
    report: Annotated[
        bool,
        typer.Option("--report", rich_help_panel=CHECKS, help="Also write one page of HTML."),
    ] = False,
    plane: Planes = None,
    save_view: options.SaveView = False,
) -> None:
    """Search SAM's settings for images by what a good segmentation is, without labels.

    Writes recipe, Pareto front (CSV, PNG), labels, measurements and an overlay picture. SAM's
    settings below are those the search starts from; its scope may change them.
    """
    from napari_samstar.cli.study import run_study
    from napari_samstar.core.results.outputs import VIEW, check_images_folder, staged, write_view
    from napari_samstar.core.tuning.config import StudyConfig

    start = time.perf_counter()
    goal = goals.goal_of(weight, preset, examples=bool(examples))
    study_config = StudyConfig(scope.value, trials, population, seed, settings, seconds=budget)
    expectations = goals.expectations_of(expect)
    tuned, held = expand(images), expand(hold_out or [])
    paths = [*tuned, *held]
    with staged(out) as folder:
        opened = open_images(tuned, held, plane or [], hold_out_plane or [], view,
                             calibration)  # fmt: skip
        opened = with_truth(opened, expand_each(truth or []), paths, split=split_masks)
        opened = goals.with_marks(
            opened,
            paths,
            expand_each(examples or []),
            expand_each(annotations or []),
            split=split_masks,
        )
        if len(opened) > 1:
            check_images_folder(out)
        inputs = search_inputs(opened, expectations=expectations, minutes=minutes)
        choice = model_choice(model, device.value, precision.value)
        study, results, files = run_study(
            opened[0].image, choice, goal, study_config, inputs, folder,
            rule=pick.value, resume=resume, against_random=against_random, report=report,
        )  # fmt: skip
        if save_view:
            files.append(write_view(results[0].image, folder / VIEW))
    about = summary(results[0], out, files, time.perf_counter() - start)
    about |= about_search(study, results[0])
    if as_json:
        emit({"command": "tune", **about})
        return
    for rows in tables(study):
        show(rows)
    show_files(out, files)


def about_search(study: Study, result: Result) -> dict[str, Any]:
    """Return what is said about the search, ready for JSON."""
    from napari_samstar.core.tuning.front import hypervolume_by_generation

    found, recipe = study.front, result.recipe.to_dict()
    return {
        "tuning": recipe["tuning"],
        "picked": _described(found, study.picked.position),
        "defaults": None if found.defaults is None else _described(found, found.defaults),
        "front": {
            "objectives": list(found.goal.names),
            "members": found.members.tolist(),
            "hypervolume_by_generation": hypervolume_by_generation(found.trials, found.goal),
        },
        **study.summary.to_dict(),
    }


def _described(found: Front, position: int) -> dict[str, Any]:
    objectives = dict(zip(found.goal.names, found.points[position].tolist(), strict=True))
    trial = found.trials[position].to_dict()
    return {"trial": position, **trial, "objectives": objectives}
