"""What SAM learned from accepted objects: whether it learns, whether it is used, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_samstar.app.correcting import Correcting, find_all_again
from napari_samstar.core.errors import UserError
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.dialogs import ask_save_path
from napari_samstar.widgets.forms.shared import error_html, note
from napari_samstar.widgets.jobs.jobs import Job

if TYPE_CHECKING:
    from napari_samstar.widgets.jobs.task_queue import TaskQueue
    from napari_samstar.widgets.panel import Panel

WHAT = "What SAM learned"
ENDING = "safetensors"


class LearnForm(QWidget):
    """The learning half of the Correct panel.

    Parameters
    ----------
    panel : Panel
    correcting : Correcting
    answers, training_targets : TaskQueue
        Where clicks are answered, and where SAM learns beside them.
    """

    def __init__(
        self, panel: Panel, correcting: Correcting, answers: TaskQueue, training_targets: TaskQueue
    ) -> None:
        super().__init__()
        self._controller = panel.controller
        self._correcting, self._answers, self._training_targets = (
            correcting,
            answers,
            training_targets,
        )
        self._build()
        panel.listen(correcting.changed, self.refresh)
        panel.listen(training_targets.changed, self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.learn_box = QCheckBox("Learn from my clicks")
        self.learn_box.setToolTip("SAM's mask decoder adapts to what you accept, beside your work.")
        self.learn_box.setChecked(self._correcting.learning)
        self.learn_box.toggled.connect(self._on_learn_toggled)
        self.adapted_box = QCheckBox("Use what was learned")
        self.adapted_box.setToolTip("Off: see what the original SAM makes of the same clicks.")
        self.adapted_box.setChecked(self._correcting.adapted)
        self.adapted_box.toggled.connect(self._on_adapted_toggled)
        self.state = note()
        self.again_button = button(
            "Find all objects again",
            "Run SAM on the whole image with what it learned, with the settings on show.",
            self.find_all,
        )
        self.reset_button = button(
            "Reset",
            "Forget what was learned. The objects on show stay until all are found again.",
            self.reset,
        )
        self.save_button = button("Save…", "Save what was learned to a file.", self._on_save)
        self.load_button = button("Load…", "Load what was learned earlier.", self._on_load)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for row in (
            (self.learn_box, self.adapted_box),
            (self.state,),
            (self.again_button,),
            (self.reset_button, self.save_button, self.load_button),
        ):
            line = QHBoxLayout()
            for widget in row:
                line.addWidget(widget, 1)
            column.addLayout(line)

    # --- what the user does ---------------------------------------------------------------------

    def find_all(self) -> None:
        """Rebuild the proposals with what was learned."""
        work = (self._correcting, self._controller.cache())
        finish = self._controller.session.set_segmented
        self._controller.jobs.start(Job("Find all again", find_all_again, work, on_result=finish))

    def reset(self) -> None:
        """Forget what was learned."""
        self._training_targets.clear()
        self._correcting.reset()
        self.ask_again()

    def save(self, path: Path) -> None:
        """Save what was learned."""
        from napari_samstar.core.adaptation import weights

        known = self._correcting.adaptation
        if known is not None and known.learned is not None:
            weights.save(known.learned, known.original, path, {"objects": str(known.objects)})
            self.state.setText(f"{self._correcting.text} Saved as {path.name}.")

    def load(self, path: Path) -> None:
        """Load what was learned earlier, instead of what there is."""
        from napari_samstar.core.adaptation import weights
        from napari_samstar.core.adaptation.online import Adaptation

        known = self._correcting.adaptation
        if known is not None:
            learned, about = weights.load(path, known.original)
            fresh = Adaptation(known.original, known.settings)
            objects = about.get("objects", "")
            fresh.restore(learned, int(objects) if objects.isdecimal() else 0)
            self._training_targets.clear()
            self._correcting.restore(fresh)
            self.adapted_box.setChecked(True)
            self.ask_again()

    def _on_save(self) -> None:
        path = ask_save_path(self, "Save what was learned", "learned", ENDING, WHAT)
        if path is not None:
            self._guarded(self.save, path)

    def _on_load(self) -> None:
        title, files = "What was learned earlier", f"{WHAT} (*.{ENDING})"
        path, _ = QFileDialog.getOpenFileName(self, title, "", files)
        if path:
            self._guarded(self.load, Path(path))

    def _guarded(self, work: Any, path: Path) -> None:
        try:
            work(path)
        except UserError as error:
            self.state.setText(error_html(str(error)))

    def _on_learn_toggled(self, on: bool) -> None:
        self._correcting.learning = on
        self.refresh()

    def _on_adapted_toggled(self, on: bool) -> None:
        self._correcting.set_adapted(on)
        self.ask_again()

    # --- what happened ------------------------------------------------------------------------

    def ask_again(self) -> None:
        """Answer the clicks on the object in hand anew, by the decoder now in use."""
        self._answers.add(self._correcting.ask_again, self._on_again, "again")

    def _on_again(self, asked: Any) -> None:
        if asked is not None:
            self._correcting.take_again(asked)

    def refresh(self, *_: Any) -> None:
        """Show what can be done, and what was learned."""
        correcting = self._correcting
        ready = correcting.segmented is not None
        for widget in (self.again_button, self.load_button):
            widget.setEnabled(ready)
        learned = correcting.adaptation is not None and correcting.adaptation.learned is not None
        for widget in (self.reset_button, self.save_button, self.adapted_box):
            widget.setEnabled(learned)
        self.state.setText("Learning…" if self._training_targets.busy else correcting.text)
