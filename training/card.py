"""Write the tables of the model card from the JSON of `python -m benchmarks.model`.

    python -m training.card report.json             rewrites docs/model_card.md
    python -m training.card real.json synthetic.json
    python -m training.card report.json --picture   the contact sheet as well (minutes)

The tables of sets of several reports on the same weights are joined; the rest comes from the first.
Only the text between the two markers of the page is replaced.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "model_card.md"
BEGIN, END = "<!-- figures: written by training/card.py -->", "<!-- end of figures -->"
NAMES = {
    "dsb2018_fluo": "fluorescence nuclei (DSB 2018)",
    "usiigaci_phase_t98g": "phase-contrast cells (T98G)",
    "nasa_superalloy_sem": "superalloy precipitates, SEM",
    "ampis_powder_sem": "powder, SEM",
    "nasa_meltpool": "melt pools, optical",
    "ads_axon_sem": "axons, SEM",
    "dsb2018_more": "more nuclei, fluorescent and stained (DSB 2018)",
    "nanocomposite_agglomerates_sem": "agglomerates in a composite, SEM",
    "omnipose_bacteria_phase": "bacteria, phase contrast",
    "pfc_neuron_bf": "neurons, bright field",
    "wsu_chloroplast_em": "chloroplasts, EM",
    "stardist_samples": "fluorescence nuclei (StarDist) †",
    "wsu_sieve_pores_sem": "sieve pores, SEM †",
    "yeastvision_phase_time": "yeast, phase contrast †",
    "laptrack_c2c12_phase_time": "phase-contrast cells (C2C12) †",
    "synthetic_tem": "synthetic bright-field TEM",
    "synthetic_stem": "synthetic HAADF-STEM",
    "synthetic_sem": "synthetic SEM powder",
    "synthetic_fluo": "synthetic fluorescence",
    "synthetic_phase": "synthetic phase contrast",
    "synthetic_brightfield": "synthetic bright field, cells",
    "synthetic_tissue": "synthetic EM tissue",
    "synthetic_alloy": "synthetic etched alloy",
    "synthetic_tiles": "synthetic grains",
    "synthetic_empty": "synthetic, nothing on it",
}
BASELINES = {"otsu_watershed": "Otsu", "log_watershed": "LoG"}
TARGETS = {
    "click": "1-click IoU",
    "clicks3": "3-click IoU",
    "box": "box IoU",
    "f1_defaults": "F1 at the default thresholds, prompted at centres",
    "f1_grid": "the same on a grid",
    "f1_defaults_nuclei": "F1 on DSB 2018 nuclei, prompted at centres",
    "f1_grid_nuclei": "the same on a grid",
}


def tables(report: dict[str, Any]) -> str:
    """All tables as Markdown."""
    parts = [
        _about(report),
        "### Clicks and boxes\n\n" + _prompts(report),
        '### "Segment everything"\n\n' + _everything(report),
        "### Compared with the targets\n\n" + _targets(report),
        "### Centres compared with grids\n\n" + _configs(report["ways_of_asking"]),
    ]
    if report["boxes"]:
        parts.insert(3, "### STEM particles with known boxes †\n\n" + _boxes(report))
    return "\n\n".join(parts)


def _about(report: dict[str, Any]) -> str:
    return (
        f"Weights `{report['sha256'][:12]}…`, split *{report['split']}*, images reduced to at most "
        f"{report['max_side_px']} px. *Segment everything* is prompted at detected centres, as in "
        "the panels and the command line, and for comparison on a grid of "
        f"{report['points_per_side']} "
        "points per side (SAM's default is 32). Mean ± standard deviation, over objects for "
        "prompts and over images for *segment everything*. † No image of this set was used "
        "for training."
    )


def _prompts(report: dict[str, Any]) -> str:
    head = [
        "set", "images", "objects", "1 click", "best of 3", "3 clicks", "box", "rank correlation",
        *(f"1 click, {name}" for name in BASELINES.values()), "not clearly better than",
    ]  # fmt: skip
    rows = []
    for name, row in report["sets"].items():
        if row["objects"]:
            means = [_pm(row[k]) for k in ("click", "best_of_3", "clicks3", "box")]
            others = [_pm(row["baselines"][k]["click"]) for k in BASELINES]
            rank = _number(row["rank_correlation"]["value"])
            counts = [row["images"], row["objects"]]
            rows.append([_name(name), *counts, *means, rank, *others, _not_beaten(row, "click")])
    for kind, mean in _means(report):
        keys = ("click", "best_of_3", "clicks3", "box", "rank_correlation")
        keys += tuple(f"click_{k}" for k in BASELINES)
        rows.append([f"**mean of {kind} sets**", "", "", *(_mean(mean[k]) for k in keys), ""])
    words = (
        "The rank correlation is Spearman's, of predicted and true IoU over the three masks of "
        "every click. The last columns: a classical segmentation's region under the same click, "
        "and the classical methods that the model does not beat by 0.05."
    )
    return f"{_table(head, rows)}\n\n{words}"


def _everything(report: dict[str, Any]) -> str:
    head = [
        "set", "images", "F1, defaults", "AP, defaults", "found / true", "F1, grid", "F1, best",
        "AP, best",
    ]  # fmt: skip
    for name in BASELINES.values():
        head += [f"F1, {name}", f"AP, {name}"]
    head.append("not clearly better than")
    rows = []
    for name, row in report["sets"].items():
        cells = [_name(name), row["images"]]
        ours = row["defaults"]
        cells += [_pm(ours["f1"]), _pm(ours["mean_ap"]), f"{ours['found']} / {ours['true']}"]
        cells += [_pm(row["grid"]["f1"])]
        cells += [_pm(row["best_configuration"][k]) for k in ("f1", "mean_ap")]
        cells += [_pm(row["baselines"][b][k]) for b in BASELINES for k in ("f1", "mean_ap")]
        rows.append([*cells, _not_beaten(row, "f1")])
    for kind, mean in _means(report):
        cells = [_mean(mean[f"{k}_{at}"]) for at in ("defaults", "best") for k in ("f1", "mean_ap")]
        cells[2:2] = ["", _mean(mean["f1_grid"])]
        cells += [_mean(mean[f"{k}_{b}"]) for b in BASELINES for k in ("f1", "mean_ap")]
        rows.append([f"**mean of {kind} sets**", "", *cells, ""])
    words = (
        "*Grid* is the same at the defaults on the grid. *Best* is the single configuration with "
        f"the best mean F1 over the sets that were measured together: {_configurations(report)}. "
        "It was chosen on the same images, so its F1 is optimistic. F1 is at "
        "IoU 0.5; AP is TP / (TP + FP + FN) averaged over IoU 0.5 to 0.95. *Otsu*: Otsu's "
        "threshold, watershed of the distance transform; *LoG*: blobs by Laplacian of Gaussian, "
        "watershed of the grey values; both with fixed parameters (`training/baselines.py`). On an "
        "image without objects F1 is 1 if nothing is found, else 0."
    )
    return f"{_table(head, rows)}\n\n{words}"


def _configurations(report: dict[str, Any]) -> str:
    """The best configuration of each joined report, in words."""
    return "; ".join(
        f"predicted quality {best['pred_iou_thresh']}, stability "
        f"{best['stability_score_thresh']}, allowed overlap {best['box_nms_thresh']}"
        for best in report["best_configurations"]
    )


def _boxes(report: dict[str, Any]) -> str:
    got = report["boxes"]
    head = ["", "objects found", "error of the count", "F1 of boxes at IoU 0.5"]
    rows = [
        [{"model": "`" + report["model"] + "`", **BASELINES}[name], v["found"],
         _pm(v["count_error"]), _pm(v["box_f1"])]
        for name, v in got["everything"].items()
    ]  # fmt: skip
    words = (
        f"{got['images']} images, {got['true']} boxes, {got['box_filled']['n']} of them prompted. "
        f"Given a box, {_pm(got['mask_inside_box'])} of the mask lies inside it, the mask fills "
        f"{_pm(got['box_filled'])} of it, and its bounding box has IoU "
        f"{_pm(got['box_iou_of_box_prompt'])} with it; after a click on its centre, "
        f"{_pm(got['box_iou_of_click'])}."
    )
    return f"{words}\n\n{_table(head, rows)}"


def _targets(report: dict[str, Any]) -> str:
    head = ["mean over real sets", "target", "reached", ""]
    rows = [
        [TARGETS[k], f"{v['asked']:.2f}", _number(v["reached"]), "met" if v["met"] else "not met"]
        for k, v in report["bar"].items()
    ]
    return _table(head, rows)


def _configs(configs: dict[str, Any]) -> str:
    head = [
        "prompts",
        "per image",
        "decoding, s",
        "F1, defaults",
        "AP, defaults",
        "F1, best thresholds",
    ]
    names = [k for k, v in configs.items() if isinstance(v, dict) and "prompts" in v]
    rows = [
        [_config_name(k), f"{configs[k]['prompts']['mean']:.0f}",
         f"{configs[k]['decoding_s']['mean']:.1f}",
         _pm(configs[k]["defaults"]["f1"]), _pm(configs[k]["defaults"]["mean_ap"]),
         _pm(configs[k]["best"]["f1"])]
        for k in names
    ]  # fmt: skip
    count = configs[names[0]]["prompts"]["n"]
    words = (
        f"Means over the same {count} images; processor seconds of one thread, for ratios only; "
        f"encoding took {configs['encoding_s']['mean']:.1f} s more for each."
    )
    return f"{_table(head, rows)}\n\n{words}"


def _means(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, mean) for kind, mean in report["means"].items() if mean["f1_defaults"]["n"]]


def joined(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The first report with the sets of all."""
    first = dict(reports[0])
    if {r["sha256"] for r in reports} != {first["sha256"]}:
        raise SystemExit("The reports are of different weights: give those of one model.")
    first["sets"] = {k: v for r in reports for k, v in r["sets"].items()}
    first["means"] = {k: v for r in reports for k, v in _means(r)}
    first["best_configurations"] = [r["best_configuration"] for r in reports]
    return first


