from __future__ import annotations

import subprocess
import sys

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.tuning.inputs import planes_in


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
    assert planes_in(text, (10,)) == tuple((k,) for k in planes)


def test_planes_of_a_series_of_stacks():
    assert planes_in("1,3; 0,2", (2, 4)) == ((0, 2), (1, 3))


@pytest.mark.parametrize(
    ("text", "sizes", "words"),
    [
        ("10", (10,), "no plane 10"),
        ("a", (10,), "0, 4, 8"),
        ("0:9:0", (10,), "0, 4, 8"),
        ("-2", (10,), "0, 4, 8"),
        ("3", (2, 4), "no plane 3"),
        ("0-2", (2, 4), "0,3; 1,3"),
    ],
)
def test_what_is_wrong_with_planes_is_said(text, sizes, words):
    with pytest.raises(UserError, match=words):
        planes_in(text, sizes)


def test_it_is_free_of_torch():
    code = "import sys, napari_samstar.core.tuning.inputs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
