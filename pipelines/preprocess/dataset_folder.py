"""The folder of a data set before and after the job: existing shards, stale files, the final count and the manifest."""

import collections
import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipelines import folders, storage, versions
from pipelines.preprocess.plan import STATE, DatasetPlan
from pipelines.preprocess.resizing import FILTER
from pipelines.preprocess.shards import ShardResult, ShardWriter
from pipelines.tables import TableError, from_csv, to_csv
from pipelines.threads import ordered_map
from tfrecord_tools import croissant
from tfrecord_tools.manifest import FILENAME, REJECTED, SHARD_NAME, DatasetError, Manifest, Shard
from tfrecord_tools.records import IMAGE_FEATURES, REFERENCE_FEATURES, printable

_SETTINGS = f"{STATE}/settings.json"
_STATE_FILE = re.compile(
    rf"settings\.json|(plan|rows)/{SHARD_NAME.pattern}\.json|((plan|rows)/)?{storage.TEMPORARY_NAME.pattern}"
)
_COLUMNS = ("path", "stage", "error")
_FIX = "choose another OUT, or --overwrite"
_READERS = 16  # rows read at a time


def refuse_foreign(out: str) -> None:
    """Refuses a folder with shards or a `rejected.csv` that no job wrote there.

    The job would replace such files, or a reader would take them for part of the data set.

    Raises:
        click.UsageError: A folder in it is a link that leads out of it, or its manifest is a broken link.
        click.ClickException: There are such files.
    """
    folders.refuse_links_out(out, [STATE, f"{STATE}/plan", f"{STATE}/rows"])
    folders.refuse_lost_link(storage.join(out, FILENAME))
    listed = _listed(out)
    for entry in storage.walk(out):
        if (SHARD_NAME.fullmatch(entry.path) or entry.path == REJECTED) and entry.path not in listed:
            raise click.ClickException(
                f"{storage.join(out, entry.path)} is not part of a data set that zerodce made here: move it away, "
                "or choose another OUT"
            )


def _listed(out: str) -> set[str]:
    """The files that jobs wrote into a folder. The manifest lists them, or the plans of an unfinished run do."""
    listed = {name.removeprefix("plan/").removesuffix(".json") for name in _state_files(out) if "plan/" in name}
    if storage.exists(storage.join(out, _SETTINGS)):
        listed.add(REJECTED)
    if storage.exists(path := storage.join(out, FILENAME)):
        try:
            manifest = Manifest.from_json(storage.read(path))
        except DatasetError as error:
            raise click.ClickException(f"{path}: {error}; move it away, or choose another OUT") from None
        listed |= {REJECTED, *(shard.name for shards in manifest.splits.values() for shard in shards)}
    return listed


def _state_files(out: str) -> list[str]:
    """The state files of the job, relative to their folder."""
    state = storage.join(out, STATE)
    names = [entry.path for entry in storage.walk(state)] if storage.exists(state) else []
    return [name for name in names if _STATE_FILE.fullmatch(name)]


def clear(out: str) -> None:
    """Deletes the data set in a folder. The lists of files go last, so that after a kill all files are still listed."""
    listed = sorted(_listed(out))
    discard_description(out)
    state = [f"{STATE}/{name}" for name in _state_files(out)]
    storage.delete(storage.join(out, name) for name in [*listed, *state, FILENAME])


def find_manifest(out: str, settings: Mapping[str, Any], plan: DatasetPlan) -> Manifest | None:
    """The manifest in a folder, if the folder holds the requested data set.

    Returns:
        The manifest; None if the data set is not made yet, or not finished.

    Raises:
        click.ClickException: The folder holds another data set.
    """
    if storage.exists(path := storage.join(out, FILENAME)):
        manifest = Manifest.from_json(storage.read(path))
        _refuse_other_settings(out, manifest.settings | manifest.versions, settings)
        names = {split: [shard.name for shard in shards] for split, shards in manifest.splits.items()}
        planned = {split: list(shards) for split, shards in plan.sources.items()}
        if manifest.sources["listing"] != plan.listing() or names != planned:
            raise click.ClickException(f"{out} was made from other files than {plan.data} holds now; {_FIX}")
        return manifest
    if storage.exists(path := storage.join(out, _SETTINGS)):
        try:
            old = dict(json.loads(storage.read(path)))
        except (ValueError, TypeError):
            raise click.ClickException(f"{path} is damaged; {_FIX}") from None
        _refuse_other_settings(out, old, settings)
    return None


