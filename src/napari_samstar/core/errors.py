"""The error type whose message is shown to the user."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix; its message is one sentence with the next step."""
