"""`precision="fast"`: half precision and fused attention on a GPU.

Image encoder and mask decoder run under autocast; prompts and all positions stay in float32. The
weights are those of the model it is made from, which is left as it is.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from napari_samstar.core.models.device import free_memory, is_out_of_memory
from napari_samstar.core.models.fast_attention import FUSED, FusedImageAttention
from napari_samstar.core.models.pocket.model import Pocket
from napari_samstar.core.models.sam_backend import SamBackend
from napari_samstar.core.models.shadow import shadow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_samstar.core.models.backend import Backend, Embedding

GPUS = ("cuda", "mps")

HEADS_AT_ONCE = (0, 4, 1)
"""Heads of an attention layer computed at once (0: all), in the order in which they are tried."""

MOST_PROMPTS, LEAST_PROMPTS = 512, 64
"""Bounds of the number of prompts decoded at once."""

PROMPT_BYTES = 40 * 2**20
"""What decoding one prompt takes at its peak, with SAM's decoder in bfloat16."""

POCKET_PROMPTS = 64
"""Prompts that pocket's decoder works on at once."""


def half_type(device: torch.device) -> torch.dtype:
    """Return bfloat16, or float16 where the device has no bfloat16."""
    if device.type == "mps":
        return torch.float16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def faster(backend: Backend) -> tuple[Backend, str]:
    """Return the fast form of a model, and a sentence for the user where there is none."""
    if backend.device.type not in GPUS:
        return backend, "Precision 'fast' is for GPUs and changes nothing on the CPU."
    if not isinstance(backend, SamBackend):
        return backend, "Precision 'fast' changes nothing, as this model has no fast form."
    return FastBackend(backend.sam), ""


class FastBackend(SamBackend):
    """Answers nearly as `SamBackend`, in less time.

    What learns from corrections (`copy_of_decoder`) and single clicks (`predict`, `decode_all`)
    stay in float32.

    Parameters
    ----------
    sam : segment_anything.modeling.Sam
        Float32, in eval mode.
    half : torch.dtype, optional
        By default float16 for pocket, and else see `half_type`.
    compiled : bool
        Whether `torch.compile` builds the image encoder's layers, which takes a minute once.
    folded : bool
        See `FusedImageAttention`.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        half: torch.dtype | None = None,
        compiled: bool = False,
        folded: bool = False,
    ) -> None:
        super().__init__(sam)
        # Pocket's numbers are small enough for float16, whose errors are an eighth of bfloat16's.
        small = isinstance(sam, Pocket) and self.device.type in GPUS
        self.half = half or (torch.float16 if small else half_type(self.device))
        self.options: dict[str, Any] = {"half": self.half, "compiled": compiled, "folded": folded}
        self._runs = fast_copy(sam)
        self._heads: tuple[int, ...] = HEADS_AT_ONCE
        for layer in self._attention():
            layer.folded = folded
        if compiled:
            _compile(self._runs.image_encoder)

    @property
    def arithmetic(self) -> str:
        """What the embedding depends on besides the weights."""
        return f"fast {self.half}" + (" folded" if self.options["folded"] else "")

    @property
    def can_stop(self) -> bool:
        """Whether encoding can stop half-way; `interrupt.checked` would compile it each time."""
        return not self.options["compiled"]

    @property
    def prompts_at_once(self) -> int:
        """See `DeviceBackend.prompts_at_once`: what fits in the free memory."""
        if self.device.type != "cuda":
            return 0
        each = PROMPT_BYTES * self.low_res_shape[0] // 256
        return prompts_that_fit(_free_bytes(self.device), each)

    @torch.no_grad()
    def encode(self, rgb: NDArray[np.uint8]) -> Embedding:
        """See `Backend.encode`; short of memory, it takes the heads of attention in parts."""
        while True:
            for layer in self._attention():
                layer.heads_at_once = self._heads[0]
            try:
                return super().encode(rgb)
            except RuntimeError as error:
                last = len(self._heads) == 1 or not self._attention()
                if last or not is_out_of_memory(error):
                    raise
            # Outside of `except`, where the error no longer holds the tensors of the failed try.
            self._heads = self._heads[1:]
            free_memory(self.device)

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=self.half)

    def _like(self, sam: Sam) -> FastBackend:
        return FastBackend(sam, **self.options)

    def _attention(self) -> list[FusedImageAttention]:
        modules = self._runs.image_encoder.modules()
        return [m for m in modules if isinstance(m, FusedImageAttention)]


def fast_copy(sam: Sam) -> Any:
    """Return a model with fused attention on the weights of `sam`, which is not changed."""
    twin: Any = shadow(sam, FUSED)
    if isinstance(sam, Pocket):
        # The last layer predicts offsets to centres: positions, which need float32.
        twin.image_encoder.heads.__class__ = _ExactConv2d
        twin.mask_decoder.at_once = POCKET_PROMPTS
    return twin


def prompts_that_fit(free: int, each: int) -> int:
    """Return the power of two of prompts of `each` bytes that fill at most half of `free`."""
    fitting = max(1, free // 2 // each)
    return min(max(1 << (fitting.bit_length() - 1), LEAST_PROMPTS), MOST_PROMPTS)


def _free_bytes(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + cached)


def _compile(encoder: nn.Module) -> None:
    """Compile the layers of a ViT, which are alike and share the work, or else all in one."""
    for block in getattr(encoder, "blocks", [encoder]):
        block.compile()


class _ExactConv2d(nn.Conv2d):
    """A convolution in float32 whatever autocast says."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())
