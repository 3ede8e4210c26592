"""Every evaluation on disk as soon as it is made, so that a kill, a crash or a Stop loses nothing.

A journal belongs to images and a model. It is a text file of one JSON object per line that only
ever grows: a header, and then for each run a line that says how it searches, and its evaluations.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_samstar import version
from napari_samstar.core.cache_folder import cache_folder, keep_newest
from napari_samstar.core.errors import UserError
from napari_samstar.core.tuning.record import StudyRecord, plain

if TYPE_CHECKING:
    from pathlib import Path

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig, Trial

log = logging.getLogger("napari_samstar")

FORMAT, VERSION = "samstar-journal", 2
SUFFIX = f".v{VERSION}.jsonl"
"""With the version: journals of another version of the program stay as they are, unread."""
MAX_FILES, MAX_BYTES = 200, 500 * 2**20
"""Of all journals in the cache; the oldest go when a new run starts."""


@dataclass(frozen=True)
class Notice:
    """One sentence that the user should read; the work goes on."""

    text: str


def path_for(image_keys: Sequence[str], model_sha256: str) -> Path:
    """Return where the journal of these images and this model lies in the user's cache."""
    key = hashlib.sha256("|".join([*image_keys, model_sha256]).encode()).hexdigest()[:32]
    return folder() / f"{key}{SUFFIX}"


def folder() -> Path:
    """Return the folder of all journals in the user's cache (`SAMSTAR_CACHE` overrides it)."""
    return cache_folder("journals")


def latest(image_key: str, model_sha256: str) -> StudyRecord | None:
    """Return the last search on an image, alone or with others that can be found again.

    Others can be found where the journal names their layers; a journal that cannot be read is
    left out, with a warning in the log.
    """
    found: list[StudyRecord] = []
    for path in folder().glob(f"*{SUFFIX}"):
        try:
            images = _images(path, model_sha256)
            if images[:1] == [image_key]:
                runs = Journal(path, images, model_sha256).runs
                found += [r for r in runs if r.trials and (len(images) == 1 or r.inputs)]
        except UserError as error:
            log.warning("%s", error)
    # of two in the same second the later one
    return max(reversed(found), key=lambda run: run.started, default=None)


def _images(path: Path, model_sha256: str) -> list[str]:
    """Return the images that a journal of this model is about, none for another's."""
    try:
        with path.open(encoding="utf-8") as file:
            header = json.loads(file.readline())
        return list(header["images"]) if header["model_sha256"] == model_sha256 else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The journal {path} cannot be read: delete it.") from error


