"""What the rest of the package needs of a model, whichever network it is.

Only `models/` knows networks. Everything else asks a `Backend`: encode an image, decode prompts to
masks, decode once more with another decoder. A family of models of another package offers its own;
see `families`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Precision = Literal["reference", "fast"]


@dataclass(frozen=True, eq=False)
class Embedding:
    """What an image encoder makes of one image or crop.

    Attributes
    ----------
    features : Tensor, float32, shape (1, C, h, w), on the model's device
    original_size : (int, int)
        Rows and columns of the crop, px.
    input_size : (int, int)
        Rows and columns after resizing, before padding, px of the model's input frame.
    """

    features: Tensor
    original_size: tuple[int, int]
    input_size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Memory of the features."""
        return self.features.element_size() * self.features.nelement()


@dataclass(frozen=True, eq=False)
class PromptArrays:
    """One prompt for one object, in (x, y) px of the image.

    Attributes
    ----------
    points : ndarray of float64, shape (n, 2), optional
    labels : ndarray of int, shape (n,), optional
        1 inside the object, 0 outside; given with `points`.
    box : ndarray of float64, shape (4,), optional
        (x0, y0, x1, y1).
    mask : ndarray of float32, shape (h, w), optional
        Low-resolution logits of an earlier answer.
    """

    points: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None
    box: NDArray[np.float64] | None = None
    mask: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """A prompt as a mask decoder gets it; no gradient flows into it.

    Attributes
    ----------
    features, position, sparse, dense : Tensor
        The decoder's inputs: image embedding, its positional encoding, and the embeddings of
        points and boxes, and of the mask.
    """

    features: Tensor
    position: Tensor
    sparse: Tensor
    dense: Tensor


@dataclass(frozen=True)
class CentreMap:
    """Where a model sees centres of objects.

    Attributes
    ----------
    heat : ndarray of float32, shape (h, w)
        0 to 1, padding of the frame included.
    stride : int
        Side of a cell, px of the model's frame.
    sizes : ndarray of float32, shape (h, w), optional
        Square root of the area of the object that a cell belongs to, px of the frame; without
        meaning where there is no object.
    """

    heat: NDArray[np.float32]
    stride: int
    sizes: NDArray[np.float32] | None = None


