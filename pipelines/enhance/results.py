"""Writes the results of a run: metrics.csv, metrics.parquet, failures.csv, run.json and the report."""

import functools
import json
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Any

from pipelines import storage, versions
from pipelines.enhance import beside, report
from pipelines.enhance.journal import Journal
from pipelines.enhance.plan import EnhancePlan, entries_of, size_in
from pipelines.enhance.settings import BESIDE, IMAGE_FOLDERS, beside_photo
from pipelines.photos import is_photo
from pipelines.photos.unread import GAIN_MAP
from pipelines.sorted_map import SortedMap
from pipelines.tables import write_csv, write_parquet

COLUMNS = (
    "path",
    "output",
    "width",
    "height",
    "mean_input",
    "mean_enhanced",
    "psnr_enhanced_db",
    "psnr_autocontrast_db",
    "exposure",
    "notes",
)
REFERENCE_COLUMNS = tuple(
    f"{metric}_{image}_reference{unit}"
    for metric, unit in (("psnr", "_db"), ("ssim", ""))
    for image in ("input", "enhanced", "autocontrast")
)
_KINDS = dict.fromkeys(("path", "output", "notes"), "string") | dict.fromkeys(("width", "height"), "int32")
FAILURE_COLUMNS = ("path", "stage", "error")


def write_results(
    out: str,
    plan: EnhancePlan,
    journal: Journal,
    run: Mapping[str, Any],
    ours: Collection[str],
    worked_on: Container[str],
) -> dict[str, Any]:
    """Writes the tables, run.json and the report from the journal.

    Args:
        out: Folder of the results.
        plan: Plan of the run.
        journal: Journal of the run; this compacts it. No process may be appending.
        run: Content of run.json except counts, megapixels and versions.
        ours: Files of the report that earlier runs wrote. Those that are no longer needed are deleted.
        worked_on: Paths of the photos that this run worked on.

    Returns:
        The content of run.json. Its `counts` are found, enhanced, skipped, failed, ignored and unchanged; `unchanged`
        counts the enhanced and skipped photos whose image is the original. `unstripped` exists only with
        --strip-metadata: the number of images of earlier runs that are left and may hold metadata. `gain_maps_dropped`
        counts the enhanced and skipped photos that lost their gain map.
    """
    settings = plan.settings
    lying = entries_of(out)
    for path, entry in beside.entries(plan.source, beside.read_list(out)).items():
        lying.update([(beside_photo(path), entry)])
    rows, failures = _rows(journal, plan, lying)
    enhanced, pixels, unchanged, images, flat = 0, 0, 0, 0, 0
    for row in rows.values():
        if row["path"] in worked_on:
            enhanced += 1
            pixels += row["width"] * row["height"]
        unchanged += "enhanced" in row["unchanged"]
        flat += GAIN_MAP in row["notes"].split("; ")
        images += len(settings.outputs(row["output"], row["unchanged"]))
    counts = {
        "found": len(plan.found),
        "enhanced": enhanced,
        "skipped": len(rows) - enhanced,
        "failed": len(failures),
        "ignored": plan.ignored,
        "unchanged": unchanged,
    }
    columns = COLUMNS if settings.reference is None else COLUMNS + REFERENCE_COLUMNS
    with storage.writing(storage.join(out, "metrics.csv")) as file:
        write_csv(file, columns, rows.values())
    with storage.writing(storage.join(out, "metrics.parquet")) as file:
        write_parquet(file, {name: _KINDS.get(name, "double") for name in columns}, rows.values())
    with storage.writing(storage.join(out, "failures.csv")) as file:
        write_csv(file, FAILURE_COLUMNS, failures.values())
    if settings.strip_metadata:
        run = {**run, "unstripped": _images_in(lying) - images}
    content = {
        **run,
        "counts": counts,
        "gain_maps_dropped": flat,
        "megapixels": round(pixels / 1e6, 3),
        "versions": versions.of_run(),
    }
    storage.write(storage.join(out, "run.json"), json.dumps(content, indent=2).encode())
    report.write_report(out, plan.source, rows.values(), failures.values(), content, ours, plan.kept)
    return content


def _rows(
    journal: Journal, plan: EnhancePlan, lying: Mapping[str, storage.Entry]
) -> tuple[SortedMap[dict[str, Any]], SortedMap[dict[str, str]]]:
    """The rows of metrics.csv and failures.csv, by path. Compacts the journal."""
    settings = plan.settings
    records = journal.read()
    records.update((record.path, record) for record in (*plan.clashes, *plan.unreadable))
    # before the refused photos: the record of an edited file stays. So do those of photos that a list leaves out.
    journal.compact(record for record in records.values() if settings.files or record.path in plan.found)
    records.update((record.path, record) for record in plan.refused)
    rows: SortedMap[dict[str, Any]] = SortedMap()
    failures: SortedMap[dict[str, str]] = SortedMap()
    size_of = functools.partial(size_in, lying)

    def sound() -> Iterator[tuple[str, dict[str, Any]]]:
        for record in records.values():
            if (version := plan.found.get(record.path)) is None:
                continue
            outputs = functools.partial(settings.outputs, record.row["output"] if record.row else "")
            if record.row and record.is_done(version, outputs, size_of):
                skipped = {"unwritten": record.unchanged} if settings.unchanged == "skip" and record.unchanged else {}
                yield record.path, {**record.row, "unchanged": record.unchanged, **skipped}
            elif record.failure and record.settings == version.settings:
                failures.update([(record.path, {"path": record.path, **record.failure})])

    rows.update(sound())
    return rows, failures


def _images_in(lying: Iterable[str]) -> int:
    """The number of images of any run, in the folder of results and beside the photos."""
    return sum(path.split("/")[0] in (*IMAGE_FOLDERS, BESIDE) and is_photo(path) for path in lying)


def remove_leftovers(out: str) -> None:
    """Deletes the temporary files that a killed run left. No process may be writing."""
    leftovers = (entry.path for entry in storage.walk(out) if entry.path.endswith(storage.TEMPORARY_SUFFIX))
    storage.delete([storage.join(out, path) for path in leftovers])