def _config_name(name: str) -> str:
    side = name.removeprefix("grid")
    return f"{side} x {side} grid" if side != name else "detected centres"


def _name(name: str) -> str:
    return NAMES.get(name, name)


def _not_beaten(row: dict[str, Any], measure: str) -> str:
    names = [BASELINES[n] for n in row["not_clearly_beaten"].get(measure, [])]
    return ", ".join(names) or "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _mean(values: dict[str, Any]) -> str:
    return "–" if values["mean"] is None else f"**{values['mean']:.2f}**"


def _pm(values: dict[str, Any]) -> str:
    if values["mean"] is None:
        return "–"
    spread = "" if values["n"] < 2 else f" ± {values['sd']:.2f}"
    return f"{values['mean']:.2f}{spread}"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines)


def rewritten(page: str, figures: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """The page with its text between the two `marks` replaced by `figures`."""
    begin, end = marks
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not found.search(page):
        raise SystemExit(
            f"The page has no {begin!r} ... {end!r}: put them where the tables belong."
        )
    return found.sub(lambda _: f"{begin}\n\n{figures}\n\n{end}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--picture", action="store_true", help="draw the contact sheet too")
    args = parser.parse_args()
    report = joined([json.loads(path.read_text()) for path in args.reports])
    page = args.page.read_text(encoding="utf-8")
    args.page.write_text(rewritten(page, tables(report)), encoding="utf-8")
    if args.picture:
        from training import contact_sheet

        contact_sheet.draw(args.page.parent / "images" / "model_card.png")


if __name__ == "__main__":
    main()
