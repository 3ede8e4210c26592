"""Qt model of a table of measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_samstar.widgets.forms.shared import readable


class TableModel(QAbstractTableModel):
    """Shows a DataFrame whose column "index" holds the label of each object.

    It sorts whole columns with NumPy. Qt's proxy model would call Python for each comparison of
    two cells, which takes a second for a few thousand objects.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = pd.DataFrame()
        self._columns: list[Any] = []
        self._order = np.empty(0, dtype=np.intp)
        self._sorting = (0, Qt.SortOrder.AscendingOrder)

    def show(self, table: pd.DataFrame) -> None:
        """Show another table, with the same sorting."""
        self.beginResetModel()
        self.table = table
        self._columns = [table[name].to_numpy() for name in table.columns]
        self._order = self._order_by(*self._sorting)
        self.endResetModel()

    def label(self, row: int) -> int:
        """Return the label in a row of the view."""
        return int(self.table["index"].iloc[self._order[row]])

    def row_of(self, label: int) -> int | None:
        """Return the row of a label in the view, None where there is none."""
        if not len(self.table):
            return None
        at = (self.table["index"].to_numpy()[self._order] == label).nonzero()[0]
        return int(at[0]) if len(at) else None

    def measurements(self, label: int) -> dict[str, Any] | None:
        """Return the measurements of an object by column, None where there is none."""
        row = self.row_of(label)
        return None if row is None else dict(self.table.iloc[self._order[row]])

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; the selected row stays selected."""
        self.layoutAboutToBeChanged.emit()
        before, indexes = self._order, self.persistentIndexList()
        self._sorting = (column, order)
        self._order = self._order_by(column, order)
        row_of = np.argsort(self._order)
        moved = [self.index(int(row_of[before[x.row()]]), x.column()) for x in indexes]
        self.changePersistentIndexList(indexes, moved)
        self.layoutChanged.emit()

    def _order_by(self, column: int, order: Qt.SortOrder) -> Any:
        if not 0 <= column < len(self._columns):
            return np.arange(len(self.table))
        ascending = np.argsort(self._columns[column], kind="stable")
        return ascending if order == Qt.SortOrder.AscendingOrder else ascending[::-1]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of objects."""
        return len(self.table)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of measurements."""
        return len(self.table.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            value = self._columns[index.column()][self._order[index.row()]]
            return readable(float(value)) if isinstance(value, np.floating) else str(value)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        name = str(self.table.columns[section])
        return "label" if name == "index" else _title(name)


def _title(name: str) -> str:
    """Return the title of a column, such as "area (nm²)"."""
    *words, last = name.split("_")
    if last in ("px", "px2") or last.removesuffix("2") in ("nm", "µm", "mm"):
        return f"{' '.join(words)} ({last.replace('2', '²')})"
    return " ".join([*words, last])
