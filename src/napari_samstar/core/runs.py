"""One search as a journal knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_samstar.core.goal import Goal
from napari_samstar.core.plan import Evaluation, Plan


@dataclass(frozen=True)
class Run:
    """One search as a journal knows it.

    Attributes
    ----------
    name : str
        Unique.
    goal : Goal
    plan : Plan
    judged_by : dict
        What raw rewards depend on besides image, model and settings: sizes, expectations.
    software : str
        Version of napari-samstar.
    started : str
        Time, ISO 8601.
    evaluations : tuple of Evaluation
        In the order they were made; those that an earlier run had made are only there.
    told : dict
        See `told.Told.to_dict`; empty where the search was started by a command.
    """

    name: str
    goal: Goal
    plan: Plan
    judged_by: dict[str, Any]
    software: str
    started: str
    evaluations: tuple[Evaluation, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the run's line in the file, JSON-ready."""
        return {
            "run": self.name,
            "goal": self.goal.to_dict(),
            "plan": self.plan.to_dict(),
            "judged_by": self.judged_by,
            "software": self.software,
            "started": self.started,
            "told": self.told,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], evaluations: Sequence[dict[str, Any]]) -> Run:
        """Undo `to_dict` and `Evaluation.to_dict`."""
        return cls(
            name=str(values["run"]),
            goal=Goal.from_dict(values["goal"]),
            plan=Plan.from_dict(values["plan"]),
            judged_by=dict(values["judged_by"]),
            software=str(values["software"]),
            started=str(values["started"]),
            evaluations=tuple(Evaluation.from_dict(e) for e in evaluations),
            told=dict(values.get("told", {})),
        )

    def judged_alike(self, judged_by: Mapping[str, Any]) -> bool:
        """Return whether the raw rewards hold under `judged_by` too."""
        return self.judged_by == plain(judged_by)

    def same_search(self, goal: Goal, plan: Plan) -> bool:
        """Return whether `goal` and `plan` ask for this very search, at any budget."""
        own, other = self.plan.to_dict(), plan.to_dict()
        for values in (own, other):
            del values["evaluations"], values["starts"]
        return own == other and self.goal.to_dict() == goal.to_dict()


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as they come back from a file: lists for tuples, text for keys."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
