from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from napari_samstar import version
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning import storage
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.storage import Journal, path_for

GOAL, OTHER = Goal({"coverage": 1}), Goal({"coverage": 2, "boundary": 1})
CONFIG = StudyConfig(trials=40, population=8)
BY = {"sizes": {"small": 4.0, "large": 20.0}}
KEYS = ("imagekey",)


def trials(n, first=0):
    return [
        Trial(AmgConfig(pred_iou_thresh=k / 1000), {"coverage": k / 7}, k, k // 8, "search")
        for k in range(first, first + n)
    ]


def opened(path, keys=KEYS, sha="aa"):
    return Journal(path, keys, sha)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "j.jsonl"


def written(path, n=3, goal=GOAL, study_config=CONFIG, by=BY, first=0):
    made = opened(path)
    made.begin(goal, study_config, by)
    made.add(trials(n, first))
    return made


def test_what_was_written_comes_back(path):
    written(path, 3)
    (run,) = opened(path).runs
    assert run.trials == tuple(trials(3))
    assert (run.goal.to_dict(), run.study_config) == (GOAL.to_dict(), CONFIG)
    assert run.fingerprint == BY
    assert opened(path).known(BY) == tuple(trials(3))


def test_opening_writes_nothing(path):
    assert opened(path).runs == ()
    assert not path.parent.exists()


def test_each_batch_is_on_disk_at_once(path):
    made = written(path, 3)
    made.add(trials(2, 3))
    assert len(path.read_text().splitlines()) == 2 + 5
    made.add([])
    assert len(opened(path).known(BY)) == 5


def test_runs_are_appended_and_configurations_known_once(path):
    written(path, 3)
    before = path.read_bytes()
    written(path, 4, OTHER, first=1)
    assert path.read_bytes().startswith(before)
    both = opened(path)
    assert [len(r.trials) for r in both.runs] == [3, 4]
    assert both.known(BY) == tuple(trials(5))


def test_the_last_run_of_a_search_is_found_at_any_budget(path):
    written(path, 1, study_config=StudyConfig(trials=16, population=8, starts=(AmgConfig(),)))
    written(path, 2, OTHER)
    made = opened(path)
    found = made.last(GOAL, CONFIG, BY)
    assert found is not None
    assert found.study_config.starts == (AmgConfig(),)
    assert made.last(OTHER, CONFIG, BY).trials == tuple(trials(2))
    assert made.last(GOAL, StudyConfig(population=8, seed=1), BY) is None
    assert made.last(GOAL, CONFIG, {"sizes": None}) is None


def test_other_expectations_or_versions_are_not_known(path, monkeypatch):
    written(path, 3)
    assert opened(path).known({"sizes": {"small": 5.0, "large": 20.0}}) == ()
    monkeypatch.setattr(version, "__version__", "99")
    assert opened(path).known(BY) == ()


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_tolerated_and_cut(path, cut):
    written(path, 3)
    path.write_bytes(path.read_bytes()[:-cut])
    made = opened(path)
    assert made.known(BY) == tuple(trials(2))
    made.begin(GOAL, CONFIG, BY)
    made.add(trials(1, 2))
    assert opened(path).known(BY) == tuple(trials(3))


def test_a_header_torn_by_a_kill_is_written_anew(path):
    path.parent.mkdir()
    path.write_text('{"format": "samst')
    written(path, 2)
    assert len(opened(path).known(BY)) == 2


HEADER = {"format": "samstar-journal", "version": 2, "images": ["imagekey"], "model_sha256": "aa"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("an essay\n", "damaged"),
        ("an essay", "not a journal"),
        ("[]\n", "damaged"),
        ("\0\0\0\0\n\n", "damaged"),
        (json.dumps(HEADER) + "\n{}\n", "damaged"),
        (json.dumps(HEADER) + '\n{"of": "x"}\n', "damaged"),
        ('{"format": "samstar-recipe"}\n', "not a journal"),
        (json.dumps(HEADER | {"version": 1}) + "\n", "version 1"),
        (json.dumps(HEADER | {"images": ["b"]}) + "\n", "another image"),
        (json.dumps(HEADER | {"model_sha256": "bb"}) + "\n", "another model"),
    ],
)
def test_a_damaged_or_foreign_journal_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "j.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as error:
        opened(path)
    assert "\n" not in str(error.value)
    assert path.read_text() == text


