"""The folder of a data set before and after the job: what it holds already, what is stale, and the closing count."""

import collections
import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipelines import folders, storage, versions
from pipelines.preprocess.plan import STATE, DatasetPlan
from pipelines.preprocess.resizing import FILTER
from pipelines.preprocess.shards import ShardResult, ShardWriter
from pipelines.tables import to_csv
from pipelines.threads import ordered_map
from tfrecord_tools.manifest import FILENAME, REJECTED, SHARD_NAME, DatasetError, Manifest
from tfrecord_tools.records import IMAGE_FEATURES, REFERENCE_FEATURES

_SETTINGS = f"{STATE}/settings.json"
_COLUMNS = ("path", "stage", "error")
_FIX = "choose another OUT, or --overwrite"
_READERS = 16  # rows read at a time


def clear(out: str) -> None:
    """Deletes the data set in a folder, the manifest first, so that nobody takes the rest for whole."""
    names = [entry.path for entry in storage.walk(out)]
    storage.delete(storage.join(out, name) for name in names if name == FILENAME)
    storage.delete(storage.join(out, name) for name in names if _is_ours(name))


def _is_ours(name: str) -> bool:
    return (
        bool(SHARD_NAME.fullmatch(name))
        or name == REJECTED
        or (name.endswith(storage.TEMPORARY_SUFFIX) and "/" not in name)
        or name.startswith(f"{STATE}/")
    )


def find_manifest(out: str, settings: Mapping[str, Any], plan: DatasetPlan) -> Manifest | None:
    """Finds out what a folder holds.

    Returns:
        The manifest if the very data set that is asked for is there; None if it is still to be made, or half made.

    Raises:
        click.ClickException: Something else is there.
    """
    if storage.exists(path := storage.join(out, FILENAME)):
        try:
            manifest = Manifest.from_json(storage.read(path))
        except DatasetError as error:
            raise click.ClickException(f"{path}: {error}; {_FIX}") from None
        _refuse_other_settings(out, manifest.settings | manifest.versions, settings)
        if manifest.sources["listing"] != plan.listing():
            raise click.ClickException(f"{out} was made from other files than {plan.data} holds now; {_FIX}")
        return manifest
    if storage.exists(path := storage.join(out, _SETTINGS)):
        _refuse_other_settings(out, json.loads(storage.read(path)), settings)
    elif any(SHARD_NAME.fullmatch(entry.path) for entry in storage.walk(out)):
        raise click.ClickException(f"{out} holds shards of an unknown data set; {_FIX}")
    return None


def _refuse_other_settings(out: str, old: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    new = {**settings, **versions.of_shards()}
    different = [name for name in new if old.get(name) != new[name]]
    if different:
        values = [f"{name}: {old.get(name)}, now {new[name]}" for name in different if name != "split_rule"]
        raise click.ClickException(f"{out} was made with {'; '.join(values) or 'another split rule'}; {_FIX}")


def begin(writer: ShardWriter, settings: Mapping[str, Any], plan: DatasetPlan) -> dict[str, str]:
    """Writes down what is to be done, and deletes what a killed run or one with other images left behind.

    Returns:
        Digest of the images and settings of each shard.
    """
    out, shards = writer.out, plan.shards
    storage.write(storage.join(out, _SETTINGS), json.dumps({**settings, **versions.of_shards()}).encode())
    current = {f"{STATE}/{kind}/{name}.json" for kind in ("plan", "rows") for name in shards} | {_SETTINGS, *shards}
    stale = [entry.path for entry in storage.walk(out) if _is_ours(entry.path) and entry.path not in current]
    storage.delete(storage.join(out, name) for name in stale)
    return {name: writer.plan(name, sources) for name, sources in shards.items()}


def write_manifest(
    writer: ShardWriter, digests: Mapping[str, str], settings: Mapping[str, Any], plan: DatasetPlan
) -> Manifest:
    """Counts what was written against what was meant, and writes `rejected.csv` and `manifest.json`.

    Args:
        writer: Writer of the shards.
        digests: Result of `begin`.
        settings: Settings that the shards depend on.
        plan: The images of the data set.

    Raises:
        click.ClickException: Something is missing, or too many images were rejected.
    """
    out = writer.out

    def counted(name: str) -> ShardResult:
        row = writer.result(name)
        if row is None or row.plan != digests[name] or row.records + len(row.rejected) != len(plan.shards[name]):
            raise click.ClickException(f"{name} does not hold what was meant: run the same command again")
        return row

    rows = {row.name: row for row in ordered_map(counted, plan.shards, _READERS)}
    rejected = sorted(entry for row in rows.values() for entry in row.rejected)
    records = sum(row.records for row in rows.values())
    references = sum(row.references for row in rows.values())
    if records + len(rejected) != plan.found:
        raise click.ClickException(f"{plan.found} images found, but {records} written and {len(rejected)} rejected")
    table = to_csv(_COLUMNS, (dict(zip(_COLUMNS, entry, strict=True)) for entry in rejected))
    storage.write(storage.join(out, REJECTED), table)
    refuse_rejected(out, len(rejected), writer.settings.max_rejected)
    notes: collections.Counter[str] = collections.Counter()
    for row in rows.values():
        notes.update(row.notes)
    manifest = Manifest(
        splits={split: [rows[name].shard() for name in shards] for split, shards in plan.sources.items()},
        image={
            "width": writer.settings.size[0],
            "height": writer.settings.size[1],
            "resize": writer.settings.resize,
            "filter": FILTER,
            "encoding": writer.settings.encoding,
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
        versions=versions.of_shards(),
    )
    storage.write(storage.join(out, FILENAME), manifest.to_json().encode())
    return manifest


def refuse_rejected(out: str, rejected: int, max_rejected: int | None) -> None:
    """Raises click.ClickException if more images were rejected than are accepted; any number is if None."""
    if max_rejected is not None and rejected > max_rejected:
        raise click.ClickException(
            f"{rejected} images were rejected, more than --max-rejected {max_rejected}: "
            f"{storage.join(out, REJECTED)} says why; the same command with a higher number goes on from here"
        )


def tidy(out: str) -> None:
    """Deletes the state of a job that is no longer needed: it is finished, or nothing was begun."""
    if storage.exists(storage.join(out, _SETTINGS)) and not storage.exists(storage.join(out, FILENAME)):
        return  # the next run goes on from it
    state = storage.join(out, STATE)
    if storage.exists(state):
        storage.delete([storage.join(state, entry.path) for entry in storage.walk(state)])
    if storage.is_local(out):
        shutil.rmtree(state, ignore_errors=True)
        (Path(out) / folders.STATE / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else lies in it
            (Path(out) / folders.STATE).rmdir()
