from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samstar.core.errors import UserError
from napari_samstar.core.linking.linker import Linker
from napari_samstar.core.linking.settings import LinkEvent, LinkSettings
from tests.core.linking.planes import boxes, crowd, discs

EMPTY = boxes()
LEFT, RIGHT = (20, 20, 40, 40), (60, 80, 80, 110)


def linked(planes, mode="depth", **changes):
    linker = Linker(LinkSettings(mode=mode, **changes))
    return [linker.add(plane) for plane in planes]


def ids_at(planes, row, col):
    return [int(plane.labels[row, col]) for plane in planes]


def events(planes):
    return [event for plane in planes for event in plane.events]


def renamed(labels, seed):
    rng = np.random.default_rng(seed)
    names = np.append(0, rng.permutation(1000)[: labels.max()] + 1)
    return names[labels]


@pytest.mark.parametrize("mode", ["depth", "time"])
def test_objects_that_stay_keep_their_id(mode):
    planes = linked([boxes(LEFT, RIGHT), boxes(RIGHT, LEFT), boxes(LEFT, RIGHT)], mode)
    assert ids_at(planes, 30, 30) == [1, 1, 1]
    assert ids_at(planes, 70, 90) == [2, 2, 2]
    assert not events(planes)
    assert planes[2].labels.dtype == np.int32
    assert ((planes[2].labels > 0) == (boxes(LEFT, RIGHT) > 0)).all()


@pytest.mark.parametrize("mode", ["depth", "time"])
@given(seed=st.integers(0, 500))
@settings(max_examples=15, deadline=None)
def test_ids_in_the_planes_do_not_matter(mode, seed):
    stack = crowd(seed)
    first = linked(stack, mode)
    second = linked([renamed(p, seed + k) for k, p in enumerate(stack)], mode)
    for one, two in zip(first, second, strict=True):
        assert (one.labels == two.labels).all()
        assert (one.events, one.ended) == (two.events, two.ended)


def test_new_objects_get_new_ids_in_reading_order():
    planes = linked([boxes(LEFT), boxes(RIGHT, LEFT, (5, 100, 15, 120))])
    assert ids_at(planes[1:], 30, 30) == [1]
    assert ids_at(planes[1:], 10, 110) == [2]
    assert ids_at(planes[1:], 70, 90) == [3]


def test_the_best_overlap_wins():
    # the one object of the second plane overlaps both of the first
    planes = linked([boxes((20, 20, 40, 40), (20, 40, 40, 80)), boxes((20, 30, 40, 80))])
    assert ids_at(planes, 30, 60) == [2, 2]


def test_objects_with_less_than_the_least_iou_are_different():
    planes = [boxes((20, 20, 40, 40)), boxes((20, 36, 40, 56))]  # IoU 4 / 36
    assert ids_at(linked(planes, min_iou=0.1)[1:], 30, 50) == [1]
    assert ids_at(linked(planes, min_iou=0.12)[1:], 30, 50) == [2]


@pytest.mark.parametrize(("gap", "missing", "same"), [(1, 1, True), (1, 2, False), (2, 2, True)])
def test_an_object_is_found_again_after_a_gap(gap, missing, same):
    stack = [boxes(LEFT), *[EMPTY] * missing, boxes(LEFT)]
    planes = linked(stack, gap=gap)
    assert (ids_at(planes, 30, 30)[-1] == 1) == same
    expected = [LinkEvent("gap", missing + 1, (1,), (1,))] if same else []
    assert events(planes) == expected


def test_an_object_ends_once_and_after_its_gap():
    stack = [boxes(LEFT, RIGHT), boxes(RIGHT), boxes(RIGHT), boxes(RIGHT)]
    linker = Linker(LinkSettings(gap=1))
    planes = [linker.add(plane) for plane in stack]
    assert [plane.ended for plane in planes] == [(), (), (1,), ()]
    assert linker.close() == (2,)
    assert linker.close() == ()


def test_a_cross_section_that_comes_apart_is_one_object_in_depth():
    whole, arms = boxes((20, 20, 40, 80)), boxes((20, 20, 40, 45), (20, 55, 40, 78))
    planes = linked([whole, arms, arms])
    assert ids_at(planes, 30, 30) == ids_at(planes, 30, 70) == [1, 1, 1]
    assert events(planes) == [LinkEvent("part", 1, (1,), (1,))]


