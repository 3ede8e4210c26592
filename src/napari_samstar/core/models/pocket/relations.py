"""How every cell relates to the prompt: whether it points at the same object centre."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_samstar.core.models.pocket.layout import (
    IDENTITY,
    LOG_SIZES,
    PROMPT_MAPS,
    SIZE_UNIT,
    cell_centres,
)

RELATIONS = 10 + PROMPT_MAPS - 2  # channels of `relate`


def relate(dense: Tensor, identity: Tensor, maps: Tensor) -> Tensor:
    """Relation maps (B, 16, H, W) between each prompt and every stride-4 cell.

    A cell at q with predicted size s_q (px) and offset o_q (in sizes) votes for the centre
    c_q = q + s_q o_q. The prompt's centre c_p and size s_p are those votes averaged where it looks.
    `dense` and `identity` have batch 1 or B; `maps` is `prompt_maps`. Always in float32: positions
    of hundreds of px lose whole px in bfloat16.
    """
    with torch.autocast(dense.device.type, enabled=False):
        return _relate(dense.float(), identity.float(), maps.float())


def _relate(dense: Tensor, identity: Tensor, maps: Tensor) -> Tensor:
    rows = cell_centres(maps.shape[2], 0, maps.device).view(1, 1, -1, 1)
    cols = cell_centres(maps.shape[3], 0, maps.device).view(1, 1, 1, -1)
    log_size = dense[:, 5:6].clamp(*LOG_SIZES)
    size = SIZE_UNIT * log_size.exp()
    votes = torch.cat([rows + size * dense[:, 3:4], cols + size * dense[:, 4:5]], 1)
    inputs = torch.cat([votes, log_size, identity], 1)  # (1 or B) x 11 x H x W
    prompted = maps[:, :2].flatten(2) @ inputs.flatten(2).transpose(1, 2)  # B x 2 x 11
    near, near_background = (_vote_distance(votes, prompted[:, i]) for i in (0, 1))
    here = torch.cat([rows.expand_as(size), cols.expand_as(size)], 1)
    has_background = maps[:, 1:2].amax((2, 3), keepdim=True) > 0
    alike = (identity - prompted[:, 0, 3:, None, None]).square()
    half = IDENTITY // 2
    channels = [
        torch.exp(-8 * near.square()),
        1 / (1 + near),
        1 / (1 + _vote_distance(here, prompted[:, 0])),
        torch.tanh(log_size - prompted[:, 0, 2:3, None, None]),
        torch.exp(-alike[:, :half].sum(1, keepdim=True)),
        torch.exp(-alike[:, half:].sum(1, keepdim=True)),
        torch.tanh(dense[:, 0:1] / 4).expand_as(near),
        torch.tanh(dense[:, 1:2] / 4).expand_as(near),
        torch.exp(-8 * near_background.square()) * has_background,
        has_background / (1 + near_background),
        maps[:, 2:],
    ]
    return torch.cat(channels, 1)


def _vote_distance(votes: Tensor, prompted: Tensor) -> Tensor:
    """Distance (B, 1, H, W) of votes from the prompted centre, in units of the prompted size."""
    delta = votes - prompted[:, :2, None, None]
    size = SIZE_UNIT * prompted[:, 2, None, None, None].exp()
    return (delta.square().sum(1, keepdim=True) + 1e-4).sqrt() / size
