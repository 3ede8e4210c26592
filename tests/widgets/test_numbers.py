"""Comma and point are both decimal separators, in every field and locale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QLocale, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDoubleSpinBox, QLineEdit

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.widgets.forms.goal_form import GoalForm
from napari_samstar.widgets.forms.numbers import accept_decimal_comma
from napari_samstar.widgets.forms.settings_form import SettingsForm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["en_US", "de_DE"])
def locale(request: pytest.FixtureRequest) -> Iterator[str]:
    before = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(before)


def _type(field: Any, text: str) -> None:
    field.selectAll()
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)


@pytest.mark.parametrize("text", ["1,5", "1.5"])
def test_a_spin_box_accepts_both_separators(qtbot: Any, locale: str, text: str) -> None:
    box = QDoubleSpinBox()
    qtbot.addWidget(box)
    accept_decimal_comma(box)
    _type(box, text)
    assert (box.value(), box.text()) == (1.5, "1.50")


@pytest.mark.parametrize("text", ["1,5", "1.5"])
def test_sizes_weights_and_settings_accept_both_separators(
    panels: Any, locale: str, text: str
) -> None:
    field = panels.tune.expectation_form.fields["small"]
    _type(field, text)
    assert field.text() == "1.5"
    assert panels.tune.expectation_form.expectations().small == 1.5
    goals, settings = GoalForm(), SettingsForm(AmgConfig(), lambda: None)
    offset = settings.rows["stability_score_offset"]
    for native in (goals.weights["boundary"], offset.native):
        (typed,) = {x.text(): x for x in native.findChildren(QLineEdit)}.values()
        _type(typed, text)
    assert goals.weights["boundary"].value() == 1.5
    assert settings.config().stability_score_offset == 1.5


def test_a_pasted_comma_is_not_ignored(qtbot: Any, locale: str) -> None:
    box = QDoubleSpinBox()
    qtbot.addWidget(box)
    accept_decimal_comma(box)
    box.setValue(2)
    box.selectAll()
    QApplication.clipboard().setText("1,5")
    box.lineEdit().paste()
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert box.value() == 2
