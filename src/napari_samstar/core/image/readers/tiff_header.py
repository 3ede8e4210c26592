"""The metadata of one image of an open TIFF file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_samstar.core.image.readers.ome_xml import parsed, pixels_of

if TYPE_CHECKING:
    from tifffile import TiffFile


@dataclass(frozen=True, eq=False)
class Header:
    """The metadata of one image of an open TIFF file.

    Attributes
    ----------
    tif : TiffFile
    index : int
        Of the image among those of the file.
    """

    tif: TiffFile
    index: int

    @cached_property
    def ome(self) -> dict[str, str]:
        """What OME-XML says of the image's pixels; empty without."""
        text = str(self.tif.pages.first.description or "")
        root = parsed(text) if "<OME" in text[:2000] or ":OME" in text[:2000] else None
        pixels = pixels_of(root, self.index)
        return {} if pixels is None else dict(pixels.attrib)

    @cached_property
    def page(self) -> Any:
        """The first page of the image."""
        return self.tif.series[self.index].keyframe

    def tag(self, code: int | str) -> Any:
        """Return the value of a tag of the image's first page, or of the file's; None without."""
        for page in (self.page, self.tif.pages.first):
            tag = page.tags.get(code)
            if tag is not None:
                return tag.value
        return None

    def text(self, code: int | str) -> str:
        """Return a tag as text, whatever its type; empty without."""
        value = self.tag(code)
        if isinstance(value, tuple | list):
            value = bytes(v % 256 for v in value)
        return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")

    @property
    def resolution(self) -> tuple[float | None, float | None]:
        """The (row, col) size of a pixel in the unit of the resolution tags."""
        return self._pixel_length("YResolution"), self._pixel_length("XResolution")

    @property
    def resolution_unit(self) -> str:
        """The unit of the resolution tags; an inch where none is given, as TIFF says."""
        unit = self.tag("ResolutionUnit")
        return {2: "inch", 3: "cm"}.get(int(unit) if unit is not None else 2, "")

    @property
    def imagej_unit(self) -> str:
        """The unit that ImageJ gives for the resolution tags; empty without."""
        return str((self.tif.imagej_metadata or {}).get("unit", ""))

    def _pixel_length(self, name: str) -> float | None:
        try:
            pixels, units = self.tag(name)
            return float(units) / float(pixels)
        except (TypeError, ValueError, ZeroDivisionError):
            return None
