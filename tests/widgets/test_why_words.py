"""Texts about candidates."""

from __future__ import annotations

from typing import get_args

import pytest

from napari_samstar.core.amg.rejection import Cause, Finding, Rejection
from napari_samstar.widgets.panels.why.words import sentences, title


@pytest.mark.parametrize("cause", get_args(Cause))
def test_every_cause_of_rejection_has_a_title_and_a_sentence(cause: Cause) -> None:
    finding = Finding(1, 1, False, 100, 0.9, 0.9, (Rejection(cause, 0.25, 0.5),))
    assert len(title(finding, None, pinned=False)) > len("✗  · ")
    assert sentences(finding)[0].endswith(".")
