"""Choices on disk: order, damage, bounds, and what cannot be written."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.registry import FORMULAS
from napari_samstar.core.tuning import choices
from napari_samstar.core.tuning.preference import Choice, Option

ONE = Choice(
    Option({"coverage": 0.5}, 4), (Option({"coverage": 0.4}, 5),), True, {"coverage": 1.0},
    "first", "key", "a.tif", "2026-01-01T00:00:00+00:00",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))


def numbered(n: int) -> Choice:
    return replace(ONE, search=str(n))


def test_choices_come_back_and_a_later_one_in_a_search_replaces_an_earlier_one():
    assert choices.read() == choices.Choices()
    stored = choices.add(ONE)
    assert stored.made == (ONE,)
    choices.add(numbered(2))
    other = replace(ONE, own=False)
    assert choices.add(other).made == choices.read().made == (numbered(2), other)


def test_switched_off_nothing_more_is_noted_also_after_forgetting():
    choices.add(ONE)
    assert not choices.switch(False).on
    assert choices.add(numbered(2)).made == (ONE,)
    assert choices.forget() == choices.Choices((), on=False)
    assert choices.add(numbered(2)).made == ()
    choices.switch(True)
    assert choices.add(numbered(2)).made == (numbered(2),)
    assert choices.forget() == choices.Choices()
    assert not choices.path().exists()


@pytest.mark.parametrize(
    "damage",
    [
        b'{"version": 1, "formulas"',
        b"\xff\xfe\x00",
        b"[1, 2]\n",
        b'{"version": 1, "formulas": %d, "applied": 3}\n' % FORMULAS,
        json.dumps({"version": 1, "formulas": FORMULAS, **ONE.to_dict(), "passed": []}).encode(),
        json.dumps({"version": 1, "formulas": FORMULAS - 1, **ONE.to_dict()}).encode(),
        json.dumps({"version": 99, "formulas": FORMULAS, **ONE.to_dict()}).encode(),
        b'{"version": 1, "formulas": %d, "applied": {"rewards": {"coverage": NaN}, "n_masks": 1}}'
        % FORMULAS,
        b"[" * 100_000,
    ],
)
def test_lines_that_cannot_be_read_are_skipped(damage):
    choices.add(numbered(1))
    with choices.path().open("ab") as file:
        file.write(damage)
    assert choices.read().made == (numbered(1),)
    assert choices.add(numbered(2)).made == (numbered(1), numbered(2))
    assert choices.read().made == (numbered(1), numbered(2))


def test_the_file_stays_small(monkeypatch):
    monkeypatch.setattr(choices, "MOST_CHOICES", 5)
    monkeypatch.setattr(choices, "MOST_LINES", 10)
    for k in range(40):
        stored = choices.add(numbered(k))
    assert [c.search for c in stored.made] == ["35", "36", "37", "38", "39"]
    assert choices.read() == stored
    assert len(choices.path().read_text().splitlines()) <= 2 * 10


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "file"))
    for act in (lambda: choices.add(ONE), lambda: choices.switch(False)):
        with pytest.raises(UserError, match="cannot be noted"):
            act()
    assert choices.read() == choices.Choices()


def test_a_full_disk_is_said(monkeypatch):
    choices.add(ONE)

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", *a, **k: Full() if "a" in mode else opened(self, mode, *a, **k),
    )
    with pytest.raises(UserError, match="No space left on device"):
        choices.add(numbered(2))
    assert choices.read().made == (ONE,)
