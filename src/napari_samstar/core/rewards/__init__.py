"""Rewards: named measures of the quality of a selection of masks, without ground truth.

Every reward lies in [0, 1], higher is better, and is 0 for an empty selection. A reward that
could be raised by deleting masks is paired with the objects that are found, relative to those that
are attainable, by the harmonic mean (`View.paired`), so that it is high only where both are. A
reward whose inputs are missing, in the image or from the user, is left out.

Symbols: kept masks m_i with area a_i (px) and equivalent diameter d_i = 2 sqrt(a_i / pi), union U,
N masks kept, foreground estimate F, small and large diameters d_S and d_L.
"""

# isort: off
# The order of these is that of the rows in panels and tables.
from napari_samstar.core.rewards import finding
from napari_samstar.core.rewards import cleanness
from napari_samstar.core.rewards import statistics
from napari_samstar.core.rewards import shapes
from napari_samstar.core.rewards import annotated

# isort: on
from napari_samstar.core.rewards.registry import (
    GROUP,
    REWARDS,
    Reward,
    load_user_rewards,
    reward,
)
from napari_samstar.core.rewards.view import AttainableLevels, View, evaluate

__all__ = [
    "GROUP",
    "REWARDS",
    "AttainableLevels",
    "Reward",
    "View",
    "annotated",
    "cleanness",
    "evaluate",
    "finding",
    "load_user_rewards",
    "reward",
    "shapes",
    "statistics",
]

load_user_rewards()
