"""The standard simulated user of interactive segmentation, and what is counted.

Each click goes to the centre of the largest error region. Success on the last allowed click counts
as success: an object that reaches the target on click 20 has NoC 20 and has not failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.interactive.next_click import Bool, careless_click, iou, next_click

if TYPE_CHECKING:
    from napari_samstar.core.interactive.click_session import ClickSession


def simulate(
    session: ClickSession,
    truth: Bool,
    most: int = 20,
    target: float = 0.85,
    after_click: Callable[[ClickSession], None] | None = None,
    careless: np.random.Generator | None = None,
) -> Iterator[float]:
    """Click on `truth` until its IoU reaches `target`; yields the IoU after each click.

    Parameters
    ----------
    after_click : callable, optional
        May adapt the session's model and refresh its mask before that mask is judged.
    careless : Generator, optional
        Clicks are drawn by `careless_click` instead of `next_click`.
    """
    choose = next_click if careless is None else partial(careless_click, chance=careless)
    for _ in range(most):
        now = session.state.prediction
        mask = None if now is None else now.mask
        click = choose(truth, mask, session.state.prompt.clicks)
        if click is None:
            return
        session.add(click)
        if after_click is not None:
            after_click(session)
        reached = _session_iou(session, truth)
        yield reached
        if reached >= target:
            return


def _session_iou(session: ClickSession, truth: Bool) -> float:
    prediction = session.state.prediction
    assert prediction is not None
    return iou(prediction.mask, truth)


def noc(ious: Sequence[float], target: float, most: int) -> int:
    """Return the number of clicks until `target`, `most` where it is not reached within them."""
    for count, value in enumerate(ious[:most], start=1):
        if value >= target:
            return count
    return most


def failed(ious: Sequence[float], target: float, most: int) -> bool:
    """Return whether `target` is not reached within `most` clicks, the last one included."""
    return not any(value >= target for value in ious[:most])


def iou_at(ious: Sequence[float], clicks: int) -> float:
    """Return the IoU after so many clicks, or after the last one where fewer were made."""
    return ious[min(clicks, len(ious)) - 1]
