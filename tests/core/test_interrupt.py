"""Long work is interrupted, on the thread that was requested to stop and on no other."""

from __future__ import annotations

import threading
from itertools import count

import pytest
import torch

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.cues.image_cues import image_cues
from napari_samstar.core.interrupt import Interrupted, check, stoppable
from napari_samstar.core.models.encoder import EmbeddingCache, encode
from napari_samstar.core.progress import run
from tests.core.tiny import tiny_model

CONFIG = AmgConfig(points_per_side=4, points_per_batch=8)


def after(n: int):
    """Return a function that requests a stop from its n-th call on."""
    calls = count(1)
    return lambda: next(calls) >= n


def test_an_interrupted_encoder_gives_the_same_result_afterwards():
    model, crop = tiny_model(), discs((48, 64)).rgb
    before = encode(model, crop)
    checks = []
    with stoppable(lambda: bool(checks.append(1))):
        again = encode(model, crop)
    assert len(checks) > 10, "too few checks"
    with pytest.raises(Interrupted), stoppable(after(len(checks) // 2)):
        encode(model, crop)
    assert torch.equal(encode(model, crop).features, before.features)
    assert torch.equal(again.features, before.features)


def test_gradients_are_enabled_again_after_an_interruption_at_any_check():
    """The same thread may train a model afterwards."""
    model, crop = tiny_model(), discs((48, 64)).rgb
    checks = []
    with stoppable(lambda: bool(checks.append(1))):
        encode(model, crop)
    for n in range(1, len(checks) + 1):
        with pytest.raises(Interrupted), stoppable(after(n)):
            encode(model, crop)
        assert torch.is_grad_enabled(), f"stopped at {n} of {len(checks)}"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_an_interrupted_bank_is_unchanged(share):
    checks = []
    with stoppable(lambda: bool(checks.append(1))):
        run(ProposalBank(discs((48, 64)), tiny_model()).prepare(CONFIG))
    bank = ProposalBank(discs((48, 64)), tiny_model(), EmbeddingCache())
    with pytest.raises(Interrupted), stoppable(after(int(share * len(checks)))):
        run(bank.prepare(CONFIG))
    assert bank.missing([CONFIG])
    assert len(bank.masks) == 0
    run(bank.prepare(CONFIG))
    fresh = ProposalBank(discs((48, 64)), tiny_model())
    run(fresh.prepare(CONFIG))
    assert select(bank, CONFIG).boxes.tolist() == select(fresh, CONFIG).boxes.tolist()


def test_only_the_thread_with_a_request_is_interrupted():
    done = []

    def other():
        check()
        done.append("other")

    with stoppable(lambda: True):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with pytest.raises(Interrupted):
            check()
    check()
    assert done == ["other"]


def test_the_computation_of_cues_can_be_interrupted():
    with pytest.raises(Interrupted), stoppable(after(5)):
        image_cues(discs((48, 64)).rgb)
