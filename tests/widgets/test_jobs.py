"""Jobs run one at a time; a new one replaces the old one, whose results are ignored."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress
from napari_samstar.widgets.jobs.jobs import Job, Jobs
from tests.widgets.waiting import wait_for_jobs

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def jobs(qapp: Any) -> Jobs:
    return Jobs()


def count(n: int) -> Generator[Any, None, int]:
    for k in range(n):
        yield k
        yield Progress(k + 1, n, "Counting")
    return n


def test_steps_progress_and_result_arrive_on_the_gui_thread(jobs: Jobs, qtbot: Any) -> None:
    seen: list[Any] = []
    threads = set()

    def note(value: Any) -> None:
        seen.append(value)
        threads.add(threading.current_thread())

    statuses: list[Any] = []
    jobs.changed.connect(statuses.append)
    jobs.start(Job("Count", count, (3,), on_step=note, on_result=note))
    wait_for_jobs(jobs, qtbot)
    assert seen == [0, 1, 2, 3]
    assert threads == {threading.main_thread()}
    assert [s.progress.done for s in statuses if s.progress.total] == [1, 2, 3]
    assert statuses[-1].title == ""


def test_steps_and_result_of_a_stopped_job_are_ignored(jobs: Jobs, qtbot: Any) -> None:
    go, seen = threading.Event(), []

    def slow() -> Generator[Any, None, str]:
        yield "first"
        go.wait(240)
        yield "late"
        return "late result"

    jobs.start(Job("Slow", slow, on_step=seen.append, on_result=seen.append))
    qtbot.waitUntil(lambda: seen == ["first"])
    jobs.stop()
    assert not jobs.busy
    go.set()
    wait_for_jobs(jobs, qtbot)
    assert seen == ["first"]


def test_a_new_job_starts_when_the_old_one_has_ended(jobs: Jobs, qtbot: Any) -> None:
    go, alive, seen = threading.Event(), [], []

    def old() -> Generator[Any, None, None]:
        alive.append("old")
        yield Progress(0, 1, "Old")
        go.wait(240)
        alive.remove("old")
        yield "late"

    def new(name: str) -> Generator[Any, None, str]:
        assert not alive
        yield Progress(0, 1, name)
        return name

    jobs.start(Job("Old", old, on_step=seen.append))
    qtbot.waitUntil(lambda: bool(alive))
    jobs.start(Job("Never", new, ("never",), on_result=seen.append))
    jobs.start(Job("New", new, ("new",), on_result=seen.append))
    go.set()
    wait_for_jobs(jobs, qtbot)
    assert seen == ["new"]


def test_a_job_stopped_between_two_steps_ends_on_its_own_thread(jobs: Jobs, qtbot: Any) -> None:
    began: list[int] = []
    ended: list[int] = []

    def steps() -> Generator[Any, None, None]:
        began.append(threading.get_ident())
        try:
            while True:
                time.sleep(0.001)
                yield "step"
        finally:
            ended.append(threading.get_ident())

    jobs.start(Job("Steps", steps, on_step=lambda _: jobs.stop()))
    wait_for_jobs(jobs, qtbot)
    assert began == ended != [threading.get_ident()]


@pytest.mark.parametrize(
    ("error", "words"),
    [(UserError("Choose another."), "Choose another."), (ValueError("odd"), "Unexpected error")],
)
def test_an_error_is_shown_as_one_sentence(
    jobs: Jobs, qtbot: Any, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    popups: list[str] = []
    monkeypatch.setattr("napari_samstar.widgets.jobs.jobs.show_error", popups.append)
    said: list[str] = []
    jobs.failed.connect(said.append)

    def fail() -> Generator[Any, None, None]:
        yield Progress(0, 1, "About to fail")
        raise error

    jobs.start(Job("Fail", fail))
    wait_for_jobs(jobs, qtbot)
    assert len(said) == 1
    assert words in said[0]
    assert popups == said
    jobs.start(Job("Count", count, (1,), on_result=said.append))
    wait_for_jobs(jobs, qtbot)
    assert said[-1] == 1
