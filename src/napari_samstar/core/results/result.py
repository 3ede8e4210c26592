"""What one configuration finds on one image."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_samstar.core.amg import edits as edited
from napari_samstar.core.amg.edits import Edits
from napari_samstar.core.amg.select import select
from napari_samstar.core.masks.labels import measure_painting, measurements
from napari_samstar.core.masks.painting import Painting
from napari_samstar.core.progress import Progress
from napari_samstar.core.results.outputs import staged, write_result
from napari_samstar.core.results.recipe import Recipe, Tuning, make_recipe

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import DecodeParts, ProposalBank
    from napari_samstar.core.amg.candidates import CropBox
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.masks.painting import Labels
    from napari_samstar.core.masks.store import MaskStore
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.registry import ModelChoice
    from napari_samstar.core.tuning.front import Front

NO_EDITS = Edits()


@dataclass(frozen=True, eq=False)
class Result:
    """The objects that one configuration keeps on one image, and how they came about.

    Attributes
    ----------
    bank : ProposalBank
        Image, model and all candidates.
    selection : Selection
        The masks that the configuration keeps.
    edits : Edits
        What the user changed by hand; ids of masks in the bank's store.
    tuning : Tuning, optional
        How the settings were found; None where they were set by hand.
    front : Front, optional
        All trials, where a search found the settings.
    picked : int, optional
        Position in `front` of the trial whose settings these are.
    choice : ModelChoice, optional
        The model as the user chose it.
    """

    bank: ProposalBank
    selection: Selection
    edits: Edits = NO_EDITS
    tuning: Tuning | None = None
    front: Front | None = None
    picked: int | None = None
    choice: ModelChoice | None = None

    @property
    def image(self) -> Micrograph:
        """The image as SAM sees it."""
        return self.bank.image

    @property
    def model(self) -> LoadedModel:
        """The model."""
        return self.bank.model

    @property
    def config(self) -> AmgConfig:
        """The settings."""
        return self.selection.config

    @property
    def is_partial(self) -> bool:
        """Whether some tiles were not decoded yet."""
        return bool(self.config.tile_scale) and self.bank.missing([self.config]).prompts > 0

    @property
    def recipe(self) -> Recipe:
        """What repeats this result."""
        return recipe_of(self.bank, self.config, self.edits, self.tuning)

    @cached_property
    def painting(self) -> Painting:
        """The label image, to be read window by window."""
        return painting_of(self.bank, self.selection, self.edits)

    @cached_property
    def labels(self) -> Labels:
        """The label image: int32, shape (H, W), 0 is background."""
        return self.painting.whole()

    @cached_property
    def table(self) -> dict[str, NDArray[Any]]:
        """One row for each object, see `labels.measurements`."""
        if self.image.is_large:
            return measure_painting(self.painting, self.image)
        return measurements(self.labels, self.image)

    def save(self, folder: str | Path) -> list[str]:
        """Write recipe, labels, measurements and an overlay picture; returns the file names.

        An earlier result in the folder is replaced as a whole.
        """
        with staged(folder) as part:
            return write_result(self, part)

    def replace(self, **changes: Any) -> Result:
        """Return a copy with `changes` applied."""
        return replace(self, **changes)


def painting_of(bank: ProposalBank, selection: Selection, edits: Edits) -> Painting:
    """Return the label image of the selected masks with the user's edits."""
    return Painting.of(bank.masks, edits.left(bank.masks, selection.ids), edits.pinned)


def segment_bank(
    bank: ProposalBank,
    config: AmgConfig,
    edits: Edits = NO_EDITS,
    *,
    first: CropBox | None = None,
    decode: DecodeParts | None = None,
    **about: Any,
) -> Generator[Progress, None, Result]:
    """Decode what a configuration needs, and select masks.

    Parameters
    ----------
    edits : Edits
        What the user changed by hand.
    first : (x0, y0, x1, y1), optional
        A window of the image, px, whose tiles come first.
    decode : callable, optional
        See `ProposalBank.prepare`.
    **about
        Further fields of the `Result`.
    """
    yield from bank.prepare(config, first, decode)
    yield Progress(0, 0, "Putting tiles together" if config.tile_scale else "Selecting masks")
    selection = select(bank, config)
    return Result(bank, selection, edits, **about)


def recipe_of(
    bank: ProposalBank,
    config: AmgConfig,
    edits: Edits = NO_EDITS,
    tuning: Tuning | None = None,
) -> Recipe:
    """Return what repeats the objects that a configuration and the user keep of a bank."""
    return make_recipe(
        bank.image,
        bank.model,
        config,
        tuning,
        edited.describe(bank.masks, edits.pinned),
        edited.describe(bank.masks, edits.dropped),
    )


def restore_edits(recipe: Recipe, image: Micrograph, store: MaskStore) -> Edits:
    """Add the masks of a recipe's edits to a store.

    On another image than the recipe's they mean nothing, and there are none.
    """
    if image.key != recipe.image.get("key"):
        return NO_EDITS
    pinned, dropped = (edited.restore(store, m) for m in (recipe.pinned, recipe.dropped))
    return Edits(pinned, dropped)
