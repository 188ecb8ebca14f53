"""The command `zerodce enhance`: plans the run, runs the job, shows its progress, and prints the result."""

import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import click
import rich.box
import rich.table
from apache_beam.options.pipeline_options import PipelineOptions
from rich.text import Text

from pipelines import folders, models, progress, runners, storage
from pipelines.enhance import originals, output_folder, report, results, status, supervisor
from pipelines.enhance.attempts import Attempts
from pipelines.enhance.following import Follower, follow
from pipelines.enhance.journal import Journal, PhotoRecord
from pipelines.enhance.photo import PhotoProcessor
from pipelines.enhance.plan import EnhancePlan, make_plan, write_plan
from pipelines.enhance.settings import EnhanceSettings
from pipelines.enhance.transforms import Enhance
from pipelines.processes import is_running
from pipelines.workers import WorkerRequirements, check_cluster
from tfrecord_tools.records import printable

ALIKE = 20
"""If this many photos fail with the same error at the start, the job ends."""

SAME_INTERRUPT_SECONDS = 0.3
"""One Ctrl-C may arrive twice: directly, and through the watching process. Within this time it counts as one."""


def enhance(photos: str, out: str, settings: EnhanceSettings) -> int:
    """The command `zerodce enhance`.

    Args:
        photos: A folder of photos, or one photo.
        out: Folder of the results.
        settings: The options.

    Returns:
        The exit code: 0 everything done, 1 something failed, 130 interrupted.

    Raises:
        click.UsageError: Wrong arguments.
        click.ClickException: A bad model, or an output that cannot be written.
    """
    options = runners.pipeline_options(settings.runner, settings.beam_args)
    unreadable: dict[str, str] = {}
    listing = folders.find(photos, unreadable, settings.exclude, settings.files)
    moved = folders.find(photos, {}) if settings.same_archive else None
    output_folder.check(out, photos, settings.overwrite, moved)
    references: list[storage.Entry] = []
    if settings.reference is not None:
        folder, references, _ = folders.find(settings.reference)
        settings = dataclasses.replace(settings, reference=folder)
    elif settings.pairs is not None:  # excluded photos may be references
        folder, references, _ = folders.find(listing.folder, {})
        settings = dataclasses.replace(settings, reference=folder)
    kept: frozenset[str] = frozenset()
    if settings.keep_original is not None:
        kept = originals.read_list(settings.keep_original)
        originals.warn_of_missing(settings.keep_original, kept, {entry.path for entry in listing.entries})
    model = models.read_model(settings.model, shared=runners.in_one_process(options))
    digest = settings.digest_with(model.sha256)
    if not runners.is_local(settings.runner):
        check_cluster(options, settings.beam_args, [listing.folder, out])
    journal = Journal(storage.join(storage.absolute(out), f"{folders.STATE}/journal"))

    def planned(known: dict[str, PhotoRecord]) -> EnhancePlan:
        known = {} if settings.overwrite else known
        return make_plan(listing, out, settings, digest, known, references, unreadable, kept)

    try:
        if settings.dry_run:
            say_plan(planned(journal.read()), out)
            return 0
        processor = PhotoProcessor(listing.folder, storage.absolute(out), model, settings, journal)
        models.limit_threads(settings.curve_size, settings.workers)
        models.check_model(processor.enhancer, settings.model)
        signs = [f"{folders.STATE}/journal", f"{folders.STATE}/in_work"]
        with folders.lock(out, signs, runners.is_local(settings.runner)) as is_held:
            output_folder.check(out, photos, settings.overwrite, moved)  # again: another run may have ended since
            output_folder.remember_source(out, photos)
            results.remove_leftovers(out)
            known = journal.read()
            plan = planned(known)
            ours = report.files_of(out, (record.row for record in known.values() if record.row))
            journal.forget(known, (task.path for task in plan.todo))
            journal.skip_present()
            for name in settings.image_folders if plan.todo else ():
                storage.make_folder(storage.join(out, name), listing.folder)
            run = {
                "photos": photos,
                "runner": settings.runner,
                "settings": settings.decisive(model.sha256),
                "pairs": settings.pairs,
                "exclude": settings.exclude,
                "keep_original": settings.keep_original,
                "ignored_by_extension": listing.ignored_by_extension,
            }
            return run_job(plan, processor, run, options, ours, is_held)
    except BrokenPipeError:  # the reader of standard output has gone
        raise
    except OSError as error:
        reason = f"{error.filename2 or error.filename or out}: {error.strerror or error}"
        raise click.ClickException(
            f"{reason}; finished photos are kept, and the same command goes on from here"
        ) from error


