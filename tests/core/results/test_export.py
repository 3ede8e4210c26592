from __future__ import annotations

import json

import numpy as np
import pytest
from roifile import roiread

from napari_samstar.core.errors import UserError
from napari_samstar.core.results.export import write_coco, write_rois
from tests.core.painted import disc, rectangle

SHAPE = (60, 80)


def labels() -> np.ndarray:
    out = np.zeros(SHAPE, dtype=np.int32)
    out[disc(SHAPE, 20, 20, 12)] = 1
    out[disc(SHAPE, 35, 55, 15) & ~disc(SHAPE, 35, 55, 6)] = 2  # a hole
    out[rectangle(SHAPE, 50, 2, 55, 10) | rectangle(SHAPE, 50, 14, 55, 20)] = 5  # two parts
    return out


# pycocotools still speaks NumPy 1's array protocol
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_gives_every_object_back(tmp_path) -> None:
    mask_tools = pytest.importorskip("pycocotools.coco")
    image = labels()
    path = write_coco(image, tmp_path / "objects.json", "sample.tif")
    coco = mask_tools.COCO(str(path))
    assert [i["file_name"] for i in coco.dataset["images"]] == ["sample.tif"]
    again = np.zeros(SHAPE, dtype=np.int32)
    for about in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(about).astype(bool)
        assert mask.sum() == about["area"]
        again[mask] = about["label"]
    np.testing.assert_array_equal(again, image)
    kinds = {a["label"]: type(a["segmentation"]) for a in coco.dataset["annotations"]}
    assert kinds == {1: list, 2: dict, 5: list}


def test_coco_of_a_stack_has_an_image_for_each_plane(tmp_path) -> None:
    stack = np.stack([labels(), np.zeros_like(labels()), labels()])
    whole = json.loads(write_coco(stack, tmp_path / "s.json", "s").read_text())
    assert len(whole["images"]) == 3
    assert sorted({a["image_id"] for a in whole["annotations"]}) == [1, 3]
    assert len({a["id"] for a in whole["annotations"]}) == 6


def test_rois_are_named_and_closed(tmp_path) -> None:
    rois = roiread(write_rois(labels(), tmp_path / "rois.zip"))
    assert [r.name for r in rois] == ["0001", "0002", "0005"]
    disc_roi = rois[0]
    assert disc_roi.roitype.name == "POLYGON"
    x, y = disc_roi.coordinates().T
    assert abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 == (labels() == 1).sum()
    assert (disc_roi.left, disc_roi.top) == (8, 8)
    for composite in rois[1:]:
        assert composite.composite
        parts = composite.coordinates(multi=True)
        assert len(parts) == 2
        assert composite.left == min(p[:, 0].min() for p in parts)


def test_rois_of_a_stack_carry_their_slice(tmp_path) -> None:
    stack = np.stack([np.zeros_like(labels()), labels()])
    rois = roiread(write_rois(stack, tmp_path / "rois.zip"))
    assert {r.position for r in rois} == {2}
    assert rois[0].name == "0002-0001"


def test_what_cannot_be_exported_is_said(tmp_path) -> None:
    with pytest.raises(UserError, match="no object"):
        write_rois(np.zeros(SHAPE, dtype=np.int32), tmp_path / "rois.zip")
    with pytest.raises(UserError, match="zip"):
        write_rois(labels(), tmp_path / "rois.roi")
    with pytest.raises(UserError, match="axes"):
        write_coco(np.zeros((2, 2, 4, 4), dtype=np.int32), tmp_path / "c.json")
