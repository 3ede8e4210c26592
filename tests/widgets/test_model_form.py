"""A checkpoint file is chosen in a real file dialog."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

import napari_samstar
from tests.widgets.conftest import type_into_dialog
from tests.widgets.waiting import wait_until_idle

WEIGHTS = Path(napari_samstar.__file__).parent / "weights" / "pocket.safetensors"


def test_a_checkpoint_file_is_chosen(panels: Any, qtbot: Any, tmp_path: Path) -> None:
    form, segment = panels.segment.model_form, panels.segment
    box = form.model_box
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"nothing")
    type_into_dialog(broken)
    QTest.keyClick(box, Qt.Key.Key_End)
    assert box.currentText() == "broken.pth"
    assert str(broken) in form.note.text()
    segment.run_button.click()
    wait_until_idle(panels, qtbot)
    assert "broken.pth" in segment.message.text()
    assert segment.controller.session.result is None

    mine = tmp_path / "mine.safetensors"
    shutil.copy(WEIGHTS, mine)
    type_into_dialog(mine)
    QTest.keyClick(box, Qt.Key.Key_End)
    segment.run_button.click()
    wait_until_idle(panels, qtbot)
    assert segment.controller.session.result.choice.name == str(mine)
    assert form.sees_centres()

    type_into_dialog(None)
    QTest.keyClick(box, Qt.Key.Key_End)
    assert box.currentText() == "mine.safetensors", "a cancelled choice changes nothing"
    QTest.keyClick(box, Qt.Key.Key_Home)
    assert form.choice().name == "pocket"
