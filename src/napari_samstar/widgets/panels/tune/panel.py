"""The Tune panel: what a good segmentation is, and how long to look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from qtpy.QtWidgets import QPushButton, QSpinBox

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.tuning.config import StudyConfig
from napari_samstar.core.tuning.inputs import SearchInputs
from napari_samstar.widgets.forms.apply_row import ApplyRow
from napari_samstar.widgets.forms.buttons import CollapsibleSection
from napari_samstar.widgets.forms.expectation_form import ExpectationForm
from napari_samstar.widgets.forms.extra_images_form import ExtraImagesForm
from napari_samstar.widgets.forms.goal_form import GoalForm
from napari_samstar.widgets.forms.job_bar import JobBar
from napari_samstar.widgets.forms.shared import combo, error_html, form, heading, link, note
from napari_samstar.widgets.panel import Panel
from napari_samstar.widgets.panels.tune.held_out import HeldOutNote
from napari_samstar.widgets.panels.tune.preference_row import PreferenceRow

if TYPE_CHECKING:
    import napari

    from napari_samstar.core.amg.config import Scope
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.record import StudyRecord

SCOPES = {
    "Filters only (instant)": "filters",
    "Filters and one zoom level": "zoom",
    "Filters and tile scale": "scale",
    "Filters and point grids": "grids",
    "Wide: prompts, scale, …": "wide",
    "Everything, with zoom": "everything",
}


PAIR = ("balanced", "like_examples")
"""The goals without and with good examples."""


class TunePanel(Panel):
    """Searches SAM's settings for what the user asks for."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._problem = ""
        self.column.addWidget(heading("What matters"))
        self.goal_form = GoalForm()
        self.goal_form.changed = self._on_goal_changed
        self.preference_row = PreferenceRow(self)
        self.preference_row.used = self._on_suggestion_used
        self.column.addWidget(self.preference_row)
        self.column.addWidget(self.goal_form)
        self.expectation_form = ExpectationForm(self)
        self.column.addWidget(
            CollapsibleSection(
                "What you know about the objects",
                "Sizes, number, shapes. Some rewards need it; the others do without.",
                self.expectation_form,
            )
        )
        self._build_search_rows()
        self.held_out = HeldOutNote(self)
        self.column.addWidget(self.held_out)
        self.column.addStretch(1)
        self.message = note()
        self.connect_links(self.message)
        self.actions.addWidget(self.message)
        self._build_buttons()
        self.actions.addWidget(ApplyRow(self, napari_viewer))
        self.job_bar = JobBar(self)
        self.actions.addWidget(self.job_bar)
        if self.controller.session.goal is None:  # choices are looked at under the goal on show
            self.controller.session.goal = self.goal_form.goal()
        events = self.controller.session.events
        for event in (events.result, events.front, events.earlier):
            self.listen(event, self._on_session_changed)
        for name in ("inserted", "removed", "renamed"):  # Continue may wait for an image
            self.listen(getattr(napari_viewer.layers.events, name), self._on_layers_changed)
        self.listen(events.loaded, self._on_session_loaded)
        self.listen(self.controller.jobs.changed, self._on_jobs_changed)
        self.listen(self.controller.jobs.failed, self._on_jobs_failed)
        self._on_session_loaded()
        self.expectation_form.examples_changed = self._on_examples_changed
        self._on_examples_changed()
        self._refresh()

    def _build_search_rows(self) -> None:
        self.column.addWidget(heading("Search"))
        self.scope_box = combo(
            "Filters re-use what SAM has proposed. Grids, zoom levels, scales, other prompts and "
            "other versions of the image prompt SAM again.",
            SCOPES,
        )
        self.scope_box.currentIndexChanged.connect(self._refresh)
        self.budget_box = QSpinBox()
        self.budget_box.setRange(32, 10_000)
        self.budget_box.setSingleStep(100)
        self.budget_box.setValue(400)
        self.budget_box.setToolTip("How many settings are tried.")
        self.time_box = QSpinBox()
        self.time_box.setRange(5, 3600)
        self.time_box.setValue(int(StudyConfig.seconds))
        self.time_box.setSuffix(" s")
        self.time_box.setToolTip(
            "About how long SAM may run. The search tries first what promises most for its time."
        )
        self.time_box.valueChanged.connect(self._refresh)
        self.seed_box = QSpinBox()
        self.seed_box.setRange(0, 2**31 - 1)
        self.seed_box.setToolTip("The same seed gives the same result.")
        rows = form()
        rows.addRow("May change", self.scope_box)
        rows.addRow("Settings to try", self.budget_box)
        rows.addRow("Time for SAM", self.time_box)
        rows.addRow("Seed", self.seed_box)
        self.column.addLayout(rows)
        self._search_rows = rows
        self.extra_images_form = ExtraImagesForm(self)
        self.extra_images_form.changed = self._on_session_changed
        self.extra_images_section = CollapsibleSection(
            "More planes and images",
            "Search on several at once, and check the settings on others.",
            self.extra_images_form,
        )
        self.column.addWidget(self.extra_images_section)

    def _build_buttons(self) -> None:
        self.run_button = QPushButton("Tune")
        self.run_button.setToolTip("Search settings in the background; the front grows meanwhile.")
        self.run_button.clicked.connect(self.run)
        self.continue_button = QPushButton("Continue")
        self.continue_button.setToolTip(
            "Go on with the last search on this image: what was tried is not tried again. "
            "It survives a Stop, a closed window and a crash."
        )
        self.continue_button.clicked.connect(self.go_on)
        self.add_row(self.run_button, self.continue_button, below=True)

    # --- what the user does ---------------------------------------------------------------------

    def run(self) -> None:
        """Start the search on the segmented plane."""
        if self.controller.session.result is None:
            return
        self._on_session_changed()
        try:
            self.controller.search.start(
                self.goal_form.goal(), self._study_config(), self._inputs()
            )
        except UserError as error:
            self._on_jobs_failed(str(error))

    def go_on(self) -> None:
        """Continue the last search on this image."""
        self._on_session_changed()
        session = self.controller.session
        if session.study_config is None and session.earlier is not None and session.earlier.inputs:
            self._enter(session.earlier.inputs)
        try:
            self.controller.search.resume(self.budget_box.value(), self._inputs())
        except UserError as error:
            self._on_jobs_failed(str(error))
        goal = self.controller.session.goal
        if goal is not None:
            self.goal_form.show_goal(goal)

    def _enter(self, inputs: dict[str, Any]) -> None:
        """Enter the inputs of an earlier search."""
        self.expectation_form.restore(Expectations.from_dict(inputs["expectations"]))
        self.extra_images_form.restore(inputs["extra_images"])

    def _inputs(self) -> SearchInputs:
        expect, several = self.expectation_form, self.extra_images_form
        return SearchInputs(
            expect.expectations(), expect.marks(), several.extra_images(), several.minutes()
        )

    def _study_config(self) -> Any:
        scope = cast("Scope", SCOPES[self.scope_box.currentText()])
        return StudyConfig(
            scope=scope,
            trials=self.budget_box.value(),
            seed=self.seed_box.value(),
            base=self.controller.session.settings,
            seconds=float(self.time_box.value()),
        )

    def _on_examples_changed(self) -> None:
        """Go after the examples, or no longer; weights of the user's own stay as they are."""
        given = self.expectation_form.has_examples()
        if self.goal_form.swap_preset(*(PAIR if given else reversed(PAIR))):
            self._on_goal_changed()

    def _on_goal_changed(self) -> None:
        try:
            self.controller.session.set_goal(self.goal_form.goal())
        except UserError as error:
            self._on_jobs_failed(str(error))

    def _on_suggestion_used(self, goal: Goal) -> None:
        self.goal_form.show_goal(goal)
        self._on_goal_changed()

    # --- what happened ------------------------------------------------------------------------

    def _on_session_loaded(self, *_: Any) -> None:
        if self.controller.session.goal is not None:
            self.goal_form.show_goal(self.controller.session.goal)

    def _on_session_changed(self, *_: Any) -> None:
        self._problem = ""
        self._refresh()

    def _on_layers_changed(self, *_: Any) -> None:
        # Previews come and go as well, and an estimate of time is not made for each of them.
        if self.controller.session.earlier is not None:
            self._refresh()

    def _refresh(self, *_: Any) -> None:
        session = self.controller.session
        wide = SCOPES[self.scope_box.currentText()] == "wide"
        self._search_rows.setRowVisible(self.time_box, wide)
        ready = session.result is not None
        self.run_button.setEnabled(ready)
        earlier = session.earlier if not session.trials else None
        idle = not self.controller.jobs.busy
        self.continue_button.setVisible(bool(session.trials) or earlier is not None)
        waits_for = [] if earlier is None else self.extra_images_form.not_open(_others(earlier))
        self.continue_button.setEnabled(ready and idle and not waits_for)
        if not ready:
            self.message.setText(f"First press <i>Segment</i> in the {link('Segment')} panel.")
        elif problem := self._problem or self._mistake():
            self.message.setText(error_html(problem))
        elif session.front is not None:
            front = session.front
            same = front.best == front.defaults and not self.controller.jobs.busy
            self.message.setText(
                f"<b>{len(front.trials)} settings tried</b>, {len(front.members)} of them "
                f"on the {link('Pareto front')}. Click a point there to see its objects."
                + (" None is clearly better than SAM's defaults." if same else "")
            )
        elif earlier is not None:
            self.message.setText(_about_earlier(earlier, waits_for))
        else:
            self.message.setText(self._estimate())

    def _mistake(self) -> str:
        """Return what is wrong with the planes as they are typed, empty where nothing is."""
        try:
            self.extra_images_form.extra_images()
        except UserError as error:
            return str(error)
        return ""

    def _estimate(self) -> str:
        from napari_samstar.core.tuning.cost import seconds_to_decode

        result = self.controller.session.result
        assert result is not None
        others = len(self.extra_images_form.extra_images())
        seconds = seconds_to_decode(result.bank, self._study_config(), others)
        if not seconds:
            return "Ready: SAM has proposed all it needs to, so this takes seconds."
        span = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        return f"SAM itself will run for up to {span}; the rest takes seconds."

    def _on_jobs_changed(self, status: Any) -> None:
        if not status.title or not self.job_bar.isVisible():
            self._refresh()

    def _on_jobs_failed(self, text: str) -> None:
        self._problem = text
        self._refresh()


def _others(run: StudyRecord) -> list[dict[str, Any]]:
    return list(run.inputs.get("extra_images", ()))


def _about_earlier(run: StudyRecord, waits_for: list[str]) -> str:
    n = len(_others(run))
    beside = f" with {n} more" if n else ""
    tried = f"({len(run.trials)} settings tried, {run.started[:10]})"
    then = "<b>Continue</b> takes them up again."
    if waits_for:
        then = f"open <i>{', '.join(waits_for)}</i> to continue."
    return f"You tuned this image{beside} before {tried}: {then}"
