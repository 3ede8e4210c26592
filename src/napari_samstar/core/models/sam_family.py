"""The family of models that the `segment_anything` package runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.core.models.checkpoints import build, infer_architecture, read_weights
from napari_samstar.core.models.sam_backend import SamBackend
from napari_samstar.core.models.weights import placed

if TYPE_CHECKING:
    import torch

    from napari_samstar.core.models.registry import ModelInfo


class SamFamily:
    """Meta's models, MobileSAM, micro-sam's and pocket."""

    name = "sam"
    models: tuple[ModelInfo, ...] = ()  # they are in the registry from the start

    def recognises(self, path: Path) -> bool:
        """Return True: what is wrong with any other file is said by `load`."""
        return True

    def load(self, path: Path, device: torch.device) -> tuple[SamBackend, str]:
        """See `ModelFamily.load`."""
        weights, metadata = read_weights(path)
        architecture = infer_architecture(weights, metadata, path.name)
        sam = build(architecture, weights, path.name)
        return SamBackend(placed(sam, device)), architecture
