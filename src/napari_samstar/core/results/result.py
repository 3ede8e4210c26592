"""What one configuration finds on one image."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_samstar.core.amg import pinned as pinned_masks
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


@dataclass(frozen=True, eq=False)
class Result:
    """The objects that one configuration keeps on one image, and how they came about.

    Attributes
    ----------
    bank : ProposalBank
        Image, model and all candidates.
    selection : Selection
        The masks that the configuration keeps.
    pinned : tuple of int
        Ids of masks in the bank's store that the user keeps against the settings.
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
    pinned: tuple[int, ...] = ()
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
        return recipe_of(self.bank, self.config, self.pinned, self.tuning)

    @cached_property
    def painting(self) -> Painting:
        """The label image, to be read window by window."""
        return Painting.of(self.bank.masks, self.selection.ids, self.pinned)

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


def segment_bank(
    bank: ProposalBank,
    config: AmgConfig,
    pinned: tuple[int, ...] = (),
    *,
    first: CropBox | None = None,
    decode: DecodeParts | None = None,
    **about: Any,
) -> Generator[Progress, None, Result]:
    """Decode what a configuration needs, and select masks.

    Parameters
    ----------
    pinned : tuple of int
        Ids of masks that are kept whatever the settings say.
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
    return Result(bank, selection, pinned, **about)


def recipe_of(
    bank: ProposalBank,
    config: AmgConfig,
    pinned: tuple[int, ...] = (),
    tuning: Tuning | None = None,
) -> Recipe:
    """Return what repeats the masks that a configuration keeps of a bank."""
    described = pinned_masks.describe(bank.masks, pinned)
    return make_recipe(bank.image, bank.model, config, tuning, described)


def restore_pinned(recipe: Recipe, image: Micrograph, store: MaskStore) -> tuple[int, ...]:
    """Add a recipe's pinned masks to a store and return their ids.

    On another image than the recipe's they mean nothing, and there are none.
    """
    if image.key != recipe.image.get("key"):
        return ()
    return pinned_masks.restore(store, recipe.pinned)
