from __future__ import annotations

import tracemalloc

import numpy as np

from napari_samstar.core.linking.linker import Linker
from napari_samstar.core.linking.settings import LinkEvent, LinkSettings
from napari_samstar.core.linking.solids import SolidMeasurer
from napari_samstar.core.linking.stack import events_table, link_stack
from napari_samstar.core.linking.tracks import TrackMeasurer
from napari_samstar.core.progress import run
from tests.core.linking.planes import boxes, discs


def test_planes_are_linked_measured_and_handed_on_one_by_one():
    frames = [discs((50, 60, 20)), discs((50, 49, 12), (50, 73, 12))]
    kept, steps = [], []
    settings = LinkSettings(mode="time")
    work = link_stack(iter(frames), settings, TrackMeasurer(), kept.append, 2)
    stack = run(work, steps.append)
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2)]
    linker = Linker(settings)
    assert all((linker.add(f).labels == k.labels).all() for f, k in zip(frames, kept, strict=True))
    assert stack.n_planes == 2
    assert stack.objects["parent"].tolist() == [0, 1, 1]
    assert {name: column.tolist() for name, column in stack.events.items()} == {
        "event": ["split"], "plane": [1], "parents": ["1"], "children": ["2 3"],
    }  # fmt: skip


def test_a_table_without_events_has_its_columns():
    table = events_table([])
    assert list(table) == ["event", "plane", "parents", "children"]
    assert all(len(column) == 0 for column in table.values())


def test_several_ids_stand_in_one_cell():
    table = events_table([LinkEvent("merge", 3, (4, 10), (4,))])
    assert table["parents"].tolist() == ["4 10"]


def peak_memory(n_planes):
    """Return the greatest memory of linking and measuring, bytes."""
    plane = boxes(*((r, c, r + 12, c + 12) for r in range(2, 80, 15) for c in range(2, 120, 15)))
    planes = (np.roll(plane, k % 3, axis=1) for k in range(n_planes))
    tracemalloc.start()
    run(link_stack(planes, LinkSettings(), SolidMeasurer(), lambda plane: None, n_planes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_planes():
    peak_memory(3)  # imports and tables that are made once
    assert peak_memory(40) < 1.2 * peak_memory(5)
