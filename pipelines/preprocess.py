"""The data-set job: a folder of images in, TFRecord shards, `manifest.json` and `rejected.csv` out.

list -> assign every image to a split and a shard -> one element is one shard (`shards.Workshop.make`) -> rows ->
manifest. The images of a shard are listed in a small file in OUT, so only names of shards travel through Beam; which
bytes a shard holds depends on the names and contents of its images and on nothing else.
"""

import collections
import csv
import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import json
import logging
import math
import platform
import posixpath
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import click
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import features
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipelines import runners, splits, storage
from pipelines.formats import is_photo
from pipelines.resizing import FILTER
from pipelines.shards import STATE, Row, Source, Workshop, ordered_map
from tfrecord_tools.manifest import FILENAME, SHARD_NAME, DatasetError, Manifest, Shard
from tfrecord_tools.records import IMAGE_FEATURES, REFERENCE_FEATURES

REJECTED = "rejected.csv"
SHARD_BYTES = 64 << 20
_BYTES_PER_PIXEL = {"png": 1.5, "jpeg": 0.6}  # of photographs at small sizes, measured and rounded up
_PLAIN_SECONDS = 5.0  # between lines of progress where there is no terminal
_done = 0  # images finished by the shards that this process makes


class MakeShard(beam.DoFn):
    """Name of a shard -> its row, the shard and the row being in storage."""

    def __init__(self, workshop: Workshop, options: Mapping[str, Any]) -> None:
        self.workshop = workshop
        self.options = options
        self.counters = {name: Metrics.counter("preprocess", name) for name in ("records", "rejected", "bytes")}

    def setup(self) -> None:
        FileSystems.set_options(PipelineOptions.from_dictionary(dict(self.options)))

    def process(self, name: str) -> list[Row]:
        row = self.workshop.make(name, _tick)
        for counter, count in (("records", row.records), ("rejected", len(row.rejected)), ("bytes", row.shard_bytes)):
            self.counters[counter].inc(count)
        return [row]


