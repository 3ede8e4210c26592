"""`samstar tune`: search SAM's settings for one image."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_samstar._cli import options
from napari_samstar._cli.console import Tracker, emit, show, show_files, table, tracked
from napari_samstar._cli.inputs import Calibration, open_bank, open_image, open_model
from napari_samstar._cli.segment import labels_of, summary
from napari_samstar.core.config import AmgConfig  # noqa: TC001 - typer reads annotations

if TYPE_CHECKING:
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.images import Mapping
    from napari_samstar.core.outputs import Result
    from napari_samstar.core.pareto import Front
    from napari_samstar.core.proposals import ProposalBank
    from napari_samstar.core.search import Plan

SEARCH = "The search"


class Scope(StrEnum):
    """Which settings the search may change."""

    filters = "filters"
    grids = "grids"
    everything = "everything"


class Pick(StrEnum):
    """Which point of the front is used."""

    knee = "knee"
    best = "best"


def parse_weight(text: str) -> tuple[str, float]:
    """Return (name, weight) from 'name=2'."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise typer.BadParameter(f"write it as name=number, such as coverage=2, not {text!r}") \
            from None  # fmt: skip


Weights = Annotated[
    list[Any] | None,
    typer.Option(
        "--weight", parser=parse_weight, metavar="REWARD=W", rich_help_panel=SEARCH,
        help="Weight of a reward, 0 or more; repeat for others. The rest keep their defaults.",
    ),
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tuned:
    """A finished search and the labels that were picked."""

    bank: ProposalBank
    result: Result
    front: Front
    picked: int


@options.with_settings(lambda setting: setting.reruns != "nothing")
def tune(
    image: Annotated[Path, typer.Argument(help="TIFF, PNG, JPEG or BMP.", show_default=False)],
    *,
    out: options.Out,
    settings: AmgConfig,
    model: options.Model = "pocket",
    device: options.OnDevice = options.Device.auto,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    scope: Annotated[
        Scope,
        typer.Option(
            rich_help_panel=SEARCH,
            help="What may change: thresholds only, point grids too, or crops as well.",
        ),
    ] = Scope.filters,
    evaluations: Annotated[
        int, typer.Option(min=1, rich_help_panel=SEARCH, help="Configurations to try.")
    ] = 400,
    population: Annotated[
        int, typer.Option(min=1, rich_help_panel=SEARCH, help="Configurations per generation.")
    ] = 32,
    seed: Annotated[
        int, typer.Option(min=0, rich_help_panel=SEARCH, help="Same seed, same result.")
    ] = 0,
    weight: Weights = None,
    pick: Annotated[
        Pick,
        typer.Option(
            rich_help_panel=SEARCH,
            help="Best balance of the objectives, or highest weighted mean of all rewards.",
        ),
    ] = Pick.knee,
    plane: options.Plane = None,
    channel: options.Channel = None,
    projection: options.Project = options.Projection.none,
    invert: options.Invert = False,
    pixel_size: options.PixelSize = None,
    unit: options.Unit = None,
) -> None:
    """Search SAM's settings for an image by what a good segmentation is, without labels.

    Writes recipe, Pareto front (CSV, PNG), labels, measurements and an overlay picture. SAM's
    settings below are those the search starts from; its scope may change them.
    """
    from napari_samstar.core.images import Mapping
    from napari_samstar.core.outputs import staged, write_result
    from napari_samstar.core.search import Plan

    start = time.perf_counter()
    goal = goal_of(weight)
    plan = Plan(scope.value, evaluations, population, seed, settings)
    mapping = Mapping(plane=plane, projection=projection.value, channel=channel, invert=invert)
    with staged(out) as folder:
        micrograph = open_image(image, mapping, Calibration(pixel_size, unit))
        bank = open_bank(micrograph, open_model(model, device.value))
        with tracked() as tracker:
            tuned = search_settings(bank, mapping, goal, plan, pick.value, tracker)
        files = write_result(tuned.result, folder)
    about = summary(tuned.result, out, files, time.perf_counter() - start) | about_search(tuned)
    if as_json:
        emit({"command": "tune", **about})
        return
    show(reward_table(tuned))
    show_files(out, files)


def goal_of(weights: list[tuple[str, float]] | None) -> Goal:
    """Return the default goal with some weights changed."""
    from napari_samstar.core.goal import Goal

    return Goal({**Goal().weights, **dict(weights or ())})


def search_settings(
    bank: ProposalBank, mapping: Mapping, goal: Goal, plan: Plan, pick: str, tracker: Tracker
) -> Tuned:
    """Search, pick and paint."""
    from napari_samstar.core.outputs import Result
    from napari_samstar.core.pareto import front
    from napari_samstar.core.recipe import make_recipe
    from napari_samstar.core.search import search
    from napari_samstar.core.tuning import Judge

    advance = tracker.count("Tuning", plan.evaluations)
    judge = Judge.of(bank)
    evaluated = []
    for evaluation in tracker.results(search(judge.evaluate, goal, plan)):
        evaluated.append(evaluation)
        advance()
    found = front(evaluated, goal)
    picked = found.knee if pick == "knee" else found.best
    chosen = found.evaluations[picked]
    labels = labels_of(bank, chosen.config, tracker)
    tuning = {
        "goal": goal.to_dict(),
        "plan": asdict(plan) | {"base": plan.base.to_dict()},
        "sizes_px": asdict(judge.sizes),
        "picked": pick,
        "rewards": chosen.rewards,
        "evaluations": len(evaluated),
        "hypervolume": found.hypervolume,
    }
    recipe = make_recipe(bank.image, mapping, bank.model, chosen.config, tuning)
    return Tuned(bank, Result(bank.image, labels, recipe, found, picked), found, picked)


def about_search(tuned: Tuned) -> dict[str, Any]:
    """Return what is said about the search, ready for JSON."""
    from napari_samstar.core.pareto import hypervolume_by_generation

    found = tuned.front
    return {
        "tuning": tuned.result.recipe.tuning,
        "picked": _described(found, tuned.picked),
        "defaults": None if found.defaults is None else _described(found, found.defaults),
        "front": {
            "objectives": list(found.goal.names),
            "members": found.members.tolist(),
            "hypervolume_by_generation": hypervolume_by_generation(found.evaluations, found.goal),
        },
    }


def _described(found: Front, position: int) -> dict[str, Any]:
    objectives = dict(zip(found.goal.names, found.points[position].tolist(), strict=True))
    evaluation = found.evaluations[position].to_dict()
    return {"evaluation": position, **evaluation, "objectives": objectives}


def reward_table(tuned: Tuned) -> Any:
    """Return a table of every objective and weighted reward, defaults against the picked one."""
    from napari_samstar.core.rewards import REWARDS

    found = tuned.front
    pair = [p for p in (found.defaults, tuned.picked) if p is not None]
    heads = ["SAM's defaults", "tuned"][-len(pair) :]
    rows = table(f"{tuned.bank.image.name}: {len(found.evaluations)} configurations, "
                 f"{len(found.members)} on the front", "", *heads)  # fmt: skip
    rows.add_row("Masks", *(str(found.evaluations[p].n_masks) for p in pair))
    for k, name in enumerate(found.goal.names):
        rows.add_row(f"[bold]{name}", *(f"{found.points[p, k]:.3f}" for p in pair))
        for reward in REWARDS.values():
            weight = found.goal.weights.get(reward.name, 0.0)
            objective = found.goal.objectives.get(reward.name, reward.objective)
            if weight > 0 and objective == found.goal.used[k]:
                values = (found.evaluations[p].rewards[reward.name] for p in pair)
                rows.add_row(f"  {reward.label}", *(f"{v:.3f}" for v in values))
    return rows
