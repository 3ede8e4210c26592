"""SAM's attention as one fused operation each, in classes for `shadow.shadow`.

The image encoder adds to the score of query (r, c) and key (r', c') the products of the query with
a vector for r - r' and one for c - c'. Fused attention takes such sums as an additive bias.

Upstream's layers multiply, scale, normalise and multiply in separate steps, and keep all scores in
between: 3 GB in float32 for one global layer of ViT-H.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling import image_encoder as vit
from segment_anything.modeling import transformer as two_way
from torch import Tensor
from torch.nn import functional as F

_ALIGNMENT = 8  # numbers: the fused kernels want widths of multiples of it


class FusedImageAttention(vit.Attention):  # type: ignore[misc]
    """Self-attention of the image encoder, windowed or global: (B, H, W, C) to the same shape.

    Attributes
    ----------
    heads_at_once : int
        Heads whose bias is held at once; 0 means all.
    folded : bool
        Carry the relative positions as further channels of queries and keys instead of a bias. No
        table of all pairs is then made, but the scores take two to three times the multiplications.
    """

    heads_at_once: int = 0
    folded: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        b, h, w, c = x.shape
        qkv = self.qkv(x).view(b, h * w, 3, self.num_heads, c // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, HW, C / heads)
        step = self.heads_at_once or self.num_heads
        parts = [
            self._attend(q[:, i : i + step], k[:, i : i + step], v[:, i : i + step], (h, w))
            for i in range(0, self.num_heads, step)
        ]
        attended = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(b, h, w, c))
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, size: tuple[int, int]) -> Tensor:
        if not self.use_rel_pos:
            return F.scaled_dot_product_attention(q, k, v)
        rows, cols = axis_scores(q, self.rel_pos_h, self.rel_pos_w, size)
        if self.folded:
            return _attend_folded(q, k, v, rows, cols)
        bias = rows[..., :, None] + cols[..., None, :]  # (B, heads, HW, H, W)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.flatten(3).to(q.dtype))


def axis_scores(
    q: Tensor, rel_rows: Tensor, rel_cols: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return what relative rows and columns add to the scores of queries (B, heads, HW, c).

    Returns
    -------
    rows : Tensor, shape (B, heads, HW, H)
        For each query and each row of keys.
    cols : Tensor, shape (B, heads, HW, W)
    """
    h, w = size
    on_grid = q.view(*q.shape[:2], h, w, -1)  # (B, heads, H, W, c)
    rows = on_grid @ relative_vectors(rel_rows, h).transpose(1, 2)
    cols = (on_grid.transpose(2, 3) @ relative_vectors(rel_cols, w).transpose(1, 2)).transpose(2, 3)
    return rows.flatten(2, 3), cols.flatten(2, 3)


def relative_vectors(table: Tensor, n: int) -> Tensor:
    """Return the vector for every pair of positions along an axis, shape (n, n, c).

    Parameters
    ----------
    table : Tensor, shape (m, c)
        From the most negative difference, query minus key, to the most positive one. It is
        interpolated where m is not 2 n - 1.
    """
    if len(table) != 2 * n - 1:
        table = F.interpolate(table.T[None], size=2 * n - 1, mode="linear")[0].T
    at = torch.arange(n, device=table.device)
    return table[at[:, None] - at + n - 1]


def _attend_folded(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Attend with the scores of both axes as channels: a key marks its row and column by ones."""
    c = q.shape[-1]
    h, w = rows.shape[-1], cols.shape[-1]
    marks = torch.cat(
        [
            torch.eye(h, dtype=k.dtype, device=k.device).repeat_interleave(w, 0),
            torch.eye(w, dtype=k.dtype, device=k.device).repeat(h, 1),
        ],
        1,
    )
    pad = -(c + h + w) % _ALIGNMENT
    # The scale applies to all channels, the bias must not be scaled.
    query = F.pad(torch.cat([q, (rows * c**0.5).to(q.dtype), (cols * c**0.5).to(q.dtype)], -1),
                  (0, pad))  # fmt: skip
    key = F.pad(torch.cat([k, marks.expand(*k.shape[:2], -1, -1)], -1), (0, pad))
    value = F.pad(v, (0, h + w + pad))
    return F.scaled_dot_product_attention(query, key, value, scale=c**-0.5)[..., :c]


class FusedTokenAttention(two_way.Attention):  # type: ignore[misc]
    """Attention of the mask decoder; any of the three inputs may have batch 1 for all prompts."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend."""
        count = max(len(q), len(k), len(v))
        query, key, value = (
            _in_heads(project(x), self.num_heads).expand(count, -1, -1, -1)
            for project, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out


def _in_heads(x: Tensor, heads: int) -> Tensor:
    """Return (B, heads, N, C / heads) of (B, N, C)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


class SharingMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder that keeps one image for all prompts as long as it is the same for all.

    That is up to the end of the first layer, unless prompts come with masks.
    """

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return all masks (B, M, 4 h, 4 w) and their predicted quality (B, M)."""
        count = len(sparse_prompt_embeddings)
        dense = dense_prompt_embeddings
        if dense.stride(0) == 0:  # expanded from one
            dense = dense[:1]
        learned = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([learned.expand(count, -1, -1), sparse_prompt_embeddings], 1)
        out, image = self.transformer(image_embeddings + dense, image_pe, tokens)
        coarse = image.transpose(1, 2).view(count, -1, *image_embeddings.shape[2:])
        fine = self.output_upscaling(coarse)
        mlps = self.output_hypernetworks_mlps
        weights = torch.stack([mlp(out[:, 1 + i]) for i, mlp in enumerate(mlps)], 1)
        masks = (weights @ fine.flatten(2)).view(count, -1, *fine.shape[2:])
        return masks, self.iou_prediction_head(out[:, 0])


FUSED: dict[type[Any], type[Any]] = {
    vit.Attention: FusedImageAttention,
    two_way.Attention: FusedTokenAttention,
    MaskDecoder: SharingMaskDecoder,
}
"""Which class does the work of which of `segment_anything`'s."""