def _tick(images: int) -> None:
    global _done
    _done += images


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything the job is about to do.

    Attributes:
        sources: Images of each shard, in order, by the name of the shard, by split.
        rule: How the splits were made, in words.
        found: Number of images.
        ignored: Files that are no images by name, those of a LoL folder that are in neither split, and those that a
            split file does not name.
        without_reference: Images for which none was found.
    """

    sources: dict[str, dict[str, list[Source]]]
    rule: str
    found: int
    ignored: int

    @property
    def shards(self) -> dict[str, list[Source]]:
        """Images of each shard, over all splits."""
        return {name: sources for shards in self.sources.values() for name, sources in shards.items()}

    def listing(self) -> str:
        """Digest of names, sizes and times of all files that the data set is made from."""
        digest = hashlib.sha256()
        for name, sources in self.shards.items():
            digest.update(json.dumps([name, *map(dataclasses.astuple, sources)]).encode())
        return digest.hexdigest()


def preprocess(
    data: str,
    out: str,
    *,
    size: str = "256",
    train_count: int = 400,
    split: str | None = None,
    split_file: str | None = None,
    reference: str | None = None,
    resize: str = "stretch",
    encoding: str = "png",
    shard_records: int | None = None,
    max_rejected: int | None = None,
    workers: int | None = None,
    runner: str = "DirectRunner",
    overwrite: bool = False,
    beam_args: Sequence[str] = (),
) -> int:
    """Converts a folder of images into a data set of TFRecord shards, as `zerodce preprocess` does.

    Args:
        data: Folder of the images: the LoL layout, or any.
        out: Folder of the data set.
        size: Of the stored images: pixels, or WIDTHxHEIGHT.
        train_count: LoL: how many images in sorted order are for training.
        split: Fractions by a stable hash of the name, `train=0.8,val=0.1,test=0.1`.
        split_file: CSV with the columns path,split.
        reference: Folder of well-exposed images of the same names; LoL's `high` is found by itself.
        resize: `stretch`, `fit` or `crop`.
        encoding: `png` or `jpeg`.
        shard_records: Records in a shard; about 64 MiB if None.
        max_rejected: Accept so many unreadable images; if None the data set is written, and the exit code is 1.
        workers: Threads per process; one for each core if None.
        runner: Where the job runs.
        overwrite: Replace the data set that is in `out`.
        beam_args: Further Beam options.

    Returns:
        Exit code: 0 done, 1 images were rejected, 130 interrupted.

    Raises:
        click.UsageError: The arguments cannot be meant so.
        click.ClickException: The data set could not be made; the message names the fix.
    """
    logging.getLogger().setLevel(logging.CRITICAL)
    options = runners.pipeline_options(runner, beam_args)
    FileSystems.set_options(options)
    data, out = data.rstrip("/") or "/", out.rstrip("/") or "/"
    _refuse_overlaps(data, out, reference)
    width_height = parse_size(size)
    try:
        plan, references = make_plan(
            data, width_height, train_count, split, split_file, reference, encoding, shard_records
        )
    except splits.SplitError as error:
        raise click.UsageError(str(error)) from None
    settings = {
        "size": f"{width_height[0]}x{width_height[1]}",
        "resize": resize,
        "encoding": encoding,
        "split_rule": plan.rule,
        "shard_records": shard_records,
        **{f"version of {name}": version for name, version in versions().items()},
    }
    workshop = Workshop(
        data,
        references,
        out,
        width_height,
        resize,
        encoding,
        hashlib.sha256(json.dumps(settings).encode()).hexdigest(),
        workers,
    )
    console = Console(stderr=True)
    try:
        if overwrite:
            clear(out)
        elif (manifest := settle(out, settings, plan)) is not None:
            console.print(f"{out} is already complete")
            return report(manifest, max_rejected)
        planned = begin(workshop, settings, plan)
        with progress(console, workshop, plan, runners.is_local(runner)):
            run(workshop, list(plan.shards), options)
        manifest = finish(workshop, planned, plan, settings, max_rejected)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
        return 130
    except OSError as error:
        raise click.ClickException(f"cannot write to {out}: {error.strerror or error}") from None
    return report(manifest, max_rejected)


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from `256` or `320x240`.

    Raises:
        click.UsageError: It is neither.
    """
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip().lower())
    if not match or "0" in (str(int(match[1])), str(int(match[2] or match[1]))):
        raise click.UsageError(f"--size {text} is not a number of pixels or WIDTHxHEIGHT, such as 256 or 320x240")
    return int(match[1]), int(match[2] or match[1])


def _refuse_overlaps(data: str, out: str, reference: str | None) -> None:
    for name, folder in (("DATA", data), ("--reference", reference)):
        if folder is None:
            continue
        inner, outer = (Path(path).resolve() if storage.is_local(path) else Path(path) for path in (out, folder))
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise click.UsageError(f"OUT ({out}) and {name} ({folder}) overlap; choose an OUT beside it")


def _list(folder: str, what: str) -> dict[str, storage.Entry]:
    if storage.is_local(folder) and not Path(folder).is_dir():
        raise click.UsageError(f"{what} {folder} is not a folder")
    try:
        found = {entry.path: entry for entry in storage.walk(folder)}
    except OSError as error:
        raise click.UsageError(f"{what} {folder} cannot be listed: {error}") from None
    if not found:
        raise click.UsageError(f"{what} {folder} is empty or missing")
    return found


