"""What OME-XML says of an image: names of channels, and which planes a file of a set holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree import ElementTree

Element: TypeAlias = ElementTree.Element

_DIMENSIONS = "TZC"


@dataclass(frozen=True)
class Channels:
    """Names and colours ("#rrggbb") of the channels of an image; empty where not all have one."""

    names: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class FilePart:
    """The planes of an image set that one of its files holds.

    Attributes
    ----------
    n_files : int
        How many files the set has.
    axis : str
        The letter along which the file's planes differ; Q where it is not told.
    """

    n_files: int
    axis: str


def parsed(xml: str | None) -> Element | None:
    """Return the root of OME-XML; None where there is none, or it is not well-formed."""
    try:
        return None if not xml else ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None


def pixels_of(root: Element | None, index: int = 0) -> Element | None:
    """Return the Pixels element of an image; None without."""
    found = [] if root is None else [e for e in root.iter() if _name(e) == "Pixels"]
    return found[index] if index < len(found) else None


def channels_of(root: Element | None, index: int = 0) -> Channels:
    """Return names and colours of the channels of an image."""
    pixels = pixels_of(root, index)
    if pixels is None:
        return Channels()
    channels = [e for e in pixels if _name(e) == "Channel"]
    names = tuple(e.attrib.get("Name", "").strip() for e in channels)
    colours = tuple(_colour(e.attrib.get("Color", "")) for e in channels)
    return Channels(names if all(names) else (), colours if all(colours) else ())


def file_part(root: Element | None, file_name: str) -> FilePart | None:
    """Return what a file of a set holds; None for a file that holds all of its image.

    A file that was renamed is known by the UUID of the document in it.
    """
    if root is None:
        return None
    blocks = list(_blocks(root))
    files = {uuid for uuid, _, _ in blocks}
    if _binary_only(root):
        return FilePart(2, "Q")
    if len(files) < 2:
        return None
    own_id = root.attrib.get("UUID", "")
    own = [(first, n) for uuid, first, n in blocks if uuid == own_id] or [
        (first, n) for name, first, n in _blocks(root, by_name=True) if name == file_name.lower()
    ]
    places = [first for first, _ in own]
    varying = [k for k in range(len(_DIMENSIONS)) if len({p[k] for p in places}) > 1]
    several = any(n != 1 for _, n in own)
    known = len(varying) == 1 and not several
    return FilePart(len(files), _DIMENSIONS[varying[0]] if known else "Q")


def _blocks(root: Element, *, by_name: bool = False) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Yield the file, the first plane and the number of planes of each block of data."""
    for block in root.iter():
        if _name(block) != "TiffData":
            continue
        uuid = next((e for e in block if _name(e) == "UUID"), None)
        if uuid is None:
            continue
        file = uuid.attrib.get("FileName", "").lower() if by_name else (uuid.text or "").strip()
        first = tuple(int(block.attrib.get(f"First{a}", 0)) for a in _DIMENSIONS)
        yield file, first, int(block.attrib.get("PlaneCount", 1))


def _binary_only(root: Element) -> bool:
    """Return whether the description of the image is in another file."""
    return any(_name(e) == "BinaryOnly" for e in root)


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _colour(text: str) -> str:
    """Return "#rrggbb" of a signed 32-bit integer, RGBA; empty if it is none."""
    try:
        value = int(text) % 2**32
    except ValueError:
        return ""
    return f"#{value >> 8:06x}"
