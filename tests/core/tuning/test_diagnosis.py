from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_samstar.core.amg.config import SETTINGS, AmgConfig
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.diagnosis import LEAST_TRIALS, SAME, diagnose
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.nsga2 import search
from napari_samstar.core.tuning.remark import Evidence, OneFilter
from tests.core.tuning.test_nsga2 import evaluator

GOAL = Goal({"coverage": 1, "boundary": 1})
CONFIG = StudyConfig(trials=400, population=20)
WELL = Evidence(0.9, 0.9, "bright", 500, 100, OneFilter("pred_iou_thresh", 100, 0.8, 0.7, 5))


def trials(points, generation=lambda k: 0, **about):
    """Return trials at (coverage, boundary); the first is that of SAM's defaults."""
    return [
        Trial(AmgConfig(), {"coverage": x, "boundary": y}, 10 + k, generation(k),
              "search" if k else "defaults")
        for k, (x, y) in enumerate(points)
    ]  # fmt: skip


def kinds(tried, chosen=None, evidence=WELL, goal=GOAL, study_config=CONFIG):
    shown = front(tried, goal)
    picked = shown.best if chosen is None else chosen
    found = diagnose(shown, picked, study_config, evidence)
    for remark in found:
        for sentence in (remark.seen, remark.step):
            assert sentence.endswith(".")
            assert len(sentence) <= 120, "more than two lines of the dock"
    return {remark.kind: remark for remark in found}


def arc(n=40, first=(0.3, 0.3)):
    """Return points on a convex front, after one for the defaults."""
    angles = np.linspace(0, np.pi / 2, n - 1)
    return [first, *zip(np.cos(angles), np.sin(angles), strict=True)]


def test_nothing_is_said_about_a_healthy_search():
    long = replace(CONFIG, trials=1200)
    tried = [e for e in search(evaluator, GOAL, long) if isinstance(e, Trial)]
    shown = front(tried, GOAL)
    assert len(shown.members) > 3
    assert diagnose(shown, shown.best, CONFIG, WELL) == ()
    assert diagnose(shown, shown.best, CONFIG) == ()
    assert kinds(trials(arc())) == {}


def test_a_real_search_that_was_cut_short_still_grew():
    tried = [e for e in search(evaluator, GOAL, CONFIG) if isinstance(e, Trial)][:60]
    found = kinds(tried)["ended early"]
    assert "generation of 3" in found.seen
    assert "Continue" in found.step


