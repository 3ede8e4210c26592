from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest

from napari_samstar.core.amg.config import OF_EXAMPLES, SETTINGS, AmgConfig
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.masks.metrics import Agreement, Score
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.report import report, write_report
from napari_samstar.core.results.report_parts import Pair, pictures
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.nsga2 import random_search, search
from napari_samstar.core.tuning.remark import Remark
from napari_samstar.core.tuning.summary import ImageCheck, StudySummary
from tests.core.tuning.test_nsga2 import evaluator

PLAN = StudyConfig(trials=60, population=20)
NASTY = '<b>"x" & y</b>'


class Page(HTMLParser):
    """Checks that every element is closed, and collects what matters."""

    VOID = frozenset({"meta", "img", "input", "br", "hr", "circle", "path", "polygon"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.said = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.said.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.said).split())


def goal_of(n):
    names = ("coverage", "boundary", "confidence")[: max(2, n)]
    return Goal(dict.fromkeys(names, 1), {m: min(k, n - 1) for k, m in enumerate(names)})


def summary(n_objectives=2, **about):
    goal = goal_of(n_objectives)
    tried = [e for e in search(evaluator, goal, PLAN) if isinstance(e, Trial)]
    return StudySummary(front(tried, goal), PLAN, "knee", **about)


def random_trials():
    return tuple(e for e in random_search(evaluator, PLAN) if isinstance(e, Trial))


def recipe(name="particles"):
    image = {"name": name, "key": "k", "shape": [40, 60], "pixel_size": None, "unit": "px"}
    return Recipe(
        config=AmgConfig(),
        mapping=ImageMapping(),
        model="/a/folder/of mine/sam.pt",
        model_sha256="aa",
        image=image,
        software={"torch": "2.0", "device": "cpu"},
    )


def pair(shape=(40, 60), name="particles", held_out=False, **calibration):
    image = prepare(np.random.default_rng(0).integers(0, 255, shape, np.uint8), name=name,
                    **calibration)  # fmt: skip
    before, after = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    before[5:15, 5:15] = 1
    after[5:15, 5:15], after[20:30, 30:50] = 1, 2
    return Pair(image, before, after, held_out)


FULL = {
    "checks": (
        ImageCheck("one", False, ({"coverage": 0.2, "boundary": 0.2}, 3),
              ({"coverage": 0.6, "boundary": 0.4}, 9)),
        ImageCheck("two", False, ({"coverage": 0.4, "boundary": 0.2}, 4),
              ({"coverage": 0.8, "boundary": 0.4}, 8)),
        ImageCheck(NASTY, True, ({"coverage": 0.5, "boundary": 0.5}, 5),
              ({"coverage": 0.25, "boundary": 0.25}, 2)),
    ),
    "agreement": {
        name: Agreement((Score(10, 8, m, m / 9, m / 20),))
        for m, name in enumerate(("defaults", "chosen", "random", "oracle"), start=1)
    },
    "held_out_agreement": {"defaults": Agreement((Score(4, 4, 4, 1.0, 0.9),))},
}  # fmt: skip


@pytest.fixture(scope="module")
def page():
    full = summary(random_trials=random_trials(), **FULL)
    made = report(full, [pair(), pair(name=NASTY, held_out=True)],
                  recipe())  # fmt: skip
    return SimpleNamespace(text=made, page=Page(made), words=Page(made).words)


def test_it_needs_nothing_from_outside(page):
    assert page.page.links
    assert all(link.startswith("data:") for link in page.page.links)
    assert "http" not in re.sub(r"http-equiv", "", page.text)
    assert "@import" not in page.text
    assert "default-src 'none'" in page.text
    assert "$" not in page.words


def test_it_is_for_light_dark_and_paper(page):
    assert "prefers-color-scheme: dark" in page.text
    assert "@media print" in page.text


def test_names_from_files_cannot_break_the_page(page):
    assert NASTY not in page.text
    assert page.words.count(NASTY) >= 2


def test_settings_and_rewards_are_in_plain_words(page):
    for name, about in SETTINGS.items():
        if name in OF_EXAMPLES:
            assert about.label not in page.words, "nobody gave any"
            continue
        assert about.label in page.words
        assert about.help in page.words
    for name in ("coverage", "boundary"):
        assert REWARDS[name].label in page.words
    assert REWARDS["confidence"].label not in page.words


