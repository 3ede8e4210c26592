"""What the documentation says is true: links, commands, examples, names, formulas."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import typer
import yaml

from docs import fill_tables
from napari_samstar import sample_data
from napari_samstar.cli.main import app
from napari_samstar.core.amg.config import SETTINGS, AmgConfig, searched
from napari_samstar.core.cues.image_cues import image_cues
from napari_samstar.core.masks.store import MaskStore
from napari_samstar.core.models.registry import REGISTRY
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.rewards import registry
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.features import Features
from napari_samstar.core.rewards.goal import OBJECTIVES
from napari_samstar.core.rewards.view import View
from napari_samstar.widgets.shell.shells import SHELLS
from tests.core.painted import add, disc, gray_of, selection

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
README, GUIDE, METHODS = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/user_guide.md", "docs/methods.md")
)
MANIFEST = yaml.safe_load((ROOT / "napari.yaml").read_text(encoding="utf-8"))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OUTSIDE = ("https://", "http://", "mailto:")


def blocks(text: str, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(text) if kind == language]


def prose(text: str) -> str:
    return FENCE.sub("", text)


def shell_lines(program: str) -> list[tuple[str, str]]:
    """Return (page, line) of every line of a shell block that starts `program`."""
    return [
        (page.name, line)
        for page in PAGES
        for block in blocks(page.read_text(encoding="utf-8"), "sh")
        for line in block.splitlines()
        if line.split()[:1] == program.split()[:1] and line.startswith(program)
    ]


def plain(text: str) -> str:
    """Join lines and leave out what marks a quotation."""
    return " ".join(re.sub(r"^> ?", "", text, flags=re.MULTILINE).split())


def row(text: str, *cells: str) -> list[str]:
    """Return the cells of the one table row that has all of `cells`."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    found = [r for r in rows if all(cell in r for cell in cells)]
    assert len(found) == 1, f"{len(found)} rows with {cells}"
    return found[0]


# --- links ------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """Return the anchor that a heading gets on the usual forges."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = prose(page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_and_picture_leads_somewhere(page):
    missing = []
    for target in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        if target.startswith(OUTSIDE):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            missing.append(target)
    assert missing == []


def test_every_page_is_linked_from_the_readme():
    assert [p.name for p in PAGES[1:] if f"](docs/{p.name})" not in README] == []


# --- commands ---------------------------------------------------------------------------------


def subcommands(cli: typer.Typer) -> dict[str, Any]:
    return dict(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]


def option_names(command: Any) -> set[str]:
    return {name for p in command.params for name in p.opts if name.startswith("-")}


@pytest.mark.parametrize(("page", "line"), shell_lines("samstar"))
def test_samstar_lines_parse(page, line):
    _, name, *arguments = shlex.split(line)
    subcommands(app)[name].make_context(name, arguments)


@pytest.mark.parametrize(("page", "line"), shell_lines("python -m benchmarks.bank"))
def test_benchmark_lines_parse(page, line):
    from benchmarks.bank import app as bank

    _, _, _, name, *arguments = shlex.split(line)
    subcommands(bank)[name].make_context(name, arguments)


def test_a_wrong_option_would_be_noticed():
    with pytest.raises(Exception, match="evaluation_count"):
        subcommands(app)["tune"].make_context("tune", ["x", "-o", "y", "--evaluation_count", "3"])


def test_commands_in_running_text_exist():
    known = subcommands(app)
    for page in PAGES:
        for words in re.findall(r"`samstar ([^`]+)`", prose(page.read_text(encoding="utf-8"))):
            name, *arguments = words.split()
            if name == "COMMAND":
                continue
            options = {a for a in arguments if a.startswith("-")}
            assert options <= option_names(known[name]) | {"--help"}, f"{page.name}: {words}"


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for _, line in shell_lines("make")}
    for page in PAGES:
        named |= set(re.findall(r"`make (\w+)`", page.read_text(encoding="utf-8")))
    assert {"demo", "test"} <= named <= targets


def test_the_guide_names_every_command_and_option():
    for name, command in subcommands(app).items():
        assert row(GUIDE, f"`samstar {name}`")
        missing = [o for o in option_names(command) if f"`{o}`" not in GUIDE]
        assert set(missing) <= {"--help", "-h"}, name


# --- names in the window ------------------------------------------------------------------------


def test_menus_are_those_of_the_manifest():
    menu = MANIFEST["display_name"].replace("*", r"\*")
    (widget,) = MANIFEST["contributions"]["widgets"]  # napari then writes it into one line
    for page in (README, GUIDE):
        assert f"Plugins > {widget['display_name']} ({menu})" in page
    for shell in SHELLS:
        assert f"**{shell.TAB}**" in GUIDE
    titles = [s["display_name"] for s in MANIFEST["contributions"]["sample_data"]]
    assert any(f"File > Open Sample > {menu} > {title}" in README for title in titles)


