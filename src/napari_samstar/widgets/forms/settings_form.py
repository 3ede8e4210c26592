"""Where SAM is asked, and one slider for each searchable setting, made from its declaration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox, FloatSlider, Slider
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_samstar.core.amg.config import OF_EXAMPLES, OF_GRIDS, SETTINGS, AmgConfig, Setting
from napari_samstar.widgets.forms.numbers import accept_decimal_comma

AREA = "min_mask_region_area"  # px

PROMPTS = (("On a grid of points", "grid"), ("Where it sees centres", "centres"))


class SettingsForm:
    """Shows and edits an `AmgConfig`.

    Parameters
    ----------
    config : AmgConfig
        Shown at first.
    changed : callable
        Called when the user moves a slider.

    Attributes
    ----------
    native : QWidget
    prompts : ComboBox
        Shown for models that see centres.
    rows : dict of str to Slider or FloatSlider
        By the setting's name.
    """

    def __init__(self, config: AmgConfig, changed: Callable[[], None]) -> None:
        self._base = config
        self._changed = changed
        self._offered: bool | None = None
        self._pixel: tuple[float, str] = (1.0, "px")
        self.rows = {name: _slider(setting, _top(name)) for name, setting in SETTINGS.items()}
        self.prompts = ComboBox(
            label="Ask SAM",
            tooltip="On SAM's usual grid, or only where this model sees centres of objects: "
            "quicker, and usually better.",
            choices=PROMPTS,
        )
        self.native = QWidget()
        self._form = QFormLayout(self.native)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setVerticalSpacing(2)
        for row in (self.prompts, *self.rows.values()):
            self._form.addRow(row.label, row.native)
            self._form.labelForField(row.native).setToolTip(row.tooltip)
        accept_decimal_comma(self.native)
        self.show(config)
        for row in (self.prompts, *self.rows.values()):
            row.changed.connect(self._on_changed)

    def config(self) -> AmgConfig:
        """Return the settings as shown; UserError where they do not fit together."""
        values: dict[str, Any] = {"prompts": self.prompts.value}
        for name, row in self.rows.items():
            kept = getattr(self._base, name)
            # A value between two steps of its slider stays as it is until the slider is moved.
            values[name] = kept if row.value == self._shown(name, kept) else self._read(name)
        return self._base.replace(**values)

    def show(self, config: AmgConfig) -> None:
        """Show `config`; settings without a slider are kept as they are."""
        self._base = config
        with self.prompts.changed.blocked():
            self.prompts.value = config.prompts
        for name, row in self.rows.items():
            with row.changed.blocked():
                row.value = self._shown(name, getattr(config, name))
        self._show_what_counts()

    def show_pixel(self, size: tuple[float, float] | None, unit: str) -> None:
        """Say areas in `unit` too, where the (row, col) `size` of a pixel is known."""
        self._pixel = (size[0] * size[1], unit) if size is not None else (1.0, "px")
        self._say_area()

    def _say_area(self) -> None:
        row, (area, unit) = self.rows[AREA], self._pixel
        known = row.value > 0 and unit != "px"
        said = f"{row.label}, {row.value * area:.3g} {unit}²" if known else row.label
        self._form.labelForField(row.native).setText(said)

    def offer_centres(self, offered: bool, *, choose: bool = True) -> None:
        """Offer centres as prompts, and `choose` them; or only the grid, where a model has none."""
        before, self._offered = self._offered, offered
        if offered == before:
            return
        self._form.setRowVisible(self.prompts.native, offered)
        if choose or not offered:
            self.prompts.value = "centres" if offered else "grid"

    def _show_what_counts(self) -> None:
        for name in OF_GRIDS:
            self.rows[name].enabled = self.prompts.value == "grid"
        for name in OF_EXAMPLES:
            self._form.setRowVisible(self.rows[name].native, bool(self._base.examples))
        self._say_area()

    def _read(self, name: str) -> int | float:
        value = self.rows[name].value
        return int(value) if SETTINGS[name].step == 1 else round(float(value), 6)

    def _shown(self, name: str, value: Any) -> int | float:
        step = SETTINGS[name].step
        if step == 1:
            return min(int(value or 0), int(_top(name)))
        return float(round(round(value / step) * step, 6))

    def _on_changed(self) -> None:
        self._show_what_counts()
        self._changed()


def _slider(setting: Setting, top: float) -> Slider | FloatSlider:
    kind = Slider if setting.step == 1 else FloatSlider
    number = int if setting.step == 1 else float
    return kind(
        label=setting.label,
        tooltip=setting.help,
        min=number(setting.low),
        max=number(top),
        step=number(setting.step),
        value=number(setting.low),
    )


def _top(name: str) -> float:
    # A slider up to 100,000 px could not be set to 50; the rare larger value goes through Python.
    return 2000 if name == AREA else SETTINGS[name].high
