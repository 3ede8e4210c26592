"""Resident memory over ten tunings, and after closing the image, the panels and the viewer."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import psutil

from benchmarks.gui_rig import Bench, field, settle


def memory(bench: Bench, trials: int) -> dict[str, Any]:
    """Return MiB; closes the viewer."""
    bench.job(bench.segment.run)
    bench.tune.budget_box.setValue(trials)
    after: list[int] = []
    report: dict[str, Any] = {"before": resident(), "after_each_of_ten_tunings": after}
    for seed in range(10):
        bench.tune.seed_box.setValue(seed)
        bench.job(bench.tune.run_button.click)
        after.append(resident())
    report["grown_from_the_second_to_the_tenth"] = after[-1] - after[1]
    known = {"bank": bench.session.result.bank, "model": bench.session.result.model.sam}
    held = {name: weakref.ref(thing) for name, thing in known.items()}
    del known
    _close_image(bench)
    report["after_closing_the_image"] = resident()
    held |= {"desk": weakref.ref(bench.controller), "viewer": weakref.ref(bench.viewer)}
    _close_viewer(bench)
    report["after_closing_the_viewer"] = resident()
    report["still_held"] = [name for name, thing in held.items() if thing() is not None]
    return report


def resident() -> int:
    """Return what the process has in memory, MiB."""
    gc.collect()
    return int(psutil.Process().memory_info().rss / 2**20)


def _close_image(bench: Bench) -> None:
    bench.viewer.layers.remove(bench.layer)
    bench.idle()
    settle(0.5)
    bench.layer = bench.viewer.add_image(field(256), name="small")
    settle(0.5)


def _close_viewer(bench: Bench) -> None:
    for name in ("segment", "tune", "front", "results"):
        shell = getattr(bench, name).parentWidget()
        bench.viewer.window.remove_dock_widget(shell)
        shell.deleteLater()
        delattr(bench, name)
        del shell
    bench.heart.stop()
    bench.viewer.close()
    for name in ("desk", "session", "jobs", "viewer", "layer"):
        delattr(bench, name)
    settle(1)
