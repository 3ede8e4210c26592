"""A picture of the model's results at the defaults: best and worst cases.

    python -m training.contact_sheet -o docs/images/model_card.png

Per family, `--candidates` held-out synthetic micrographs are scored; the ones with the best and the
worst F1 are shown. Real micrographs are not shown because of their licences.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from PIL import Image
from skimage.segmentation import find_boundaries

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.masks.metrics import score
from napari_samstar.core.models.loading import load
from training import held_out, synth
from training.everything import EncodedImage

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel

FAMILIES = tuple(f for f in synth.FAMILIES if f != "empty")
TRUE, MATCHED, WRONG = (255, 209, 92), (90, 220, 130), (255, 95, 105)  # RGB
INK, PAPER, MARGIN = (40, 44, 52), (255, 255, 255), 8
TITLES = {
    "tem": "bright-field TEM", "stem": "HAADF-STEM", "sem": "SEM powder", "fluo": "fluorescence",
    "phase": "phase contrast", "brightfield": "bright field, cells", "tissue": "EM tissue",
    "alloy": "etched alloy", "tiles": "grains",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """One micrograph with its true and its found labels (H, W)."""

    family: str
    number: int
    image: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    f1: float


def score_image(model: LoadedModel, family: str, k: int, size: int) -> ScoredImage:
    source = held_out.one_synthetic("test", family, k, size)
    labels = EncodedImage.of(model, source.image).labels(AmgConfig(prompts="centres"))
    f1 = score(source.label, labels).f1
    return ScoredImage(family, k, source.image, source.label, labels, f1)


def best_and_worst(candidates: list[ScoredImage]) -> tuple[ScoredImage, ScoredImage]:
    """The images with the best and the worst F1; the first ones if several are equal."""
    order = sorted(candidates, key=lambda s: (-s.f1, s.number))
    return order[0], order[-1]


def sheet(rows: list[tuple[ScoredImage, ScoredImage]], side: int) -> np.ndarray:
    """RGB picture, a row per family: best left, worst right, each with true and found labels."""
    lines = [_line([_panel(s, side) for s in row]) for row in rows]
    return np.concatenate([_header(lines[0].shape[1], side), *lines])


def _panel(one: ScoredImage, side: int) -> np.ndarray:
    matched = _matched(one)
    truth = _outlined(one.image, one.truth, np.full(one.truth.max() + 1, True), TRUE, TRUE, side)
    found = _outlined(one.image, one.labels, matched, MATCHED, WRONG, side)
    gap = np.full((side, MARGIN // 2, 3), PAPER, np.uint8)
    both = np.concatenate([truth, gap, found], 1)
    n_matched, n_true = int(matched[1:].sum()), len(np.unique(one.truth[one.truth > 0]))
    text = f"{TITLES[one.family]}   F1 {one.f1:.2f}   {n_matched} of {n_true} objects, "
    text += f"{len(matched) - 1 - n_matched} wrong"
    return np.concatenate([_text(text, both.shape[1], 22), both])


def _matched(one: ScoredImage) -> np.ndarray:
    """Whether each found label matches an object at IoU 0.5; index 0 is background."""
    from napari_samstar.core.masks.metrics import iou_matrix

    out = np.zeros(one.labels.max() + 1, bool)
    ious = iou_matrix(one.truth, one.labels)
    if ious.size:
        out[1:] = ious.max(0) >= 0.5
    return out


def _outlined(
    image: np.ndarray,
    labels: np.ndarray,
    good: np.ndarray,
    colour: tuple[int, int, int],
    other: tuple[int, int, int],
    side: int,
) -> np.ndarray:
    """The image at `side` px, with outlines in `colour` if `good[label]`, else in `other`."""
    gray = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    big = cv2.resize(labels.astype(np.int32), (side, side), interpolation=cv2.INTER_NEAREST)
    edge = find_boundaries(big, mode="inner")
    out = np.repeat(gray[..., None], 3, 2)
    out[edge] = np.where(good[big[edge]][:, None], colour, other)
    return out


def _line(panels: list[np.ndarray]) -> np.ndarray:
    height = panels[0].shape[0]
    gap = np.full((height, MARGIN, 3), PAPER, np.uint8)
    parts = [gap]
    for panel in panels:
        parts += [panel, gap]
    line = np.concatenate(parts, 1)
    return np.concatenate([line, np.full((MARGIN, line.shape[1], 3), PAPER, np.uint8)])


def _header(width: int, side: int) -> np.ndarray:
    out = np.full((58, width, 3), PAPER, np.uint8)
    half = 2 * side + MARGIN // 2
    for x, words in ((MARGIN, "The better by F1"), (2 * MARGIN + half, "The worse")):
        cv2.putText(out, words, (x, 24), cv2.FONT_HERSHEY_DUPLEX, 0.62, INK, 1, cv2.LINE_AA)
        at = x
        for label, colour in (
            ("truth", TRUE), ("found, IoU at least 0.5", MATCHED), ("found, wrong", WRONG),
        ):  # fmt: skip
            cv2.rectangle(out, (at, 37), (at + 14, 47), colour, -1)
            cv2.putText(
                out, label, (at + 20, 47), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA
            )
            (wide, _), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
            at += 34 + wide
    return out


def _text(words: str, width: int, height: int) -> np.ndarray:
    out = np.full((height, width, 3), PAPER, np.uint8)
    cv2.putText(out, words, (0, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return out


def draw(
    output: Path,
    model: str = "pocket",
    candidates: int = 2,
    size: int = 384,
    side: int = 192,
) -> None:
    """Score `candidates` micrographs of each family, and write the sheet as PNG.

    `size` is their side in px, `side` a panel's side in px.
    """
    loaded = load(model, "cpu")
    rows = []
    for family in FAMILIES:
        images = [score_image(loaded, family, k, size) for k in range(candidates)]
        rows.append(best_and_worst(images))
    _with_palette(sheet(rows, side)).save(output, optimize=True)


def _with_palette(picture: np.ndarray) -> Image.Image:
    """The picture with a palette of greys and outline colours: a third of the file size."""
    greys = [(v, v, v) for v in range(0, 256, 4)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([v for colour in (TRUE, MATCHED, WRONG, PAPER, *greys) for v in colour])
    return Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", default="pocket", help="registry name or checkpoint")
    parser.add_argument("--candidates", type=int, default=2, help="micrographs per family")
    args = parser.parse_args()
    torch.set_num_threads(1)
    draw(args.output, args.model, args.candidates)


if __name__ == "__main__":
    main()
