"""What goes to the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from napari_samstar.cli.errors import check_interrupted
from napari_samstar.core.progress import Progress, run

if TYPE_CHECKING:
    from rich.progress import ProgressColumn, TaskID

T = TypeVar("T")

out, err = Console(), Console(stderr=True)


def say(sentence: str) -> None:
    """Write a remark to stderr."""
    typer.echo(sentence, err=True)


def emit(values: dict[str, Any]) -> None:
    """Write the one JSON object of --json to stdout."""
    typer.echo(json.dumps(values, indent=2, ensure_ascii=False, default=str))


def show(table: Table) -> None:
    """Write a table to stdout."""
    out.print(table)


def show_files(folder: Path, names: list[str]) -> None:
    """Write the paths of what was written to stdout, one a line, never wrapped."""
    typer.echo("Wrote")
    for name in names:
        typer.echo(f"  {folder / name}")


def table(title: str, *columns: str) -> Table:
    """Return an empty table: the first column is text, the others are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for k, name in enumerate(columns):
        made.add_column(name, justify="right" if k else "left", no_wrap=True)
    return made


def bars(*columns: ProgressColumn) -> Bars:
    """Return progress bars on stderr with the time left; silent where nobody looks on."""
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


class Tracker:
    """Runs generators, and shows the `Progress` that they yield as bars."""

    def __init__(self, shown: Bars) -> None:
        self._bars = shown
        self._steps: TaskID | None = None

    def run(self, work: Generator[Any, Any, T], on_step: Callable[[Any], None] | None = None) -> T:
        """Run `work` to its end and return what it returns; other steps go to `on_step`."""

        def take(step: Any) -> None:
            check_interrupted()
            if isinstance(step, Progress):
                self._advance(step)
                return
            self._done()
            if on_step is not None:
                on_step(step)

        try:
            return run(work, take)
        finally:
            self._done()

    def count(self, text: str, total: int) -> Callable[[], None]:
        """Add a bar and return what advances it by one."""
        task = self._bars.add_task(text, total=total)
        return lambda: self._bars.advance(task)

    def _advance(self, step: Progress) -> None:
        if self._steps is None:
            self._steps = self._bars.add_task(step.text, total=step.total)
        self._bars.update(self._steps, description=step.text, completed=step.done, total=step.total)

    def _done(self) -> None:
        if self._steps is not None:
            self._bars.remove_task(self._steps)
            self._steps = None


@contextlib.contextmanager
def tracked() -> Iterator[Tracker]:
    """Show bars for the length of the block."""
    with bars(MofNCompleteColumn()) as shown:
        yield Tracker(shown)


@contextlib.contextmanager
def download_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (bytes so far, bytes in all) that shows a download."""
    with bars(DownloadColumn()) as shown:
        task: list[TaskID] = []

        def report(done: int, total: int) -> None:
            if not task:  # nothing is shown where the file is already there
                task.append(shown.add_task(text, total=total))
            shown.update(task[0], completed=done, total=total)

        yield report