def make_plan(
    data: str,
    size: tuple[int, int],
    train_count: int,
    split: str | None,
    split_file: str | None,
    reference: str | None,
    encoding: str,
    shard_records: int | None,
) -> tuple[Plan, str]:
    """Assigns every image of a folder to a split and a shard.

    Returns:
        The plan, and the folder that the paths of its references are relative to.

    Raises:
        click.UsageError: There are no images, or the options contradict one another.
        splits.SplitError: The images cannot be assigned as asked.
    """
    if split and split_file:
        raise click.UsageError("--split and --split-file exclude one another")
    files = _list(data, "DATA")
    keys = [key for key in files if is_photo(key)]
    if not keys:
        raise click.UsageError(f"DATA {data} holds {len(files)} files, but no images")
    splits.check_unique(keys)
    lol = splits.is_lol(keys)
    if lol:
        keys = [key for key in keys if key.startswith((splits.LOL_OURS, splits.LOL_EVAL))]
    elif nested := next((key for key in keys if f"/{splits.LOL_OURS}" in key), None):
        root = storage.join(data, nested[: nested.index(f"/{splits.LOL_OURS}")])
        raise click.UsageError(f"the LoL data set is in {root}; name that folder")
    if split_file:
        try:
            assignment = splits.split_by_list(keys, splits.read_split_file(storage.read(split_file)))
        except OSError as error:
            raise click.UsageError(f"--split-file {split_file} cannot be read: {error.strerror or error}") from None
        except splits.SplitError as error:
            raise click.UsageError(f"--split-file {split_file}: {error}") from None
    elif lol and not split:
        assignment = splits.split_lol(keys, train_count)
    else:
        assignment = splits.split_by_hash(keys, splits.parse_fractions(split) if split else splits.DEFAULT_FRACTIONS)
    chosen = [key for keys_of_split in assignment.splits.values() for key in keys_of_split]

    if reference:
        references = {key: entry for key, entry in _list(reference, "--reference").items() if is_photo(key)}
        matched = splits.match_references(chosen, list(references))
    elif lol:
        references = {key: entry for key, entry in files.items() if "/high/" in key and is_photo(key)}
        low_names = {key: key.replace("/low/", "/high/", 1) for key in chosen}
        by_high = splits.match_references(low_names.values(), list(references))
        matched = {key: by_high[high] for key, high in low_names.items() if high in by_high}
    else:
        references, matched = {}, {}

    if shard_records is None:
        images = 2 if matched else 1
        shard_records = max(1, int(SHARD_BYTES / (math.prod(size) * _BYTES_PER_PIXEL[encoding] * images)))

    def source(key: str) -> Source:
        entry = files[key]
        if key not in matched:
            return Source(key, entry.size, entry.mtime)
        paired = references[matched[key]]
        return Source(key, entry.size, entry.mtime, paired.path, paired.size, paired.mtime)

    sources = {}
    for name, keys_of_split in assignment.splits.items():
        shards = splits.shard_names(name, len(keys_of_split), shard_records)
        parts = splits.divide(keys_of_split, len(shards))
        sources[name] = {shard: [source(key) for key in part] for shard, part in zip(shards, parts, strict=True)}
    used = len(chosen) + (len(references) if lol and not reference else 0)
    return Plan(sources, assignment.rule, len(chosen), len(files) - used), reference or data


def versions() -> dict[str, str]:
    """Versions of what decides about the bytes of a shard."""
    return {
        "zerodce": importlib.metadata.version("zerodce"),
        "pillow": importlib.metadata.version("pillow"),
        "libjpeg_turbo": str(features.version("libjpeg_turbo")),
        "zlib": str(features.version("zlib_ng") or features.version("zlib")),
        "processor": platform.machine(),
    }


def clear(out: str) -> None:
    """Removes the data set in a folder; the manifest first, so that nobody takes the rest for whole."""
    if storage.is_local(out) and not Path(out).exists():
        return
    names = [entry.path for entry in storage.walk(out)]
    storage.delete(storage.join(out, name) for name in names if name in (FILENAME, REJECTED))
    storage.delete(
        storage.join(out, name)
        for name in names
        if SHARD_NAME.fullmatch(name) or name.startswith(f"{STATE}/") or name.endswith(storage.TEMPORARY_SUFFIX)
    )
    _remove_state_folder(out)


def settle(out: str, settings: Mapping[str, Any], plan: Plan) -> Manifest | None:
    """Finds out what a folder holds already.

    Returns:
        The manifest if this very data set is there, finished; None if it is still to be made or to be gone on with.

    Raises:
        click.ClickException: Something else is there.
    """
    fix = "choose another OUT, or --overwrite"
    if storage.exists(path := storage.join(out, FILENAME)):
        try:
            manifest = Manifest.from_json(storage.read(path))
        except DatasetError as error:
            raise click.ClickException(f"{path}: {error}; {fix}") from None
        _refuse_other_settings(out, manifest.settings, settings)
        if manifest.sources["listing"] != plan.listing():
            raise click.ClickException(f"{out} was made from other files than are there now; {fix}")
        storage.delete(storage.join(out, e.path) for e in storage.walk(out) if e.path.startswith(f"{STATE}/"))
        _remove_state_folder(out)
        return manifest
    if storage.exists(path := storage.join(out, f"{STATE}/settings.json")):
        _refuse_other_settings(out, json.loads(storage.read(path)), settings)
    elif storage.exists(out) and any(SHARD_NAME.fullmatch(entry.path) for entry in storage.walk(out)):
        raise click.ClickException(f"{out} holds shards of an unknown data set; {fix}")
    return None