def _refuse_other_settings(out: str, old: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    new = {**settings, **versions.of_shards()}
    different = [name for name in new if old.get(name) != new[name]]
    if different:
        values = [f"{name}: {old.get(name)}, now {new[name]}" for name in different if name != "split_rule"]
        raise click.ClickException(f"{out} was made with {'; '.join(values) or 'another split rule'}; {_FIX}")


def begin(writer: ShardWriter, settings: Mapping[str, Any], plan: DatasetPlan) -> dict[str, str]:
    """Writes the plan of the job. Deletes files that a killed run, or a run with other images, left behind.

    Returns:
        Digest of the images and settings of each shard.
    """
    out, shards = writer.out, plan.shards
    storage.write(storage.join(out, _SETTINGS), json.dumps({**settings, **versions.of_shards()}).encode())
    current = {f"{kind}/{name}.json" for kind in ("plan", "rows") for name in shards} | {"settings.json"}
    # shards go before the plans that list them, so that after a kill all shards are still listed
    stale = sorted(_listed(out) - shards.keys() - {REJECTED})
    stale += sorted(f"{STATE}/{name}" for name in _state_files(out) if name not in current)
    stale += [entry.path for entry in storage.walk(out) if storage.TEMPORARY_NAME.fullmatch(entry.path)]
    storage.delete(storage.join(out, name) for name in stale)
    return {name: writer.plan(name, sources) for name, sources in shards.items()}


def find_faults(writer: ShardWriter, manifest: Manifest, plan: DatasetPlan) -> set[str]:
    """The files of a finished data set that must be made again.

    Returns:
        Names of files: shards that are missing or have another size; with `verify`, shards with other bytes; shards
        that lack images which could not be read and now can; `rejected.csv` if its number of rows is not that of the
        manifest. All files, if the manifest has changed since it was written.
    """
    if manifest.intact is False:
        return {FILENAME, *plan.shards}
    present = {entry.path: entry.size for entry in storage.walk(writer.out)}
    rejected = _read_rejected(writer.out)
    faults = {REJECTED} if len(rejected) != manifest.counts["rejected"] or REJECTED not in present else set()

    def is_faulty(shard: Shard) -> bool:
        sources = plan.shards[shard.name]
        rows = [rejected[source.key] for source in sources if source.key in rejected]
        return (
            present.get(shard.name) != shard.bytes
            or shard.records + len(rows) != len(sources)
            or (writer.settings.verify and not writer.holds(shard.name, shard.sha256))
            or any(
                row[1] == "read" and writer.can_read(source) for source in sources if (row := rejected.get(source.key))
            )
        )

    shards = [shard for shards in manifest.splits.values() for shard in shards]
    for shard, faulty in zip(shards, ordered_map(is_faulty, shards, writer.threads), strict=True):
        if faulty:
            faults.add(shard.name)
    if faults and not all(shard.source_sha256 for shard in shards):
        return {shard.name for shard in shards}  # the manifest of an older version has too few data to keep shards
    return faults


def _read_rejected(out: str) -> dict[str, list[str]]:
    """The rows of `rejected.csv`, by path; empty if the file is missing."""
    try:
        table = from_csv(storage.read(storage.join(out, REJECTED)), _COLUMNS, errors="surrogateescape")
    except (OSError, TableError):
        return {}
    return {row["path"]: [row[name] for name in _COLUMNS] for _, row in table}


def reopen(
    writer: ShardWriter, manifest: Manifest, digests: Mapping[str, str], plan: DatasetPlan, faults: set[str]
) -> None:
    """Turns a finished data set into an unfinished one. All shards except the faulty ones count as done.

    Args:
        writer: Writer of the shards.
        manifest: Manifest of the data set. Its file is deleted.
        digests: Result of `begin`.
        plan: The images of the data set.
        faults: Result of `find_faults`.
    """
    rejected = _read_rejected(writer.out)
    for shard in (shard for shards in manifest.splits.values() for shard in shards):
        if shard.name in faults:
            writer.forget(shard.name)
        else:
            rows = [rejected[source.key] for source in plan.shards[shard.name] if source.key in rejected]
            writer.remember(ShardResult.of(shard, digests[shard.name], rows))
    discard_description(writer.out)
    storage.delete([storage.join(writer.out, FILENAME)])


def discard_description(out: str) -> None:
    """Deletes `croissant.json` if it is as a job wrote it. One that somebody edited stays."""
    path = storage.join(out, croissant.FILENAME)
    if storage.exists(path) and croissant.is_unedited(storage.read(path)):
        storage.delete([path])


def write_description(out: str) -> None:
    """Writes `croissant.json` beside the manifest. One that somebody edited stays; if it lists other files, says so."""
    path, content = storage.join(out, croissant.FILENAME), storage.read(storage.join(out, FILENAME))
    manifest = Manifest.from_json(content)
    folders.refuse_lost_link(path)
    present = storage.read(path) if storage.exists(path) else None
    fault = present is not None and croissant.find_fault(present, manifest, content)
    if present is None or (fault and croissant.is_unedited(present)):
        storage.write(path, croissant.describe(manifest, content).encode())
    elif fault:
        click.echo(printable(f"{path} was edited and stays, but {fault}: delete it, and run again"), err=True)


def write_manifest(
    writer: ShardWriter, digests: Mapping[str, str], settings: Mapping[str, Any], plan: DatasetPlan
) -> Manifest:
    """Checks that every image is written or rejected, and writes `rejected.csv` and `manifest.json`.

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
            raise click.ClickException(f"{name} does not hold the planned images: run the same command again")
        return row

    rows = {row.name: row for row in ordered_map(counted, plan.shards, _READERS)}
    rejected = sorted(
        [
            *(entry for row in rows.values() for entry in row.rejected),
            *([name, "read", reason] for name, reason in plan.unreadable.items()),
        ]
    )
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
    """Raises click.ClickException if more than `max_rejected` images were rejected. None accepts any number."""
    if max_rejected is not None and rejected > max_rejected:
        raise click.ClickException(
            f"{rejected} images were rejected, more than --max-rejected {max_rejected}: "
            f"{storage.join(out, REJECTED)} says why; the same command with a higher number goes on from here"
        )


def tidy(out: str) -> None:
    """Deletes the state of a job that is finished or was never begun."""
    if storage.exists(storage.join(out, _SETTINGS)) and not storage.exists(storage.join(out, FILENAME)):
        return  # the next run goes on from it
    storage.delete(storage.join(out, f"{STATE}/{name}") for name in _state_files(out))
    if storage.is_local(out):
        (Path(out) / folders.STATE / "lock").unlink(missing_ok=True)
        for name in (f"{STATE}/plan", f"{STATE}/rows", STATE, folders.STATE):
            with contextlib.suppress(OSError):  # it is not empty
                (Path(out) / name).rmdir()