class Journal:
    """The runs on one set of images with one model, and the place where new ones are written.

    Nothing is written before `begin`. Where writing fails (a full disk, a folder without rights)
    `problem` says so, and the run goes on without a journal.

    Parameters
    ----------
    path : Path
    image_keys : sequence of str
        Content keys of the images that are tuned together.
    model_sha256 : str

    Raises
    ------
    UserError
        Where `path` is no journal, damaged, or one of other images or weights.
    """

    def __init__(self, path: Path, image_keys: Sequence[str], model_sha256: str) -> None:
        self.path = path
        self.problem: str | None = None
        self._header = {
            "format": FORMAT,
            "version": VERSION,
            "images": list(image_keys),
            "model_sha256": model_sha256,
        }
        text, self._end = _whole_lines(path)
        self._runs = _runs(path, text, self._header)
        self._run: StudyRecord | None = None
        self._said = False

    @classmethod
    def of(cls, image_keys: Sequence[str], model_sha256: str) -> Journal:
        """Open or create the journal of these images and this model in the user's cache."""
        return cls(path_for(image_keys, model_sha256), image_keys, model_sha256)

    @property
    def runs(self) -> tuple[StudyRecord, ...]:
        """The runs of earlier times, oldest first."""
        return self._runs

    def known(self, fingerprint: Mapping[str, Any]) -> tuple[Trial, ...]:
        """Return the trials under `fingerprint` by this version, each configuration once."""
        found: dict[AmgConfig, Trial] = {}
        for run in self._runs:
            for trial in run.trials if run.same_fingerprint(fingerprint) else ():
                found.setdefault(trial.config, trial)
        return tuple(found.values())

    def last(
        self, goal: Goal, study_config: StudyConfig, fingerprint: Mapping[str, Any]
    ) -> StudyRecord | None:
        """Return the latest run of this very search, at any budget; None where there is none."""
        for run in reversed(self._runs):
            if run.same_fingerprint(fingerprint) and run.same_search(goal, study_config):
                return run
        return None

    def begin(
        self,
        goal: Goal,
        study_config: StudyConfig,
        fingerprint: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Write down that a run starts; its evaluations are then added by `add`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        name = uuid.uuid4().hex[:12]
        about, inputs = plain(fingerprint), plain(inputs or {})
        self._run = StudyRecord(
            name, goal, study_config, about, version.__version__, now, inputs=inputs
        )
        self._cut_torn_line()
        lines = [self._run.to_dict()]
        self._append(lines if self._end else [self._header, *lines])
        if self.path.parent == folder():
            keep_newest(self.path.parent, "*.jsonl", files=MAX_FILES, n_bytes=MAX_BYTES,
                        keep=[self.path])  # fmt: skip

    def add(self, trials: Sequence[Trial]) -> None:
        """Write evaluations of the current run and hand them to the operating system."""
        assert self._run is not None, "begin a run first"
        if trials:
            self._append([{"of": self._run.name, **e.to_dict()} for e in trials])

    def unsaid_problem(self) -> str | None:
        """Return `problem` once after it arose, else None."""
        said, self._said = self._said, self.problem is not None
        return None if said else self.problem

    def _cut_torn_line(self) -> None:
        """Drop what a kill left of the last line: it would spoil the next one."""
        with contextlib.suppress(OSError):  # then `_append` fails too, and says so
            if self.path.stat().st_size > self._end:
                os.truncate(self.path, self._end)

    def _append(self, lines: Sequence[dict[str, Any]]) -> None:
        if self.problem is not None:
            return
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                left = memoryview(text.encode())
                while len(left):
                    left = left[file.write(left) :]
        except OSError as error:
            self.problem = (
                f"The journal cannot be written ({error.strerror or error}: {self.path}): the "
                "search goes on, but it could not be continued after a crash."
            )


# --- reading ----------------------------------------------------------------------------------


def _whole_lines(path: Path) -> tuple[str, int]:
    """Return a file's text up to its last line end, and how many bytes that is.

    A kill in the middle of a write leaves a torn last line, which is not an error.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return "", 0
    except OSError as error:
        raise UserError(
            f"The journal {path} cannot be read ({error.strerror or error}): delete it."
        ) from error
    end = raw.rfind(b"\n") + 1
    if raw and not end and not raw.startswith(b'{"format"'[: len(raw)]):
        raise UserError(f"{path} is not a journal of samstar: move it elsewhere.")
    return raw[:end].decode("utf-8", errors="replace"), end


def _runs(path: Path, text: str, header: dict[str, Any]) -> tuple[StudyRecord, ...]:
    """Return the runs of this version; those of another one may have measured otherwise."""
    if not text:
        return ()
    try:
        first, *lines = [json.loads(line) for line in text.split("\n")[:-1]]
        _check_header(path, first, header)
        about = {line["run"]: line for line in lines if "run" in line}
        made: dict[str, list[dict[str, Any]]] = {name: [] for name in about}
        for line in lines:
            if "run" not in line:
                made[line["of"]].append(line)
        here = [n for n, line in about.items() if line["software"] == version.__version__]
        runs = [_run(about[name], made[name]) for name in here]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The journal {path} is damaged: delete it and start anew.") from error
    return tuple(run for run in runs if run is not None)


def _run(about: dict[str, Any], trials: Sequence[dict[str, Any]]) -> StudyRecord | None:
    """Return a run; None where it used a reward or setting that is no longer installed."""
    try:
        return StudyRecord.from_dict(about, trials)
    except UserError:
        return None


def _check_header(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    if found.get("format") != FORMAT:
        raise UserError(f"{path} is not a journal of samstar: move it elsewhere.")
    if found.get("version") != VERSION:
        raise UserError(
            f"The journal {path} has version {found.get('version')!r}, this program reads "
            f"{VERSION}: update napari-samstar or delete it."
        )
    for name, what in (("images", "another image"), ("model_sha256", "another model")):
        if found.get(name) != expected[name]:
            raise UserError(f"The journal {path} is of {what}: delete it and start anew.")