def test_choices_in_the_panels_are_in_the_guide():
    from napari_samstar.widgets.forms.image_form import STRETCHES
    from napari_samstar.widgets.panels.tune.panel import SCOPES

    for name in (*STRETCHES, *SCOPES, *OBJECTIVES):
        assert name in GUIDE


# --- settings, rewards, models ------------------------------------------------------------------


def number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_guide_lists_each_setting_as_it_is(name):
    about = SETTINGS[name]
    choices = ", ".join(number(c) for c in about.choices)
    if not choices:
        choices = f"{number(about.search_low)} to {number(about.search_high)}"
    default = getattr(AmgConfig(), name)
    assert row(GUIDE, f"`{name}`") == [
        about.label,
        f"`{name}`",
        number(default),
        f"{number(about.low)} to {number(about.high)}",
        choices,
        about.reruns,
    ]
    assert f"- **{about.label}**: " in GUIDE
    assert f"`{name}`" in METHODS


def test_settings_that_are_not_searched_are_named():
    for name in set(AmgConfig().to_dict()) - set(searched("everything")):
        assert f"`{name}`" in GUIDE


def test_the_tables_of_rewards_presets_and_expectations_are_up_to_date():
    for page in fill_tables.TABLES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert fill_tables.filled(page) == text, "run python docs/fill_tables.py"


@pytest.mark.parametrize("reward", registry.REWARDS.values(), ids=lambda r: r.name)
def test_methods_quotes_the_formula_of_each_reward(reward):
    assert f"`{reward.name}`" in METHODS
    assert plain(inspect.getdoc(reward.compute)) in plain(METHODS)


@pytest.mark.parametrize("name", REGISTRY)
def test_the_guide_lists_each_model_as_it_is(name):
    about = REGISTRY[name]
    _, size, licence, _ = row(GUIDE, f"`{name}`", about.licence)
    assert licence == about.licence
    if about.url is not None:
        assert size == f"{about.size_bytes / 2**20:,.0f} MiB"


# --- examples -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> dict[str, Any]:
    """Run the README's example on a small micrograph, with fewer points and settings."""
    folder = tmp_path_factory.mktemp("readme")
    image, _, info = sample_data.load("nuclei")
    size = 1 / info.pixel_size[-1]
    tifffile.imwrite(
        folder / "particles.tif",
        image[200:328, 200:328],
        imagej=True,
        resolution=(size, size),
        metadata={"unit": "um"},
    )
    (code,) = blocks(README, "python")
    assert len(code.strip().splitlines()) <= 8
    assert code.count("trials=200") == 1
    code = code.replace("trials=200", "trials=32")
    names: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(code, "README.md", "exec"), names)
    return names


def test_the_readme_example_finds_objects(ran):
    result, study = ran["result"], ran["study"]
    assert result.labels.dtype == np.int32
    assert result.labels.shape == (128, 128)
    assert 0 < result.labels.max() <= study.best.trial.n_masks == len(result.selection)
    assert len(study.trials) == 32
    assert result.image.unit == "µm"
    assert list(result.table["label"]) == list(range(1, result.labels.max() + 1))
    assert Recipe.load(ran["folder"] / "out" / "recipe.samstar.json") == result.recipe


def test_the_guide_saves_the_recipe_of_a_layer(ran, tmp_path, monkeypatch):
    recipe = ran["result"].recipe
    layer = SimpleNamespace(metadata={"samstar_recipe": recipe.to_dict()})
    viewer = SimpleNamespace(layers=SimpleNamespace(selection=SimpleNamespace(active=layer)))
    (code,) = blocks(GUIDE, "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "user_guide.md", "exec"), {"viewer": viewer})
    assert Recipe.load("particles.samstar.json").to_dict() == recipe.to_dict()


def test_the_example_of_a_reward_works(monkeypatch):
    table: dict[str, registry.Reward] = {}
    monkeypatch.setattr(registry, "REWARDS", table)
    (code,) = blocks((ROOT / "docs/development.md").read_text(encoding="utf-8"), "python")
    exec(compile(code, "development.md", "exec"), {})
    ((_, made),) = table.items()

    shape = (96, 96)
    bar = np.zeros(shape, dtype=bool)
    bar[40:46, 8:88] = True
    values = []
    for mask in (disc(shape, 48, 48, 20), bar):
        store = MaskStore(shape)
        features = Features(store, image_cues(gray_of([mask]), "bright"))
        chosen = selection(store, add(store, [mask]))
        view = View(chosen, features, Expectations(small=20, large=50))
        values.append(made(view))
    assert values[0] > 0.9
    assert values[1] < 0.7
