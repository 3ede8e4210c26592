"""File dialogs."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget


def ask_save_path(parent: QWidget, title: str, name: str, suffix: str, kind: str) -> Path | None:
    """Ask for the path of a file to save; None if the user cancels.

    Parameters
    ----------
    parent : QWidget
    title : str
        Of the dialog.
    name : str
        Proposed name, with or without suffix.
    suffix : str
        Without its first dot. Appended to a name without suffix before Qt checks whether the file
        exists.
    kind : str
        Description of such files.
    """
    dialog = QFileDialog(parent, title, "", f"{kind} (*.{suffix})")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(suffix)
    dialog.selectFile(name)
    chosen = dialog.exec()
    dialog.deleteLater()  # otherwise it stays until the panel is closed
    if not chosen:
        return None
    path = Path(dialog.selectedFiles()[0])
    return path if path.name.endswith(f".{suffix}") else path.with_name(f"{path.name}.{suffix}")
