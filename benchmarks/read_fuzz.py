"""Write TIFF files of many kinds and compare what is read with the picture that was meant.

    python -m benchmarks.read_fuzz --n 600 > read_fuzz.json

Each file is either read as the reference picture or refused in one sentence; "wrong" counts those
that are neither.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import random
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.registry import read_image

SIZES = {"T": 2, "C": 3, "Z": 4}
ROWS, COLS = 48, 40
DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32",
          "float64", "complex64")  # fmt: skip
COMPRESSIONS = (None, None, "zlib", "lzw", "packbits", "lzma", "zstd")


@dataclass
class Case:
    """One file: what is written, and what should be read.

    Attributes
    ----------
    about : dict
        What kind of file it is.
    pages : list of (array, options)
        For `TiffWriter.write`.
    expected : ndarray
    axes : str
        Those that should be read.
    """

    about: dict[str, Any]
    expected: np.ndarray
    axes: str
    pages: list[tuple[np.ndarray, dict[str, Any]]] = field(default_factory=list)
    writer: dict[str, Any] = field(default_factory=dict)
    name: str = "a.tif"
    tolerance: float = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps(measure(args.n, args.seed), indent=2))


def measure(n: int, seed: int) -> dict[str, Any]:
    """Return how many files were read, refused, not written and read wrong."""
    outcomes: collections.Counter[str] = collections.Counter()
    refused: collections.Counter[str] = collections.Counter()
    wrong = []
    for case in itertools.islice(cases(seed), n):
        outcome, said = tried(case)
        outcomes[outcome] += 1
        if outcome == "refused":
            refused[said.replace(case.name, "FILE")] += 1
        elif outcome == "wrong":
            wrong.append({**case.about, "said": said})
    return {"n": n, "seed": seed, **outcomes, "wrong": len(wrong),
            "refused_by": dict(refused.most_common()), "wrong_cases": wrong}  # fmt: skip


def tried(case: Case) -> tuple[str, str]:
    """Write a file and read it: "read", "refused", "wrong" or "not written", and why."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / case.name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with tifffile.TiffWriter(path, **case.writer) as writer:
                    for array, options in case.pages:
                        writer.write(array, **options)
        except Exception as error:  # tifffile does not write every combination
            return "not written", str(error)
        try:
            image = read_image(path)
            found = np.asarray(image.array)
        except UserError as error:
            return "refused", str(error)
        except Exception as error:
            return "wrong", f"{type(error).__name__}: {error}"
    if image.axes != case.axes:
        return "wrong", f"axes {image.axes} of {found.shape} instead of {case.axes}"
    if found.shape != case.expected.shape or not _equal(found, case):
        return "wrong", f"other values, {found.shape} {found.dtype}"
    return "read", ""


def _equal(found: np.ndarray, case: Case) -> bool:
    if not case.tolerance:
        return bool(np.array_equal(found, case.expected))
    return bool(np.abs(found.astype(float) - case.expected).max() <= case.tolerance)


def cases(seed: int) -> Iterator[Case]:
    """Yield files without end."""
    choose = random.Random(seed)
    kinds = (grey, grey, stack, stack, stack, colours, colours, palette, inks, ycbcr, jpeg,
             channels, alpha, pyramid, thumbnail, label_page)  # fmt: skip
    while True:
        made = choose.choice(kinds)(choose)
        made.writer |= {
            "bigtiff": choose.random() < 0.15,
            "byteorder": choose.choice("<>"),
            **made.writer,
        }
        made.about |= made.writer
        yield made


# --- parts of files -----------------------------------------------------------------------------


