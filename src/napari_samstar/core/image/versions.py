"""The names of what SAM may be shown of an image; `shown` makes it."""

from __future__ import annotations

from dataclasses import dataclass

from napari_samstar.core.errors import UserError

ORIGINAL, MAIN_COLOUR = "original", "main_colour"


@dataclass(frozen=True)
class Version:
    """One way to show an image to SAM: a few words and one sentence, for people."""

    label: str
    help: str


VERSIONS = {
    ORIGINAL: Version("As it is", "The pixels themselves."),
    "inverted": Version(
        "Inverted", "Dark becomes bright. Some models see bright objects better than dark ones."
    ),
    "smoothed": Version("Smoothed", "Less noise: helps where SAM breaks objects into grains."),
    "local_contrast": Version(
        "Local contrast", "Faint objects become as clear as strong ones; noise grows too."
    ),
    MAIN_COLOUR: Version(
        "Main colour as grey", "Of a colour image, the one shade in which it varies most."
    ),
}
"""By the value of the setting `shown`; recipes hold these names."""


def check_shown(name: str) -> None:
    """Raise UserError where there is no version of this name."""
    if name not in VERSIONS:
        raise UserError(
            f"There is no shown={name!r}: an image is shown as one of {', '.join(VERSIONS)}."
        )
