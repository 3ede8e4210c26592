"""The models that can be asked for by name. Imports neither torch nor the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Precision

Architecture = Literal["pocket", "vit_b", "vit_l", "vit_h", "mobile_sam"]

_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_MOBILE_SAM = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/"
_BIOIMAGE_IO = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io/"
_GWDG = "https://owncloud.gwdg.de/index.php/s/"


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
        File name in the cache folder.
    url : str, optional
        Where it is downloaded from; None for a model that ships with the package.
    sha256 : str, optional
        Hex digest of the file; None where the file ships with the package, or its publisher gives
        `xxh128` instead.
    size_bytes : int
        Download size, for a progress bar; approximate for pocket, mobile_sam and micro-sam's.
    licence : str
        SPDX name of the weights' licence.
    advice : str
        One line: for which images, how large a download, how quick.
    family : str
        See `families.ModelFamily`; "sam" for those of the `segment_anything` package.
    sees_centres : bool
        Whether it proposes prompts of its own, at the centres of objects.
    xxh128 : str, optional
        Hex digest of the file, where its publisher gives this kind.
    version : str
        Of the weights, as their publisher counts; empty where there are no versions.
    defaults : dict of str to float
        Settings of `AmgConfig` that suit the model better than those of `segment_anything`.
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
    xxh128: str | None = None
    version: str = ""
    defaults: dict[str, float] = field(default_factory=dict, hash=False)

    @property
    def known_hash(self) -> str | None:
        """The digest that the file must have, as "algorithm:digest"; None where none is known."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return None if self.xxh128 is None else f"xxh128:{self.xxh128}"


@dataclass(frozen=True)
class ModelChoice:
    """Which model, as `loading.load` takes it, on which device and how exact."""

    name: str = "pocket"
    device: str = "auto"
    precision: Precision = "reference"


def _micro_sam(
    name: str, url: str, xxh128: str, advice: str, thresholds: tuple[float, float], version: str
) -> ModelInfo:
    """Return a model of micro-sam; its architecture is the first part of its name."""
    size = name[:5]
    quality, stability = thresholds
    return ModelInfo(
        name=name,
        architecture="mobile_sam" if size == "vit_t" else size,
        file=f"{name}.pt",
        url=url,
        sha256=None,
        size_bytes=_SIZES[size],
        licence="CC-BY-4.0",
        advice=advice,
        xxh128=xxh128,
        version=version,
        defaults={"pred_iou_thresh": quality, "stability_score_thresh": stability},
    )


_SIZES = {
    "vit_t": 40_728_226,
    "vit_b": 375_042_383,
    "vit_l": 1_249_524_607,
    "vit_h": 2_564_550_879,
}

_MODELS = (
    ModelInfo(
        name="pocket",
        architecture="pocket",
        file="pocket.safetensors",
        url=None,
        sha256=None,
        size_bytes=12_000_000,
        licence="BSD-3-Clause",
        advice="Micrographs of all kinds; ships with the package, quick without a GPU. Start here.",
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
        advice="Any image, with a light encoder; a 39 MiB download, usable without a GPU.",
    ),
    ModelInfo(
        name="vit_b",
        architecture="vit_b",
        file="sam_vit_b_01ec64.pth",
        url=_META + "sam_vit_b_01ec64.pth",
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        size_bytes=375_042_383,
        licence="Apache-2.0",
        advice="Any image, Meta's base model; a 358 MiB download, seconds per image without a GPU.",
    ),
    ModelInfo(
        name="vit_l",
        architecture="vit_l",
        file="sam_vit_l_0b3195.pth",
        url=_META + "sam_vit_l_0b3195.pth",
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        size_bytes=1_249_524_607,
        licence="Apache-2.0",
        advice="Any image, better outlines than vit_b; a 1,192 MiB download, wants a GPU.",
    ),
    ModelInfo(
        name="vit_h",
        architecture="vit_h",
        file="sam_vit_h_4b8939.pth",
        url=_META + "sam_vit_h_4b8939.pth",
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        size_bytes=2_564_550_879,
        licence="Apache-2.0",
        advice="Any image, slightly better than vit_l; a 2,446 MiB download, needs 8 GiB of GPU.",
    ),
)