def test_runs_of_a_reward_that_is_gone_are_left_out(path):
    written(path, 3)
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"coverage"', '"beauty"')
    path.write_text("\n".join(lines) + "\n")
    assert opened(path).runs == ()


def test_a_full_disk_is_said_and_loses_nothing_written(path, monkeypatch):
    made = written(path, 3)
    opens = type(path).open

    def full(self, *args, **kwargs):
        file = opens(self, *args, **kwargs)
        file.write(b'{"of": "hal')  # what still fitted
        file.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(path), "open", full)
    made.add(trials(1, 3))
    assert "No space left" in made.problem
    monkeypatch.undo()
    size = path.stat().st_size
    made.add(trials(1, 4))
    assert path.stat().st_size == size
    assert opened(path).known(BY) == tuple(trials(3))


def test_a_place_without_rights_is_said(tmp_path):
    (tmp_path / "file").write_text("mine")
    made = opened(tmp_path / "file2" / "j.jsonl")
    made.path = tmp_path / "file" / "j.jsonl"
    made.begin(GOAL, CONFIG, BY)
    assert "cannot be written" in made.problem


def test_the_latest_search_on_an_image_is_found_in_the_cache_folder(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    assert storage.latest("k", "aa") is None
    now = SimpleNamespace(second=0)

    def wrote(keys, model="aa", inputs=None, n=2):
        now.second += 1
        when = datetime(2026, 1, 1, 0, 0, now.second, tzinfo=UTC)
        monkeypatch.setattr(storage, "datetime", SimpleNamespace(now=lambda _: when))
        made = Journal.of(keys, model)
        made.begin(GOAL, CONFIG, BY, inputs)
        made.add(trials(n))
        assert made.path.parent == tmp_path / "journals"

    wrote(["k"])
    alone = storage.latest("k", "aa")
    assert alone.trials == tuple(trials(2))
    inputs = {"expectations": {"unit": "px"}, "others": [{"layer": "b", "plane": [3]}]}
    wrote(["k", "l"], inputs=inputs, n=3)
    assert storage.latest("k", "aa").inputs == inputs
    wrote(["k", "m"])  # by a command: nobody knows where the other image is
    wrote(["l", "k"], inputs=inputs)
    wrote(["k"], model="bb")
    wrote(["k"], n=0)
    assert len(storage.latest("k", "aa").trials) == 3
    (tmp_path / "journals" / f"torn{storage.SUFFIX}").write_text("{")
    assert len(storage.latest("k", "aa").trials) == 3
    assert "cannot be read: delete it" in caplog.text


def test_a_journal_of_another_version_of_the_program_is_left_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    older = path_for(["k"], "aa")
    older = older.with_name(older.name.replace(storage.SUFFIX, ".jsonl"))
    older.parent.mkdir(parents=True)
    text = json.dumps(HEADER | {"version": 1, "images": ["k"]}) + "\n"
    older.write_text(text)
    assert Journal.of(["k"], "aa").runs == ()
    assert storage.latest("k", "aa") is None
    assert (older.read_text(), caplog.text) == (text, "")


KILLED = """
import sys, time
from pathlib import Path
from tests.core.tuning.test_storage import BY, GOAL, CONFIG, trials, opened
made = opened(Path(sys.argv[1]))
made.begin(GOAL, CONFIG, BY)
for k in range(10_000):
    made.add(trials(1, k % 900))
    print(k, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_kill_leaves_what_was_said(path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    said = SimpleNamespace(last=0)
    until = time.monotonic() + 60
    while said.last < 25 and time.monotonic() < until:
        said.last = int(process.stdout.readline())
    process.kill()
    process.communicate()
    known = opened(path).known(BY)
    assert len(known) > 25
    assert known[:25] == tuple(trials(25))


def test_old_journals_go_when_a_run_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    monkeypatch.setattr(storage, "MAX_FILES", 2)
    for k in range(4):
        made = Journal.of((f"image{k}",), "aa")
        made.begin(GOAL, CONFIG, BY)
        made.add(trials(2))
        os.utime(made.path, (k, k))
    assert storage.latest("image0", "aa") is None
    assert storage.latest("image2", "aa") is not None
    Journal.of(("image2",), "aa").begin(GOAL, CONFIG, BY)
    assert len(list(storage.folder().iterdir())) == 2
