"""Models of the `segment_anything` package: Meta's, MobileSAM, micro-sam's and pocket."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor, nn

from napari_samstar.core.models.backend import (
    CentreMap,
    Embedding,
    EncodedPrompt,
    PromptArrays,
)
from napari_samstar.core.models.pocket.layout import FINE_STRIDE, STRIDE
from napari_samstar.core.models.pocket.model import Pocket
from napari_samstar.core.models.pocket.windows import decode_windows
from napari_samstar.core.models.shadow import on_device


class SamBackend:
    """Answers as `SamPredictor` and `SamAutomaticMaskGenerator` do, bit for bit.

    Parameters
    ----------
    sam : segment_anything.modeling.Sam
        Float32, in eval mode.
    """

    def __init__(self, sam: Sam) -> None:
        self.sam = sam
        self._runs: Any = sam  # what encodes images and decodes batches of prompts

    # --- what it is ---------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return torch.device(self.sam.device)

    @property
    def frame_side(self) -> int:
        """Side of the input frame, px: 1024 for Meta's models."""
        return int(self.sam.image_encoder.img_size)

    @property
    def low_res_shape(self) -> tuple[int, int]:
        """Rows and columns of the decoder's logits."""
        shape = self.sam.prompt_encoder.mask_input_size
        if not shape:
            shape = tuple(4 * n for n in self.sam.prompt_encoder.image_embedding_size)
        return int(shape[0]), int(shape[1])

    @property
    def mask_threshold(self) -> float:
        """Logits above it are object."""
        return float(self.sam.mask_threshold)

    @property
    def mask_prompt_level(self) -> float:
        """10, or what pocket's mask prompts were trained with."""
        return float(getattr(self.sam.prompt_encoder, "mask_softness", 10.0))

    @property
    def logit_scale(self) -> float:
        """1 for Meta's models; pocket's logits are multiplied in its calibration."""
        return float(getattr(self.sam.prompt_encoder, "mask_softness", 4.0)) / 4.0

    @property
    def sees_centres(self) -> bool:
        """Whether the model has pocket's dense head."""
        return isinstance(self.sam, Pocket)

    @property
    def arithmetic(self) -> str:
        """What an embedding depends on besides the weights."""
        return "fp32"

    @property
    def measures_on_device(self) -> bool:
        """See `DeviceBackend.measures_on_device`."""
        return self.device.type == "cuda"

    @property
    def prompts_at_once(self) -> int:
        """See `DeviceBackend.prompts_at_once`: upstream's number, as another changes bits."""
        return 0

    # --- image --------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, rgb: NDArray[np.uint8]) -> Embedding:
        """See `Backend.encode`."""
        predictor = SamPredictor(self._runs)
        with self._arithmetic():
            predictor.set_image(np.ascontiguousarray(rgb))
        rows, cols = predictor.original_size
        in_rows, in_cols = predictor.input_size
        sizes = (int(rows), int(cols)), (int(in_rows), int(in_cols))
        return Embedding(predictor.features.float(), *sizes)

    def centre_map(self, embedding: Embedding) -> CentreMap | None:
        """See `Backend.centre_map`."""
        if not isinstance(self.sam, Pocket):
            return None
        with torch.no_grad():
            maps = self.sam.dense_maps(embedding.features)
        heat, sizes = maps.centre[0].cpu().numpy(), maps.size[0].cpu().numpy()
        return CentreMap(heat, FINE_STRIDE, sizes)

    # --- prompts ------------------------------------------------------------------------------

    @torch.no_grad()
    def decode(
        self,
        embedding: Embedding,
        points: NDArray[np.float64] | None,
        labels: NDArray[np.int64] | None,
        boxes: NDArray[np.float64] | None,
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """See `Backend.decode`.

        Points alone go in as float64, as upstream's mask generator hands them on; with boxes as
        float32, as its predictor does. The last bits of the answers depend on it.
        """
        sam, transform = self._runs, SamPredictor(self.sam).transform
        size, given = embedding.original_size, None
        if points is not None:
            # MPS has no float64; upstream fails there, the prompt is rounded instead.
            exact = boxes is None and self.device.type != "mps"
            dtype = torch.float64 if exact else torch.float32
            xy = torch.as_tensor(transform.apply_coords(points, size), dtype=dtype)
            of = torch.as_tensor(labels, dtype=torch.int)
            given = (xy.to(self.device), of.to(self.device))
        corners = None
        if boxes is not None:
            corners = torch.as_tensor(transform.apply_boxes(boxes, size), dtype=torch.float32)
            corners = corners.to(self.device)
        sparse, dense = sam.prompt_encoder(points=given, boxes=corners, masks=None)
        position = sam.prompt_encoder.get_dense_pe()
        with self._arithmetic():
            logits, quality = sam.mask_decoder(
                image_embeddings=embedding.features,
                image_pe=position,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
            )
        return logits.float(), quality.float()

    @property
    def window_side(self) -> int:
        """See `Backend.window_side`: pocket's decoder is trained on windows of half its frame."""
        return self.frame_side // 2 if isinstance(self.sam, Pocket) else 0

    @torch.no_grad()
    def decode_windows(
        self, embedding: Embedding, points: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        """See `Backend.decode_windows`."""
        xy = SamPredictor(self.sam).transform.apply_coords(points, embedding.original_size)
        given = torch.as_tensor(xy, dtype=torch.float32, device=self.device)
        of = torch.as_tensor(labels, dtype=torch.int, device=self.device)
        # The window's middle lies at the prompt; windows start at whole cells of the embedding.
        last = (self.frame_side - self.window_side) // STRIDE
        cells = np.clip(np.rint((xy[:, 0, ::-1] - self.window_side / 2) / STRIDE), 0, last)
        cells = cells.astype(np.int64)
        logits, quality = decode_windows(
            self._runs, embedding.features, given, of, cells, self.window_side // STRIDE,
            self._arithmetic,
        )  # fmt: skip
        low_res_px = self.frame_side // self.low_res_shape[0]
        return logits, quality, cells * (STRIDE // low_res_px)

    @torch.no_grad()
    def upscale(
        self, low_res: Tensor, embedding: Embedding, shape: tuple[int, int] | None = None
    ) -> Tensor:
        """See `Backend.upscale`."""
        target = embedding.original_size if shape is None else shape
        logits: Tensor = self.sam.postprocess_masks(low_res, embedding.input_size, target)
        return logits

    def predict(
        self, embedding: Embedding, prompt: PromptArrays, *, multimask: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """See `Backend.predict`: `SamPredictor.predict` itself."""
        masks, quality, low_res = self.predictor(embedding).predict(
            point_coords=prompt.points,
            point_labels=prompt.labels,
            box=prompt.box,
            mask_input=None if prompt.mask is None else prompt.mask[None],
            multimask_output=multimask,
        )
        return masks, quality, low_res

    @torch.no_grad()
    def encode_prompt(self, embedding: Embedding, prompt: PromptArrays) -> EncodedPrompt:
        """See `Backend.encode_prompt`."""
        transform, size = SamPredictor(self.sam).transform, embedding.original_size
        points = box = mask = None
        if prompt.points is not None:
            xy = transform.apply_coords(prompt.points, size)
            labels = torch.as_tensor(prompt.labels, dtype=torch.int)[None]
            xy = torch.as_tensor(xy, dtype=torch.float)[None]
            points = (xy.to(self.device), labels.to(self.device))
        if prompt.box is not None:
            corners = transform.apply_boxes(prompt.box[None], size)
            box = torch.as_tensor(corners, dtype=torch.float, device=self.device)
        if prompt.mask is not None:
            mask = torch.as_tensor(prompt.mask, device=self.device)[None, None]
        sparse, dense = self.sam.prompt_encoder(points=points, boxes=box, masks=mask)
        position = self.sam.prompt_encoder.get_dense_pe()
        return EncodedPrompt(embedding.features, position, sparse, dense)

    @torch.no_grad()
    def decode_all(self, encoded: EncodedPrompt) -> tuple[Tensor, Tensor]:
        """See `Backend.decode_all`."""
        logits, quality = self.sam.mask_decoder.predict_masks(
            encoded.features, encoded.position, encoded.sparse, encoded.dense
        )
        return logits[0], quality[0]

    # --- another decoder ----------------------------------------------------------------------

    def copy_of_decoder(self) -> nn.Module:
        """See `Backend.copy_of_decoder`."""
        return _Decoder(copy.deepcopy(self.sam.mask_decoder))

    def decoder_weights(self) -> dict[str, Tensor]:
        """See `Backend.decoder_weights`."""
        return dict(self.sam.mask_decoder.named_parameters())

    def with_decoder_weights(self, weights: dict[str, Tensor]) -> SamBackend:
        """See `Backend.with_decoder_weights`."""
        decoder = copy.deepcopy(self.sam.mask_decoder)
        with torch.no_grad():
            for name, parameter in decoder.named_parameters():
                if name in weights:
                    parameter.copy_(weights[name])
        sam = copy.copy(self.sam)
        sam._modules = {**self.sam._modules, "mask_decoder": decoder.requires_grad_(False).eval()}
        return self._like(sam)

    def on_cpu(self) -> SamBackend:
        """See `Backend.on_cpu`."""
        return SamBackend(on_device(self.sam, torch.device("cpu")))

    def _like(self, sam: Sam) -> SamBackend:
        return SamBackend(sam)

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which networks run."""
        return contextlib.nullcontext()

    # --- upstream's own predictor -------------------------------------------------------------

    def predictor(self, embedding: Embedding) -> Any:
        """Return upstream's predictor as if `set_image` had just been called on the image."""
        predictor = SamPredictor(self.sam)
        predictor.features = embedding.features
        predictor.original_size = embedding.original_size
        predictor.input_size = embedding.input_size
        predictor.is_image_set = True
        return predictor


class _Decoder(nn.Module):
    """`predict_masks` as `forward`, which `torch.func.functional_call` needs."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, encoded: EncodedPrompt) -> tuple[Tensor, Tensor]:
        masks, quality = self.decoder.predict_masks(  # type: ignore[operator]
            encoded.features, encoded.position, encoded.sparse, encoded.dense
        )
        return masks[0], quality[0]
