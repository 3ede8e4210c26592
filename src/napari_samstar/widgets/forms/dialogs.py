"""Asking for a file."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget


def ask_save_path(parent: QWidget, title: str, name: str, ending: str, what: str) -> Path | None:
    """Ask where to save a file; None where the user thinks better of it.

    Parameters
    ----------
    name : str
        Proposed name, with or without its ending.
    ending : str
        Without its first dot. Given to a name without one before Qt asks whether to replace a
        file that is there.
    what : str
        What such files hold.
    """
    dialog = QFileDialog(parent, title, "", f"{what} (*.{ending})")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(ending)
    dialog.selectFile(name)
    chosen = dialog.exec()
    dialog.deleteLater()  # not with the panel: one would stay for every file saved
    if not chosen:
        return None
    path = Path(dialog.selectedFiles()[0])
    return path if path.name.endswith(f".{ending}") else path.with_name(f"{path.name}.{ending}")
