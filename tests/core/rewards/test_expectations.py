from __future__ import annotations

import pytest

from napari_samstar.core.cues.image_cues import image_cues
from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.expectations import EXPECTED, Expectations
from tests.core.painted import disc, gray_of

SHAPE = (128, 128)
CUES = image_cues(gray_of([disc(SHAPE, r, c, 8) for r in (30, 64, 98) for c in (30, 64, 98)]))


def test_lengths_are_converted_to_px_and_numbers_are_kept():
    inputs = Expectations(small=20, diameter=10, count=7, spread=1.3, unit="nm")
    px = inputs.in_px((0.5, 0.5), "nm")
    assert (px.small, px.diameter, px.count, px.spread, px.unit) == (40, 20, 7, 1.3, "px")


@pytest.mark.parametrize(("pixel", "unit", "expected"), [(0.002, "µm", 10), (2.0, "nm", 10)])
def test_nm_and_um_are_converted(pixel, unit, expected):
    assert Expectations(small=20, unit="nm").in_px((pixel, pixel), unit).small == pytest.approx(
        expected
    )


def test_pixels_that_are_not_square_use_the_geometric_mean():
    assert Expectations(small=8, unit="nm").in_px((4.0, 1.0), "nm").small == pytest.approx(4)


def test_lengths_in_nm_need_a_pixel_size():
    with pytest.raises(UserError, match="pixel size is not known: enter the pixel size"):
        Expectations(small=20, unit="nm").in_px(None, "px")
    assert Expectations(small=20).in_px(None, "px").small == 20


def test_missing_sizes_are_estimated_from_the_image():
    estimated = Expectations().completed(CUES)
    assert 20 < estimated.small < 45
    assert estimated.large == 2 * estimated.small
    assert Expectations(small=11).completed(CUES).small == 11
    low = Expectations(large=9).completed(CUES)
    assert low.small <= low.large == 9


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"small": 0}, "Small below must be more than 0"),
        ({"small": float("nan")}, "Small below must be"),
        ({"spread": 0.5}, "Size spread must be .* at least 1"),
        ({"circularity": 1.2}, "Circularity must be .* at most 1"),
        ({"small": 9, "large": 4}, "swap the two sizes"),
    ],
)
def test_invalid_expectations_raise_a_user_error(values, sentence):
    with pytest.raises(UserError, match=sentence):
        Expectations(**values)


def test_expectations_without_lengths_need_no_pixel_size():
    assert Expectations(count=7, unit="nm").in_px(None, "px") == Expectations(count=7)


def test_other_units_are_refused():
    with pytest.raises(UserError, match="px, nm or µm"):
        Expectations(small=3, unit="kg").in_px((1.0, 1.0), "nm")


def test_a_dictionary_gives_the_same_expectations():
    inputs = Expectations(small=3.5, count=10, unit="nm")
    assert Expectations.from_dict(inputs.to_dict()) == inputs
    assert inputs.to_dict() == {"small": 3.5, "count": 10, "unit": "nm"}
    with pytest.raises(UserError, match="Unknown expectation 'beauty'"):
        Expectations.from_dict({"beauty": 1})


def test_every_expectation_has_a_label_and_a_help_text():
    for about in EXPECTED.values():
        assert about.label
        assert about.help.endswith(".")
        assert about.low < about.high
