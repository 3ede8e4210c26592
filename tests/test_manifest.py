from __future__ import annotations

import importlib
import inspect

import pytest
from npe2 import PluginManifest

from napari_samstar import sample_data


@pytest.fixture(scope="module")
def manifest(repository):
    return PluginManifest.from_file(repository / "napari.yaml")


def test_the_installed_manifest_is_the_top_level_file(manifest):
    """Fails when an editable install is older than napari.yaml: `make lint` renews it."""
    installed = PluginManifest.from_distribution("napari-samstar")
    left_out = {"package_metadata"}
    assert installed.model_dump(exclude=left_out) == manifest.model_dump(exclude=left_out)
    assert installed.name == installed.package_metadata.name == "napari-samstar"


def test_every_command_can_be_imported(manifest):
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_commands_and_contributions_match(manifest):
    commands = {command.id for command in manifest.contributions.commands}
    made = manifest.contributions
    used = {c.command for c in [*made.widgets, *made.sample_data, *made.readers]}
    assert commands == used


def test_widgets_are_given_the_viewer(manifest):
    """With postponed annotations napari knows the parameter by this name alone."""
    titles = {c.id: c for c in manifest.contributions.commands}
    for widget in manifest.contributions.widgets:
        module, _, name = titles[widget.command].python_name.partition(":")
        panel = getattr(importlib.import_module(module), name)
        assert next(iter(inspect.signature(panel).parameters)) == "napari_viewer"


def test_every_sample_is_in_the_menu(manifest):
    entries = {entry.key: entry.display_name for entry in manifest.contributions.sample_data}
    assert entries == {name: sample_data.info(name).title for name in sample_data.names()}
