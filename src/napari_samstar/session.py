"""The only mutable state of the plugin: values are replaced, never changed in place.

It holds no viewer and no widget, and it is written on the GUI thread only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor

from napari_samstar.core.config import AmgConfig

if TYPE_CHECKING:
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.joint import Jury
    from napari_samstar.core.pareto import Front
    from napari_samstar.core.recipe import Recipe
    from napari_samstar.core.runs import Run
    from napari_samstar.core.search import Evaluation, Plan
    from napari_samstar.core.select import Selection
    from napari_samstar.core.workflow import Segmented

INVALIDATES: dict[str, tuple[str, ...]] = {
    "segmented": ("jury", "plan", "evaluations", "front", "chosen", "rescued", "earlier"),
    "evaluations": ("front",),
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
    jury : Jury, optional
        Measures the bank's masks, and those of other images tuned with it; made by a tuning.
    config : AmgConfig
        The settings on show.
    selection : Selection, optional
        The masks on show.
    goal : Goal, optional
        Weights; None until a panel that shows them is open.
    plan : Plan, optional
        How `evaluations` were searched.
    evaluations : tuple of Evaluation
        Of the current tuning.
    front : Front, optional
        `evaluations` seen through `goal`.
    chosen : int, optional
        Position in `evaluations` of the one on show.
    rescued : tuple of int
        Ids of masks that the user keeps, whatever the settings say.
    loaded : Recipe, optional
        A recipe that was opened, for the panels to show.
    earlier : Run, optional
        A search on this very image that an earlier session left in the journal.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    segmented: Segmented | None = None
    jury: Jury | None = None
    config: AmgConfig = field(default_factory=AmgConfig)
    selection: Selection | None = None
    goal: Goal | None = None
    plan: Plan | None = None
    evaluations: tuple[Evaluation, ...] = ()
    front: Front | None = None
    chosen: int | None = None
    rescued: tuple[int, ...] = ()
    loaded: Recipe | None = None
    earlier: Run | None = None

    def set_segmented(self, segmented: Segmented) -> None:
        """Take over a new outcome; forget what belonged to another bank."""
        same_bank = self.segmented is not None and self.segmented.bank is segmented.bank
        if not same_bank:
            self._reset(*INVALIDATES["segmented"])
        self.segmented = segmented
        if not same_bank:
            self._restore_rescued(segmented)
        self.config = segmented.selection.config
        self.selection = segmented.selection

    def forget(self) -> None:
        """Let go of the segmented image and of all that came of it."""
        self._reset(*INVALIDATES["segmented"])
        self.selection = None
        self.segmented = None

    def load(self, recipe: Recipe) -> None:
        """Take over a recipe's settings and goal; its model and intensities are the panels'."""
        from napari_samstar.core.goal import Goal

        if "goal" in recipe.tuning:
            self.set_goal(Goal.from_dict(recipe.tuning["goal"]))
        self.show(recipe.config)
        self.loaded = recipe
        if self.segmented is not None:
            self._restore_rescued(self.segmented)

    def start_tuning(self, goal: Goal, plan: Plan) -> None:
        """Forget the evaluations of an earlier run."""
        self._reset("evaluations", "front", "chosen")
        self.goal = goal
        self.plan = plan

    def add_evaluations(self, new: tuple[Evaluation, ...]) -> None:
        """Append to the current run, and rebuild the front."""
        self.evaluations = (*self.evaluations, *new)
        self._rebuild_front()

    def set_goal(self, goal: Goal) -> None:
        """Take over weights; the front moves at once, without SAM."""
        self.goal = goal
        self._rebuild_front()

    def choose(self, position: int) -> None:
        """Show the masks of one evaluation. Its candidates are in the bank already."""
        from napari_samstar.core.select import select

        if self.segmented is None or not 0 <= position < len(self.evaluations):
            return
        self.chosen = position
        self.config = self.evaluations[position].config
        self.selection = select(self.segmented.bank, self.config)

    def show(self, config: AmgConfig) -> bool:
        """Show the masks of `config`; False where the bank lacks its candidates."""
        from napari_samstar.core.select import select

        self.config = config
        if self.segmented is None or self.segmented.bank.missing([config]):
            return False
        self.chosen = None
        self.selection = select(self.segmented.bank, config)
        return True

    def recipe(self) -> Recipe | None:
        """Return how the masks on show came about; None where there are none."""
        from napari_samstar.core.recipe import make_recipe
        from napari_samstar.core.rescue import describe

        if self.segmented is None or self.selection is None:
            return None
        s = self.segmented
        rescued = describe(s.bank.masks, self.rescued)
        config = self.selection.config
        return make_recipe(s.image, s.mapping, s.model, config, self._tuning(), rescued)

    def _restore_rescued(self, segmented: Segmented) -> None:
        from napari_samstar.core.rescue import of_recipe

        if self.loaded is not None and self.loaded.rescued:
            self.rescued = of_recipe(self.loaded, segmented.image, segmented.bank.masks)

    def _tuning(self) -> dict[str, Any]:
        if self.chosen is None or self.goal is None or self.jury is None or self.plan is None:
            return {}
        evaluation = self.evaluations[self.chosen]
        images = self.jury.about()
        return {
            "goal": self.goal.to_dict(),
            "scope": self.plan.scope,
            "seed": self.plan.seed,
            "population": self.plan.population,
            "evaluations": len(self.evaluations),
            "expectations_px": self.jury.first.expectations.to_dict(),
            "picked": "by hand",
            "rewards": evaluation.rewards,
            **({"images": images} if images else {}),
        }

    def _rebuild_front(self) -> None:
        from napari_samstar.core.pareto import front

        if self.goal is not None and self.evaluations:
            self.front = front(self.evaluations, self.goal)

    def _reset(self, *names: str) -> None:
        for name in names:
            setattr(self, name, () if name in ("evaluations", "rescued") else None)
