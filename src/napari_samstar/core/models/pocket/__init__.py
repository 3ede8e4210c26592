"""The bundled small SAM: architecture only, no weights and no I/O.

Built from `segment_anything.modeling`, so `SamPredictor` and `SamAutomaticMaskGenerator` run it
unchanged. Three things differ from Meta's SAM:

- The encoder is a small U-Net on a 512 px frame. Its stride-4 maps travel *packed* (space to
  depth) as extra channels of the image embedding, because `SamPredictor` stores one tensor.
- The encoder also predicts dense maps (foreground, edge, centre heat, centre offset, size).
- The decoder relates every pixel to the prompt: does it point at the same object centre? Those
  relation maps are inputs of both the two-way transformer and the mask head, which a model
  trained for hours on a CPU learns far sooner than attention alone.

Masks come at stride 2 (256 x 256), the size of SAM's own low-resolution logits.
"""

from napari_samstar.core.models.pocket.decoder import PocketMaskDecoder
from napari_samstar.core.models.pocket.encoder import PocketEncoder
from napari_samstar.core.models.pocket.layout import (
    DENSE,
    EMBED_DIM,
    FINE,
    FINE_STRIDE,
    IDENTITY,
    IMAGE_SIZE,
    MASK_SIZE,
    SIZE_UNIT,
    STRIDE,
    DenseMaps,
    unpack,
)
from napari_samstar.core.models.pocket.model import Pocket, build_pocket, grown
from napari_samstar.core.models.pocket.prompts import PocketPromptEncoder
from napari_samstar.core.models.pocket.relations import relate

__all__ = [
    "DENSE",
    "EMBED_DIM",
    "FINE",
    "FINE_STRIDE",
    "IDENTITY",
    "IMAGE_SIZE",
    "MASK_SIZE",
    "SIZE_UNIT",
    "STRIDE",
    "DenseMaps",
    "Pocket",
    "PocketEncoder",
    "PocketMaskDecoder",
    "PocketPromptEncoder",
    "build_pocket",
    "grown",
    "relate",
    "unpack",
]