class _Faults:
    """Notices when the first photos all fail by the same fault of this program.

    Then the job ends, instead of failing for each of a million photos.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.found = ""

    def see(self, record: PhotoRecord) -> None:
        """Looks at the next record of the run."""
        if len(self.errors) >= ALIKE:
            return
        failure = record.failure or {"stage": "", "error": ""}
        self.errors.append(failure["error"] if failure["stage"] == "internal" else "")
        if len(self.errors) == ALIKE and len(set(self.errors)) == 1 and self.errors[0]:
            self.found = f"the first {ALIKE} photos all failed by a fault of this program ({self.errors[0]})"


def say_plan(plan: EnhancePlan, out: str) -> None:
    """Prints what a run would do, and about how much disk space it would use."""
    copies = len(plan.settings.outputs("photo"))
    megabytes = copies * sum(task.size for task in plan.todo) / 1e6
    counts = {
        "found": len(plan.found),
        "to_enhance": len(plan.todo),
        "skipped": plan.skipped,
        "clashes": len(plan.clashes),
        "refused": len(plan.refused),
        "unreadable": len(plan.unreadable),
        "ignored": plan.ignored,
        "megabytes": round(megabytes, 1),
    }
    if plan.settings.as_json:
        click.echo(json.dumps({"event": "plan", **counts}))
        return
    for task in plan.todo:
        click.echo(printable(f"{task.path} -> {storage.join(out, 'enhanced/' + task.output)}"))
    for record in (*plan.unreadable, *plan.clashes, *plan.refused):
        click.echo(printable(f"{record.path}: {(record.failure or {})['error']}"))
    click.echo(
        f"{len(plan.todo)} of {len(plan.found)} photos would be enhanced, {plan.skipped} are done, {len(plan.clashes)} "
        f"clash, {len(plan.refused)} would replace foreign files, {plan.ignored} other files are ignored; about "
        f"{megabytes:.0f} MB would be written"
    )


def run_job(
    plan: EnhancePlan,
    processor: PhotoProcessor,
    run: dict[str, Any],
    options: PipelineOptions,
    ours: set[str],
    is_held: Callable[[], bool],
) -> int:
    """Runs the job, shows its progress, and writes the tables and the report.

    Args:
        plan: Plan of the run.
        processor: Processor of each photo.
        run: The part of run.json that is known at the start.
        options: Beam's options.
        ours: Files of the report that earlier runs wrote.
        is_held: Says whether this command still holds the folder of results.

    Returns:
        The exit code.
    """
    settings = plan.settings
    started = time.monotonic()
    suspects = {attempt.path for attempt in processor.attempts.all()}
    with progress.Reporter(len(plan.todo), "photos", settings.as_json) as reporter:
        follower = follow(processor.journal.folder)
        failed = len(plan.clashes) + len(plan.refused) + len(plan.unreadable)
        counts = {"found": len(plan.found), "to_do": len(plan.todo), "skipped": plan.skipped, "failed": failed}
        status.begin(processor.out, processor.journal.skip, settings.runner, counts)
        plans = write_plan(processor.out, plan)
        seen = [processor.source, *plans[:1]]
        if settings.reference is not None:
            seen.append(settings.reference)
        requirements = WorkerRequirements.of(options, *seen)
        pipeline = runners.new_pipeline(options)
        _ = pipeline | "Plan" >> beam.Create(plans) | Enhance(processor, settings.workers, requirements)
        job = runners.Job(pipeline)
        try:
            if plan.todo:
                job.start()
            interrupted = False
            reason = _watch(job, follower, reporter, settings.max_failures, processor.attempts, is_held)
        except KeyboardInterrupt:
            interrupted, reason = True, ""
            _end_at_the_next_interrupt()
            job.stop()
    if job.error and not reason and not interrupted:
        reason = runners.failure_reason(job.error)
    seconds = round(time.monotonic() - started, 3)
    run = run | {"interrupted": interrupted, "seconds": seconds, "error": reason or None}
    todo = {task.path for task in plan.todo}
    processor.attempts.finish(suspects & todo, ended=not interrupted and not reason)
    run = results.write_results(processor.out, plan, processor.journal, run, ours)
    status.end(processor.out)
    counts = run["counts"]
    missing = counts["found"] - sum(counts[name] for name in ("enhanced", "skipped", "failed"))
    if missing and not interrupted and not reason:
        reason = f"{missing} photos have no result"
    say_result(processor.out, run, settings.as_json)
    if left := run.get("unstripped"):
        click.echo(
            f"{left:,} image(s) of earlier runs in OUT may hold metadata. --overwrite replaces those whose photos "
            "still exist; delete the others.",
            err=True,
        )
    if interrupted:
        click.echo(f"Interrupted with {missing} photos to go: the same command goes on from here.", err=True)
        return 130
    if reason:
        click.echo(f"Error: {printable(reason)}; {missing} photos to go: the same command goes on from here.", err=True)
    return 1 if reason or counts["failed"] else 0


def _watch(
    job: runners.Job,
    follower: Follower,
    reporter: progress.Reporter,
    max_failures: int | None,
    attempts: Attempts,
    is_held: Callable[[], bool],
) -> str:
    """Shows the progress of a job until it ends, and stops it if it fails too often.

    Returns:
        Why it stopped the job; empty if it did not.
    """
    faults, reason = _Faults(), ""
    while job.is_alive():
        job.join(0.2)
        if job.lost is not None:
            attempts.condemn(lambda process: not is_running(process))
            supervisor.end_like(job.lost)
        for record in follower.poll():
            row = record.row or {"width": 0, "height": 0}
            reporter.advance(row["width"] * row["height"] / 1e6, record.row is None)
            faults.see(record)
        reporter.show()
        if faults.found:
            reason = faults.found
            job.stop()
        if max_failures is not None and reporter.failed > max_failures:
            reason = f"more than {max_failures} photos failed (--max-failures)"
            job.stop()
        if not is_held():
            reason = "this command was halted for too long, and another one has taken over"
            job.stop()
    return reason


def _end_at_the_next_interrupt() -> None:
    """Makes a second Ctrl-C end the process at once. The journal is safe already."""
    first = time.monotonic()

    def end(*_: object) -> None:
        if time.monotonic() - first > SAME_INTERRUPT_SECONDS:
            click.echo("Interrupted at once: the same command goes on from here.", err=True)
            os._exit(130)

    signal.signal(signal.SIGINT, end)


def say_result(out: str, run: dict[str, Any], as_json: bool) -> None:
    """Prints the closing table, or all of run.json as one line."""
    if as_json:
        click.echo(json.dumps({"event": "result", **run}))
        return
    table = rich.table.Table(box=rich.box.SIMPLE, show_header=False)
    counts = dict(run["counts"])
    unchanged, done = counts.pop("unchanged"), counts["enhanced"] + counts["skipped"]
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", style="red" if name == "failed" and count else None)
    if unchanged:
        table.add_row("unchanged", f"{unchanged:,} of {done:,}")
    speed = run["megapixels"] / run["seconds"] if run["seconds"] else 0.0
    table.add_row("megapixels", f"{run['megapixels']:,.1f} in {run['seconds']:.1f} s, {speed:.1f} MP/s")
    table.add_row("to look at", Text(printable(storage.join(out, "report.html")), overflow="fold"))
    if counts["failed"]:
        table.add_row("what failed", Text(printable(storage.join(out, "failures.csv")), overflow="fold"))
    progress.Console().print(table)
