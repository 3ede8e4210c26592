from __future__ import annotations

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.plane_text import parse_planes


@pytest.mark.parametrize(
    ("text", "planes"),
    [
        ("", ()),
        (" 4 , 0,8 ", (0, 4, 8)),
        ("0-3, 9", (0, 1, 2, 3, 9)),
        ("0:10:4", (0, 4, 8)),
        ("2:4,3", (2, 3)),
        ("7-7,", (7,)),
    ],
)
def test_planes_of_a_stack(text, planes):
    assert parse_planes(text, (10,)) == tuple((k,) for k in planes)


@pytest.mark.parametrize(
    ("text", "planes"),
    [
        ("1,3; 0,2", ((0, 2), (1, 3))),
        ("1,0:4:2", ((1, 0), (1, 2))),
        ("0-1,0-1", ((0, 0), (0, 1), (1, 0), (1, 1))),
    ],
)
def test_planes_of_a_series_of_stacks(text, planes):
    assert parse_planes(text, (2, 4)) == planes


@pytest.mark.parametrize(
    ("text", "sizes", "words"),
    [
        ("10", (10,), "no plane 10"),
        ("a", (10,), "0, 4, 8"),
        ("0:9:0", (10,), "0, 4, 8"),
        ("-2", (10,), "0, 4, 8"),
        ("3", (2, 4), "no plane 3"),
        ("0-2", (2, 4), "no plane 0"),
        ("a,1", (2, 4), "0,3; 1,3"),
        ("5:5", (10,), "0, 4, 8"),
        ("3-1", (10,), "0, 4, 8"),
        ("1:2:3:4", (10,), "0, 4, 8"),
        ("1.5", (10,), "0, 4, 8"),
        ("0", (), "no plane 0"),
    ],
)
def test_wrong_planes_get_one_sentence(text, sizes, words):
    with pytest.raises(UserError, match=words):
        parse_planes(text, sizes)
