"""The models that can be asked for by name. Imports neither torch nor the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Precision

Architecture = Literal["pocket", "vit_b", "vit_l", "vit_h", "mobile_sam"]

_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_MOBILE_SAM = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/"


@dataclass(frozen=True)
class ModelInfo:
    """A model that has a name.

    Attributes
    ----------
    name : str
        What the user types.
    architecture : str
        Which network it is; one of `Architecture` in the family "sam".
    file : str
        File name, in the cache folder and at the end of `url`.
    url : str, optional
        Where it is downloaded from; None for a model that ships with the package.
    sha256 : str, optional
        Hex digest of the file; None where the file ships with the package.
    size_bytes : int
        Download size, for a progress bar; approximate for mobile_sam and pocket.
    licence : str
        SPDX name of the weights' licence.
    advice : str
        One line: when to choose it.
    family : str
        See `families.ModelFamily`; "sam" for those of the `segment_anything` package.
    sees_centres : bool
        Whether it proposes prompts of its own, at the centres of objects.
    """

    name: str
    architecture: str
    file: str
    url: str | None
    sha256: str | None
    size_bytes: int
    licence: str
    advice: str
    family: str = "sam"
    sees_centres: bool = False


@dataclass(frozen=True)
class ModelChoice:
    """Which model, as `loading.load` takes it, on which device and how exact."""

    name: str = "pocket"
    device: str = "auto"
    precision: Precision = "reference"


_MODELS = (
    ModelInfo(
        name="pocket",
        architecture="pocket",
        file="pocket.safetensors",
        url=None,
        sha256=None,
        size_bytes=12_000_000,
        licence="BSD-3-Clause",
        advice="Ships with the package, made for microscopy, quick without a GPU. Start here.",
        sees_centres=True,
    ),
    ModelInfo(
        name="mobile_sam",
        architecture="mobile_sam",
        file="mobile_sam.pt",
        url=_MOBILE_SAM + "mobile_sam.pt",
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        size_bytes=40_728_226,
        licence="Apache-2.0",
        advice="A 39 MiB download with a light encoder; usable without a GPU.",
    ),
    ModelInfo(
        name="vit_b",
        architecture="vit_b",
        file="sam_vit_b_01ec64.pth",
        url=_META + "sam_vit_b_01ec64.pth",
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        size_bytes=375_042_383,
        licence="Apache-2.0",
        advice="Meta's base model: the usual choice with a GPU, seconds per image without.",
    ),
    ModelInfo(
        name="vit_l",
        architecture="vit_l",
        file="sam_vit_l_0b3195.pth",
        url=_META + "sam_vit_l_0b3195.pth",
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        size_bytes=1_249_524_607,
        licence="Apache-2.0",
        advice="Meta's large model: better outlines, needs a GPU to be pleasant.",
    ),
    ModelInfo(
        name="vit_h",
        architecture="vit_h",
        file="sam_vit_h_4b8939.pth",
        url=_META + "sam_vit_h_4b8939.pth",
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        size_bytes=2_564_550_879,
        licence="Apache-2.0",
        advice="Meta's largest model: slightly better than vit_l, needs 8 GiB on the GPU.",
    ),
)

REGISTRY: dict[str, ModelInfo] = {info.name: info for info in _MODELS}
