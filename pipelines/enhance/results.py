"""Writes the results of a run: metrics.csv, metrics.parquet, failures.csv, run.json and the report."""

import functools
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pipelines import storage, versions
from pipelines.enhance import beside, report
from pipelines.enhance.journal import Journal
from pipelines.enhance.plan import EnhancePlan, entries_of, size_in
from pipelines.enhance.settings import BESIDE, IMAGE_FOLDERS, beside_photo
from pipelines.photos import is_photo
from pipelines.tables import to_csv, to_parquet

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
    worked_on: Collection[str],
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
        --strip-metadata: the number of images of earlier runs that are left and may hold metadata.
    """
    settings = plan.settings
    records = journal.read() | {record.path: record for record in (*plan.clashes, *plan.unreadable)}
    others = [record for path, record in records.items() if settings.files and path not in plan.found]
    records = {path: records[path] for path in sorted(plan.found) if path in records}
    # before the refused photos: the record of an edited file stays. So do those of photos that a list leaves out.
    journal.compact([*records.values(), *others])
    records |= {record.path: record for record in plan.refused}
    records = {path: records[path] for path in sorted(records)}
    lying = entries_of(out)
    for path, entry in beside.entries(plan.source, beside.read_list(out)).items():
        lying[beside_photo(path)] = entry
    size_of = functools.partial(size_in, lying)
    rows, failures, unchanged, images = [], [], 0, 0
    for record in records.values():
        version = plan.found[record.path]
        outputs = functools.partial(settings.outputs, record.row["output"] if record.row else "")
        if record.row and record.is_done(version, outputs, size_of):
            skipped = settings.unchanged == "skip" and record.unchanged
            rows.append(record.row | {"unwritten": record.unchanged} if skipped else record.row)
            unchanged += "enhanced" in record.unchanged
            images += len(outputs(record.unchanged))
        elif record.failure and record.settings == version.settings:
            failures.append({"path": record.path, **record.failure})
    enhanced = [row for row in rows if row["path"] in worked_on]
    counts = {
        "found": len(plan.found),
        "enhanced": len(enhanced),
        "skipped": len(rows) - len(enhanced),
        "failed": len(failures),
        "ignored": plan.ignored,
        "unchanged": unchanged,
    }
    megapixels = sum(row["width"] * row["height"] for row in enhanced) / 1e6
    columns = COLUMNS if settings.reference is None else COLUMNS + REFERENCE_COLUMNS
    storage.write(storage.join(out, "metrics.csv"), to_csv(columns, rows))
    storage.write(
        storage.join(out, "metrics.parquet"), to_parquet({name: _KINDS.get(name, "double") for name in columns}, rows)
    )
    storage.write(storage.join(out, "failures.csv"), to_csv(FAILURE_COLUMNS, failures))
    if settings.strip_metadata:
        run = {**run, "unstripped": _images_in(lying) - images}
    content = {**run, "counts": counts, "megapixels": round(megapixels, 3), "versions": versions.of_run()}
    storage.write(storage.join(out, "run.json"), json.dumps(content, indent=2).encode())
    report.write_report(out, plan.source, rows, failures, content, ours, plan.kept)
    return content


def _images_in(lying: Iterable[str]) -> int:
    """The number of images of any run, in the folder of results and beside the photos."""
    return sum(path.split("/")[0] in (*IMAGE_FOLDERS, BESIDE) and is_photo(path) for path in lying)


def remove_leftovers(out: str) -> None:
    """Deletes the temporary files that a killed run left. No process may be writing."""
    leftovers = (entry.path for entry in storage.walk(out) if entry.path.endswith(storage.TEMPORARY_SUFFIX))
    storage.delete([storage.join(out, path) for path in leftovers])