@pytest.mark.parametrize(("step", "grew"), [(0.02, True), (0.0001, False)])
def test_the_hypervolume_still_rises(step, grew):
    points = [(0.4 + step * (k // 10), 0.5) for k in range(80)]
    assert ("ended early" in kinds(trials(points, lambda k: k // 10))) == grew


def test_few_trials_say_nothing():
    assert kinds(trials([(0.5, 0.5)] * (LEAST_TRIALS - 1))) == {}


def test_goals_that_agree_are_good_news():
    points = [(k / 50, k / 50) for k in range(40)]
    found = kinds(trials(points))
    assert list(found) == ["goals agree"]
    assert "All 2 goals agree: one of 40 settings" in found["goals agree"].seen
    assert kinds(trials(points), goal=Goal({"coverage": 1})) == {}, "one goal agrees with itself"


def test_settings_without_effect_are_not_called_agreement():
    same = [replace(e, n_masks=7) for e in trials([(0.5, 0.5)] * 38)]
    found = kinds([*same, *trials([(0.1, 0.1), (0.2, 0.2)])])
    assert list(found) == ["no effect"]
    assert found["no effect"].seen.startswith("38 of 40 settings kept exactly the same masks")
    half = [*same[:20], *trials(arc(20))]
    assert "no effect" not in kinds(half)


def test_nothing_kept():
    none = [replace(e, n_masks=0) for e in trials([(0, 0)] * 40)]
    found = kinds(none, evidence=None)
    assert list(found) == ["nothing kept"]
    assert "None of the 40" in found["nothing kept"].seen


@pytest.mark.parametrize(("width", "flat"), [(SAME / 2, True), (3 * SAME, False)])
def test_flat_front(width, flat):
    points = [(0.1, 0.1), *((0.5 + width * t, 0.6 - width * t) for t in np.linspace(0, 1, 39))]
    found = kinds(trials(points))
    assert ("flat front" in found) == flat
    if flat:
        assert "The 39 settings on the front differ by at most 0.005" in found["flat front"].seen


def test_repeated_outcomes():
    tried = [replace(e, n_masks=5 + k % 12) for k, e in enumerate(trials([(0.5, 0.5)] * 40))]
    assert kinds(tried)["repeats"].seen == "28 of 40 settings kept the same masks as another one."
    assert "repeats" not in kinds(trials(arc()))


def test_tuning_that_does_not_help():
    points = [(0.7, 0.7), *((0.1 + k / 100, 0.9 - k / 50) for k in range(39))]
    tried = trials(points)
    found = kinds(tried, chosen=5)
    assert "Take Best" not in found["no gain"].step
    assert "does not help on this image: nothing is clearly above" in found["no gain"].seen
    assert "0.700" in found["no gain"].seen
    several = kinds(tried, chosen=5, evidence=replace(WELL, images=2))
    assert "does not help on these images" in several["no gain"].seen
    better = [*tried, replace(tried[1], rewards={"coverage": 0.8, "boundary": 0.8})]
    assert "Take Best, which scores 0.800" in kinds(better, chosen=5)["no gain"].step
    assert "no gain" not in kinds(better, chosen=40)
    unknown = [replace(e, origin="search") for e in tried]
    assert "no gain" not in kinds(unknown, chosen=5)


@pytest.mark.parametrize("polarity", ["bright", "dark", ""])
def test_masks_that_do_not_fit_the_foreground(polarity):
    off = replace(WELL, inside=0.2, polarity=polarity)
    found = kinds(trials(arc()), evidence=off)
    assert list(found) == ["foreground"]
    assert found["foreground"].seen.startswith("80% of the masks' area lies outside")
    assert f"{polarity} objects".strip() in found["foreground"].seen
    low = [(x / 5, y) for x, y in arc()]
    assert (
        "cover 15%" in kinds(trials(low), evidence=replace(WELL, covered=0.15))["foreground"].seen
    )
    assert "foreground" not in kinds(trials(low), evidence=None)
    nothing = replace(WELL, kept=0, inside=math.nan, covered=0.0)
    assert "foreground" not in kinds(trials(arc()), evidence=nothing)


def test_one_filter_that_rejects_most():
    strict = OneFilter("pred_iou_thresh", 300, 0.95, 0.85, 42)
    found = kinds(trials(arc()), evidence=replace(WELL, strictest=strict))
    assert list(found) == ["strict filter"]
    assert "Predicted quality 0.95 alone rejects 300 of 500" in found["strict filter"].seen
    assert "Predicted quality 0.85 keeps 42 more" in found["strict filter"].step
    edge = kinds(trials(arc()), evidence=replace(WELL, strictest=OneFilter("", 300)))
    assert "edge of a zoomed crop" in edge["strict filter"].seen


def _sloped(name, values):
    """Return trials whose outcome follows one setting, and the values of it."""
    points = [(0.1, 0.1), *((0.2 + 0.6 * t, 0.8) for t in np.linspace(0, 1, len(values) - 1))]
    return [
        replace(e, config=AmgConfig().replace(**{name: v}))
        for e, v in zip(trials(points), values, strict=True)
    ]


def test_a_setting_at_the_end_of_its_range():
    falling = np.linspace(0.98, 0.5, 40).tolist()
    found = kinds(_sloped("pred_iou_thresh", falling))["end of range"]
    assert found.seen == "Predicted quality 0.5 is the lowest value that the search tries."
    assert "lower" in found.step
    rising = kinds(
        _sloped("stability_score_offset", [round(0.5 + 0.025 * k, 1) for k in range(41)])
    )
    assert "Stability shift 1.5 is the highest" in rising["end of range"].seen
    assert "end of range" not in kinds(_sloped("pred_iou_thresh", np.linspace(0.9, 0.55, 40)))
    # At 0 nothing smaller can be tried, and the settings of grids are not searched here
    assert SETTINGS["min_mask_region_area"].search_low == SETTINGS["min_mask_region_area"].low
    areas = _sloped("min_mask_region_area", range(39, -1, -1))
    assert "end of range" not in kinds(areas)
    grids = _sloped("points_per_side", [12, 16, 24, 32, 48, 64, 64, 64] * 5)
    assert "end of range" not in kinds(grids)
    wide = StudyConfig(scope="grids", trials=400, population=20)
    rungs = _sloped("points_per_side", sorted([12, 16, 24, 32] * 8 + [48, 64] * 4))
    assert (
        "Points per side 64 is the highest" in kinds(rungs, study_config=wide)["end of range"].seen
    )


def test_a_setting_without_influence_may_lie_anywhere():
    rng = np.random.default_rng(0)
    tried = [
        replace(e, config=AmgConfig(pred_iou_thresh=float(v)))
        for e, v in zip(trials(arc(200)), rng.uniform(0.5, 0.98, 200), strict=True)
    ]
    tried[100] = replace(tried[100], config=AmgConfig(pred_iou_thresh=0.5))
    assert "end of range" not in kinds(tried, chosen=100)


def test_the_most_important_comes_first():
    points = [(0.7, 0.7), *[(0.7, 0.7)] * 20, *((0.6, 0.1 + k / 100) for k in range(19))]
    same = [replace(e, n_masks=3) for e in trials(points)]
    off = replace(WELL, inside=0.1)
    found = list(kinds(same, evidence=off))
    assert found == ["foreground", "no gain", "goals agree", "repeats"]


def test_the_foreground_is_not_spoken_of_where_no_reward_uses_it():
    off = replace(WELL, inside=0.2)
    goal = Goal({"likely_objects": 1, "boundary": 1})
    tried = [
        replace(t, rewards={"likely_objects": t.rewards["coverage"], **t.rewards})
        for t in trials(arc())
    ]
    assert "foreground" in kinds(trials(arc()), evidence=off)
    left_out = [
        replace(t, rewards={n: v for n, v in t.rewards.items() if n != "coverage"})
        for t in trials(arc())
    ]
    assert "weigh nothing" in kinds(left_out, evidence=WELL)["foreground"].seen
    assert "foreground" not in kinds(tried, evidence=off, goal=goal)
