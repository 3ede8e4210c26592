"""The standard simulated user of interactive segmentation, and its metrics.

Each click goes to the centre of the largest error region. Reaching the target on the last allowed
click counts as success: an object that reaches it on click 20 has NoC 20 and is no failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.interactive.next_click import BoolArray, careless_click, iou, next_click

if TYPE_CHECKING:
    from napari_samstar.core.interactive.click_session import ClickSession


def simulate(
    session: ClickSession,
    truth: BoolArray,
    max_clicks: int = 20,
    target: float = 0.85,
    after_click: Callable[[ClickSession], None] | None = None,
    careless_rng: np.random.Generator | None = None,
) -> Iterator[float]:
    """Click on `truth` until the IoU reaches `target`; yields the IoU after each click.

    Parameters
    ----------
    truth : ndarray of bool, shape (H, W)
    after_click : callable, optional
        Called before the IoU is measured; it may adapt the session's model and refresh its mask.
    careless_rng : Generator, optional
        If given, clicks come from `careless_click` instead of `next_click`.
    """
    choose = next_click if careless_rng is None else partial(careless_click, rng=careless_rng)
    for _ in range(max_clicks):
        current = session.state.prediction
        mask = None if current is None else current.mask
        click = choose(truth, mask, session.state.prompt.clicks)
        if click is None:
            return
        session.add(click)
        if after_click is not None:
            after_click(session)
        value = _session_iou(session, truth)
        yield value
        if value >= target:
            return


def noc(ious: Sequence[float], target: float, max_clicks: int) -> int:
    """Return the number of clicks until `target`; `max_clicks` where it is not reached."""
    for count, value in enumerate(ious[:max_clicks], start=1):
        if value >= target:
            return count
    return max_clicks


def failed(ious: Sequence[float], target: float, max_clicks: int) -> bool:
    """Return whether `target` is not reached within `max_clicks` clicks, the last one included."""
    return not any(value >= target for value in ious[:max_clicks])


def iou_at(ious: Sequence[float], n_clicks: int) -> float:
    """Return the IoU after `n_clicks` clicks, or after the last one where fewer were made."""
    return ious[min(n_clicks, len(ious)) - 1]


def _session_iou(session: ClickSession, truth: BoolArray) -> float:
    prediction = session.state.prediction
    assert prediction is not None
    return iou(prediction.mask, truth)
