"""A viewer with a small image, its panels, and what all tests of widgets need."""

from __future__ import annotations

import hashlib
import os
import pickle
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from qtpy.QtCore import QDeadlineTimer, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit
from skimage.draw import disk
from skimage.filters import gaussian

from napari_samstar.core.amg import bank
from napari_samstar.core.amg.decode import decode_prompts
from napari_samstar.core.cache_folder import cache_folder
from napari_samstar.core.models import encoder
from napari_samstar.widgets.panels.front.panel import FrontPanel
from napari_samstar.widgets.panels.segment.panel import SegmentPanel
from napari_samstar.widgets.panels.tune.panel import TunePanel
from napari_samstar.widgets.viewer.autosave_tasks import EXECUTOR
from napari_samstar.widgets.viewer.controller import _controllers as controllers
from tests.display import needs_virtual_display, start_virtual_display
from tests.widgets.waiting import PATIENCE, wait_for_workers, wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_samstar.core.amg.candidates import Candidates

GRID = 8


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    """Give this process a display of its own just before pytest-qt makes the QApplication."""
    if needs_virtual_display():
        os.environ |= start_virtual_display()
    return ["pytest"]


@pytest.fixture(autouse=True)
def _own_cache_of_a_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep journals, labels and clicks that a test saves from the next one; embeddings are shared.

    Ends when the autosave thread has written all.
    """
    embeddings = cache_folder("embeddings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMSTAR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(encoder, "default_cache", lambda: encoder.EmbeddingCache(embeddings))
        yield
        EXECUTOR.submit(int).result()


@pytest.fixture
def qtbot(qtbot: Any) -> Any:
    """pytest-qt's, which waits for a condition as long as it takes on a busy machine."""
    qtbot.waitUntil = partial(qtbot.waitUntil, timeout=PATIENCE)
    return qtbot


@pytest.fixture
def make_napari_viewer(
    make_napari_viewer: Callable[..., Any], qtbot: Any
) -> Iterator[Callable[..., Any]]:
    """napari's; a window is on screen when it is returned, and no thread works when it closes."""
    viewers: weakref.WeakSet[Any] = weakref.WeakSet()

    def make(**arguments: Any) -> Any:
        viewer = make_napari_viewer(**arguments)
        viewers.add(viewer)
        if arguments.get("show"):
            with qtbot.waitExposed(viewer.window._qt_window, timeout=PATIENCE):
                pass
        return viewer

    yield make
    for controller in [c for v in viewers if (c := controllers.get(v)) is not None]:
        controller.jobs.stop()
    wait_for_workers(qtbot)


class Panels(NamedTuple):
    viewer: Any
    segment: SegmentPanel
    tune: TunePanel
    front: FrontPanel


def discs(shape: tuple[int, int] = (128, 160)) -> np.ndarray:
    """Bright discs on a dark, noisy ground, uint16."""
    rng = np.random.default_rng(1)
    image = np.zeros(shape)
    for row, col, radius in ((30, 30, 14), (35, 90, 10), (90, 50, 18), (95, 120, 12)):
        image[disk((row, col), radius, shape=shape)] = 1
    image = gaussian(image, 1) * 3000 + rng.normal(500, 60, shape)
    return np.clip(image, 0, None).astype(np.uint16)


@pytest.fixture
def panels(make_napari_viewer: Callable[..., Any]) -> Panels:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(discs(), name="discs", scale=(0.5, 0.5), units=("nm", "nm"))
    made = Panels(viewer, SegmentPanel(viewer), TunePanel(viewer), FrontPanel(viewer))
    for panel in made[1:]:
        viewer.window.add_dock_widget(panel, tabify=panel is not made.segment)
    made.segment.settings.prompts.value = "grid"
    for name, value in {
        "points_per_side": GRID,
        "pred_iou_thresh": 0.3,
        "stability_score_thresh": 0.3,
    }.items():
        made.segment.settings.rows[name].value = value
    made.segment.settings.tiles.value = 0.0  # one frame
    return made


@pytest.fixture
def segmented(panels: Panels, qtbot: Any) -> Panels:
    """The panels after a press on Segment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "decode_prompts", decode_once)
        panels.segment.run_button.click()
        wait_until_idle(panels, qtbot)
    assert panels.segment.controller.session.result is not None, panels.segment.message.text()
    return panels


_decoded: dict[bytes, Candidates] = {}


def decode_once(
    backend: Any,
    embedding: Any,
    crop_box: Any,
    shape: Any,
    prompts: Any,
    per_batch: int,
    *,
    tile: bool,
    tell: Any,
) -> Iterator[int]:
    """Decode prompts, which takes seconds, or return the result for equal arguments before."""
    digest = hashlib.sha256(repr((type(backend), crop_box, shape, per_batch, tile)).encode())
    for tensor in (embedding.features, *backend.decoder_weights().values()):
        digest.update(tensor.detach().cpu().numpy().tobytes())
    digest.update(pickle.dumps(prompts))
    key = digest.digest()
    if key not in _decoded:
        _decoded[key] = yield from decode_prompts(
            backend, embedding, crop_box, shape, prompts, per_batch, tile=tile, tell=tell
        )
    return _decoded[key]


def type_into_dialog(path: Path | None) -> None:
    """Type a name into the file dialog that opens next, and press Return; None cancels it."""
    patience = QDeadlineTimer(PATIENCE // 2)

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog) or not dialog.isVisible():
            assert not patience.hasExpired(), "no file dialog opened"
            QTimer.singleShot(10, answer)
            return
        if path is None:
            QTest.keyClick(dialog, Qt.Key.Key_Escape)
            return
        line = dialog.findChild(QLineEdit)
        line.setText(str(path))
        QTest.keyClick(line, Qt.Key.Key_Return)

    QTimer.singleShot(0, answer)
