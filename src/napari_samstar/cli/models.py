"""`samstar models`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_samstar.cli import options  # noqa: TC001 - typer reads annotations
from napari_samstar.cli.console import download_bar, emit, out, say
from napari_samstar.core.models.families import other_families
from napari_samstar.core.models.registry import REGISTRY, ModelInfo


def models(
    *,
    download: Annotated[
        str | None, typer.Option(metavar="NAME", help="Fetch a model for later use, offline too.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check the files of all models; exit code 1 if one is bad."),
    ] = False,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
) -> None:
    """List the models that have a name, download one, or check what was downloaded."""
    from napari_samstar.core.models.downloads import fetch

    other_families()
    if download is not None:
        with download_bar(f"Downloading {download}") as report:
            path = fetch(download, report)
        say(f"{download} is ready: {path}")
    if verify:
        _verify(as_json=as_json)
        return
    listed = [_about(info) for info in REGISTRY.values()]
    if as_json:
        emit({"command": "models", "models": listed})
    else:
        _show(listed)


def _about(info: ModelInfo) -> dict[str, Any]:
    from napari_samstar.core.models.downloads import local_file

    path = local_file(info)
    present = path.is_file()
    return {
        "name": info.name,
        "size_bytes": path.stat().st_size if present else info.size_bytes,
        "licence": info.licence,
        "present": present,
        "bundled": info.url is None,
        "advice": info.advice,
        "path": str(path),
        "url": info.url,
        "hash": info.known_hash,
        "sha256": info.sha256,
        "version": info.version,
        "defaults": info.defaults,
    }


def _verify(*, as_json: bool) -> None:
    """Say of each model whether its file is as published; exit with 1 if one is damaged."""
    checked = [_checked(info) for info in REGISTRY.values()]
    if as_json:
        emit({"command": "models", "verified": checked})
    else:
        _show_checked(checked)
    if any(about["state"] == "damaged" for about in checked):
        raise typer.Exit(1)


def _checked(info: ModelInfo) -> dict[str, str]:
    from napari_samstar.core.models.downloads import local_file, unfinished, verify

    state = verify(info)
    advice = _ADVICE[state].format(name=info.name)
    have = unfinished(info) / 2**20
    if state == "damaged" and info.url is None:
        advice = "Reinstall the package that it ships with."
    elif state == "not downloaded" and have:
        advice = f"samstar models --download {info.name} goes on after {have:.1f} MiB."
    return {"name": info.name, "state": state, "advice": advice, "path": str(local_file(info))}


_ADVICE = {
    "ok": "",
    "damaged": "samstar models --download {name} replaces it.",
    "not downloaded": "samstar models --download {name} gets it.",
}


def _show_checked(checked: list[dict[str, str]]) -> None:
    from rich.table import Table

    table = Table("Name", "File", "What to do", title="Models", title_justify="left")
    for about in checked:
        table.add_row(about["name"], about["state"], about["advice"])
    out.print(table)


def _show(listed: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="Models", title_justify="left", title_style="bold")
    for name in ("Name", "Size", "Licence", "Here"):
        table.add_column(name, justify="right" if name == "Size" else "left", no_wrap=True)
    table.add_column("When to choose it", overflow="fold")
    for about in listed:
        size = f"{about['size_bytes'] / 2**20:,.0f} MiB"
        here = "yes" if about["present"] else "missing" if about["bundled"] else "no"
        table.add_row(about["name"], size, about["licence"], here, about["advice"])
    out.print(table)
    typer.echo(
        "A model that is not here is downloaded when it is first used. "
        "The path of any SAM checkpoint works in place of a name, and that of a folder in Hugging "
        "Face's format with SAM 2.1 or SAM-HQ."
    )