class Backend(Protocol):
    """A promptable segmentation model on one device."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def frame_side(self) -> int:
        """Side of the square input frame, px."""

    @property
    def low_res_shape(self) -> tuple[int, int]:
        """Rows and columns of the decoder's logits, padding included."""

    @property
    def mask_threshold(self) -> float:
        """Logits above it are object."""

    @property
    def mask_prompt_level(self) -> float:
        """Absolute logit of a pixel that is surely object or background, in a mask prompt."""

    @property
    def logit_scale(self) -> float:
        """By what to divide logits so that losses see them as in training."""

    @property
    def sees_centres(self) -> bool:
        """Whether `centre_map` returns one."""

    @property
    def arithmetic(self) -> str:
        """What an embedding depends on besides the weights, such as "fp32"."""

    def encode(self, rgb: NDArray[np.uint8]) -> Embedding:
        """Encode one RGB image, uint8 of shape (H, W, 3)."""

    def decode(
        self,
        embedding: Embedding,
        points: NDArray[np.float64] | None,
        labels: NDArray[np.int64] | None,
        boxes: NDArray[np.float64] | None,
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode a batch of B prompts.

        Parameters
        ----------
        points : ndarray of float64, shape (B, n, 2), optional
            (x, y), px of the encoded image.
        labels : ndarray of int, shape (B, n), optional
            1 inside, 0 outside, -1 padding.
        boxes : ndarray of float64, shape (B, 4), optional
            (x0, y0, x1, y1), px of the encoded image.
        multimask : bool
            M = 3 masks for each prompt, else M = 1.

        Returns
        -------
        logits : Tensor, float32, shape (B, M, h, w)
            In the low-resolution frame.
        quality : Tensor, float32, shape (B, M)
            Predicted IoU.
        """

    @property
    def window_side(self) -> int:
        """Side of the windows that `decode_windows` decodes, px of the frame; 0 if it cannot."""

    def decode_windows(
        self, embedding: Embedding, points: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        """Decode B prompts as `decode` with three masks each, but only near their first points.

        It costs less, and suits objects that are smaller than the window. The answers differ a
        little from those of `decode`.

        Returns
        -------
        logits : Tensor, float32, shape (B, 3, h, w)
            In the low-resolution frame, of the window alone.
        quality : Tensor, float32, shape (B, 3)
            Predicted IoU.
        origins : ndarray of int64, shape (B, 2)
            Where each window lies: (row, col) of its upper left corner, in low-resolution px.
        """

    def upscale(
        self, low_res: Tensor, embedding: Embedding, shape: tuple[int, int] | None = None
    ) -> Tensor:
        """Resize logits (B, M, h, w) to (B, M, H, W) of the encoded image, or to `shape`."""

    def predict(
        self, embedding: Embedding, prompt: PromptArrays, *, multimask: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """Return masks (M, H, W), predicted IoU (M,) and logits (M, h, w) of one prompt."""

    def encode_prompt(self, embedding: Embedding, prompt: PromptArrays) -> EncodedPrompt:
        """Encode one prompt for `decode_all` and for learning."""

    def decode_all(self, encoded: EncodedPrompt) -> tuple[Tensor, Tensor]:
        """Return all masks of one run of the decoder, the single one first: (M, h, w), (M,)."""

    def centre_map(self, embedding: Embedding) -> CentreMap | None:
        """Return where the model sees centres of objects; None where it cannot tell."""

    def copy_of_decoder(self) -> nn.Module:
        """Return a mask decoder of its own that can learn; its `forward` is `decode_all`."""

    def decoder_weights(self) -> dict[str, Tensor]:
        """Return the decoder's parameters by name; they are read, never written."""

    def with_decoder_weights(self, weights: dict[str, Tensor]) -> Backend:
        """Return a backend with a decoder of its own in which `weights` are replaced.

        Everything else is shared.
        """

    def on_cpu(self) -> Backend:
        """Return the same model in float32 on the CPU, for when a GPU has too little memory."""


class DeviceBackend(Backend, Protocol):
    """A model on a GPU whose masks need not come to the CPU to be measured."""

    @property
    def measures_on_device(self) -> bool:
        """Whether masks are drawn and measured where the model runs."""

    @property
    def prompts_at_once(self) -> int:
        """How many prompts to decode at once; 0 leaves it to the settings."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is ready to run.

    Attributes
    ----------
    backend : Backend
        The network, in eval mode; no parameter asks for a gradient.
    name : str
        Registry name, or the file name without its ending.
    architecture : str
        Which network it is, such as "vit_b".
    sha256 : str
        Hex digest of the weights.
    device : torch.device
        Where it runs.
    path : Path
        The file.
    device_reason : str
        Why there, one sentence.
    precision : {"reference", "fast"}
        "reference" is float32; "fast" is half precision on a GPU, see `models.fast`.
    adapter : str
        Digest of what its mask decoder learned from corrections (`WeightDelta.digest`); empty
        where it is the file's.
    """

    backend: Backend
    name: str
    architecture: str
    sha256: str
    device: torch.device
    path: Path
    device_reason: str = ""
    precision: Precision = "reference"
    adapter: str = ""

    @property
    def identity(self) -> str:
        """What its answers depend on: the weights' digest, and that of what was learned since."""
        return f"{self.sha256}+{self.adapter}" if self.adapter else self.sha256

    @property
    def sam(self) -> Any:
        """The `segment_anything` model, for its own predictor and generator.

        AttributeError where the model is of another family.
        """
        return self.backend.sam  # type: ignore[attr-defined]

    def with_decoder(self, weights: dict[str, Tensor], adapter: str) -> LoadedModel:
        """Return the model with other decoder weights, known by the digest `adapter`."""
        backend = self.backend.with_decoder_weights(weights)
        return dataclasses.replace(self, backend=backend, adapter=adapter)
