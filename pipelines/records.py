"""The `zerodce records` commands: show, verify, measure and export a data set."""

import json
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from pipelines import folders, storage
from pipelines.progress import Console, track
from tfrecord_tools import DatasetError, read_manifest, read_records, verify
from tfrecord_tools.manifest import FILENAME, Manifest
from tfrecord_tools.records import printable

IMAGES = "images"
"""The format of `export` that is image files."""

_ROWS = 5
_LISTED_FAULTS = 50


def manifest_of(dataset: str) -> Manifest:
    """The manifest of a folder.

    Raises:
        click.UsageError: There is no such folder on this machine.
        click.ClickException: It is not a data set.
    """
    if not Path(dataset).is_dir():
        raise click.UsageError(f"{dataset} is not a folder on this machine: name one that `zerodce preprocess` wrote")
    try:
        return read_manifest(dataset)
    except DatasetError as error:
        raise click.ClickException(str(error)) from None


def inspect(dataset: str) -> None:
    """Prints splits, counts, sizes, keys and the first records."""
    manifest = manifest_of(dataset)
    console = Console()
    console.print(split_table(manifest))
    image, counts = manifest.image, manifest.counts
    for name, text in {
        "images": f"{image['width']}x{image['height']}, {image['resize']}, {image['encoding']}",
        "filter": image["filter"],
        "split": manifest.split_rule,
        "counts": ", ".join(f"{name} {count:,}" for name, count in counts.items()),
        "notes": "; ".join(f"{note}: {count:,}" for note, count in manifest.notes.items()) or "none",
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
    }.items():
        click.echo(printable(f"{name:<10}{text}"))
    click.echo("\nkeys of a record")
    for key, kind in manifest.features.items():
        click.echo(printable(f"  {key:<20}{kind}"))
    for split in manifest.splits:
        if not manifest.records(split):
            continue
        click.echo(f"\nfirst records of {printable(split)}")
        try:
            for _, record in zip(range(_ROWS), read_records(dataset, split), strict=False):
                stored = record.image
                paired = f"  reference {record.reference.label}" if record.reference else ""
                click.echo(f"  {stored.label}  {stored.width}x{stored.height}  {len(stored.encoded):,} bytes{paired}")
        except DatasetError as error:
            raise click.ClickException(str(error)) from None


def split_table(manifest: Manifest) -> Table:
    """Records, references, shards and size of each split."""
    table = Table("split", "records", "references", "shards", "MB", box=None, pad_edge=False)
    for split, shards in manifest.splits.items():
        table.add_row(
            Text(printable(split)),
            f"{manifest.records(split):,}",
            f"{sum(shard.references for shard in shards):,}",
            f"{len(shards):,}",
            f"{sum(shard.bytes for shard in shards) / 1e6:,.1f}",
        )
    return table


def check(dataset: str, workers: int | None) -> int:
    """Reads every byte, prints the faults, and returns the exit code."""
    manifest = manifest_of(dataset)
    shards = sum(map(len, manifest.splits.values()))
    steps = track(range(shards), "shards", shards)
    faults = verify(dataset, workers=workers, progress=lambda shard: next(steps, None))
    next(steps, None)
    for fault in faults[:_LISTED_FAULTS]:
        click.echo(printable(str(fault)))
    if len(faults) > _LISTED_FAULTS:
        click.echo(f"and {len(faults) - _LISTED_FAULTS:,} more")
    if faults:
        click.echo(
            f"Error: {len(faults):,} faults: copy the named files again from where the data set was made", err=True
        )
        return 1
    if manifest.intact is None:
        click.echo(f"an older version wrote {FILENAME} without a checksum: a change in it may go unnoticed")
    click.echo(f"{manifest.counts['records']:,} records in {shards:,} shards: no faults")
    return 0


def stats(dataset: str, out: str | None, workers: int | None) -> None:
    """Writes statistics.json and statistics.png, and prints the means."""
    from tfrecord_tools import statistics

    manifest = manifest_of(dataset)
    folder = out or dataset
    try:
        measured = statistics.measure(dataset, workers)
    except DatasetError as error:
        raise click.ClickException(str(error)) from None
    if not measured:
        raise click.ClickException(f"{dataset} has no records")
    summary = statistics.summarize(measured)
    _write(storage.join(folder, "statistics.json"), json.dumps(summary, indent=2).encode())
    _write(storage.join(folder, "statistics.png"), statistics.plot(measured, manifest.image["encoding"]))
    table = Table("split", "", "images", "brightness", "kB", box=None, pad_edge=False)
    for split, kinds in summary.items():
        for kind, values in kinds.items():
            means = (f"{values[name]['mean']:.3f}" for name in ("brightness", "kilobytes"))
            table.add_row(split, kind, f"{values['images']:,}", *means)
    Console().print(table)
    click.echo(printable(f"to look at  {storage.join(folder, 'statistics.png')}"))


def export(dataset: str, out: str | None, to: str, sheet: bool) -> None:
    """Writes the images as files, with contact sheets on request, or the data set in another format."""
    folder = out or storage.join(dataset, "export")
    if not storage.is_local(folder):
        raise click.UsageError("export works on local folders: copy the images to the store afterwards")
    manifest = manifest_of(dataset)
    if sheet and to != IMAGES:
        raise click.UsageError(f"--sheet needs --to {IMAGES}: leave out one of them")
    try:
        if to == IMAGES:
            _export_images(dataset, folder, manifest, sheet)
        else:
            _convert(dataset, folder, manifest, to)
    except DatasetError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(folders.what_failed(error, folder)) from None


def _export_images(dataset: str, folder: str, manifest: Manifest, sheet: bool) -> None:
    import io

    from tfrecord_tools.export import contact_sheet, export_images

    expected = sum(manifest.counts[name] for name in ("records", "references"))
    written = sum(1 for _ in track(export_images(dataset, folder), "images", expected))
    for split in manifest.splits if sheet else ():
        if manifest.records(split):
            content = io.BytesIO()
            contact_sheet(dataset, split).save(content, "png")
            _write(storage.join(folder, f"sheet-{split}.png"), content.getvalue())
    if written != expected:
        raise click.ClickException(f"{expected} images are in {dataset}, but {written} were written")
    click.echo(printable(f"{written:,} images in {folder}"))


def _convert(dataset: str, folder: str, manifest: Manifest, to: str) -> None:
    from tfrecord_tools.conversion import convert, refuse_other

    refuse_other(Path(folder), manifest, to)
    folders.refuse_other_job(folder, "records")
    folders.refuse_links_out(folder, [f"{folders.STATE}/export"])
    with folders.lock(folder):
        for _ in track(convert(dataset, folder, to), "records", manifest.counts["records"]):
            pass
    files = sum(map(len, manifest.splits.values()))
    click.echo(printable(f"{manifest.counts['records']:,} records in {files:,} files in {folder}"))


def _write(path: str, content: bytes) -> None:
    try:
        storage.write(path, content)
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be written ({error.strerror or error}): name another --out"
        ) from None
