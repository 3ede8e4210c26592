"""Draw data bars below real and drawn images; count bars found, and false alarms without one.

python -m benchmarks.data_bar --micrographs DIR > data_bar.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_samstar import sample_data
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.data_bar import DataBar, find_data_bar
from napari_samstar.core.image.planes import find_plane
from napari_samstar.core.image.readers.registry import read_image, suffixes

KINDS = ("white on black", "black on white", "framed", "two lines", "at the top", "JPEG")
NEAR = 3  # px between the true and the found height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--micrographs", type=Path)
    args = parser.parse_args()
    print(json.dumps(measure(args.micrographs), indent=2))


def measure(folder: Path | None) -> dict[str, object]:
    planes = dict(images(folder))
    alarms = [name for name, plane in planes.items() if found_in(plane) is not None]
    found = {kind: {"n": 0, "found": 0, "missed": []} for kind in KINDS}
    for k, (name, plane) in enumerate(planes.items()):
        kind = KINDS[k % len(KINDS)]
        image, height = with_bar(plane, kind, np.random.default_rng(k))
        bar = found_in(image)
        right = bar is not None and abs(bar.row1 - bar.row0 - height) <= NEAR
        right = right and (bar.row0 == 0) == (kind == "at the top")
        found[kind]["n"] += 1
        found[kind]["found"] += bool(right)
        if not right:
            found[kind]["missed"].append(f"{name}: {height} rows, {bar}")
    return {"images_without_a_bar": len(planes), "false_alarms": alarms, "with_a_bar": found}


def found_in(plane: np.ndarray) -> DataBar | None:
    """Return the bar that is found in an image."""
    return find_data_bar(plane.shape[:2], lambda rows: plane[rows])


def images(folder: Path | None):
    """Yield name and plane of samples and real micrographs, those of label files left out."""
    paths = [sample_data.path(name) for name in sample_data.names()]
    if folder is not None:
        paths += sorted(p for p in folder.rglob("*") if p.name.lower().endswith(suffixes()))
    for path in paths:
        if any(word in str(path).lower() for word in ("label", "truth", "mask", "gt", "annot")):
            continue
        try:
            image = read_image(path)
            plane = find_plane(image.array, image.mapping, image.rgb, image.axes)
            values = plane.parts[0].values()
        except UserError:
            continue
        if min(values.shape[:2]) >= 200:
            yield str(path), values


def with_bar(plane: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return an image with a bar as microscopes draw it, 8-bit, and the bar's height."""
    grey = plane.astype(float).mean(axis=2) if plane.ndim == 3 else plane.astype(float)
    low, high = np.nanpercentile(grey, [0.1, 99.9])
    grey = np.nan_to_num(np.clip((grey - low) / max(high - low, 1e-9), 0, 1) * 255)
    rows, cols = grey.shape
    height = int(rng.integers(max(24, rows // 20), max(30, rows // 8)))
    dark = kind != "black on white"
    paper, ink = (0, 255) if dark else (255, 0)
    bar = Image.new("L", (cols, height), paper)
    pen = ImageDraw.Draw(bar)
    size = int(height * (0.35 if kind == "two lines" else 0.5))
    font = ImageFont.load_default(size)
    words = "HV 10.0 kV  WD 5.0 mm  mag 50 000 x  HFW 4.16 um"
    y = height // 8
    while pen.textlength(words, font) > cols * 0.6 and len(words) > 12:
        words = words[: words.rindex(" ")].rstrip()
    pen.text((8, y), words, fill=ink, font=font)
    if kind == "two lines":
        pen.text((8, y + int(1.2 * size)), words[::-1], fill=ink, font=font)
    x0 = int(cols * 0.7)
    pen.rectangle((x0, height // 2, x0 + cols // 6, height // 2 + max(2, height // 12)), fill=ink)
    if kind == "framed":
        pen.rectangle((0, 0, cols - 1, height - 1), outline=ink)
    parts = [grey, np.asarray(bar, dtype=float)]
    image = np.vstack(parts[::-1] if kind == "at the top" else parts).astype(np.uint8)
    if kind == "JPEG":
        import io

        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=85)
        image = np.asarray(Image.open(stream))
    return image, height


if __name__ == "__main__":
    main()
