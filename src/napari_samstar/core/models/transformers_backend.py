"""SAM 2.1 and SAM-HQ, as the package `transformers` has them, behind the `Backend` protocol."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tv

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.backend import (
    CentreMap,
    Embedding,
    EncodedPrompt,
    PromptArrays,
)

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the training images, RGB 0..1
_NO_POINT = -1  # a label


class TransformersBackend(ABC):
    """What SAM 2.1 and SAM-HQ have in common.

    Parameters
    ----------
    network : transformers.Sam2Model or transformers.SamHQModel
        Float32, in eval mode.
    """

    mask_threshold = 0.0
    mask_prompt_level = 10.0
    logit_scale = 1.0
    sees_centres = False
    window_side = 0
    arithmetic = "fp32"

    def __init__(self, network: Any) -> None:
        self.network = network

    def on_cpu(self) -> TransformersBackend:
        """See `Backend.on_cpu`."""
        return type(self)(copy.deepcopy(self.network).to("cpu"))

    # --- what differs -------------------------------------------------------------------------

    @abstractmethod
    def _input_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of an image of `shape` in the frame."""

    @abstractmethod
    def _features(self, pixels: Tensor) -> Tensor:
        """Return all that the decoder needs of a frame, as one tensor (1, C, h, w)."""

    @abstractmethod
    def _decoded(self, encoded: EncodedPrompt, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return logits (B, M, h, w) and quality (B, M) of B prompts."""

    @abstractmethod
    def _without_points(self) -> tuple[Tensor | None, Tensor | None]:
        """Return points and labels for a prompt that has neither points nor a box."""

    # --- what it is ---------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return torch.device(self.network.device)

    @property
    def frame_side(self) -> int:
        """Side of the input frame, px."""
        return int(self.network.prompt_encoder.input_image_size)

    @property
    def low_res_shape(self) -> tuple[int, int]:
        """Rows and columns of the decoder's logits."""
        rows, cols = self.network.prompt_encoder.image_embedding_size
        return 4 * int(rows), 4 * int(cols)

    # --- image --------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, rgb: NDArray[np.uint8]) -> Embedding:
        """See `Backend.encode`; the image is prepared as transformers' image processors do."""
        original = rgb.shape[0], rgb.shape[1]
        size = self._input_size(original)
        image = torch.tensor(rgb).permute(2, 0, 1)
        resized = tv.resize(image, list(size), tv.InterpolationMode.BILINEAR, antialias=True)
        pixels = tv.normalize(resized.float() / 255, list(_MEAN), list(_STD))
        framed = F.pad(pixels, (0, self.frame_side - size[1], 0, self.frame_side - size[0]))
        return Embedding(self._features(framed[None].to(self.device)), original, size)

    def centre_map(self, embedding: Embedding) -> CentreMap | None:
        """Return None: these models do not see centres."""
        return None

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
        """See `Backend.decode`."""
        return self._decoded(self._encoded(embedding, points, labels, boxes, None), multimask)

    def decode_windows(
        self, embedding: Embedding, points: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        """Not offered: `window_side` is 0."""
        raise NotImplementedError

    @torch.no_grad()
    def upscale(
        self, low_res: Tensor, embedding: Embedding, shape: tuple[int, int] | None = None
    ) -> Tensor:
        """See `Backend.upscale`."""
        target = embedding.original_size if shape is None else shape
        rows, cols = embedding.input_size
        side = self.frame_side
        if (rows, cols) != (side, side):  # cut off the padding
            low_res = _resized(low_res, (side, side))[..., :rows, :cols]
        return _resized(low_res, target)

    @torch.no_grad()
    def predict(
        self, embedding: Embedding, prompt: PromptArrays, *, multimask: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """See `Backend.predict`."""
        low_res, quality = self._decoded(self.encode_prompt(embedding, prompt), multimask)
        masks = self.upscale(low_res, embedding)[0] > self.mask_threshold
        return masks.cpu().numpy(), quality[0].cpu().numpy(), low_res[0].cpu().numpy()

    @torch.no_grad()
    def encode_prompt(self, embedding: Embedding, prompt: PromptArrays) -> EncodedPrompt:
        """See `Backend.encode_prompt`; the features are those of all levels."""
        points = None if prompt.points is None else prompt.points[None]
        labels = None if prompt.labels is None else prompt.labels[None]
        box = None if prompt.box is None else prompt.box[None]
        return self._encoded(embedding, points, labels, box, prompt.mask)

    @torch.no_grad()
    def decode_all(self, encoded: EncodedPrompt) -> tuple[Tensor, Tensor]:
        """See `Backend.decode_all`; the decoder runs twice."""
        single, multi = (self._decoded(encoded, multimask) for multimask in (False, True))
        return torch.cat([single[0][0], multi[0][0]]), torch.cat([single[1][0], multi[1][0]])

    def _encoded(
        self,
        embedding: Embedding,
        points: NDArray[np.float64] | None,
        labels: NDArray[np.int64] | None,
        boxes: NDArray[np.float64] | None,
        mask: NDArray[np.float32] | None,
    ) -> EncodedPrompt:
        """Encode B prompts: points (B, n, 2), labels (B, n), boxes (B, 4), mask (h, w)."""
        xy, of = self._without_points() if points is None and boxes is None else (None, None)
        if points is not None:
            xy = self._in_frame(points, embedding)
            of = torch.as_tensor(labels, dtype=torch.int, device=self.device)[None]
        corners = None
        if boxes is not None:
            corners = self._in_frame(boxes.reshape(-1, 2, 2), embedding).flatten(2)
        given = None
        if mask is not None:
            given = torch.as_tensor(mask, dtype=torch.float32, device=self.device)[None, None]
        sparse, dense = self.network.prompt_encoder(xy, of, corners, given)
        if sparse is None:
            sparse = dense.new_zeros((1, 1, 0, dense.shape[1]))
        position = self.network.get_image_wide_positional_embeddings()
        return EncodedPrompt(embedding.features, position, sparse, dense)

    def _in_frame(self, xy: NDArray[np.float64], embedding: Embedding) -> Tensor:
        """Return (x, y) of the image, shape (B, n, 2), in px of the frame, shape (1, B, n, 2)."""
        scale = np.divide(embedding.input_size, embedding.original_size)[::-1]
        return torch.as_tensor(xy * scale, dtype=torch.float32, device=self.device)[None]

    # --- another decoder ----------------------------------------------------------------------

    def copy_of_decoder(self) -> nn.Module:
        """Not offered."""
        self._cannot_learn()

    def decoder_weights(self) -> dict[str, Tensor]:
        """Not offered."""
        self._cannot_learn()

    def with_decoder_weights(self, weights: dict[str, Tensor]) -> TransformersBackend:
        """Not offered."""
        self._cannot_learn()

    def _cannot_learn(self) -> NoReturn:
        raise UserError(
            "SAM 2.1 and SAM-HQ cannot learn from corrections here: go on without learning, or "
            "choose a model that can, such as vit_b."
        )


class Sam2Backend(TransformersBackend):
    """SAM 2 and 2.1, which see an image stretched to a square.

    The decoder also gets two finer levels of features. In an `Embedding` they lie beside the
    coarsest one, each cell of which has theirs as further channels.
    """

    def _input_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        return self.frame_side, self.frame_side

    def _features(self, pixels: Tensor) -> Tensor:
        levels = self.network.get_image_embeddings(pixels)
        cells = levels[-1].shape[-1]
        return torch.cat([F.pixel_unshuffle(f, f.shape[-1] // cells) for f in levels], dim=1)

    def _decoded(self, encoded: EncodedPrompt, multimask: bool) -> tuple[Tensor, Tensor]:
        *fine, coarse = self._levels(encoded.features)
        logits, quality, _, _ = self.network.mask_decoder(
            image_embeddings=coarse,
            image_positional_embeddings=encoded.position,
            sparse_prompt_embeddings=encoded.sparse,
            dense_prompt_embeddings=encoded.dense,
            multimask_output=multimask,
            high_resolution_features=fine,
        )
        return logits[0], quality[0]

    def _levels(self, features: Tensor) -> list[Tensor]:
        """Return the levels of features, the finest first; the inverse of `_features`."""
        width = self.network.mask_decoder.hidden_size
        parts = torch.split(features, [16 * (width // 8), 4 * (width // 4), width], dim=1)
        return [F.pixel_shuffle(p, s) for p, s in zip(parts, (4, 2, 1), strict=True)]

    def _without_points(self) -> tuple[Tensor | None, Tensor | None]:
        point = torch.zeros((1, 1, 1, 2), device=self.device)
        return point, torch.full((1, 1, 1), _NO_POINT, dtype=torch.int, device=self.device)


class SamHqBackend(TransformersBackend):
    """SAM-HQ, which sees an image with its long side fitted to the frame, as SAM does.

    The decoder also gets features of an early layer. In an `Embedding` they are channels behind
    those of the last layer.
    """

    def _input_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        scale = self.frame_side / max(shape)
        return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)

    def _features(self, pixels: Tensor) -> Tensor:
        late, early = self.network.get_image_embeddings(pixels)
        return torch.cat([late, early[0].permute(0, 3, 1, 2)], dim=1)

    def _decoded(self, encoded: EncodedPrompt, multimask: bool) -> tuple[Tensor, Tensor]:
        width = self.network.mask_decoder.hidden_size
        late, early = encoded.features[:, :width], encoded.features[:, width:]
        logits, quality = self.network.mask_decoder(
            image_embeddings=late,
            image_positional_embeddings=encoded.position,
            sparse_prompt_embeddings=encoded.sparse,
            dense_prompt_embeddings=encoded.dense,
            multimask_output=multimask,
            hq_token_only=False,
            intermediate_embeddings=[early.permute(0, 2, 3, 1)],
        )
        return logits[0], quality[0]

    def _without_points(self) -> tuple[Tensor | None, Tensor | None]:
        return None, None


def _resized(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, shape, mode="bilinear", align_corners=False)
