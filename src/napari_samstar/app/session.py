"""The only mutable state of the plugin: values are replaced, never changed in place.

It holds no viewer and no widget, and it is written on the GUI thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.edits import Edits

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.masks.painting import Painting
    from napari_samstar.core.results.recipe import Recipe, Tuning
    from napari_samstar.core.results.result import Result
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig, Trial
    from napari_samstar.core.tuning.evaluator import EvaluatorSet
    from napari_samstar.core.tuning.front import Front
    from napari_samstar.core.tuning.record import StudyRecord

NO_EDITS = Edits()

INVALIDATES: dict[str, tuple[str, ...]] = {
    "result": (
        "evaluators",
        "study_config",
        "trials",
        "front",
        "chosen",
        "edits",
        "earlier",
    ),
    "trials": ("front",),
    "goal": ("front",),
}
"""What a change invalidates. `front` is made anew at once, the rest by the next run.

`result` counts as changed only where its bank is another one: new masks from the same
candidates leave a tuning run valid.
"""

_EMPTY: dict[str, Any] = {"trials": (), "edits": NO_EDITS}


@dataclass(eq=False)
class Session:
    """What one viewer's panels share.

    Attributes
    ----------
    result : Result, optional
        The latest segmented plane, with its bank.
    evaluators : EvaluatorSet, optional
        Of this plane, and of the images tuned with it; made by a search.
    config : AmgConfig
        The settings on show.
    selection : Selection, optional
        The masks on show.
    goal : Goal, optional
        Weights; None until a panel that shows them is open.
    study_config : StudyConfig, optional
        How `trials` were searched.
    trials : tuple of Trial
        Of the current search.
    front : Front, optional
        The trials under the goal.
    chosen : int, optional
        Position in `trials` of the one on show.
    rule : str
        "knee" or "best" where the trial was chosen by that rule; empty where the user clicked it.
    edits : Edits
        Objects that the user kept, corrected, drew or deleted, whatever the settings say.
    loaded : Recipe, optional
        A recipe that was opened, for the panels to show.
    earlier : StudyRecord, optional
        A search on this very image that an earlier session stored.
    select_elsewhere : callable, optional
        Selects the masks of a large image, which takes too long to wait for, and sets `selection`
        later.
    decode_elsewhere : callable, optional
        Decodes the candidates of a configuration that the bank lacks, and calls `decoded`.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    result: Result | None = None
    evaluators: EvaluatorSet | None = None
    config: AmgConfig = field(default_factory=AmgConfig)
    selection: Selection | None = None
    goal: Goal | None = None
    study_config: StudyConfig | None = None
    trials: tuple[Trial, ...] = ()
    front: Front | None = None
    chosen: int | None = None
    rule: str = ""
    edits: Edits = NO_EDITS
    loaded: Recipe | None = None
    earlier: StudyRecord | None = None
    select_elsewhere: Callable[[AmgConfig], None] | None = None
    decode_elsewhere: Callable[[AmgConfig], None] | None = None

    @property
    def settings(self) -> AmgConfig:
        """The settings on show, with the scale of tiles that was chosen for the image.

        They are what every tool works with: the search starts from them, and the image is segmented
        again with them.
        """
        if self.config.tile_scale is None and self.result is not None:
            return self.config.replace(tile_scale=self.result.config.tile_scale)
        return self.config

    def set_result(self, result: Result) -> None:
        """Take over a new result; drop what belonged to another bank."""
        same_bank = self.result is not None and self.result.bank is result.bank
        if not same_bank:
            self._reset(*INVALIDATES["result"])
        self.result = result
        if not same_bank:
            self._restore_edits(result)
        self.config = result.config
        self.selection = result.selection

    def clear(self) -> None:
        """Drop the segmented image and all that was derived from it."""
        self._reset(*INVALIDATES["result"])
        self.selection = None
        self.result = None

    def load(self, recipe: Recipe) -> None:
        """Take over a recipe's settings and goal; its model and intensities are the panels'."""
        from napari_samstar.core.rewards.goal import Goal

        if recipe.tuning is not None:
            self.set_goal(Goal.from_dict(recipe.tuning.goal))
        self.show(recipe.config)
        self.loaded = recipe
        if self.result is not None:
            self._restore_edits(self.result)

    def start_search(self, goal: Goal, study_config: StudyConfig) -> None:
        """Drop the trials of an earlier search."""
        self._reset("trials", "front", "chosen")
        self.goal = goal
        self.study_config = study_config

    def add_trials(self, new: tuple[Trial, ...]) -> None:
        """Append to the current search, and rebuild the front."""
        self.trials = (*self.trials, *new)
        self._rebuild_front()

    def set_goal(self, goal: Goal) -> None:
        """Take over weights; the front is rebuilt at once, without SAM."""
        self.goal = goal
        self._rebuild_front()

    def choose(self, position: int, rule: str = "") -> None:
        """Show the masks of one trial; where its candidates are not in the bank, decode them first.

        They are not after an earlier search is gone on with in a new session, and in a large image,
        whose trials were made on parts of it.

        Parameters
        ----------
        rule : {"", "knee", "best"}
            By which the trial was chosen, for the recipe; empty where the user clicked it.
        """
        if self.result is None or not 0 <= position < len(self.trials):
            return
        self.rule = rule
        self.chosen = position
        self.config = self.trials[position].config
        if self._can_select(self.config):
            self._select(self.config)
            return
        # What is on show would be other objects than the trial's.
        self.selection = None
        if self.decode_elsewhere is not None:
            self.decode_elsewhere(self.config)

    def decoded(self, bank: ProposalBank, config: AmgConfig) -> None:
        """Show the masks of settings whose candidates were decoded, if they are still wanted."""
        wanted = self.result is not None and self.result.bank is bank and self.config == config
        if wanted and self._can_select(config):
            self._select(config)

    def show(self, config: AmgConfig) -> bool:
        """Show the masks of `config`; False where the bank lacks its candidates."""
        self.config = config
        if not self._can_select(config):
            return False
        self.chosen = None
        self._select(config)
        return True

    def recipe(self) -> Recipe | None:
        """Return what repeats the masks on show; None where there are none."""
        from napari_samstar.core.results.result import recipe_of

        if self.result is None or self.selection is None:
            return None
        return recipe_of(self.result.bank, self.selection.config, self.edits, self._tuning())

    @property
    def painting(self) -> Painting | None:
        """The label image on show: selected masks and the user's edits; None without a result."""
        from napari_samstar.core.results.result import painting_of

        if self.result is None or self.selection is None:
            return None
        return painting_of(self.result.bank, self.selection, self.edits)

    @property
    def n_objects(self) -> int:
        """How many objects are on show."""
        if self.result is None or self.selection is None:
            return 0
        left = self.edits.left(self.result.bank.masks, self.selection.ids)
        return len(left) + len(self.edits.pinned)

    def _can_select(self, config: AmgConfig) -> bool:
        """Return whether the bank has the candidates of `config`; of tiles, any of them."""
        if self.result is None or config.tile_scale is None:
            return False
        bank = self.result.bank
        return not bank.missing([config]) or (bool(config.tile_scale) and bank.has_some(config))

    def _select(self, config: AmgConfig) -> None:
        from napari_samstar.core.amg.select import select

        assert self.result is not None
        if self.select_elsewhere is not None and self.result.image.is_large:
            self.select_elsewhere(config)
        else:
            self.selection = select(self.result.bank, config, partial=True)

    def _restore_edits(self, result: Result) -> None:
        from napari_samstar.core.results.result import restore_edits

        if self.loaded is not None and (self.loaded.pinned or self.loaded.dropped):
            self.edits = restore_edits(self.loaded, result.image, result.bank.masks)

    def _tuning(self) -> Tuning | None:
        """Return how the trial on show was found; None where settings were set by hand."""
        from napari_samstar.api.study import tuning_of

        known = self.front, self.study_config, self.evaluators, self.chosen
        front, study_config, evaluators, chosen = known
        if front is None or study_config is None or evaluators is None or chosen is None:
            return None
        # Other weights may have made another trial the knee, or the best, since
        still = bool(self.rule) and getattr(front, self.rule) == chosen
        picked = self.rule if still else "by hand"
        return tuning_of(front, study_config, evaluators, chosen, picked)

    def _rebuild_front(self) -> None:
        from napari_samstar.core.tuning.front import front

        if self.goal is not None and self.trials:
            self.front = front(self.trials, self.goal)

    def _reset(self, *names: str) -> None:
        for name in names:
            setattr(self, name, _EMPTY.get(name))
