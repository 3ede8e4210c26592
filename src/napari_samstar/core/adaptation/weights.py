"""Adapted weights of a mask decoder, apart from the original ones, and their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel

FORMAT = "samstar-adapter"
VERSION = "1"
ATTENTION = ("q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight")

Kind = Literal["decoder", "low-rank"]
Weights = Mapping[str, Tensor]

_DOWN, _UP = ".down", ".up"


@dataclass(frozen=True, eq=False)
class WeightDelta:
    """The adapted weights of a decoder.

    Attributes
    ----------
    kind : {"decoder", "low-rank"}
        "decoder" holds whole weights by name. "low-rank" holds a pair `name.up` of shape (o, r)
        and `name.down` of shape (r, i) for each attention matrix W of shape (o, i); the adapted
        matrix is W + up @ down.
    tensors : dict of Tensor
        Empty for the original weights.
    """

    kind: Kind
    tensors: dict[str, Tensor]

    def applied(self, original: Weights) -> dict[str, Tensor]:
        """Return the adapted weights by name; gradients flow back to `tensors`."""
        if self.kind == "decoder":
            return dict(self.tensors)
        ups = {n.removesuffix(_UP): t for n, t in self.tensors.items() if n.endswith(_UP)}
        return {n: original[n] + up @ self.tensors[n + _DOWN] for n, up in ups.items()}

    def detached(self) -> WeightDelta:
        """Return a copy that shares no memory and requires no gradient."""
        return WeightDelta(self.kind, {n: t.detach().clone() for n, t in self.tensors.items()})

    def digest(self) -> str:
        """Return a hex digest of all values."""
        digest = hashlib.sha256(self.kind.encode())
        for name, tensor in sorted(self.tensors.items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def initial_delta(
    original: Weights, kind: Kind = "decoder", rank: int = 4, seed: int = 0
) -> WeightDelta:
    """Return the weights at the start of training, which change no prediction.

    Parameters
    ----------
    original : mapping of Tensor
        `Backend.decoder_weights`.
    kind : {"decoder", "low-rank"}
        Copies of all weights, or low-rank pairs.
    rank : int
        Of the pairs; `down` starts random, `up` at zero (Hu et al., arXiv 2106.09685).
    seed : int
        Of `down`.
    """
    if kind == "decoder":
        return WeightDelta(kind, {n: p.detach().clone() for n, p in original.items()})
    if kind not in get_args(Kind):
        raise UserError(f"The decoder adapts as 'decoder' or 'low-rank', not as {kind!r}.")
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in original.items():
        if name.endswith(ATTENTION):
            rows, cols = weight.shape
            down = torch.randn(rank, cols, generator=generator) / cols**0.5
            tensors[name + _DOWN] = down.to(weight)
            tensors[name + _UP] = weight.new_zeros(rows, rank)
    if not tensors:
        raise UserError("This model's decoder has no attention to adapt: choose 'decoder'.")
    return WeightDelta(kind, tensors)


def adapted(model: LoadedModel, delta: WeightDelta | None) -> LoadedModel:
    """Return the model with an adapted decoder; it shares the image and prompt encoders.

    `model` does not change, so it can be used on other threads meanwhile. Without adapted weights
    `model` itself is returned.
    """
    if delta is None or not delta.tensors:
        return model
    weights = delta.applied(model.backend.decoder_weights())
    return model.with_decoder(weights, delta.digest())


def save(
    delta: WeightDelta, model: LoadedModel, path: str | Path, extra: Mapping[str, str]
) -> Path:
    """Write adapted weights as a safetensors file, with the digest of the original weights.

    Parameters
    ----------
    model : LoadedModel
        The original.
    extra : mapping of str
        More metadata, such as the number of objects that it was trained on.
    """
    metadata = {
        **extra,
        "format": FORMAT,
        "version": VERSION,
        "kind": delta.kind,
        "base": model.name,
        "base_sha256": model.sha256,
    }
    tensors = {n: t.detach().cpu().contiguous() for n, t in delta.tensors.items()}
    with write_atomic(path) as part:
        save_file(tensors, part, metadata)
    return Path(path)


def load(path: str | Path, model: LoadedModel) -> tuple[WeightDelta, dict[str, str]]:
    """Read an adapter file for `model`; returns the adapted weights and the file's metadata.

    Raises
    ------
    UserError
        Where the file is missing, damaged, no adapter, or belongs to other weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"There is no adapter file {path}: check its name.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path.name} is no readable adapter: save it again.") from error
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise UserError(f"{path.name} is no adapter: choose a file that the Correct panel saved.")
    if metadata.get("base_sha256") != model.sha256:
        raise UserError(
            f"{path.name} was learned on {metadata.get('base', 'another model')}, not on "
            f"{model.name} as loaded here: load that model first."
        )
    kind = metadata.get("kind")
    delta = WeightDelta(cast("Kind", kind), {n: t.to(model.device) for n, t in tensors.items()})
    if kind not in get_args(Kind) or not _fits_decoder(delta, model.backend.decoder_weights()):
        raise UserError(f"{path.name} does not fit {model.name}'s decoder: save it again.")
    return delta, metadata


def _fits_decoder(delta: WeightDelta, original: Weights) -> bool:
    try:
        values = delta.applied(original)
    except (KeyError, RuntimeError):
        return False
    return all(
        name in original
        and value.shape == original[name].shape
        and bool(torch.isfinite(value).all())
        for name, value in values.items()
    )
