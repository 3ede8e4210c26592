"""Resident memory over ten searches, and after closing the image, the panels and the viewer."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import psutil

from benchmarks.gui_rig import GuiRig, disc_image, settle
from napari_samstar.widgets.shell.docking import PLUGIN, WIDGET


def memory(rig: GuiRig, trials: int) -> dict[str, Any]:
    """Return resident memory, MiB, by stage; closes the viewer."""
    rig.run_job(rig.segment.run)
    rig.tune.budget_box.setValue(trials)
    after: list[int] = []
    report: dict[str, Any] = {"before": resident(), "after_each_of_ten_tunings": after}
    for seed in range(10):
        rig.tune.seed_box.setValue(seed)
        rig.run_job(rig.tune.run_button.click)
        after.append(resident())
    report["grown_from_the_second_to_the_tenth"] = after[-1] - after[1]
    objects = {"bank": rig.session.result.bank, "model": rig.session.result.model.sam}
    references = {name: weakref.ref(thing) for name, thing in objects.items()}
    del objects
    _close_image(rig)
    report["after_closing_the_image"] = resident()
    references |= {"controller": weakref.ref(rig.controller), "viewer": weakref.ref(rig.viewer)}
    _close_viewer(rig)
    report["after_closing_the_viewer"] = resident()
    report["still_held"] = [name for name, known in references.items() if known() is not None]
    return report


def resident() -> int:
    """Return the resident memory of the process, MiB."""
    gc.collect()
    return int(psutil.Process().memory_info().rss / 2**20)


def _close_image(rig: GuiRig) -> None:
    rig.viewer.layers.remove(rig.layer)
    rig.wait_until_idle()
    settle(0.5)
    rig.layer = rig.viewer.add_image(disc_image(256), name="small")
    settle(0.5)


def _close_viewer(rig: GuiRig) -> None:
    _, dock = rig.viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    rig.viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    del dock
    for name in ("segment", "tune", "front", "results"):
        delattr(rig, name)
    rig.heartbeat.stop()
    rig.viewer.close()
    for name in ("controller", "session", "jobs", "viewer", "layer"):
        delattr(rig, name)
    settle(1)
