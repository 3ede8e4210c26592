"""A pass of SAM ends in the middle, on the thread that was asked to stop and on no other."""

from __future__ import annotations

import threading
from itertools import count

import pytest
import torch

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank, run
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.cues.image_cues import image_cues
from napari_samstar.core.interrupt import Interrupted, check, stoppable
from napari_samstar.core.models.encoder import EmbeddingCache, encode
from tests.core.tiny import tiny_model

CONFIG = AmgConfig(points_per_side=4, points_per_batch=8)


def after(n: int):
    """Return what says stop from the n-th time on that it is asked."""
    asked = count(1)
    return lambda: next(asked) >= n


def test_the_encoder_stops_in_the_middle_and_is_none_the_worse():
    model, crop = tiny_model(), discs((48, 64)).rgb
    before = encode(model, crop)
    asked = []
    with stoppable(lambda: bool(asked.append(1))):
        again = encode(model, crop)
    assert len(asked) > 10, "too few places to stop at"
    with pytest.raises(Interrupted), stoppable(after(len(asked) // 2)):
        encode(model, crop)
    assert torch.equal(encode(model, crop).features, before.features)
    assert torch.equal(again.features, before.features)


def test_gradients_are_as_before_wherever_it_was_stopped():
    """A thread is used again: what it does next may be to learn."""
    model, crop = tiny_model(), discs((48, 64)).rgb
    asked = []
    with stoppable(lambda: bool(asked.append(1))):
        encode(model, crop)
    for n in range(1, len(asked) + 1):
        with pytest.raises(Interrupted), stoppable(after(n)):
            encode(model, crop)
        assert torch.is_grad_enabled(), f"stopped at {n} of {len(asked)}"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_bank_that_was_stopped_anywhere_is_as_before(share):
    asked = []
    with stoppable(lambda: bool(asked.append(1))):
        run(ProposalBank(discs((48, 64)), tiny_model()).prepare(CONFIG))
    bank = ProposalBank(discs((48, 64)), tiny_model(), EmbeddingCache())
    with pytest.raises(Interrupted), stoppable(after(int(share * len(asked)))):
        run(bank.prepare(CONFIG))
    assert bank.missing([CONFIG])
    assert len(bank.masks) == 0
    run(bank.prepare(CONFIG))
    fresh = ProposalBank(discs((48, 64)), tiny_model())
    run(fresh.prepare(CONFIG))
    assert select(bank, CONFIG).boxes.tolist() == select(fresh, CONFIG).boxes.tolist()


def test_only_the_thread_that_watches_is_stopped():
    outcome = []

    def other():
        check()
        outcome.append("went on")

    with stoppable(lambda: True):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with pytest.raises(Interrupted):
            check()
    check()
    assert outcome == ["went on"]


def test_looking_at_an_image_stops_in_the_middle():
    with pytest.raises(Interrupted), stoppable(after(5)):
        image_cues(discs((48, 64)).rgb)
