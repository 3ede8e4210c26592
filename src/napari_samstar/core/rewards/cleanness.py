"""Rewards for masks that are whole objects, each found once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.rewards.registry import reward
from napari_samstar.core.rewards.view import FOREGROUND_FITS

if TYPE_CHECKING:
    from napari_samstar.core.rewards.view import View

PRECISION_WEIGHT = 0.25
"""beta squared of the F measure of `boundary`: F_0.5 gives precision more weight than recall."""

OUTLINED_SHARE = 0.5
"""Share of a contour on intensity edges, above chance, from which a mask counts as outlined."""


@reward(
    label="Overlap, no duplicates",
    help="Objects may overlap; a second mask of an object, or a mask inside another, counts "
    "against.",
    objective=1,
    weight=0.1,
)
def overlap_fidelity(view: View) -> float:
    """Share of masks that are no duplicates, paired with the objects found.

    m_i is a duplicate of m_j (a_i <= a_j) where IoU(m_i, m_j) >= 0.6 or |m_i and m_j| / a_i >= 0.9.
    A partly hidden neighbour (IoU below 0.6) is not. After the overlap objective of SAM*
    (arXiv 2509.07047), which gives no formula.
    """
    return view.paired(1 - float(view.duplicates.mean()))


@reward(
    label="No object in pieces",
    help="A mask that is a fragment of a larger one, or is separated from its neighbour where the "
    "image has no edge, counts against.",
    objective=1,
    weight=0.1,
)
def no_oversegmentation(view: View) -> float:
    """Share of masks that are no fragments, paired with the objects found.

    m_i is a fragment of m_j (a_i <= a_j) where 0.9 of it lies inside m_j, or where at least 0.2
    of its contour is within 2 px of m_j and less than 0.35 of this contact lies on an intensity
    edge. Both ends of a contact (3 px each) are left out if it is longer. Ours, after the
    over-segmentation objective of SAM* (arXiv 2509.07047).
    """
    return view.paired(1 - float(view.fragments.mean()))


@reward(
    label="No objects merged",
    help="A mask over several separate objects counts against.",
    objective=1,
    weight=0.0,
    applies=lambda view: view.attainable.coverage >= FOREGROUND_FITS,
)
def no_merging(view: View) -> float:
    """Share of masks that do not merge separate regions, paired with the objects found.

    m_i merges regions where it contains two or more connected regions of F: at least 0.9 of each
    of them, and each at least 0.1 of a_i, so that specks inside an object do not count. Ours.
    Objects that touch are one region of F, so a mask over both is not detected.
    """
    merged = view.features.regions(view.ids) > 1
    return view.paired(1 - float(merged.mean()))


@reward(
    label="Outlines on edges",
    help="Outlines follow the edges in the image, and few edges are without an outline.",
    objective=1,
    weight=0.3,
    applies=lambda view: view.features.n_edges > 0,
)
def boundary(view: View) -> float:
    """F_0.5 of contours against intensity edges: 1.25 H / (C + 0.25 E).

    C is the length of all contours, E that of all edges (px), H the contour length on edges above
    chance: the sum of c_i max(0, (s_i - p) / (1 - p)) over masks that are no fragments, with c_i
    the contour length of m_i, s_i the share of it within 2 px of an edge and p the share of the
    image within 2 px of an edge. Precision has more weight than recall because texture has edges
    without an outline. After the boundary F measure (Martin, Fowlkes and Malik, TPAMI 2004).
    """
    features = view.features
    length, chance = features.contour_length(view.ids), features.edge_share
    above = np.clip((features.on_edge(view.ids) - chance) / max(1 - chance, 1e-9), 0, 1)
    hits = float((above * length)[~view.fragments].sum())
    total = float(length.sum())
    return (1 + PRECISION_WEIGHT) * hits / max(total + PRECISION_WEIGHT * features.n_edges, 1)


@reward(
    label="Every object outlined",
    help="Each object, however small, has an outline that is visible in the image.",
    objective=1,
    weight=0.0,
    applies=lambda view: view.features.n_edges > 0,
)
def outlined(view: View) -> float:
    """Share of masks with (s_i - p) / (1 - p) >= 0.5, paired with the objects found.

    s_i is the share of m_i's contour within 2 px of an edge, p the share of the image within 2 px
    of an edge. `boundary` weighs masks by the length of their outline; here each mask counts the
    same, so that many small false masks lower the reward. Ours.
    """
    chance = view.features.edge_share
    above = (view.features.on_edge(view.ids) - chance) / max(1 - chance, 1e-9)
    return view.paired(float((above >= OUTLINED_SHARE).mean()))


@reward(
    label="Contrast",
    help="Each object differs in brightness from its surroundings.",
    objective=1,
    weight=0.0,
)
def contrast(view: View) -> float:
    """Mean of D / (D + S), paired with the objects found.

    D is the difference of the mean intensities inside m_i and in a ring around it, a fifth of d_i
    wide (2 to 8 px); S is the pooled standard deviation of both, at least 1 % of the range. Ours.
    """
    return view.paired(float(view.features.contrast(view.ids).mean()))


@reward(
    label="Even inside",
    help="The intensity varies little within each object.",
    objective=1,
    weight=0.0,
)
def homogeneity(view: View) -> float:
    """1 - V / V_image, paired with the objects found.

    V is the variance of the intensity within masks, averaged with the areas as weights; V_image is
    that of the whole image. After the uniformity criterion of Levine and Nazif (TPAMI 1985).
    """
    whole = view.features.image_variance
    within = float(np.average(view.features.variance(view.ids), weights=np.maximum(view.areas, 1)))
    return view.paired(max(0.0, 1 - within / whole) if whole > 0 else 1.0)


@reward(
    label="SAM's confidence",
    help="Predicted IoU and stability of the masks are high.",
    objective=1,
    weight=0.0,
)
def confidence(view: View) -> float:
    """Mean of predicted IoU and stability, each clipped to [0, 1]; paired. Ours."""
    chosen = view.selection
    scores = np.concatenate([chosen.predicted_iou, np.nan_to_num(chosen.stability)])
    return view.paired(float(np.clip(scores, 0, 1).mean()))
