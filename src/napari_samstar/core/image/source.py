"""What to segment and with which model, before anything is read or loaded; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_samstar.core.image.prepare import prepare

if TYPE_CHECKING:
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.micrograph import Micrograph


@dataclass(frozen=True, eq=False)
class Source:
    """A plane of an image that nobody has looked at yet; see `images.prepare`."""

    array: Any
    mapping: ImageMapping
    rgb: bool | None = None
    pixel_size: tuple[float, float] | None = None
    unit: str = "px"
    name: str = "image"

    def read(self) -> Micrograph:
        """Return what SAM sees of it."""
        return prepare(
            self.array,
            self.mapping,
            rgb=self.rgb,
            pixel_size=self.pixel_size,
            unit=self.unit,
            name=self.name,
        )


@dataclass(frozen=True)
class ModelChoice:
    """Which model, as `models.load` takes it, and on which device."""

    name: str = "pocket"
    device: str = "auto"
