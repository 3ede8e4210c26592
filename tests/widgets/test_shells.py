"""A shell opens at once and builds its panel in later turns of the event loop."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from qtpy.compat import isalive

from napari_samstar.widgets.forms.buttons import CollapsibleSection
from napari_samstar.widgets.shell.shells import SHELLS, SegmentShell, Shell
from tests.widgets.waiting import let_events_run

HEAVY = ["pyqtgraph", "pandas", "tifffile", "torch", "napari", "magicgui"]

LIGHT = f"""
import sys
import napari_samstar.widgets.shell.shells
print(sorted({{m.partition(".")[0] for m in sys.modules}} & set({HEAVY!r})))
"""


def test_the_module_of_the_shells_imports_no_heavy_package() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("kind", SHELLS)
def test_a_shell_builds_its_panel_in_later_turns(
    make_napari_viewer: Any, qtbot: Any, kind: type[Shell]
) -> None:
    viewer = make_napari_viewer(show=True)
    shell = kind(viewer)
    viewer.window.add_dock_widget(shell)
    assert shell.panel is None
    qtbot.waitUntil(lambda: shell.panel is not None)
    assert type(shell.panel).__name__ == kind.PANEL
    qtbot.waitUntil(lambda: shell.panel.size() == shell.size())
    assert shell.finish() is shell.panel


def test_a_shell_closed_early_builds_no_panel(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    shell = SegmentShell(viewer)
    viewer.window.add_dock_widget(shell)
    viewer.window.remove_dock_widget(shell)
    shell.deleteLater()
    qtbot.waitUntil(lambda: not isalive(shell))
    qtbot.waitUntil(shell._imported.is_set)
    let_events_run(qtbot)
    assert shell.panel is None


class BrokenShell(Shell):
    """A shell of a panel that does not exist."""

    MODULE, PANEL = "segment.panel", "NoPanel"


def test_a_panel_that_cannot_be_opened_shows_the_error(make_napari_viewer: Any, qtbot: Any) -> None:
    shell = BrokenShell(make_napari_viewer())
    qtbot.addWidget(shell)
    qtbot.waitUntil(lambda: "cannot be opened" in shell._message.text())
    assert "NoPanel" in shell._message.text()


def test_an_expanded_section_is_not_cut_off(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    shell = SegmentShell(viewer)
    viewer.window.add_dock_widget(shell)
    panel = shell.finish()
    qtbot.waitUntil(panel.isVisible)
    panel.findChild(CollapsibleSection).expand(animate=False)
    qtbot.waitUntil(panel.settings.native.isVisible)
    qtbot.waitUntil(lambda: panel.widget().width() <= panel.viewport().width())
    panel.findChild(CollapsibleSection).collapse()
    assert not panel.settings.native.isVisible()
