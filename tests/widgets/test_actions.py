"""Random sequences of what a user does keep three promises.

What is shown is what Apply writes and what the recipe repeats; undo and redo return to the same
state bit for bit; nothing that the user accepted is ever lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.edits import Edits
from napari_samstar.core.amg.select import select
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.interactive.placed_mask import PlacedMask
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.result import Result, restore_edits, segment_bank
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import StudyConfig
from napari_samstar.core.tuning.inputs import SearchInputs
from napari_samstar.widgets.panels.correct.tools import (
    delete_object,
    lock_object,
    merge_objects,
    split_object,
)
from napari_samstar.widgets.viewer.controller import ViewerController
from napari_samstar.widgets.viewer.layer_writer import PREVIEW_NAME, RECIPE_KEY
from napari_samstar.widgets.viewer.layers import Placement
from napari_samstar.widgets.viewer.objects import ObjectsOnShow, find_object
from tests.widgets.conftest import discs

CONFIG = AmgConfig(points_per_side=8, pred_iou_thresh=0.2, stability_score_thresh=0.3)
THRESHOLDS = (0.2, 0.5, 0.8, 0.95)
N_TRIALS = 32
STUDY = StudyConfig(scope="filters", trials=N_TRIALS, base=CONFIG)


@cache
def known() -> tuple[Any, Any]:
    """A bank whose candidates are decoded, and a search on it."""
    from napari_samstar.api.pipeline import iter_search
    from napari_samstar.core.image.prepare import prepare

    rgb = prepare(discs()).rgb
    bank = ProposalBank(Micrograph(np.asarray(rgb)), load("pocket", "cpu"), EmbeddingCache())
    run(bank.prepare(CONFIG))
    found = iter_search(bank, Goal(), STUDY, SearchInputs(), EmbeddingCache(), stored=False)
    return bank, run(found)


class Window:
    """A viewer with the objects of `known`, and what the user has done so far."""

    def __init__(self) -> None:
        self.bank, self.search = known()
        self.accepted: list[np.ndarray] = []
        self._open(Result(self.bank, select(self.bank, CONFIG)))

    def _open(self, result: Result, recipe: Recipe | None = None) -> None:
        self.viewer = ViewerModel()
        layer = self.viewer.add_image(discs(), name="discs")
        self.controller = ViewerController(self.viewer)  # type: ignore[arg-type]
        self.session = self.controller.session
        self.controller.layers.placement = Placement.of(layer, ())
        self.controller._watch_image(layer)
        if recipe is not None:
            self.session.load(recipe)
        self.session.set_result(result)
        self.objects = ObjectsOnShow(self.controller)

    # --- actions ------------------------------------------------------------------------------

    def _label(self, n: int) -> int:
        labels = np.unique(self.objects.plane())
        return int(labels[1 + n % (len(labels) - 1)]) if len(labels) > 1 else 0

    def _forget(self, *labels: int) -> None:
        """The user gives up objects: their masks need not be kept any more."""
        plane = self.objects.plane()
        gone = np.isin(plane, [label for label in labels if label])
        self.accepted = [mask for mask in self.accepted if not (mask & gone).any()]

    def delete(self, a: int, b: int) -> None:
        label = self._label(a)
        if label:
            self._forget(label)
            delete_object(self.objects, label)

    def lock(self, a: int, b: int) -> None:
        label = self._label(a)
        if label:
            mask = self.objects.plane() == label
            self._forget(label)
            if lock_object(self.objects, label):
                self.accepted.append(mask)

    def merge(self, a: int, b: int) -> None:
        one, other = self._label(a), self._label(b)
        if one and other and one != other:
            self._forget(one, other)
            merge_objects(self.objects, one, other)

    def split(self, a: int, b: int) -> None:
        found = find_object(self.objects.plane(), self._label(a) or -1)
        if found is not None:
            inside = np.argwhere(found.mask) + np.array([found.row, found.col])
            ends = [tuple(map(int, inside[k % len(inside)])) for k in (a, b)]
            self._forget(self._label(a))
            split_object(self.objects, self._label(a), ends[0], ends[1], line=False)

    def add(self, a: int, b: int) -> None:
        shape = self.bank.shape
        mask = np.ones((9, 11), dtype=bool)
        placed = PlacedMask(mask, a % (shape[0] - 9), b % (shape[1] - 11))
        free = (self.objects.plane()[placed.slices] == 0) & mask
        if self.objects.replace("Add an object", [], [placed]):
            whole = np.zeros(shape, dtype=bool)
            whole[placed.slices] = free
            self.accepted.append(whole)

    def slide(self, a: int, b: int) -> None:
        values = THRESHOLDS[a % len(THRESHOLDS)], THRESHOLDS[b % len(THRESHOLDS)]
        names = ("pred_iou_thresh", "stability_score_thresh")
        self.session.show(self.session.config.replace(**dict(zip(names, values, strict=True))))

    def tune(self, a: int, b: int) -> None:
        self.session.start_search(Goal(), STUDY)
        self.session.evaluators = self.search.evaluators
        self.session.add_trials(self.search.trials[: 8 + a % N_TRIALS])

    def choose(self, a: int, b: int) -> None:
        if self.session.trials:
            self.session.choose(a % len(self.session.trials))

    def undo(self, a: int, b: int) -> None:
        self._there_and_back(self.controller.history.undo, self.controller.history.redo)

    def redo(self, a: int, b: int) -> None:
        self._there_and_back(self.controller.history.redo, self.controller.history.undo)

    def _there_and_back(self, there: Callable[[], None], back: Callable[[], None]) -> None:
        history = self.controller.history
        name = history.undo_text if there == history.undo else history.redo_text
        before = self.session.edits, self.shown()
        there()
        if name:
            back()
            assert self.session.edits == before[0]
            np.testing.assert_array_equal(self.shown(), before[1])
            there()
            # What is undone is not accepted any more.
            kept = [self.bank.masks.dense(i) for i in self.session.edits.pinned]
            self.accepted = [m for m in self.accepted if any(k[m].all() for k in kept)]

    def apply(self, a: int, b: int) -> None:
        shown = self.shown()
        layer = self.controller.apply()
        assert layer is not None
        np.testing.assert_array_equal(layer.data, shown)
        assert layer.metadata[RECIPE_KEY] == self.session.recipe().to_dict()

    def restart(self, a: int, b: int) -> None:
        recipe = Recipe.from_dict(json.loads(json.dumps(self.session.recipe().to_dict())))
        self._open(Result(self.bank, select(self.bank, recipe.config)), recipe)

    # --- promises -----------------------------------------------------------------------------

    def shown(self) -> np.ndarray:
        return np.array(self.viewer.layers[PREVIEW_NAME].data)

    def check(self) -> None:
        shown = self.shown()
        np.testing.assert_array_equal(shown, self.controller.labels())
        recipe = Recipe.from_dict(json.loads(json.dumps(self.session.recipe().to_dict())))
        edits = restore_edits(recipe, self.bank.image, self.bank.masks)
        again = run(segment_bank(self.bank, recipe.config, edits))
        np.testing.assert_array_equal(again.labels, shown)
        assert self.session.n_objects >= shown.max()
        for mask in self.accepted:
            assert shown[mask].all(), "an accepted object is gone"


ACTIONS = ("delete", "lock", "merge", "split", "add", "slide", "tune", "choose", "undo", "redo",
           "apply", "restart")  # fmt: skip


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("seed", range(60))
def test_any_sequence_of_actions_keeps_the_promises(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window = Window()
    for name in rng.choice(ACTIONS, size=14):
        getattr(window, name)(*rng.integers(0, 10_000, size=2).tolist())
        window.check()


@pytest.mark.usefixtures("qapp")
def test_undoing_everything_returns_to_the_start_bit_for_bit() -> None:
    window = Window()
    start = window.shown()
    for k, name in enumerate(("delete", "add", "merge", "lock", "split", "delete", "add")):
        getattr(window, name)(7 * k + 3, 11 * k + 5)
    end = window.shown()
    history = window.controller.history
    count = 0
    while history.undo_text:
        history.undo()
        count += 1
    assert count >= 5
    assert window.session.edits == Edits()
    np.testing.assert_array_equal(window.shown(), start)
    while history.redo_text:
        history.redo()
    np.testing.assert_array_equal(window.shown(), end)
