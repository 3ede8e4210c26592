"""A checkpoint file -> a SAM with its weights, whichever of the known layouts the file has."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import safetensors
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from torch import Tensor

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.mobile_sam import build_mobile_sam, is_mobile_sam, to_timm
from napari_samstar.core.models.pocket import build_pocket, grown
from napari_samstar.core.models.weights import is_finite

if TYPE_CHECKING:
    from napari_samstar.core.models.registry import Architecture

Weights = dict[str, Tensor]

_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
_WRAPPERS = ("model_state", "state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.", "sam.")
_VITS: dict[tuple[int, int], Architecture] = {  # (embedding width, blocks)
    (768, 12): "vit_b",
    (1024, 24): "vit_l",
    (1280, 32): "vit_h",
}
_PIXEL_MEAN = (123.675, 116.28, 103.53)  # of SAM's training images, RGB 0..255
_PIXEL_STD = (58.395, 57.12, 57.375)


def read_weights(path: Path) -> tuple[Weights, dict[str, str]]:
    """Return SAM's weights as float32 on the CPU, by upstream's names, and the file's metadata.

    Understood are safetensors files and files of `torch.save`: a plain state dict, or one inside
    "model_state" (micro-sam), "state_dict" or "model", with or without the prefixes "sam." and
    "module.". What does not belong to SAM, such as micro-sam's segmentation decoder, is left out.
    No code in the file is run.

    Raises
    ------
    UserError
        For a file of another kind, a damaged one, one with Python objects or without SAM's
        weights, or weights that are not finite.
    """
    found, metadata = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    weights = _only_sam(found)
    if not weights:
        raise UserError(
            f"{path.name} holds no Segment Anything model (no weights called image_encoder...): "
            "choose a checkpoint of SAM, MobileSAM or micro-sam."
        )
    for name, value in weights.items():
        if not is_finite(value):
            raise UserError(
                f"{path.name} is damaged, its weights {name} are not finite: get a fresh copy."
            )
    return weights, metadata


def infer_architecture(
    weights: Mapping[str, Tensor], metadata: Mapping[str, str], file: str = "The file"
) -> Architecture:
    """Return which network the weights belong to, from names and shapes alone."""
    if metadata.get("arch") == "pocket" or weights.keys() == _pocket_names():
        return "pocket"
    if is_mobile_sam(weights):
        return "mobile_sam"
    position = weights.get("image_encoder.pos_embed")
    blocks = {n.split(".")[2] for n in weights if n.startswith("image_encoder.blocks.")}
    width = 0 if position is None else int(position.shape[-1])
    if (width, len(blocks)) not in _VITS:
        seen = f" ({len(blocks)} blocks of width {width})" if width else ""
        raise UserError(
            f"{file} holds a network that is not known here{seen}: "
            "choose SAM's ViT-B, ViT-L or ViT-H, MobileSAM or pocket."
        )
    return _VITS[width, len(blocks)]


def build(architecture: Architecture, weights: Weights, file: str = "The file") -> Sam:
    """Return a frozen SAM in eval mode that holds exactly `weights`, on the CPU."""
    if architecture == "pocket":
        # Blocks that older files lack hold random numbers without effect: always the same ones.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sam = build_pocket()
        weights = grown(sam, weights)
    elif architecture == "mobile_sam":
        sam, weights = build_mobile_sam(), to_timm(weights)
    else:
        with torch.device("meta"):  # random initial weights would cost seconds and gigabytes
            sam = sam_model_registry[architecture]()
        # Kept out of checkpoints by upstream, hence still without values.
        sam.pixel_mean = torch.tensor(_PIXEL_MEAN).view(-1, 1, 1)
        sam.pixel_std = torch.tensor(_PIXEL_STD).view(-1, 1, 1)
    _check_fit(sam, weights, architecture, file)
    sam.load_state_dict(weights, strict=True, assign=True)
    return sam.requires_grad_(False).eval()


def _pocket_names() -> set[str]:
    with torch.device("meta"):
        return set(build_pocket().state_dict())


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"  # the length of the header, then JSON


def _read_safetensors(path: Path) -> tuple[Weights, dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    _check_kind(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old file formats, which are fine
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path.name} holds Python objects besides weights and is not opened, since they could "
            "run code: export the weights alone (micro-sam: export_custom_sam_model)."
        ) from error
    except Exception as error:  # torch's readers raise many kinds
        raise _damaged(path, error) from error
    if not isinstance(found, Mapping):
        raise UserError(f"{path.name} holds no named weights: choose a checkpoint of SAM.")
    for wrapper in _WRAPPERS:
        if isinstance(found.get(wrapper), Mapping):
            return found[wrapper], {}
    return found, {}


def _check_kind(path: Path) -> None:
    """Tell apart what torch would answer with the same puzzling message."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            raise _damaged(path, "its end is missing")
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                raise UserError(f"{path.name} is a zip archive: unpack it and choose a checkpoint.")
    elif not head.startswith(b"\x80"):
        raise UserError(
            f"{path.name} is not a checkpoint: choose a .pth, .pt or .safetensors file of SAM."
        )


def _damaged(path: Path, error: object) -> UserError:
    detail = str(error).strip().partition("\n")[0]
    return UserError(f"{path.name} is damaged or incomplete ({detail}): download it again.")


def _only_sam(found: Mapping[str, Any]) -> Weights:
    weights = {}
    for name, value in found.items():
        if isinstance(value, Tensor) and isinstance(name, str):
            name = _without_prefixes(name)
            if name.startswith(_PARTS):
                weights[name] = value.float() if value.is_floating_point() else value
    return weights


def _without_prefixes(name: str) -> str:
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name


def _check_fit(sam: Sam, weights: Weights, architecture: str, file: str) -> None:
    wanted = cast("Weights", sam.state_dict())
    missing = sorted(wanted.keys() - weights.keys())
    extra = sorted(weights.keys() - wanted.keys())
    shapes = [n for n in wanted if n in weights and wanted[n].shape != weights[n].shape]
    for names, what in ((missing, "are missing"), (extra, "are too many"), (shapes, "differ")):
        if names:
            raise UserError(
                f"{file} is not a complete {architecture}: {len(names)} of its weights {what}, "
                f"first {names[0]}; choose an unmodified checkpoint."
            )