def test_numbers_are_those_of_the_outcome(page):
    made = summary(random_trials=random_trials(), **FULL)
    assert f"{made.front.hypervolume:.4f}" in page.words
    assert f"{made.random_front.hypervolume:.4f}" in page.words
    assert "2 images together" in page.words
    assert "0.500 0.250 −0.250" in page.words  # the held-out image loses, and that is said
    assert "0.250 0.550 +0.300" in page.words  # the mean of the tuned ones
    assert "0.333 0.150 10 8 3" in page.words  # random search against the truth
    best = made.effects[0]
    assert f"{best.setting.label} {best.share:.0%}" in page.words


def test_pictures_are_embedded_and_bounded(page):
    found = [link for link in page.page.links if link.startswith("data:image/jpeg")]
    assert len(found) == 4
    for link in found:
        picture = iio.imread(base64.b64decode(link.split(",")[1]))
        assert picture.shape == (800, 1200, 3)
    large = pictures(pair((2600, 1300)))
    (link, _) = re.findall(r'src="([^"]+)"', large)
    assert iio.imread(base64.b64decode(link.split(",")[1])).shape[:2] == (1300, 650)
    assert "SAM's defaults: 1 object" in Page(large).words
    assert "chosen: 2 objects" in Page(large).words


def test_a_scale_bar_is_as_long_as_it_says():
    text = pictures(pair((100, 200), pixel_size=(0.5, 0.5), unit="nm"))
    (share,) = set(re.findall(r"width:([\d.]+)%", text))
    assert "20 nm" in text
    assert float(share) == pytest.approx(100 * 20 / (200 * 0.5))
    assert 'class="bar"' not in pictures(pair())


def test_the_recipe_can_be_saved_from_the_page(page, tmp_path):
    (link,) = (v for v in page.page.links if v.startswith("data:application/json"))
    path = tmp_path / "r.json"
    path.write_bytes(base64.b64decode(link.split(",")[1]))
    assert json.dumps(Recipe.load(path).to_dict()) == json.dumps(recipe().to_dict())
    assert "torch 2.0, device cpu" in page.words
    assert "of mine" not in re.sub(r"<pre>.*</pre>", "", page.text, flags=re.DOTALL)


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_any_number_of_objectives(n_objectives):
    found = summary(n_objectives)
    page = Page(report(found, [], recipe()))
    assert page.tags.count("svg") == 2 + len(found.effects)
    assert ("third goal" in page.words) == (n_objectives == 3)
    assert "Against ground truth" not in page.words
    assert "held out" not in page.words


def test_many_pictures_are_cut_and_said():
    page = Page(report(summary(), [pair() for _ in range(8)], recipe()))
    assert page.tags.count("img") == 12
    assert "2 more images are not shown" in page.words


def test_it_is_written_whole(tmp_path):
    write_report(summary(), [pair()], recipe(), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.endswith("</html>\n")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_outcomes_are_json_ready():
    made = summary(random_trials=random_trials(), **FULL)
    values = json.loads(json.dumps(made.to_dict()))
    curve = values["hypervolume"]
    assert curve["counts"] == [20, 40, 60]
    assert curve["searched"] == sorted(curve["searched"])
    assert curve["searched"][-1] == pytest.approx(made.front.hypervolume)
    assert curve["random"][-1] == pytest.approx(values["random"]["hypervolume"])
    assert values["sensitivity"]["from"] == "random search"
    assert [c["held_out"] for c in values["checks"]] == [False, False, True]
    assert values["ground_truth"]["oracle"]["f1"] == pytest.approx(4 / 9)
    assert made.random_pick == made.random_trials[made.random_front.knee]
    assert summary().to_dict()["random"] is None


def test_the_diagnosis_is_listed_where_there_is_one():
    remarks = (Remark("no gain", "Tuning does not help.", "Keep the defaults."),)
    said = Page(report(summary(diagnosis=remarks), [pair()], recipe())).words
    assert "What the search says Tuning does not help. Keep the defaults." in said
    assert "What the search says" not in Page(report(summary(), [pair()], recipe())).words
