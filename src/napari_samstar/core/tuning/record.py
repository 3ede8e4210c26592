"""One search as a journal knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import StudyConfig, Trial


@dataclass(frozen=True)
class StudyRecord:
    """One search as a journal knows it.

    Attributes
    ----------
    name : str
        Unique.
    goal : Goal
    study_config : StudyConfig
    fingerprint : dict
        What raw rewards depend on besides image, model and settings: sizes, expectations.
    software : str
        Version of napari-samstar.
    started : str
        Time, ISO 8601.
    trials : tuple of Trial
        In the order they were made; those that an earlier run had made are only there.
    inputs : dict
        See `inputs.SearchInputs.to_dict`; empty where the search was started by a command.
    """

    name: str
    goal: Goal
    study_config: StudyConfig
    fingerprint: dict[str, Any]
    software: str
    started: str
    trials: tuple[Trial, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the run's line in the file, JSON-ready."""
        return {
            "run": self.name,
            "goal": self.goal.to_dict(),
            "study": self.study_config.to_dict(),
            "fingerprint": self.fingerprint,
            "software": self.software,
            "started": self.started,
            "inputs": self.inputs,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], trials: Sequence[dict[str, Any]]) -> StudyRecord:
        """Undo `to_dict` and `Trial.to_dict`."""
        return cls(
            name=str(values["run"]),
            goal=Goal.from_dict(values["goal"]),
            study_config=StudyConfig.from_dict(values["study"]),
            fingerprint=dict(values["fingerprint"]),
            software=str(values["software"]),
            started=str(values["started"]),
            trials=tuple(Trial.from_dict(e) for e in trials),
            inputs=dict(values.get("inputs", {})),
        )

    def same_fingerprint(self, fingerprint: Mapping[str, Any]) -> bool:
        """Return whether the raw rewards hold under `fingerprint` too."""
        return self.fingerprint == plain(fingerprint)

    def same_search(self, goal: Goal, study_config: StudyConfig) -> bool:
        """Return whether `goal` and `study_config` ask for this very search, at any budget."""
        own, other = self.study_config.to_dict(), study_config.to_dict()
        for values in (own, other):
            del values["trials"], values["starts"], values["cost"]
        return own == other and self.goal.to_dict() == goal.to_dict()


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as they come back from a file: lists for tuples, text for keys."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
