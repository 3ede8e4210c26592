"""Recipes of older versions, brought up to the present one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_samstar.core.errors import UserError

VERSION = 3
"""Of the recipes that are written now."""

Values = dict[str, Any]


def migrated(values: Values) -> Values:
    """Return a recipe's values as the present version has them, without format and version.

    Raises
    ------
    UserError
        Where the recipe is of a newer version, or of none.
    """
    version = values.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise UserError(
            f"The recipe has version {version!r}, this program reads up to {VERSION}: "
            "update napari-samstar."
        )
    found = {k: v for k, v in values.items() if k not in ("format", "version")}
    for older in range(version, VERSION):
        found = _STEPS[older](found)
    return found


def _from_1(values: Values) -> Values:
    """Version 2 calls "rescued" objects "pinned", and has one schema of how settings were found.

    Version 1 had two: the command line wrote "plan", the panels its entries side by side.
    """
    found = dict(values)
    found["pinned"] = found.pop("rescued", [])
    tuning = dict(found.get("tuning") or {})
    if not tuning:
        return found | {"tuning": None}
    plan = tuning.pop("plan", None)
    if plan is None:
        plan = {k: tuning.pop(k) for k in ("scope", "seed", "population") if k in tuning}
        plan["trials"] = tuning.get("evaluations", 0)
    else:
        plan = {"trials" if k == "evaluations" else k: v for k, v in plan.items()}
    tuning["trials"] = tuning.pop("evaluations", 0)
    return found | {"tuning": tuning | {"study": plan}}


def _from_2(values: Values) -> Values:
    """Version 3 also remembers objects that the user deleted."""
    return values | {"dropped": []}


_STEPS: dict[int, Callable[[Values], Values]] = {1: _from_1, 2: _from_2}
