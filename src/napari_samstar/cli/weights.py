"""`samstar weights`: which weights the user's choices on Pareto fronts suggest."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_samstar.cli import options  # noqa: TC001 - typer reads annotations
from napari_samstar.cli.console import emit, out


def weights(
    *,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="The goal that the weights are compared with.")
    ] = "balanced",
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete the choices that are noted.")
    ] = False,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
) -> None:
    """Say which weights suit the points that you applied in the window; nothing is changed."""
    from napari_samstar.core.rewards.presets import goal_of
    from napari_samstar.core.tuning import choices
    from napari_samstar.core.tuning.preference import choices_for, suggest
    from napari_samstar.core.tuning.preference_words import sentence

    goal = goal_of(preset)
    stored = choices.forget() if forget else choices.read()
    noted = choices_for(stored.made, goal)
    found = suggest(stored.made, goal)
    changed = {} if found is None else found.changes
    words = "" if found is None else sentence(found)
    if as_json:
        emit(
            {
                "command": "weights",
                "preset": preset,
                "noted": len(noted),
                "on": stored.on,
                "words": words,
                "agree": None if found is None else found.agree,
                "agree_now": None if found is None else found.agree_now,
                "weights": changed,
            }
        )
        return
    out.print(f"{len(noted)} choices are noted for goals like {preset}.")
    if found is None:
        out.print("They suggest no other weights.")
        return
    out.print(f"{words} {found.evidence}")
    out.print(" ".join(f"--weight {name}={value:g}" for name, value in changed.items()))