def test_a_neighbour_that_touches_is_not_joined_in_depth():
    planes = linked([boxes((20, 20, 40, 80)), boxes((20, 20, 40, 50), (20, 50, 40, 80))])
    assert sorted({*ids_at(planes[1:], 30, 30), *ids_at(planes[1:], 30, 70)}) == [1, 2]
    assert not events(planes)


def test_clearance_keeps_objects_behind_a_thin_wall_apart():
    stack = [boxes((20, 20, 40, 80)), boxes((20, 20, 40, 49), (20, 51, 40, 79))]
    assert ids_at(linked(stack)[1:], 30, 70) == [1]
    assert ids_at(linked(stack, clearance=2)[1:], 30, 70) == [2]


def test_a_new_object_beside_an_old_one_is_not_joined_in_depth():
    # a third of the new object lies where the old one was
    planes = linked([boxes((20, 20, 40, 60)), boxes((20, 20, 40, 50), (20, 55, 40, 70))])
    assert ids_at(planes[1:], 30, 65) == [2]


def test_a_new_object_where_another_one_ended_is_not_its_part():
    planes = linked([boxes((20, 20, 80, 80)), boxes((40, 40, 48, 48))])
    assert ids_at(planes[1:], 44, 44) == [2]


def test_objects_that_run_together_are_recorded():
    arms, whole = boxes((20, 20, 40, 48), (20, 55, 40, 78)), boxes((20, 20, 40, 80))
    planes = linked([arms, whole])
    assert ids_at(planes, 30, 30) == [1, 1]
    assert events(planes) == [LinkEvent("merge", 1, (1, 2), (1,))]


def test_parts_of_one_object_that_run_together_are_no_merge():
    whole, arms = boxes((20, 20, 40, 80)), boxes((20, 20, 40, 45), (20, 55, 40, 78))
    planes = linked([whole, arms, whole])
    assert [event.kind for event in events(planes)] == ["part"]


@pytest.mark.parametrize("mode", ["depth", "time"])
def test_objects_that_a_plane_shows_as_one_have_their_ids_afterwards(mode):
    apart = boxes((20, 20, 40, 52), (20, 54, 40, 80))
    planes = linked([apart, boxes((20, 20, 40, 80)), apart], mode)
    assert ids_at(planes, 30, 30) == [1, 1, 1]
    assert ids_at(planes, 30, 70) == [2, 1, 2]
    assert [event.kind for event in events(planes)] == ["merge", "gap"]


def test_a_cell_that_divides_has_two_daughters_with_new_ids():
    mother, daughters = discs((50, 60, 20)), discs((50, 49, 12), (50, 73, 12))
    planes = linked([mother, mother, daughters, daughters], "time")
    assert ids_at(planes, 50, 49) == [1, 1, 2, 2]
    assert ids_at(planes, 50, 73) == [1, 1, 3, 3]
    assert events(planes) == [LinkEvent("split", 2, (1,), (2, 3))]
    assert planes[2].ended == (1,)


@pytest.mark.parametrize("mode", ["depth", "time"])
def test_an_object_that_goes_on_is_not_found_again_elsewhere(mode):
    stack = [
        boxes((20, 20, 40, 40), RIGHT),
        boxes((20, 28, 40, 48)),
        boxes((20, 36, 40, 56), (20, 20, 40, 30), RIGHT),  # the second lies where the first began
    ]
    planes = linked(stack, mode)
    assert ids_at(planes, 70, 90) == [2, 0, 2]
    assert ids_at(planes[2:], 30, 50) == [1]
    assert ids_at(planes[2:], 30, 22) == [3]


def test_a_cell_that_divided_does_not_go_on_beside_its_daughters():
    mother = discs((50, 60, 20))
    planes = linked([mother, discs((50, 49, 12), (50, 73, 12), (50, 105, 15))], "time")
    assert sorted(np.unique(planes[1].labels)) == [0, 2, 3, 4]


def test_a_daughter_is_not_taken_for_a_cell_that_left():
    planes = linked([discs((50, 60, 20), (78, 73, 10)), discs((50, 49, 12), (50, 73, 12))], "time")
    assert sorted(np.unique(planes[1].labels)) == [0, 3, 4]


def test_a_parent_does_not_come_back():
    mother, daughters = discs((50, 60, 20)), discs((50, 49, 12), (50, 73, 12))
    planes = linked([mother, daughters, EMPTY, mother], "time", gap=2)
    assert 1 not in np.unique(planes[3].labels)


