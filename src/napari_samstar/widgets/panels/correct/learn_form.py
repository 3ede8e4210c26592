"""Learning from accepted objects: whether it is on, whether it is used, and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.forms.buttons import button, share_width
from napari_samstar.widgets.forms.dialogs import ask_save_path
from napari_samstar.widgets.forms.shared import error_html, note
from napari_samstar.widgets.jobs.jobs import Job

if TYPE_CHECKING:
    from napari_samstar.app.correcting import ComputedState, CorrectionController
    from napari_samstar.widgets.jobs.task_queue import TaskQueue
    from napari_samstar.widgets.panel import Panel

FILE_TYPE, SUFFIX = "What SAM learned", "safetensors"


class LearnForm(QWidget):
    """The learning section of the Correct panel.

    Parameters
    ----------
    panel : Panel
    correction : CorrectionController
    click_queue, training_queue : TaskQueue
        For the masks of clicks, and for training.
    """

    def __init__(
        self,
        panel: Panel,
        correction: CorrectionController,
        click_queue: TaskQueue,
        training_queue: TaskQueue,
    ) -> None:
        super().__init__()
        self._controller = panel.controller
        self._correction = correction
        self._click_queue, self._training_queue = click_queue, training_queue
        self._agreed = 0  # number of trials that the user agreed to replace
        self._build()
        panel.listen(correction.changed, self.refresh)
        panel.listen(training_queue.changed, self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.learn_box = QCheckBox("Learn from my clicks")
        self.learn_box.setToolTip("Trains SAM's mask decoder on what you accept, while you go on.")
        self.learn_box.setChecked(self._correction.learning)
        self.learn_box.toggled.connect(self._on_learn_toggled)
        self.adapted_box = QCheckBox("Use what was learned")
        self.adapted_box.setToolTip("Off: the original SAM predicts from the same clicks.")
        self.adapted_box.setChecked(self._correction.uses_adaptation)
        self.adapted_box.toggled.connect(self._on_adapted_toggled)
        self.state = note()
        self.again_button = button(
            "Find all objects again",
            "Run SAM on the whole image with what it learned and the current settings.",
            self.find_all,
        )
        self.reset_button = button(
            "Reset",
            "Forget what was learned. The objects stay until all are found again.",
            self.reset,
        )
        self.save_button = button("Save…", "Save what was learned to a file.", self._on_save)
        self.load_button = button("Load…", "Load what was learned earlier.", self._on_load)
        share_width(self.reset_button, self.save_button, self.load_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for row in (
            (self.learn_box,),
            (self.adapted_box,),
            (self.state,),
            (self.again_button,),
            (self.reset_button, self.save_button, self.load_button),
        ):
            line = QHBoxLayout()
            for widget in row:
                line.addWidget(widget, 1)
            column.addLayout(line)

    # --- user actions -------------------------------------------------------------------------

    def find_all(self) -> None:
        """Segment the whole image again with the adapted decoder and the settings on show."""
        session = self._controller.session
        n = len(session.trials)
        if n and self._agreed != n:
            self._agreed = n
            self.state.setText(
                f"<b>This replaces the front of {n} tried settings.</b> Press the button again to "
                "do it."
            )
            return
        work = self._correction.find_all_again
        arguments = (self._controller.cache(), session.settings)
        on_result = session.set_result
        self._controller.jobs.start(Job("Find all again", work, arguments, on_result=on_result))

    def reset(self) -> None:
        """Drop all adaptation."""
        self._training_queue.clear()
        self._correction.reset_adaptation()
        self.recompute()

    def save(self, path: Path) -> None:
        """Save the adapted weights."""
        from napari_samstar.core.adaptation import weights

        adaptation = self._correction.adaptation
        if adaptation is not None and adaptation.delta is not None:
            metadata = {"objects": str(adaptation.n_objects)}
            weights.save(adaptation.delta, adaptation.original, path, metadata)
            self.state.setText(f"{self._correction.text} Saved as {path.name}.")

    def load(self, path: Path) -> None:
        """Load adapted weights, which replace the current ones."""
        from napari_samstar.core.adaptation import weights
        from napari_samstar.core.adaptation.online import Adaptation

        current = self._correction.adaptation
        if current is None:
            return
        delta, metadata = weights.load(path, current.original)
        n_objects = metadata.get("objects", "")
        loaded = Adaptation(current.original, current.settings)
        loaded.restore(delta, int(n_objects) if n_objects.isdecimal() else 0)
        self._training_queue.clear()
        self._correction.restore_adaptation(loaded)
        self.adapted_box.setChecked(True)
        self.recompute()

    def _on_save(self) -> None:
        path = ask_save_path(self, "Save what was learned", "learned", SUFFIX, FILE_TYPE)
        if path is not None:
            self._show_errors_of(self.save, path)

    def _on_load(self) -> None:
        title, files = "What was learned earlier", f"{FILE_TYPE} (*.{SUFFIX})"
        path, _ = QFileDialog.getOpenFileName(self, title, "", files)
        if path:
            self._show_errors_of(self.load, Path(path))

    def _show_errors_of(self, work: Callable[[Path], None], path: Path) -> None:
        try:
            work(path)
        except UserError as error:
            self.state.setText(error_html(str(error)))

    def _on_learn_toggled(self, on: bool) -> None:
        self._correction.learning = on
        self.refresh()

    def _on_adapted_toggled(self, on: bool) -> None:
        self._correction.set_uses_adaptation(on)
        self.recompute()

    # --- updates ------------------------------------------------------------------------------

    def recompute(self) -> None:
        """Compute the current object's mask again, with the decoder now in use."""
        self._click_queue.add(self._correction.compute_again, self._on_recomputed, "again")

    def _on_recomputed(self, computed: ComputedState | None) -> None:
        if computed is not None:
            self._correction.apply_recomputed(computed)

    def refresh(self, *_: Any) -> None:
        """Update the buttons and the text."""
        correction = self._correction
        has_result = correction.result is not None
        for widget in (self.again_button, self.load_button):
            widget.setEnabled(has_result)
        is_adapted = correction.adaptation is not None and correction.adaptation.delta is not None
        for widget in (self.reset_button, self.save_button, self.adapted_box):
            widget.setEnabled(is_adapted)
        self.state.setText("Learning…" if self._training_queue.busy else correction.text)
