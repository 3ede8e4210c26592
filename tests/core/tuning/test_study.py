from __future__ import annotations

import time

import pytest

from napari_samstar.core.progress import Progress
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import WARM_STARTS, StudyConfig, Trial
from napari_samstar.core.tuning.nsga2 import random_search, search
from napari_samstar.core.tuning.storage import Journal, Notice
from napari_samstar.core.tuning.study import open_study
from tests.core.tuning.test_nsga2 import evaluator

GOAL, OTHER = Goal({"coverage": 1, "boundary": 1}), Goal({"coverage": 3, "boundary": 1})
CONFIG = StudyConfig(trials=64, population=16, seed=1)
BY = {"rewards": ["boundary", "coverage"]}


class Evaluator:
    """The judge of the search's tests; counts, and can be slow or stop."""

    def __init__(self, pause=0.0, after=10**9):
        self.asked, self.pause, self.after = [], pause, after

    def evaluate(self, config):
        if len(self.asked) == self.after:
            raise KeyboardInterrupt
        self.asked.append(config)
        time.sleep(self.pause)
        yield from evaluator(config)


def collected(steps):
    found = []
    for step in steps:
        if isinstance(step, tuple):
            found += step
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.jsonl"


def opened(path):
    return Journal(path, ["image"], "model")


def resumed(path, goal=GOAL, study_config=CONFIG, by=BY):
    return open_study(goal, study_config, opened(path), by, resume=True)


WHOLE = [e for e in search(evaluator, GOAL, CONFIG) if isinstance(e, Trial)]


def test_without_a_journal_it_is_the_plain_search():
    steps = list(open_study(GOAL, CONFIG).search(Evaluator()))
    assert collected(steps) == WHOLE
    assert isinstance(steps[-1], Progress)
    assert steps[-1].done == CONFIG.trials


def test_an_interrupted_run_goes_on_and_ends_the_same(path):
    for stop in (5, 20, 30):
        with pytest.raises(KeyboardInterrupt):
            collected(resumed(path).search(Evaluator(after=stop)))
    last = Evaluator()
    assert collected(resumed(path).search(last)) == WHOLE
    assert 0 < len(last.asked) == len({e.config for e in WHOLE}) - 5 - 20 - 30


def test_a_stopped_run_keeps_the_unfinished_batch(path):
    work = resumed(path).search(Evaluator(pause=0.03))
    first = next(s for s in work if isinstance(s, tuple))
    next(s for s in work if isinstance(s, Progress) and s.text == "Asking SAM for candidates")
    work.close()
    assert len(opened(path).known(BY)) >= len(first) > 0


def test_nothing_is_written_twice(path):
    collected(resumed(path).search(Evaluator()))
    again = Evaluator()
    assert collected(resumed(path).search(again)) == WHOLE
    assert again.asked == []
    assert [len(r.trials) for r in opened(path).runs] == [len({e.config for e in WHOLE}), 0]


def test_without_resume_it_starts_anew_and_appends(path):
    collected(resumed(path).search(Evaluator()))
    fresh = Evaluator()
    assert collected(open_study(GOAL, CONFIG, opened(path), BY).search(fresh)) == WHOLE
    assert len(fresh.asked) == len({e.config for e in WHOLE})
    assert len(opened(path).runs) == 2


def test_a_larger_budget_continues(path):
    collected(resumed(path).search(Evaluator()))
    more = resumed(path, study_config=StudyConfig(trials=90, population=16, seed=1))
    assert more.resumed
    found = collected(more.search(Evaluator()))
    assert found[:64] == WHOLE
    assert len(found) == 90


def test_another_goal_starts_from_the_best_known(path):
    collected(resumed(path).search(Evaluator()))
    other = resumed(path, OTHER)
    assert not other.resumed
    assert len(other.study_config.starts) == 4
    best = max(WHOLE, key=lambda e: OTHER.total(e.rewards))
    assert other.study_config.starts[0] == best.config
    whole = collected(other.search(Evaluator()))
    assert whole[1 + len(WARM_STARTS)].config == best.config
    # Continued in its turn, it starts where it started.
    again = resumed(path, OTHER)
    assert again.resumed
    assert again.study_config == other.study_config
    assert collected(again.search(Evaluator(after=0))) == whole


def test_other_expectations_share_nothing(path):
    collected(resumed(path).search(Evaluator()))
    other = resumed(path, by={"rewards": ["coverage"]})
    assert (other.known, other.study_config.starts) == ((), ())


def test_a_small_population_has_room_for_its_starts(path):
    collected(resumed(path).search(Evaluator()))
    assert resumed(path, OTHER, StudyConfig(trials=8, population=5)).study_config.starts == ()


def test_random_search_is_journalled_and_continued_too(path):
    random_trials = [e for e in random_search(evaluator, CONFIG) if isinstance(e, Trial)]
    with pytest.raises(KeyboardInterrupt):
        collected(resumed(path).random_search(Evaluator(after=10)))
    last = Evaluator()
    assert collected(resumed(path).random_search(last)) == random_trials
    assert len(last.asked) == len(random_trials) - 10


def test_minutes_end_a_run_that_can_go_on(path):
    slow = Evaluator(pause=0.02)
    before = collected(resumed(path).search(slow, minutes=0.25 / 60))
    assert 0 < len(before) < CONFIG.trials
    assert collected(resumed(path).search(Evaluator())) == WHOLE


def test_a_failing_journal_is_said_once_and_the_run_goes_on(tmp_path):
    (tmp_path / "file").write_text("mine")
    broken = Journal(tmp_path / "no.jsonl", ["image"], "model")
    broken.path = tmp_path / "file" / "j.jsonl"
    steps = list(open_study(GOAL, CONFIG, broken, BY).search(Evaluator(pause=0.005)))
    assert [type(s) for s in steps].count(Notice) == 1
    assert collected(steps) == WHOLE
