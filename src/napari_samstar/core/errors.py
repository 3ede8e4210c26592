"""The one error type that is meant to be read by the user."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend; its text is one clear sentence with the next step."""