# Addresses and digests: micro-sam's registry, the function `models` in micro_sam/util.py (in
# micro_sam/v1/util.py since its branch for SAM 2). Versions: those in the addresses.
#
# Thresholds (quality, stability): AMG_SETTINGS in micro_sam/_model_settings.py, where micro-sam's
# napari plugin takes them from. Its models rate their own masks lower than Meta's do, so that
# Meta's 0.88 and 0.95 would leave out most objects. None are published for histopathology: there
# stand those of the light microscopy model of the same size, for the same kind of objects.
_MICRO_SAM = (
    _micro_sam(
        "vit_t_lm",
        _BIOIMAGE_IO + "faithful-chicken/1.1/files/vit_t.pt",
        "72ec5074774761a6e5c05a08942f981e",
        "Cells and nuclei in light microscopy; a 39 MiB download, usable without a GPU.",
        (0.6, 0.65),
        "1.1",
    ),
    _micro_sam(
        "vit_b_lm",
        _BIOIMAGE_IO + "diplomatic-bug/1.2/files/vit_b.pt",
        "fe9252a29f3f4ea53c15a06de471e186",
        "Cells and nuclei in light microscopy, the usual choice; a 358 MiB download, seconds per "
        "image without a GPU.",
        (0.65, 0.7),
        "1.2",
    ),
    _micro_sam(
        "vit_l_lm",
        _BIOIMAGE_IO + "idealistic-rat/1.2/files/vit_l.pt",
        "017f20677997d628426dec80a8018f9d",
        "Cells and nuclei in light microscopy, better than vit_b_lm; a 1,192 MiB download, wants "
        "a GPU.",
        (0.65, 0.73),
        "1.2",
    ),
    _micro_sam(
        "vit_t_em_organelles",
        _BIOIMAGE_IO + "greedy-whale/1/files/vit_t.pt",
        "253474720c497cce605e57c9b1d18fd9",
        "Mitochondria, nuclei and other roundish organelles in electron microscopy; a 39 MiB "
        "download, usable without a GPU.",
        (0.75, 0.75),
        "1",
    ),
    _micro_sam(
        "vit_b_em_organelles",
        _BIOIMAGE_IO + "noisy-ox/1.2/files/vit_b.pt",
        "f3bf2ed83d691456bae2c3f9a05fb438",
        "Mitochondria, nuclei and other roundish organelles in electron microscopy, the usual "
        "choice; a 358 MiB download, seconds per image without a GPU.",
        (0.75, 0.75),
        "1.2",
    ),
    _micro_sam(
        "vit_l_em_organelles",
        _BIOIMAGE_IO + "humorous-crab/1.2/files/vit_l.pt",
        "810b084b6e51acdbf760a993d8619f2d",
        "Organelles in electron microscopy, better than vit_b_em_organelles; a 1,192 MiB "
        "download, wants a GPU.",
        (0.8, 0.8),
        "1.2",
    ),
    _micro_sam(
        "vit_b_histopathology",
        _GWDG + "sBB4H8CTmIoBZsQ/download",
        "ffd1a2cd84570458b257bd95fdd8f974",
        "Nuclei in stained tissue (PathoSAM), the usual choice; a 358 MiB download, seconds per "
        "image without a GPU.",
        (0.65, 0.7),
        "",
    ),
    _micro_sam(
        "vit_l_histopathology",
        _GWDG + "IZgnn1cpBq2PHod/download",
        "b591833c89754271023e901281dee3f2",
        "Nuclei in stained tissue (PathoSAM), better than vit_b_histopathology; a 1,192 MiB "
        "download, wants a GPU.",
        (0.65, 0.73),
        "",
    ),
    _micro_sam(
        "vit_h_histopathology",
        _GWDG + "L7AcvVz7DoWJ2RZ/download",
        "bd1856dafc156a43fb3aa705f1a6e92e",
        "Nuclei in stained tissue (PathoSAM), the largest; a 2,446 MiB download, needs 8 GiB on "
        "the GPU.",
        (0.65, 0.7),
        "",
    ),
)

REGISTRY: dict[str, ModelInfo] = {info.name: info for info in (*_MODELS, *_MICRO_SAM)}


def model_defaults(name_or_path: str | Path) -> dict[str, float]:
    """Return the settings of `AmgConfig` in which a model differs from `segment_anything`.

    A file counts as the named model whose name it has without its ending, as it does for
    `LoadedModel.name`.
    """
    name = str(name_or_path)
    info = REGISTRY.get(name) or REGISTRY.get(Path(name).stem)
    return {} if info is None else dict(info.defaults)