def values(choose: random.Random, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(choose.getrandbits(32))
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.4
    if kind == "c":
        return (rng.random(shape) + 1j * rng.random(shape)).astype(dtype)
    if kind == "f":
        return (rng.normal(100, 30, shape)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def layout(choose: random.Random, dtype: str) -> dict[str, Any]:
    """Return compression, predictor, tiles or strips."""
    options: dict[str, Any] = {}
    compression = choose.choice(COMPRESSIONS)
    if compression and dtype != "bool":
        options["compression"] = compression
        if compression in ("zlib", "lzw", "zstd") and choose.random() < 0.5:
            options["predictor"] = True
    if choose.random() < 0.35:
        options["tile"] = choose.choice([(16, 16), (32, 16), (64, 64)])
    elif choose.random() < 0.5:
        options["rowsperstrip"] = choose.choice([1, 7, 48])
    return options


def one(case: Case, array: np.ndarray, options: dict[str, Any]) -> Case:
    case.pages.append((array, options))
    case.about |= {k: str(v) for k, v in options.items() if k != "colormap"}
    case.about |= {"dtype": str(array.dtype), "shape": array.shape}
    return case


# --- kinds of files -----------------------------------------------------------------------------


def grey(choose: random.Random) -> Case:
    dtype = choose.choice(DTYPES)
    array = values(choose, (ROWS, COLS), dtype)
    white = choose.random() < 0.35 and dtype not in ("complex64",)
    options = layout(choose, dtype) | {"photometric": "miniswhite" if white else "minisblack",
                                       "metadata": None}  # fmt: skip
    expected = array
    if white:
        expected = -array if array.dtype.kind == "f" else ~array
    return one(Case({"kind": "grey"}, expected, "YX"), array, options)


def stack(choose: random.Random) -> Case:
    n = choose.choice([1, 2, 2, 3])
    letters = "".join(choose.sample("TCZ", n))
    how = choose.choice(["ome", "imagej", "axes"])
    dtype = choose.choice(["uint8", "uint16", "float32"])
    if how == "imagej":
        letters = "".join(a for a in "TZC" if a in letters)
    array = values(choose, (*(SIZES[a] for a in letters), ROWS, COLS), dtype)
    options = {} if how == "imagej" else layout(choose, dtype)
    options |= {"photometric": "minisblack", "metadata": {"axes": letters + "YX"}}
    case = Case({"kind": "stack", "how": how, "axes": letters}, array, letters + "YX")
    case.name = "a.ome.tif" if how == "ome" else "a.tif"
    case.writer = {"imagej": True, "bigtiff": False} if how == "imagej" else {"ome": how == "ome"}
    return one(case, array, options)


def colours(choose: random.Random) -> Case:
    dtype = choose.choice(["uint8", "uint8", "uint16", "float32"])
    array = values(choose, (ROWS, COLS, 3), dtype)
    planar = choose.choice(["contig", "separate"])
    leading = choose.random() < 0.3
    if leading:
        array = values(choose, (4, ROWS, COLS, 3), dtype)
    stored = array if planar == "contig" else np.moveaxis(array, -1, -3)
    options = layout(choose, dtype) | {"photometric": "rgb", "planarconfig": planar}
    if leading:
        options["metadata"] = {"axes": "ZYXS" if planar == "contig" else "ZSYX"}
    return one(Case({"kind": "colours"}, array, "ZYXS" if leading else "YXS"), stored, options)


def palette(choose: random.Random) -> Case:
    dtype = choose.choice(["uint8", "uint16"])
    n = 2 ** (8 * np.dtype(dtype).itemsize)
    array = values(choose, (ROWS, COLS), dtype)
    rng = np.random.default_rng(choose.getrandbits(32))
    is_grey = choose.random() < 0.3
    table = rng.integers(0, 256, (3, n)).astype(np.uint16)
    if is_grey:
        table[:] = table[0]
    options = layout(choose, dtype) | {"photometric": "palette", "colormap": table * 257}
    expected = table.T.astype(np.uint8)[array]
    if is_grey:
        return one(Case({"kind": "grey palette"}, expected[..., 0], "YX"), array, options)
    return one(Case({"kind": "palette"}, expected, "YXS"), array, options)


def inks(choose: random.Random) -> Case:
    dtype = choose.choice(["uint8", "uint16"])
    planar = choose.choice(["contig", "separate"])
    array = values(choose, (ROWS, COLS, 4), dtype)
    most = float(np.iinfo(dtype).max)
    share = array / most
    expected = np.rint((1 - share[..., :3]) * (1 - share[..., 3:]) * most).astype(dtype)
    stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
    options = layout(choose, dtype) | {"photometric": "separated", "planarconfig": planar}
    return one(Case({"kind": "CMYK"}, expected, "YXS"), stored, options)


def ycbcr(choose: random.Random) -> Case:
    y, cb, cr = np.moveaxis(values(choose, (ROWS, COLS, 3), "uint8").astype(float), -1, 0)
    array = np.stack([y, cb, cr], axis=-1).astype(np.uint8)
    rgb = np.stack([y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128),
                    y + 1.772 * (cb - 128)], axis=-1)  # fmt: skip
    options = layout(choose, "uint8") | {"photometric": "ycbcr", "subsampling": (1, 1)}
    case = Case({"kind": "YCbCr"}, np.clip(rgb, 0, 255), "YXS", tolerance=2)
    return one(case, array, options)


def jpeg(choose: random.Random) -> Case:
    """Return a smooth picture, which JPEG changes little; its colours are stored as YCbCr."""
    n = choose.choice([1, 3])
    rows, cols = np.mgrid[:96, :96]  # whole tiles: JPEG blurs their padding into the edge
    array = np.stack([rows + 40, cols * 2, 200 - rows], axis=-1).astype(np.uint8)
    array = array if n == 3 else array[..., 0]
    options: dict[str, Any] = {"compression": choose.choice(["jpeg", "webp", "jpeg2000"])}
    if n == 1 and options["compression"] == "webp":
        options["compression"] = "jpeg"
    options["photometric"] = "rgb" if n == 3 else "minisblack"
    if choose.random() < 0.5:
        options["tile"] = (32, 32)
    case = Case({"kind": "lossy"}, array, "YXS" if n == 3 else "YX", tolerance=16)
    return one(case, array, options)


def channels(choose: random.Random) -> Case:
    """Return grey with further samples that are not said to be transparency."""
    dtype = choose.choice(["uint8", "uint16", "float32"])
    n = choose.choice([2, 3, 4, 5])
    planar = choose.choice(["contig", "separate"])
    array = values(choose, (n, ROWS, COLS), dtype)
    stored = array if planar == "separate" else np.moveaxis(array, 0, -1)
    options = layout(choose, dtype) | {"photometric": "minisblack", "planarconfig": planar,
                                       "extrasamples": ["unspecified"] * (n - 1)}  # fmt: skip
    return one(Case({"kind": "samples"}, array, "CYX"), stored, options)


def alpha(choose: random.Random) -> Case:
    dtype = choose.choice(["uint8", "uint16"])
    n = choose.choice([1, 3])
    planar = choose.choice(["contig", "separate"])
    array = values(choose, (ROWS, COLS, n + 1), dtype)
    stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
    extra = choose.choice(["unassalpha", "assocalpha"])
    options = layout(choose, dtype) | {"photometric": "rgb" if n == 3 else "minisblack",
                                       "planarconfig": planar, "extrasamples": [extra]}  # fmt: skip
    expected, axes = (array[..., :3], "YXS") if n == 3 else (array[..., 0], "YX")
    return one(Case({"kind": "alpha"}, expected, axes), stored, options)


def pyramid(choose: random.Random) -> Case:
    dtype = choose.choice(["uint8", "uint16"])
    colour = choose.random() < 0.5
    array = values(choose, (128, 96, 3) if colour else (128, 96), dtype)
    options = {"photometric": "rgb" if colour else "minisblack", "tile": (32, 32)}
    case = Case({"kind": "pyramid"}, array, "YXS" if colour else "YX")
    case.writer = {"ome": choose.random() < 0.5}
    case.name = "a.ome.tif" if case.writer["ome"] else "a.tif"
    one(case, array, options | {"subifds": 2})
    for step in (2, 4):
        case.pages.append((array[::step, ::step], options | {"subfiletype": 1}))
    return case


def thumbnail(choose: random.Random) -> Case:
    """Return a file whose first image is a small version of the second."""
    array = values(choose, (ROWS * 4, COLS * 4), "uint8")
    options = {"photometric": "minisblack", "metadata": None}
    said = choose.random() < 0.5
    case = Case({"kind": "thumbnail", "said": said}, array, "YX")
    case.pages.append((array[::4, ::4], options | {"subfiletype": 1 if said else 0}))
    return one(case, array, options | {"subfiletype": 0})


def label_page(choose: random.Random) -> Case:
    """Return an image that is followed by a photograph of the slide's label."""
    array = values(choose, (ROWS * 3, COLS * 3), "uint8")
    label = values(choose, (40, 90, 3), "uint8")
    case = Case({"kind": "label page"}, array, "YX")
    one(case, array, {"photometric": "minisblack", "metadata": None})
    case.pages.append((label, {"photometric": "rgb", "metadata": None}))
    return case


if __name__ == "__main__":
    main()
