"""The pocket model as a whole."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_samstar.core.models.pocket.decoder import PocketMaskDecoder
from napari_samstar.core.models.pocket.encoder import PocketEncoder
from napari_samstar.core.models.pocket.layout import LOG_SIZES, SIZE_UNIT, DenseMaps, unpack
from napari_samstar.core.models.pocket.prompts import PocketPromptEncoder


class Pocket(Sam):  # type: ignore[misc]
    """SAM with the small encoder; everything else as in `segment_anything`."""

    def dense_maps(self, features: Tensor) -> DenseMaps:
        """Prompt-free maps from an image embedding (as `SamPredictor.features`).

        Centres of objects are local maxima of `centre`, in cells of 4 px of the 512 px frame.
        """
        dense = unpack(features)[1]
        foreground, edge, centre = torch.sigmoid(dense[:, :3]).unbind(1)
        size = SIZE_UNIT * dense[:, 5].clamp(*LOG_SIZES).exp()
        return DenseMaps(foreground, edge, centre, size)


def build_pocket() -> Pocket:
    """Build the pocket model with random weights, in eval mode."""
    model = Pocket(PocketEncoder(), PocketPromptEncoder(), PocketMaskDecoder())
    model.eval()
    return model


ADDED = ("image_encoder.deeper.", "mask_decoder.refine.")
"""Parts that weights of version 1 lack; as built, they change nothing."""


def grown(model: Pocket, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of any version with all the parts that `model`, as built, has."""
    own = {name: value for name, value in model.state_dict().items() if name.startswith(ADDED)}
    return {**own, **weights}
