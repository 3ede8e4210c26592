"""What the tags of a TIFF image say of its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.samples import SampleMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTOMETRIC = tifffile.PHOTOMETRIC
_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MASK)
_BASE = {
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
    **dict.fromkeys(_GREY, 1),
}
"""Samples of each pixel without the extra ones."""

_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_CMYK = 1
"""InkSet of cyan, magenta, yellow and black."""


@dataclass(frozen=True, eq=False)
class Samples:
    """How the samples of an image are read.

    Attributes
    ----------
    maps : tuple of SampleMap
        Applied one after the other, samples last.
    are_channels : bool
        Whether the samples are channels, not colours.
    notes : tuple of str
        What was decided or left out.
    """

    maps: tuple[SampleMap, ...] = ()
    are_channels: bool = False
    notes: tuple[str, ...] = ()


def samples_of(page: Any, name: str) -> Samples:
    """Return how the samples of a page are read, by its tags.

    Parameters
    ----------
    page : tifffile.TiffPage
        The key frame of a series.
    name : str
        Of the file, for errors.

    Raises
    ------
    UserError
        For colours that are not read here.
    """
    kind, n = page.photometric, page.samplesperpixel
    if kind not in _BASE:
        stored = getattr(kind, "name", str(kind))
        raise UserError(
            f"{name} stores its colours as {stored}, which is not read here: save it as RGB or "
            "grey."
        )
    if kind == PHOTOMETRIC.YCBCR:
        return _ycbcr(page, name)
    if kind == PHOTOMETRIC.SEPARATED:
        _check_inks(page, name)
    n_extra = n - _BASE[kind]
    if n_extra < 0:
        raise UserError(
            f"{name} has {n} samples per pixel, which is not enough for its kind of colours: "
            "save it again as RGB or grey."
        )
    notes = _notes_on_extra(page, n_extra)
    if kind in _GREY:
        return _grey(page, n_extra, notes)
    if kind == PHOTOMETRIC.PALETTE:
        palette = _palette(page, name)
        first = (SampleMap("first"),) if n_extra else ()
        return Samples((*first, SampleMap("palette", palette)), notes=notes)
    if kind == PHOTOMETRIC.SEPARATED:
        note = "Its inks (CMYK) were turned into red, green and blue."
        return Samples((SampleMap("cmyk"),), notes=(note, *notes))
    return Samples((SampleMap("colours"),) if n_extra else (), notes=notes)


def _grey(page: Any, n_extra: int, notes: tuple[str, ...]) -> Samples:
    maps: tuple[SampleMap, ...] = ()
    are_channels = n_extra > 0 and not _is_alpha(page, n_extra)
    if n_extra and not are_channels:
        maps = (SampleMap("first"),)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        maps += (_inverted(page),)
        notes += ("The file stores white as zero, so it was inverted.",)
    return Samples(maps, are_channels, () if are_channels else notes)


def _inverted(page: Any) -> SampleMap:
    """Return what makes bright what is dark, also where fewer bits are stored than a type has."""
    if page.dtype.kind == "f":
        return SampleMap("negative")
    bits = page.bitspersample
    fewer = page.dtype.kind == "u" and 1 < bits < 8 * page.dtype.itemsize
    return SampleMap("invert", most=2**bits - 1 if fewer else None)


def _is_alpha(page: Any, n_extra: int) -> bool:
    """Return whether the only extra sample of a pixel is its transparency."""
    return n_extra == 1 and page.extrasamples[-1:] in [(one,) for one in _ALPHA]


def _notes_on_extra(page: Any, n_extra: int) -> tuple[str, ...]:
    if not n_extra:
        return ()
    if n_extra == 1 and (_is_alpha(page, n_extra) or page.photometric == PHOTOMETRIC.RGB):
        return ("Its transparency was left out.",)
    return (f"{n_extra} further samples of each pixel were left out.",)


def _ycbcr(page: Any, name: str) -> Samples:
    if page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG):
        return Samples()  # decoded as RGB
    subsampled = tuple(page.subsampling or (1, 1)) != (1, 1)
    if subsampled or page.dtype != np.uint8 or page.samplesperpixel != 3:
        raise UserError(
            f"{name} stores its colours as subsampled or deep YCbCr without JPEG, which is not "
            "read here: save it as RGB."
        )
    return Samples((SampleMap("ycbcr"),), notes=("YCbCr was turned into red, green and blue.",))


def _check_inks(page: Any, name: str) -> None:
    tag = page.tags.get("InkSet")
    other = tag is not None and int(tag.value) != _CMYK
    if other or page.samplesperpixel < 4 or page.dtype.kind != "u":
        raise UserError(
            f"{name} stores inks other than cyan, magenta, yellow and black: save it as RGB."
        )


def _palette(page: Any, name: str) -> NDArray[np.uint8]:
    """Return the colours of a palette, uint8 (n, 3); (n,) where all of them are grey."""
    table = page.colormap
    if table is None or page.dtype.kind not in "bu":
        raise UserError(f"{name} has no palette for its colours: save it as RGB or grey.")
    # 16-bit entries; some writers fill only the lower 8 bits.
    table = np.asarray(table, dtype=np.uint16).T
    found: NDArray[np.uint8] = (table if table.max() < 256 else table >> 8).astype(np.uint8)
    is_grey = (found == found[:, :1]).all()
    return np.ascontiguousarray(found[:, 0]) if is_grey else found
