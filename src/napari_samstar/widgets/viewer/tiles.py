"""Shows the tiles of a large image while they are segmented, and keeps them after Stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.widgets.jobs.jobs import Job
from napari_samstar.widgets.viewer import work

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.models.registry import ModelChoice
    from napari_samstar.core.results.result import Result
    from napari_samstar.widgets.jobs.jobs import Jobs
    from napari_samstar.widgets.viewer.layer_writer import LayerWriter
    from napari_samstar.widgets.viewer.layers import Placement
    from napari_samstar.widgets.viewer.work import TileShown

GRID_SIDE = 512
"""Longer side of the picture of the grid, px: it is coarse, and quick to change."""

WAITING, LINE = 1, 2
"""Values of that picture; 0 where a tile is done."""

PUT_TOGETHER = "Putting tiles together"


class TileController:
    """The tiles of the job that segments an image.

    Parameters
    ----------
    jobs : Jobs
    layers : LayerWriter
    """

    def __init__(self, jobs: Jobs, layers: LayerWriter) -> None:
        self._jobs, self._layers = jobs, layers
        self._choice: ModelChoice | None = None
        self._finish: Callable[[Result], None] | None = None
        self._latest: tuple[ProposalBank, AmgConfig] | None = None
        self._grid: Any = None
        self._step = 1
        self._placement: Placement | None = None
        jobs.stopped.connect(self._on_stopped)

    def begin(self, choice: ModelChoice, finish: Callable[[Result], None]) -> None:
        """Prepare for a new job; `finish` takes what is there when the user stops it."""
        self._choice, self._finish, self._latest, self._grid = choice, finish, None, None

    def show(self, placement: Placement, tile: TileShown) -> None:
        """Show one more tile that is done."""
        if self._latest is None:
            self._start(placement, tile)
        self._latest = tile.bank, tile.config
        self._layers.fill_tile(tile.box, tile.labels)
        x0, y0, x1, y1 = (n // self._step for n in tile.box)
        self._grid[y0 : y1 + 1, x0 : x1 + 1] = 0
        self._layers.tiles(self._grid, self._step)

    def finish(self) -> None:
        """Take the grid away; the masks on show are those of the whole image now."""
        self._latest, self._finish = None, None
        self._layers.tiles(None, 1)

    def _start(self, placement: Placement, tile: TileShown) -> None:
        """Draw the grid of the tiles that wait, over an empty preview."""
        self._layers.placement = placement
        shape, config = tile.bank.shape, tile.config
        self._layers.fill(shape)
        self._step = max(1, -(-max(shape) // GRID_SIDE))
        rows, cols = (-(-n // self._step) for n in shape)
        self._grid = np.zeros((rows, cols), dtype=np.uint8)
        waiting = {part.core for part in tile.bank.parts(config) if not tile.bank.has(part)}
        for core in waiting:
            assert core is not None
            x0, y0, x1, y1 = (n // self._step for n in core)
            self._grid[y0 : y1 + 1, x0 : x1 + 1] = LINE
            self._grid[y0 + 1 : y1, x0 + 1 : x1] = WAITING

    def _on_stopped(self) -> None:
        """Put together what is there, as soon as the stopped thread has ended."""
        if self._latest is None or self._finish is None or self._choice is None:
            return
        job = Job(
            PUT_TOGETHER, _put_together, (*self._latest, self._choice), on_result=self._finish
        )
        self._jobs.when_idle(lambda: self._jobs.start(job))


def _put_together(
    bank: ProposalBank, config: AmgConfig, choice: ModelChoice
) -> Generator[Any, None, Result]:
    from napari_samstar.core.progress import Progress

    yield Progress(0, 0, PUT_TOGETHER)
    return work.partial_result(bank, config, choice)
