"""The only mutable state of the plugin: values are replaced, never changed in place.

It holds no viewer and no widget, and it is written on the GUI thread only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor

from napari_samstar.core.amg.config import AmgConfig

if TYPE_CHECKING:
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.results.recipe import Recipe
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig, Trial
    from napari_samstar.core.tuning.front import Front
    from napari_samstar.core.tuning.joint import EvaluatorSet
    from napari_samstar.core.tuning.record import StudyRecord
    from napari_samstar.core.tuning.workflow import Segmented

INVALIDATES: dict[str, tuple[str, ...]] = {
    "segmented": (
        "evaluators",
        "study_config",
        "trials",
        "front",
        "chosen",
        "pinned",
        "earlier",
    ),
    "trials": ("front",),
    "goal": ("front",),
}
"""What a change makes worthless. `front` is made anew at once, the rest by the next run.

`segmented` counts as changed only where its bank is another one: new masks from the same
candidates leave a tuning run valid.
"""


@dataclass(eq=False)
class Session:
    """What one viewer's panels share.

    Attributes
    ----------
    segmented : Segmented, optional
        The latest segmented plane, with its bank.
    evaluators : EvaluatorSet, optional
        Measures the bank's masks, and those of other images tuned with it; made by a tuning.
    config : AmgConfig
        The settings on show.
    selection : Selection, optional
        The masks on show.
    goal : Goal, optional
        Weights; None until a panel that shows them is open.
    study_config : StudyConfig, optional
        How `trials` were searched.
    trials : tuple of Trial
        Of the current tuning.
    front : Front, optional
        `trials` seen through `goal`.
    chosen : int, optional
        Position in `trials` of the one on show.
    pinned : tuple of int
        Ids of masks that the user keeps, whatever the settings say.
    loaded : Recipe, optional
        A recipe that was opened, for the panels to show.
    earlier : StudyRecord, optional
        A search on this very image that an earlier session left in the journal.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    segmented: Segmented | None = None
    evaluators: EvaluatorSet | None = None
    config: AmgConfig = field(default_factory=AmgConfig)
    selection: Selection | None = None
    goal: Goal | None = None
    study_config: StudyConfig | None = None
    trials: tuple[Trial, ...] = ()
    front: Front | None = None
    chosen: int | None = None
    pinned: tuple[int, ...] = ()
    loaded: Recipe | None = None
    earlier: StudyRecord | None = None

    def set_segmented(self, segmented: Segmented) -> None:
        """Take over a new outcome; forget what belonged to another bank."""
        same_bank = self.segmented is not None and self.segmented.bank is segmented.bank
        if not same_bank:
            self._reset(*INVALIDATES["segmented"])
        self.segmented = segmented
        if not same_bank:
            self._restore_pinned(segmented)
        self.config = segmented.selection.config
        self.selection = segmented.selection

    def forget(self) -> None:
        """Let go of the segmented image and of all that came of it."""
        self._reset(*INVALIDATES["segmented"])
        self.selection = None
        self.segmented = None

    def load(self, recipe: Recipe) -> None:
        """Take over a recipe's settings and goal; its model and intensities are the panels'."""
        from napari_samstar.core.rewards.goal import Goal

        if "goal" in recipe.tuning:
            self.set_goal(Goal.from_dict(recipe.tuning["goal"]))
        self.show(recipe.config)
        self.loaded = recipe
        if self.segmented is not None:
            self._restore_pinned(self.segmented)

    def start_tuning(self, goal: Goal, study_config: StudyConfig) -> None:
        """Forget the evaluations of an earlier run."""
        self._reset("trials", "front", "chosen")
        self.goal = goal
        self.study_config = study_config

    def add_trials(self, new: tuple[Trial, ...]) -> None:
        """Append to the current run, and rebuild the front."""
        self.trials = (*self.trials, *new)
        self._rebuild_front()

    def set_goal(self, goal: Goal) -> None:
        """Take over weights; the front moves at once, without SAM."""
        self.goal = goal
        self._rebuild_front()

    def choose(self, position: int) -> None:
        """Show the masks of one evaluation. Its candidates are in the bank already."""
        from napari_samstar.core.amg.select import select

        if self.segmented is None or not 0 <= position < len(self.trials):
            return
        self.chosen = position
        self.config = self.trials[position].config
        self.selection = select(self.segmented.bank, self.config)

    def show(self, config: AmgConfig) -> bool:
        """Show the masks of `config`; False where the bank lacks its candidates."""
        from napari_samstar.core.amg.select import select

        self.config = config
        if self.segmented is None or self.segmented.bank.missing([config]):
            return False
        self.chosen = None
        self.selection = select(self.segmented.bank, config)
        return True

    def recipe(self) -> Recipe | None:
        """Return how the masks on show came about; None where there are none."""
        from napari_samstar.core.amg.pinned import describe
        from napari_samstar.core.results.recipe import make_recipe

        if self.segmented is None or self.selection is None:
            return None
        s = self.segmented
        pinned = describe(s.bank.masks, self.pinned)
        config = self.selection.config
        return make_recipe(s.image, s.mapping, s.model, config, self._tuning(), pinned)

    def _restore_pinned(self, segmented: Segmented) -> None:
        from napari_samstar.core.amg.pinned import of_recipe

        if self.loaded is not None and self.loaded.pinned:
            self.pinned = of_recipe(self.loaded, segmented.image, segmented.bank.masks)

    def _tuning(self) -> dict[str, Any]:
        if (
            self.chosen is None
            or self.goal is None
            or self.evaluators is None
            or self.study_config is None
        ):
            return {}
        trial = self.trials[self.chosen]
        images = self.evaluators.about()
        return {
            "goal": self.goal.to_dict(),
            "scope": self.study_config.scope,
            "seed": self.study_config.seed,
            "population": self.study_config.population,
            "trials": len(self.trials),
            "expectations_px": self.evaluators.first.expectations.to_dict(),
            "picked": "by hand",
            "rewards": trial.rewards,
            **({"images": images} if images else {}),
        }

    def _rebuild_front(self) -> None:
        from napari_samstar.core.tuning.front import front

        if self.goal is not None and self.trials:
            self.front = front(self.trials, self.goal)

    def _reset(self, *names: str) -> None:
        for name in names:
            setattr(self, name, () if name in ("trials", "pinned") else None)
