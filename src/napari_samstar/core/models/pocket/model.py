"""The pocket model as a whole."""

from __future__ import annotations

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_samstar.core.models.pocket.decoder import PocketMaskDecoder
from napari_samstar.core.models.pocket.encoder import PocketEncoder
from napari_samstar.core.models.pocket.layout import LOG_SIZES, SIZE_UNIT, DenseMaps, unpack
from napari_samstar.core.models.pocket.prompts import PocketPromptEncoder

_ADDED = ("image_encoder.deeper.", "mask_decoder.refine.")


class Pocket(Sam):  # type: ignore[misc]
    """SAM with the small encoder; everything else as in `segment_anything`."""

    def added_weights(self) -> dict[str, Tensor]:
        """Return the weights of the blocks that older files lack; as built they change nothing."""
        return {n: w for n, w in self.state_dict().items() if n.startswith(_ADDED)}

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
