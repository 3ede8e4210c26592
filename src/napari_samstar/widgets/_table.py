"""A table of measurements that Qt can show and sort."""

from __future__ import annotations

from typing import Any

import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt

SORT_ROLE = Qt.ItemDataRole.UserRole


class TableModel(QAbstractTableModel):
    """Shows a DataFrame, whose column "index" holds the label of each object."""

    def __init__(self) -> None:
        super().__init__()
        self.table = pd.DataFrame()

    def show(self, table: pd.DataFrame) -> None:
        """Show another table."""
        self.beginResetModel()
        self.table = table
        self.endResetModel()

    def label(self, row: int) -> int:
        """Return the label of a row."""
        return int(self.table["index"].iloc[row])

    def row_of(self, label: int) -> int | None:
        """Return the row of a label, None where there is none."""
        at = (self.table["index"] == label).to_numpy().nonzero()[0] if len(self.table) else []
        return int(at[0]) if len(at) else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of objects."""
        return len(self.table)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of measurements."""
        return len(self.table.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of a cell, or its number for sorting."""
        if not index.isValid():
            return None
        value = self.table.iat[index.row(), index.column()]
        if role == SORT_ROLE:
            return float(value)
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{value:.4g}" if isinstance(value, float) else str(value)
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
        return "label" if name == "index" else name.replace("_", " ").replace("m2", "m²")


def sortable(model: TableModel) -> QSortFilterProxyModel:
    """Return a view of `model` that sorts by number."""
    proxy = QSortFilterProxyModel()
    proxy.setSourceModel(model)
    proxy.setSortRole(SORT_ROLE)
    return proxy
