"""Resident memory over ten tunings, and after closing the image, the panels and the viewer."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import psutil

from benchmarks.gui_rig import Bench, field, settle


def memory(trainer: Bench, trials: int) -> dict[str, Any]:
    """Return MiB; closes the viewer."""
    trainer.job(trainer.segment.run)
    trainer.tune.budget_box.setValue(trials)
    after: list[int] = []
    report: dict[str, Any] = {"before": resident(), "after_each_of_ten_tunings": after}
    for seed in range(10):
        trainer.tune.seed_box.setValue(seed)
        trainer.job(trainer.tune.run_button.click)
        after.append(resident())
    report["grown_from_the_second_to_the_tenth"] = after[-1] - after[1]
    known = {"bank": trainer.session.segmented.bank, "model": trainer.session.segmented.model.sam}
    held = {name: weakref.ref(thing) for name, thing in known.items()}
    del known
    _close_image(trainer)
    report["after_closing_the_image"] = resident()
    held |= {"desk": weakref.ref(trainer.controller), "viewer": weakref.ref(trainer.viewer)}
    _close_viewer(trainer)
    report["after_closing_the_viewer"] = resident()
    report["still_held"] = [name for name, thing in held.items() if thing() is not None]
    return report


def resident() -> int:
    """Return what the process has in memory, MiB."""
    gc.collect()
    return int(psutil.Process().memory_info().rss / 2**20)


def _close_image(trainer: Bench) -> None:
    trainer.viewer.layers.remove(trainer.layer)
    trainer.idle()
    settle(0.5)
    trainer.layer = trainer.viewer.add_image(field(256), name="small")
    settle(0.5)


def _close_viewer(trainer: Bench) -> None:
    for name in ("segment", "tune", "front", "results"):
        shell = getattr(trainer, name).parentWidget()
        trainer.viewer.window.remove_dock_widget(shell)
        shell.deleteLater()
        delattr(trainer, name)
        del shell
    trainer.heart.stop()
    trainer.viewer.close()
    for name in ("desk", "session", "jobs", "viewer", "layer"):
        delattr(trainer, name)
    settle(1)