def test_a_mother_keeps_its_id_when_it_buds():
    planes = linked([discs((50, 60, 20)), discs((50, 57, 18), (50, 80, 6))], "time", daughter=0.3)
    assert ids_at(planes, 50, 57) == [1, 1]
    assert events(planes) == [LinkEvent("split", 1, (1,), (1, 2))]
    assert planes[1].ended == ()


def test_nothing_divides_where_divisions_are_switched_off():
    mother, daughters = discs((50, 60, 20)), discs((50, 49, 12), (50, 73, 12))
    planes = linked([mother, daughters], "time", divisions=False)
    assert sorted(ids_at(planes[1:], 50, 49) + ids_at(planes[1:], 50, 73)) == [1, 2]
    assert events(planes) == [LinkEvent("split", 1, (1,), (1, 2))]


def test_a_fast_object_is_found_by_distance_in_time_only():
    stack = [boxes(LEFT), boxes((20, 44, 40, 64))]
    assert ids_at(linked(stack, "time")[1:], 30, 50) == [1]
    assert ids_at(linked(stack, "time", reach=0)[1:], 30, 50) == [2]
    assert ids_at(linked(stack, "depth", follow_shift=False)[1:], 30, 50) == [2]


@pytest.mark.parametrize("mode", ["depth", "time"])
def test_a_stack_whose_planes_are_shifted_is_linked(mode):
    rng = np.random.default_rng(0)
    large = np.zeros((200, 260), np.int32)
    for k in range(60):
        row, col = rng.integers(0, 190), rng.integers(0, 250)
        large[row : row + 10, col : col + 10] = k + 1
    corners = [(40, 40), (52, 31), (35, 50)]
    stack = [large[r : r + 100, c : c + 140] for r, c in corners]
    planes = linked(stack, mode)
    pairs = {(t, i) for s, p in zip(stack, planes, strict=True) for t, i in zip(
        s[30:70, 30:100].ravel().tolist(), p.labels[30:70, 30:100].ravel().tolist(), strict=True
    ) if t}  # fmt: skip
    assert len(pairs) == len({t for t, _ in pairs})  # one id for each true object
    still = linked(stack, mode, follow_shift=False, reach=0)
    assert [p.labels.max() for p in planes] < [p.labels.max() for p in still]


def test_a_missing_object_is_found_across_shifted_planes():
    rng = np.random.default_rng(1)
    large = np.zeros((200, 260), np.int32)
    for k in range(80):
        row, col = rng.integers(0, 190), rng.integers(0, 250)
        large[row : row + 10, col : col + 10] = k + 1
    stack = [large[r : r + 100, c : c + 140].copy() for r, c in [(40, 40), (54, 40), (68, 40)]]
    lost = stack[1][40, 70:].max()  # in the middle, so that all planes have it
    assert lost
    stack[1][stack[1] == lost] = 0
    planes = linked(stack)
    assert not events(planes[:2])
    first, last = (set(planes[k].labels[stack[k] == lost].tolist()) for k in (0, 2))
    assert first == last
    assert len(first) == 1


def test_one_object_that_ends_while_another_begins_is_not_a_shift_of_the_plane():
    planes = linked([boxes(LEFT), boxes((60, 80, 80, 100))])
    assert ids_at(planes[1:], 70, 90) == [2]


@pytest.mark.parametrize("mode", ["depth", "time"])
def test_empty_planes_are_linked(mode):
    planes = linked([EMPTY, boxes(LEFT), EMPTY, EMPTY], mode)
    assert [int(plane.labels.max()) for plane in planes] == [0, 1, 0, 0]


def test_only_the_last_planes_are_kept():
    linker = Linker(LinkSettings(gap=2))
    for _ in range(10):
        linker.add(boxes(LEFT))
    assert len(linker._past) == 3


def test_a_plane_of_another_size_is_refused():
    linker = Linker()
    linker.add(EMPTY)
    with pytest.raises(UserError, match="Plane 1 of the stack is 10 x 140 px"):
        linker.add(EMPTY[:10])


@pytest.mark.parametrize(
    "changes",
    [{"mode": "space"}, {"min_iou": 1.5}, {"gap": -1}, {"contained": float("nan")}, {"reach": -1}],
)
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(UserError):
        LinkSettings(**changes)
