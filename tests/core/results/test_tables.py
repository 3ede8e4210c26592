"""CSV files open right in pandas, and say their encoding to Excel."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_samstar.core.results.tables import header, read_rows, write_rows, write_table

MARK = b"\xef\xbb\xbf"


def test_a_unit_that_is_not_ascii_gets_a_mark_and_pandas_reads_it(tmp_path):
    path = tmp_path / "t.csv"
    write_table({"label": np.arange(1, 4), "diameter_µm": np.array([1.5, np.nan, 1e-9])}, path)
    assert path.read_bytes().startswith(MARK + b"label,")
    table = pd.read_csv(path)
    assert list(table.columns) == ["label", "diameter_µm"]
    np.testing.assert_allclose(table["diameter_µm"], [1.5, np.nan, 1e-9])
    assert header(path) == ["label", "diameter_µm"]
    assert [row["label"] for row in read_rows(path)] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["a.tif", "Größe.tif", "微粒.tif"])
def test_ascii_has_no_mark(tmp_path, name):
    path = tmp_path / "t.csv"
    write_rows([{"image": name, "n": 3}, {"image": name}], ["image", "n"], path)
    assert path.read_bytes().startswith(MARK) != name.isascii()
    table = pd.read_csv(path)
    assert table["image"].tolist() == [name, name]
    assert table["n"].tolist()[0] == 3
    assert np.isnan(table["n"].tolist()[1])


def test_commas_quotes_and_line_breaks_stay_in_their_cell(tmp_path):
    path = tmp_path / "t.csv"
    text = 'a, "b"\nc'
    write_rows([{"note": text, "n": 1}], ["note", "n"], path)
    assert pd.read_csv(path)["note"][0] == text


def test_a_failing_row_leaves_no_file(tmp_path):
    path = tmp_path / "t.csv"

    def rows():
        yield {"n": 1}
        raise KeyError("gone")

    with pytest.raises(KeyError):
        write_rows(rows(), ["n"], path)
    assert list(tmp_path.iterdir()) == []
