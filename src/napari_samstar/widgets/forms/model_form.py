"""Choice of the model and of the device on which it runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_samstar.core.models.downloads import local_file
from napari_samstar.core.models.registry import REGISTRY, ModelChoice
from napari_samstar.widgets.forms.shared import combo, form, note
from napari_samstar.widgets.jobs.workers import make_worker
from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.shell.importing import is_shutting_down
from napari_samstar.widgets.shell.torch_import import start_torch

if TYPE_CHECKING:
    from napari_samstar.core.results.result import Result

DEVICES = {"Best available": "auto", "CPU": "cpu", "NVIDIA GPU (cuda)": "cuda", "Apple GPU": "mps"}
OTHER_FILE = "Other file…"


class ModelForm(QWidget):
    """Chooses a model and a device, and shows information about both."""

    def __init__(self) -> None:
        super().__init__()
        self._device_texts: dict[str, str] = {}
        self._files_with_centres: dict[str, bool] = {}
        self._chosen = next(iter(REGISTRY))  # restored if the file dialog is cancelled
        self.model_box = combo("The SAM model. Larger models are better and slower.")
        for name in REGISTRY:
            self.model_box.addItem(_model_text(name), name)
        self.model_box.addItem(OTHER_FILE, "")
        self.model_box.activated.connect(self._on_model_activated)
        self.device_box = combo("The processor on which SAM runs.", DEVICES)
        self.device_box.currentIndexChanged.connect(self._on_device_chosen)
        self.note = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        rows = form()
        rows.addRow("Model", self.model_box)
        rows.addRow("Device", self.device_box)
        column.addLayout(rows)
        column.addWidget(self.note)
        self._show()

    def choice(self) -> ModelChoice:
        """Return the model and the device."""
        return ModelChoice(self.model_box.currentData(), DEVICES[self.device_box.currentText()])

    def sees_centres(self) -> bool:
        """Return whether the model detects centres; for other files known after loading only."""
        name = self.model_box.currentData()
        info = REGISTRY.get(name)
        return info.sees_centres if info else self._files_with_centres.get(name, False)

    def show_model(self, name: str) -> None:
        """Choose a model by its name in the registry or the path of its file."""
        at = self.model_box.findData(name)
        if at < 0:
            at = self.model_box.count() - 1
            self.model_box.insertItem(at, name.replace("\\", "/").rsplit("/", 1)[-1], name)
        self.model_box.setCurrentIndex(at)
        self._chosen = name
        self._show()

    def show_loaded(self, result: Result) -> None:
        """Show the device of the model that was loaded, and that its file exists now."""
        if result.choice is None:
            return
        name, device = result.choice.name, result.choice.device
        self._device_texts[device] = result.model.device_reason
        self._files_with_centres[name] = result.model.backend.sees_centres
        if name in REGISTRY:
            self.model_box.setItemText(self.model_box.findData(name), _model_text(name))
        self._show()

    def look_for_devices(self) -> None:
        """Find out on which device SAM would run, in a worker because torch takes long to load."""
        device = self.choice().device
        if device in self._device_texts:
            return
        worker = make_worker(_device_text, device)
        worker.returned.connect(partial(call_if_alive(self._on_device_text), device))
        worker.start()

    def _on_device_text(self, device: str, text: str) -> None:
        self._device_texts.setdefault(device, text)
        self._show()

    def _on_device_chosen(self, *_: Any) -> None:
        self.look_for_devices()
        self._show()

    def _show(self, *_: Any) -> None:
        name = self.model_box.currentData()
        info = REGISTRY.get(name)
        if info is None:
            about = f"Checkpoint file: {name}"
        else:
            about = f"{info.advice} Licence: {info.licence}."
        reason = self._device_texts.get(self.choice().device, "")
        where = f"Runs on {reason}" if reason else "Starting PyTorch…"
        self.note.setText(f"{about}<br>{where}")
        self.model_box.setToolTip(about)

    def _on_model_activated(self, index: int) -> None:
        if self.model_box.itemData(index) == "":
            self._ask_for_file()
        self._chosen = self.model_box.currentData()
        self._show()

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "A SAM checkpoint", "", "SAM checkpoints (*.pth *.pt *.safetensors)"
        )
        self.show_model(path or self._chosen)


def _device_text(device: str) -> str:
    """Return the device on which SAM would run and why, or the message of an error."""
    from napari_samstar.core.errors import UserError

    start_torch().wait()
    if is_shutting_down():
        return ""
    from napari_samstar.core.models.device import choose_device

    try:
        return choose_device(device).reason
    except UserError as error:
        return str(error)


def _model_text(name: str) -> str:
    info = REGISTRY[name]
    if info.url is None:
        return f"{name} (included)"
    ready = ", ready" if local_file(info).is_file() else ", to download"
    return f"{name} ({info.size_bytes / 2**20:.0f} MB{ready})"
