"""What SAM is asked and shown, and a slider for each searchable setting, from its declaration."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox, FloatSlider, Slider
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_samstar.core.amg.config import OF_EXAMPLES, OF_GRIDS, SETTINGS, AmgConfig, Setting
from napari_samstar.core.image.versions import VERSIONS
from napari_samstar.core.prompts.sources import prompt_sources
from napari_samstar.widgets.forms.buttons import button
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.shared import form, narrow

NAME_WIDTH, NAME_LENGTH = 150, 22  # px and letters; longer names take two lines

AREA = "min_mask_region_area"  # px
MAX_AREA = 2000  # px; a slider up to 100,000 could not be set to 50. Recipes may have more.

SOURCES = prompt_sources()  # here, on the import thread: it reads all packages' entry points
GRID, CENTRES, BOXES, COMBINED = "grid", "centres", "boxes", "combined"

TILE_SCALE = "tile_scale"
BY_SIZE = "by size"
SCALES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Offered besides the one that a recipe or the search has."""


class SettingsForm:
    """Shows and edits an `AmgConfig`.

    Parameters
    ----------
    config : AmgConfig
        Shown at first.
    changed : callable
        Called when the user changes a setting.

    Attributes
    ----------
    native : QWidget
    prompts : ComboBox
        Choice of the prompt source; hidden if there is only one.
    shown : ComboBox
        Choice of what SAM is shown of the image.
    tiles : ComboBox
        Choice of the scale of tiles: by the size of the objects, one frame, or a number.
    rows : dict of str to Slider or FloatSlider
        By the setting's name.
    """

    def __init__(self, config: AmgConfig, changed: Callable[[], None]) -> None:
        self._base = config
        self._changed = changed
        self._model_sees_centres: bool | None = None  # None until `offer_centres` is called
        self._model = ""
        self._pixel: tuple[float, str] = (1.0, "px")  # area, and unit of its side
        self.rows = {
            name: _slider(setting, _highest(name))
            for name, setting in SETTINGS.items()
            if name != TILE_SCALE
        }
        about = SETTINGS[TILE_SCALE]
        self.tiles = ComboBox(
            label=about.label, tooltip=about.help, choices=_scales(None), value=BY_SIZE
        )
        self.prompts = ComboBox(
            label="Prompts",
            tooltip="\n".join(f"{source.label}: {source.help}" for source in SOURCES.values()),
            choices=_choices(list(SOURCES)),
        )
        self.shown = ComboBox(
            label="Shown to SAM",
            tooltip="\n".join(f"{about.label}: {about.help}" for about in VERSIONS.values()),
            choices=[(about.label, name) for name, about in VERSIONS.items()],
        )
        self._choosers = (self.prompts, self.shown, self.tiles)
        self.native = QWidget()
        # Two forms: the names of the sliders are long and would leave the menus little room.
        self._menus, self._form = form(), QFormLayout()
        column = QVBoxLayout(self.native)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for part, rows in ((self._menus, self._choosers), (self._form, self.rows.values())):
            part.setVerticalSpacing(2)
            column.addLayout(part)
            for row in rows:
                label = QLabel(_in_lines(row.label))
                label.setToolTip(row.tooltip)
                if part is self._form:
                    label.setFixedWidth(NAME_WIDTH)
                part.addRow(label, row.native)
        for row in self._choosers:
            narrow(row.native)
        self.defaults_button = button(
            "Back to SAM's defaults", "Set all of these as they are at first.", self.show_defaults
        )
        self._form.addRow(self.defaults_button)
        accept_decimal_comma(self.native)
        self.show(config)
        for row in (*self._choosers, *self.rows.values()):
            row.changed.connect(self._on_changed)

    def config(self) -> AmgConfig:
        """Return the settings as shown; UserError if they contradict each other."""
        values: dict[str, Any] = {"prompts": self.prompts.value, "shown": self.shown.value}
        for name, row in self.rows.items():
            before = getattr(self._base, name)
            # A value between two steps of its slider is kept until the slider is moved.
            values[name] = before if row.value == self._rounded(name, before) else self._read(name)
        values[TILE_SCALE] = 0.0 if values["crop_n_layers"] else self._tile_scale()
        return self._base.replace(**values)

    def config_to_run(self) -> AmgConfig:
        """Return the settings for a new run: with tiles by size, their scale is chosen anew."""
        config = self.config()
        if self.tiles.value == BY_SIZE and not config.crop_n_layers:
            return config.replace(tile_scale=None)
        return config

    def show_recipe(self, config: AmgConfig, model: str) -> None:
        """Show the settings of a recipe, whose scale of tiles is kept on any image."""
        self._model = model
        with self.tiles.changed.blocked():
            self.tiles.value = 0.0
        self.show(config)

    def show(self, config: AmgConfig) -> None:
        """Show `config`; `config()` then keeps its settings that have no slider."""
        self._base = config
        self._set_prompts(config.prompts)
        with self.shown.changed.blocked():
            self.shown.value = config.shown
        self._show_tiles(config.tile_scale)
        for name, row in self.rows.items():
            with row.changed.blocked():
                row.value = self._rounded(name, getattr(config, name))
        self._update_rows()

    def show_defaults(self) -> None:
        """Show SAM's defaults, prompts at centres where the model sees them, tiles by size."""
        prompts = CENTRES if self._model_sees_centres else GRID
        with self.tiles.changed.blocked():
            self.tiles.value = BY_SIZE
        # What was chosen for the image is no setting of the user's.
        values = {"prompts": prompts, "tile_scale": self._base.tile_scale}
        self.show(AmgConfig.for_model(self._model, values))
        self._on_changed()

    def show_pixel(self, size: tuple[float, float] | None, unit: str) -> None:
        """Show areas in `unit` too, if the (row, col) `size` of a pixel is known."""
        self._pixel = (size[0] * size[1], unit) if size is not None else (1.0, "px")
        self._update_area_label()

    def offer_centres(self, offered: bool, *, choose: bool = True) -> None:
        """Set whether the model can be prompted at centres of objects.

        If it can, they replace the grid, unless `choose` is False. If not, the grid replaces them.
        """
        before, self._model_sees_centres = self._model_sees_centres, offered
        if offered == before:
            return
        chosen = current = self.prompts.value
        if offered and choose and current == GRID:
            chosen = CENTRES
        elif not offered and current == CENTRES:
            chosen = GRID
        self._set_prompts(chosen)
        if chosen != current:
            self._on_changed()
        else:
            self._update_rows()

    def suit_model(self, name: str) -> None:
        """Show the defaults of a newly chosen model where those of the earlier one stand."""
        before, after = (AmgConfig.for_model(model, {}) for model in (self._model, name))
        self._model = name
        config = self.config()
        names = [n for n in self.rows if getattr(before, n) == getattr(config, n)]
        self.show(config.replace(**{n: getattr(after, n) for n in names}))

    def _set_prompts(self, chosen: str) -> None:
        """Choose a prompt source, and offer those that are possible besides."""
        impossible = set()
        if not self._base.boxes:
            impossible.add(BOXES)
        if self._model_sees_centres is False:
            impossible.add(CENTRES)
        names = [name for name in SOURCES if name == chosen or name not in impossible]
        with self.prompts.changed.blocked():
            self.prompts.choices = _choices(names)
            self.prompts.value = chosen
        self._menus.setRowVisible(self.prompts.native, len(names) > 1)

    def _tile_scale(self) -> float | None:
        return self._base.tile_scale if self.tiles.value == BY_SIZE else float(self.tiles.value)

    def _show_tiles(self, scale: float | None) -> None:
        """Show the scale of tiles; one that was chosen by size stays so."""
        by_size = self.tiles.value == BY_SIZE
        with self.tiles.changed.blocked():
            self.tiles.choices = _scales(scale, by_size=by_size)
            self.tiles.value = BY_SIZE if by_size or scale is None else scale

    def _update_rows(self) -> None:
        """Enable the sliders that have an effect."""
        no_centres = self._model_sees_centres is False
        on_grid = self.prompts.value == GRID or (no_centres and self.prompts.value == COMBINED)
        for name in OF_GRIDS:
            self.rows[name].enabled = on_grid
        for name in OF_EXAMPLES:
            self._form.setRowVisible(self.rows[name].native, bool(self._base.examples))
        self._update_area_label()

    def _update_area_label(self) -> None:
        row, (area, unit) = self.rows[AREA], self._pixel
        calibrated = row.value > 0 and unit != "px"
        text = f"{row.label}, {row.value * area:.3g} {unit}²" if calibrated else row.label
        self._form.labelForField(row.native).setText(_in_lines(text))

    def _read(self, name: str) -> int | float:
        value = self.rows[name].value
        return int(value) if SETTINGS[name].step == 1 else round(float(value), 6)

    def _rounded(self, name: str, value: Any) -> int | float:
        """Return the value that the slider of a setting shows for `value`."""
        step = SETTINGS[name].step
        if step == 1:
            return min(int(value or 0), int(_highest(name)))
        return float(round(round(value / step) * step, 6))

    def _on_changed(self) -> None:
        self._update_rows()
        self._changed()


