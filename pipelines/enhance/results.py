"""The files that tell what was done: metrics.csv, failures.csv, run.json and the report."""

import json
from typing import Any

from pipelines import storage, versions
from pipelines.enhance import report
from pipelines.enhance.journal import Journal
from pipelines.enhance.plan import EnhancePlan, is_done
from pipelines.enhance.settings import Settings
from pipelines.tables import to_csv

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
FAILURE_COLUMNS = ("path", "stage", "error")


def write_results(
    out: str, plan: EnhancePlan, settings: Settings, journal: Journal, run: dict[str, Any]
) -> dict[str, int]:
    """Writes metrics.csv, failures.csv, run.json and the report from the journal, and checks the counts.

    Args:
        out: Folder of the results.
        plan: What the run found.
        settings: As it ran.
        journal: Its journal; nobody may be appending. It is compacted.
        run: What else run.json shall hold.

    Returns:
        The counts: found, enhanced, skipped, failed, ignored.
    """
    records = journal.read() | {record.path: record for record in plan.clashes}
    records = {path: records[path] for path in sorted(plan.found) if path in records}
    journal.compact(records.values())
    present = {entry.path for entry in storage.walk(out)}
    digest = settings.digest()
    rows, failures = [], []
    for record in records.values():
        if is_done(record, plan.found[record.path], digest) and record.row:
            if set(settings.outputs(record.row["output"])) <= present:
                rows.append(record.row)
        elif record.failure and record.settings == digest:
            failures.append({"path": record.path, **record.failure})
    worked_on = {task.path for task in plan.todo}
    enhanced = [row for row in rows if row["path"] in worked_on]
    counts = {
        "found": len(plan.found),
        "enhanced": len(enhanced),
        "skipped": len(rows) - len(enhanced),
        "failed": len(failures),
        "ignored": plan.ignored,
    }
    megapixels = sum(row["width"] * row["height"] for row in enhanced) / 1e6
    columns = COLUMNS + REFERENCE_COLUMNS * (settings.reference is not None)
    storage.write(storage.join(out, "metrics.csv"), to_csv(columns, rows))
    storage.write(storage.join(out, "failures.csv"), to_csv(FAILURE_COLUMNS, failures))
    run |= {"counts": counts, "megapixels": round(megapixels, 3), "versions": versions.of_run()}
    storage.write(storage.join(out, "run.json"), json.dumps(run, indent=2).encode())
    report.write_report(out, plan.source, rows, failures, run)
    return counts


def remove_leftovers(out: str) -> None:
    """Removes the temporary files of a run that was killed. Nobody may be writing."""
    leftovers = (entry.path for entry in storage.walk(out) if entry.path.endswith(storage.TEMPORARY_SUFFIX))
    storage.delete([storage.join(out, path) for path in leftovers])
