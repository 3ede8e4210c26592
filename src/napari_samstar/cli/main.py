"""The `samstar` command. Heavy modules are imported inside the commands, so --help is quick."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from napari_samstar.cli.apply import apply
from napari_samstar.cli.demo import demo
from napari_samstar.cli.doctor import doctor
from napari_samstar.cli.errors import INTERRUPTED, OneLineErrors
from napari_samstar.cli.info import info
from napari_samstar.cli.models import models
from napari_samstar.cli.segment import segment
from napari_samstar.cli.tune import tune
from napari_samstar.cli.weights import weights
from napari_samstar.version import __version__

app = typer.Typer(
    name="samstar",
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (demo, segment, tune, apply, info, weights, models, doctor):
    app.command(_command.__name__)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"samstar {__version__}")
        raise typer.Exit


@app.callback()
def _samstar(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Segment micrographs with SAM, tuned by what a good segmentation is."""


def main() -> None:
    """Run the `samstar` command."""
    # Torch's threads spin by default while they wait for each other: where a core has other work,
    # that makes SAM several times slower. Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except KeyboardInterrupt:  # before a command runs
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