def _in_lines(name: str) -> str:
    # Not Qt's word wrap: a collapsible section does not know the height of labels that use it.
    return "\n".join(textwrap.wrap(name, NAME_LENGTH))


def _choices(names: list[str]) -> list[tuple[str, str]]:
    """Return labels and names of prompt sources, as magicgui takes them."""
    return [(SOURCES[name].label, name) for name in names]


def _scales(shown: float | None, *, by_size: bool = True) -> list[tuple[str, float | str]]:
    """Return labels and values of the scales of tiles.

    Parameters
    ----------
    shown : float, optional
        The scale of the settings on show.
    by_size : bool
        Whether it was chosen by the size of the objects.
    """
    text = "By object size"
    if by_size and shown is not None:
        text += f" ({shown:g})" if shown else " (none)"
    numbers = {*SCALES} if by_size or not shown else {*SCALES, shown}
    scales = [(f"Scale {scale:g}", scale) for scale in sorted(numbers)]
    return [(text, BY_SIZE), ("None: one frame", 0.0), *scales]


def _slider(setting: Setting, highest: float) -> Slider | FloatSlider:
    kind = Slider if setting.step == 1 else FloatSlider
    number = int if setting.step == 1 else float
    return kind(
        label=setting.label,
        tooltip=setting.help,
        min=number(setting.low),
        max=number(highest),
        step=number(setting.step),
        value=number(setting.low),
    )


def _highest(name: str) -> float:
    return MAX_AREA if name == AREA else SETTINGS[name].high