def _refuse_other_settings(out: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    different = [
        f"{name} {old.get(name)}, now {new.get(name)}" for name in {**old, **new} if old.get(name) != new.get(name)
    ]
    if different:
        raise click.ClickException(
            f"{out} was begun with other settings ({'; '.join(different)}); choose another OUT, or --overwrite"
        )


def begin(workshop: Workshop, settings: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    """Writes down what is to be done and removes what an earlier run, killed or with other images, left behind.

    Returns:
        Digest of the plan of each shard.
    """
    out, shards = workshop.out, plan.shards
    storage.write(storage.join(out, f"{STATE}/settings.json"), json.dumps(settings).encode())
    stale = [
        entry.path
        for entry in storage.walk(out)
        if (SHARD_NAME.fullmatch(entry.path) and entry.path not in shards)
        or entry.path.endswith(storage.TEMPORARY_SUFFIX)
    ]
    storage.delete(storage.join(out, path) for path in stale)
    return {name: workshop.plan(name, sources) for name, sources in shards.items()}


def run(workshop: Workshop, names: Sequence[str], options: PipelineOptions) -> None:
    """Makes the shards, each in one element.

    Raises:
        KeyboardInterrupt: The job was interrupted.
        click.ClickException: The job failed.
    """
    try:
        pipeline = beam.Pipeline(options=options)
        (
            pipeline
            | "Shards" >> beam.Create(names, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Make" >> beam.ParDo(MakeShard(workshop, options.get_all_options(drop_default=True)))
        )
        pipeline.run().wait_until_finish()
    except Exception as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        raise click.ClickException(f"the job failed: {str(error).strip().splitlines()[-1]}") from error


def finish(
    workshop: Workshop, planned: Mapping[str, str], plan: Plan, settings: Mapping[str, Any], max_rejected: int | None
) -> Manifest:
    """Counts what was written against what was meant, and writes `rejected.csv` and `manifest.json`.

    Raises:
        click.ClickException: Something is missing, or more than `max_rejected` images were rejected.
    """
    out = workshop.out

    def checked(name: str) -> Row:
        try:
            row = Row.parse(storage.read(workshop.row_path(name)))
        except OSError:
            raise click.ClickException(f"{name} was not made; run the same command again") from None
        if row.plan != planned[name] or row.records + len(row.rejected) != len(plan.shards[name]):
            raise click.ClickException(f"{name} does not hold what was meant; run the same command again")
        return row

    rows = {row.name: row for row in ordered_map(checked, planned, workers=16)}
    rejected = sorted(entry for row in rows.values() for entry in row.rejected)
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([("path", "stage", "error"), *rejected])
    storage.write(storage.join(out, REJECTED), table.getvalue().encode(errors="surrogateescape"))
    if max_rejected is not None and len(rejected) > max_rejected:
        raise click.ClickException(
            f"{len(rejected)} images were rejected, more than --max-rejected {max_rejected}: {out}/{REJECTED} says why"
        )
    records = sum(row.records for row in rows.values())
    references = sum(row.references for row in rows.values())
    notes: collections.Counter[str] = collections.Counter()
    for row in rows.values():
        notes.update(row.notes)
    manifest = Manifest(
        splits={
            split: [
                Shard(name, rows[name].records, rows[name].references, rows[name].shard_bytes, rows[name].sha256)
                for name in shards
            ]
            for split, shards in plan.sources.items()
        },
        image={
            "width": workshop.size[0],
            "height": workshop.size[1],
            "resize": workshop.resize,
            "filter": FILTER,
            "encoding": workshop.encoding,
        },
        counts={
            "found": plan.found,
            "records": records,
            "rejected": len(rejected),
            "references": references,
            "without_reference": records - references,
            "ignored": plan.ignored,
        },
        sources={
            "bytes": sum(row.source_bytes for row in rows.values()),
            "sha256": hashlib.sha256("".join(row.source_sha256 for row in rows.values()).encode()).hexdigest(),
            "listing": plan.listing(),
        },
        features=IMAGE_FEATURES | (REFERENCE_FEATURES if references else {}),
        split_rule=plan.rule,
        notes=dict(sorted(notes.items())),
        settings=dict(settings),
        versions=versions(),
    )
    if records + len(rejected) != plan.found:
        raise click.ClickException(
            f"{plan.found} images were found, but {records} written and {len(rejected)} rejected"
        )
    storage.write(storage.join(out, FILENAME), manifest.to_json().encode())
    storage.delete(storage.join(out, entry.path) for entry in storage.walk(out) if entry.path.startswith(f"{STATE}/"))
    _remove_state_folder(out)
    return manifest


def _remove_state_folder(out: str) -> None:
    if storage.is_local(out):
        for folder in (f"{STATE}/plan", f"{STATE}/rows", STATE):
            if (path := Path(storage.join(out, folder))).is_dir():
                path.rmdir()


def report(manifest: Manifest, max_rejected: int | None) -> int:
    """Prints the closing table and gives the exit code."""
    console = Console()
    table = Table("split", "records", "references", "shards", "MB", box=None, pad_edge=False)
    for split, shards in manifest.splits.items():
        table.add_row(
            split,
            f"{manifest.records(split):,}",
            f"{sum(shard.references for shard in shards):,}",
            f"{len(shards):,}",
            f"{sum(shard.bytes for shard in shards) / 1e6:,.1f}",
        )
    console.print(table)
    counts = manifest.counts
    console.print(f"split {manifest.split_rule}", soft_wrap=True)
    console.print(
        f"{counts['found']:,} images found: {counts['records']:,} written, {counts['rejected']:,} rejected; "
        f"{counts['ignored']:,} other files ignored",
        soft_wrap=True,
    )
    if counts["references"]:
        console.print(f"{counts['without_reference']:,} images have no reference")
    for note, count in manifest.notes.items():
        console.print(f"{note}: {count:,}")
    if counts["rejected"] and max_rejected is None:
        console.print(f"{REJECTED} says why images were rejected; --max-rejected {counts['rejected']} accepts that")
        return 1
    return 0


class progress:  # noqa: N801 - a context manager, used as a function
    """Shows how many images are done while the body runs: a bar on a terminal, else a line every few seconds."""

    def __init__(self, console: Console, workshop: Workshop, plan: Plan, local: bool) -> None:
        self.console = console
        self.total = plan.found
        self.count: Callable[[], int] = (
            functools.partial(_done_since, _done) if local else functools.partial(_done_in_storage, workshop, plan)
        )
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._bar if console.is_terminal else self._lines, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def _bar(self) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("images", total=self.total)
            while not self.ended.wait(0.25):
                bar.update(task, completed=self.count())

    def _lines(self) -> None:
        start = time.monotonic()
        while not self.ended.wait(_PLAIN_SECONDS):
            done = self.count()
            left = (time.monotonic() - start) * (self.total - done) / done if done else math.inf
            tail = f", {left:.0f} s left" if done else ""
            self.console.print(f"{done:,} of {self.total:,} images{tail}", soft_wrap=True)


def _done_since(start: int) -> int:
    return _done - start


def _done_in_storage(workshop: Workshop, plan: Plan) -> int:
    rows = {posixpath.basename(entry.path) for entry in storage.walk(storage.join(workshop.out, f"{STATE}/rows"))}
    return sum(len(sources) for name, sources in plan.shards.items() if f"{name}.json" in rows)


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m pipelines.preprocess --input DATA --output OUT ...`"""
    from pipelines.cli import preprocess as command

    runners.run_command(command, argv)


if __name__ == "__main__":
    from pipelines.preprocess import main as start

    start()
