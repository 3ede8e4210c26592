"""What a diagnosis says, and what it is made from besides the trials."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Remark:
    """One thing that a search shows.

    Attributes
    ----------
    kind : str
        Which one, for programs; see `diagnose`.
    seen : str
        What was seen, with its number: one sentence.
    step : str
        What to do next: one sentence.
    """

    kind: str
    seen: str
    step: str

    def to_dict(self) -> dict[str, str]:
        """Return JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class OneFilter:
    """The filter that alone rejects the most candidates.

    Attributes
    ----------
    setting : str
        Field of `AmgConfig`; empty for the edges of crops, which no threshold decides.
    alone : int
        Candidates that it rejects and that pass all others.
    value, looser : float
        Of the setting, and one at which more pass.
    more : int
        Masks more that `looser` keeps, duplicates removed.
    """

    setting: str
    alone: int
    value: float = 0.0
    looser: float = 0.0
    more: int = 0


@dataclass(frozen=True)
class Evidence:
    """What the images that were tuned on say about the masks of one trial, all together.

    Attributes
    ----------
    covered : float
        Share of the estimated foreground that the masks cover; NaN without foreground.
    inside : float
        Share of the masks' area that lies in the foreground; NaN without masks.
    polarity : str
        "bright", "dark", or empty where the images differ: how the objects were taken to be.
    candidates, kept : int
        Masks that SAM proposed, and those that the trial keeps.
    strictest : OneFilter
    images : int
        How many they are.
    """

    covered: float
    inside: float
    polarity: str
    candidates: int
    kept: int
    strictest: OneFilter
    images: int = 1
