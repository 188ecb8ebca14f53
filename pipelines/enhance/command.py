"""The command `zerodce enhance`: plans the run, runs the job, shows its progress, and prints the result."""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import click
import rich.box
import rich.table
from apache_beam.options.pipeline_options import PipelineOptions
from rich.text import Text

from pipelines import folders, models, progress, runners, storage
from pipelines.enhance import (
    beside,
    history,
    originals,
    output_folder,
    report,
    results,
    room,
    status,
    supervisor,
    watching,
)
from pipelines.enhance.attempts import Attempts
from pipelines.enhance.estimate import Estimate
from pipelines.enhance.following import Follower, follow
from pipelines.enhance.journal import Journal, PhotoRecord, Version
from pipelines.enhance.photo import PhotoProcessor
from pipelines.enhance.plan import EnhancePlan, Task, make_plan, write_plan
from pipelines.enhance.settings import EnhanceSettings, place
from pipelines.enhance.transforms import Enhance
from pipelines.processes import is_running
from pipelines.sorted_map import SortedMap
from pipelines.workers import WorkerRequirements, check_cluster
from tfrecord_tools.records import printable

ALIKE = 20
"""If this many photos fail with the same error at the start, the job ends."""

HALTED = "this command was halted for too long, and another one has taken over"
"""Why a command ends that no longer holds the folder of results."""

SAME_INTERRUPT_SECONDS = 0.3
"""One Ctrl-C may arrive twice: directly, and through the watching process. Within this time it counts as one."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run did, or one batch of a folder that is watched.

    Attributes:
        run: The content of run.json.
        missing: Number of photos without a result.
        interrupted: Whether the user ended it.
        reason: Why it ended before its time; empty if it did not.
    """

    run: dict[str, Any]
    missing: int
    interrupted: bool
    reason: str


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
    if settings.watch:
        watching.refuse(settings)
    options = runners.pipeline_options(settings.runner, settings.beam_args)
    listing, unreadable = _find(photos, out, settings)
    moved = folders.find(photos, {}) if settings.same_archive else None
    output_folder.check(out, photos, settings.overwrite, moved)
    if settings.beside:
        beside.check(listing.folder)
    kept: frozenset[str] = frozenset()
    if settings.keep_original is not None:
        kept = originals.read_list(settings.keep_original)
        if not settings.watch:  # there, a photo may still come
            originals.warn_of_missing(settings.keep_original, kept, (entry.path for entry in listing.entries))
    settings, references = _with_references(settings, listing)
    model = models.read_model(settings.model, shared=runners.in_one_process(options))
    if not runners.is_local(settings.runner):
        check_cluster(options, settings.beam_args, [listing.folder, out])
    journal = Journal(storage.join(storage.absolute(out), f"{folders.STATE}/journal"))
    processor = PhotoProcessor(listing.folder, storage.absolute(out), model, settings, journal)
    archive = Archive(photos, out, processor, options, kept, references)
    try:
        if settings.dry_run:
            plan = archive.plan(listing, unreadable, journal.read(), again=settings.overwrite)
            expected = room.expected(processor, plan)
            say_plan(plan, out, expected)
            room.check(expected, plan, out)
            return 0
        models.limit_threads(settings.curve_size, settings.workers)
        models.check_model(processor.enhancer, settings.model)
        signs = [f"{folders.STATE}/journal", f"{folders.STATE}/in_work"]
        with folders.lock(out, signs, runners.is_local(settings.runner)) as is_held:
            output_folder.check(out, photos, settings.overwrite, moved)  # again: another run may have ended since
            output_folder.remember_source(out, photos)
            results.remove_leftovers(out)
            if settings.beside:
                beside.remove_leftovers(listing.folder, (attempt.path for attempt in processor.attempts.all()))
            session = Session(is_held)
            outcome = watch(archive, session) if settings.watch else archive.run(listing, unreadable, session)
    except BrokenPipeError:  # the reader of standard output has gone
        raise
    except OSError as error:
        reason = f"{error.filename2 or error.filename or out}: {error.strerror or error}"
        raise click.ClickException(
            f"{reason}; finished photos are kept, and the same command goes on from here"
        ) from error
    return say_outcome(outcome, processor.out, settings.as_json) if outcome else 0


def _find(photos: str, out: str, settings: EnhanceSettings) -> watching.Found:
    unreadable: dict[str, str] = {}
    listing = folders.find(
        photos,
        unreadable,
        settings.exclude,
        settings.files,
        may_be_empty=settings.watch,
        written=lambda: beside.read_list(out),
    )
    return listing, unreadable


def _with_references(
    settings: EnhanceSettings, listing: folders.Listing
) -> tuple[EnhanceSettings, list[storage.Entry]]:
    """The settings with the folder of the references, and the references."""
    if settings.reference is not None:
        found = folders.find(settings.reference)
    elif settings.pairs is not None:  # excluded photos may be references
        found = folders.find(listing.folder, {})
    else:
        return settings, []
    return dataclasses.replace(settings, reference=found.folder), list(found.entries)


@dataclasses.dataclass
class Session:
    """What the batches of a run did so far. Without `--watch`, a run is one batch.

    Attributes:
        is_held: Says whether this command still holds the folder of results.
        stop: Set to end the run.
        tried: Versions of the photos that it worked on, by path.
        seconds: The time that it worked.
    """

    is_held: Callable[[], bool]
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    tried: SortedMap[Version] = dataclasses.field(default_factory=lambda: SortedMap(tuple, Version._make))
    seconds: float = 0.0

    def has_failed(self, task: Task, known: Mapping[str, PhotoRecord]) -> bool:
        """Whether an earlier batch tried this version of a photo in vain."""
        return self.tried.get(task.path) == task.version and known[task.path].failure is not None


@dataclasses.dataclass(frozen=True)
class Archive:
    """The photos and their results, with all that is the same for every batch of a run.

    Attributes:
        photos: The folder of photos, or the photo, as the user wrote it.
        out: Folder of the results, as the user wrote it.
        processor: Processor of each photo.
        options: Beam's options.
        kept: Relative paths of the photos that stay as they are.
        references: The references.
    """

    photos: str
    out: str
    processor: PhotoProcessor
    options: PipelineOptions
    kept: frozenset[str]
    references: list[storage.Entry]

    def plan(
        self, listing: folders.Listing, unreadable: dict[str, str], known: Mapping[str, PhotoRecord], again: bool
    ) -> EnhancePlan:
        """The plan for the photos of a listing.

        Args:
            listing: The photos.
            unreadable: The reason for each folder and file that could not be read, by path.
            known: The journal's records, by path.
            again: Whether photos that are done are done again.
        """
        settings = self.processor.settings
        digest = settings.digest_with(self.processor.model.sha256)
        return make_plan(listing, self.out, settings, digest, known, self.references, unreadable, self.kept, again)

    def run(self, listing: folders.Listing, unreadable: dict[str, str], session: Session) -> Outcome:
        """Does what is to be done for the photos of a listing. The lock on the folder of results is held.

        Args:
            listing, unreadable: As for `plan`.
            session: What earlier batches did; this adds to it.
        """
        settings, journal = self.processor.settings, self.processor.journal
        known = journal.read()
        plan = self.plan(listing, unreadable, known, again=settings.overwrite and not session.tried)
        if session.tried:
            for path in [task.path for task in plan.todo.values() if session.has_failed(task, known)]:
                plan.todo.discard(path)
        if not (settings.watch or self.processor.attempts.all()):  # otherwise it goes on after a crash
            expected = room.expected(self.processor, plan)
            room.say(expected, settings.as_json)
            room.check(expected, plan, self.out)
        ours = report.files_of(self.out, (record.row for record in known.values() if record.row))
        if settings.history and not settings.strip_metadata and plan.todo:
            started = history.begin(self.processor.out, settings.digest_with(self.processor.model.sha256))
            plan.todo = history.dated(plan.todo.values(), {} if settings.overwrite else known, started)
        journal.forget(known, plan.todo)
        journal.skip_present()
        for name in settings.image_folders if plan.todo else ():
            storage.make_folder(storage.join(self.out, name), listing.folder)
        run = {
            "photos": self.photos,
            "runner": settings.runner,
            "settings": settings.decisive(self.processor.model.sha256),
            "pairs": settings.pairs,
            "exclude": settings.exclude,
            "keep_original": settings.keep_original,
            "ignored_by_extension": listing.ignored_by_extension,
        }
        session.tried.update((task.path, task.version) for task in plan.todo.values())
        return run_job(plan, self.processor, run, self.options, ours, session)


def watch(archive: Archive, session: Session) -> Outcome | None:
    """Goes on as photos appear, until Ctrl-C. The lock on the folder of results is held.

    Args:
        archive: The photos and their results.
        session: A run that has not begun.

    Returns:
        What all batches together did; None if no photo appeared.
    """
    settings, journal = archive.processor.settings, archive.processor.journal
    done = [storage.Entry(record.path, record.size, record.mtime) for record in journal.read().values() if record.row]
    outcome = None
    with _stopping(session.stop):
        click.echo(printable(f"Watching {archive.photos}. Ctrl-C ends it."), err=True)
        find = functools.partial(_find, archive.photos, archive.out, settings)
        for listing, unreadable in watching.batches(find, done, session.stop):
            if not session.is_held():
                raise click.ClickException(HALTED)
            outcome = archive.run(listing, unreadable, session)
            if outcome.interrupted or outcome.reason:
                break
            say_batch(outcome.run, settings.as_json)
    return outcome


@contextlib.contextmanager
def _stopping(event: threading.Event) -> Iterator[None]:
    """Ctrl-C sets an event instead of raising KeyboardInterrupt, so that the tables of a batch become complete."""

    def stop(*_: object) -> None:
        event.set()
        _end_at_the_next_interrupt()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


def say_plan(plan: EnhancePlan, out: str, expected: Estimate | None) -> None:
    """Prints what a run would do, how much room it would need, and how long it would take if that is known."""
    copies = len(plan.settings.outputs("photo"))
    size = expected.enhanced + expected.others if expected else copies * sum(task.size for task in plan.todo.values())
    megabytes, seconds = size / 1e6, expected and expected.seconds
    counts = {
        "found": len(plan.found),
        "to_enhance": len(plan.todo),
        "skipped": plan.skipped,
        "clashes": len(plan.clashes),
        "refused": len(plan.refused),
        "unreadable": len(plan.unreadable),
        "ignored": plan.ignored,
        "megabytes": round(megabytes, 1),
        "seconds": seconds and round(seconds),
    }
    if plan.settings.as_json:
        click.echo(json.dumps({"event": "plan", **counts}))
        return
    for task in plan.todo.values():
        image = plan.settings.image("enhanced", task.output)
        click.echo(printable(f"{task.path} -> {place(image, out, plan.source)}"))
    for record in (*plan.unreadable, *plan.clashes, *plan.refused):
        click.echo(printable(f"{record.path}: {(record.failure or {})['error']}"))
    click.echo(
        f"{len(plan.todo)} of {len(plan.found)} photos would be enhanced, {plan.skipped} are done, {len(plan.clashes)} "
        f"clash, {len(plan.refused)} would replace foreign files, {plan.ignored} other files are ignored; about "
        f"{megabytes:.0f} MB would be written{f', in about {room.duration(seconds)}' if seconds else ''}"
    )


def run_job(
    plan: EnhancePlan,
    processor: PhotoProcessor,
    run: dict[str, Any],
    options: PipelineOptions,
    ours: set[str],
    session: Session,
) -> Outcome:
    """Runs the job, shows its progress, and writes the tables and the report.

    Args:
        plan: Plan of the run.
        processor: Processor of each photo.
        run: The part of run.json that is known at the start.
        options: Beam's options.
        ours: Files of the report that earlier runs wrote.
        session: What the batches of the run did; this adds its time.
    """
    settings = plan.settings
    started = time.monotonic()
    suspects = {attempt.path for attempt in processor.attempts.all()}
    with progress.Reporter(len(plan.todo), "photos", settings.as_json) as reporter:
        follower = follow(processor.journal.folder)
        counts = {"found": len(plan.found), "to_do": len(plan.todo), "skipped": plan.skipped}
        counts["failed"] = counts["found"] - counts["to_do"] - counts["skipped"]
        status.begin(processor.out, processor.journal.skip, settings.runner, counts)
        plans = write_plan(processor.out, plan)
        seen = [processor.source, *plans[:1]]
        if settings.reference is not None:
            seen.append(settings.reference)
        requirements = WorkerRequirements.of(options, *seen)
        spread = not runners.in_one_process(options)  # asked first, because a new pipeline changes the options
        pipeline = runners.new_pipeline(options)
        _ = pipeline | "Plan" >> beam.Create(plans) | Enhance(processor, settings.workers, requirements, spread)
        job = runners.Job(pipeline)
        try:
            if plan.todo:
                job.start()
            reason = _follow(job, follower, reporter, settings.max_failures, processor.attempts, session)
            interrupted = False
        except KeyboardInterrupt:
            interrupted, reason = True, ""
            _end_at_the_next_interrupt()
            job.stop()
    if job.error and not reason and not interrupted:
        reason = runners.failure_reason(job.error)
    session.seconds += time.monotonic() - started
    run = run | {"interrupted": interrupted, "seconds": round(session.seconds, 3), "error": reason or None}
    suspects = {path for path in suspects if path in plan.todo}
    processor.attempts.finish(suspects, ended=not interrupted and not reason)
    run = results.write_results(processor.out, plan, processor.journal, run, ours, session.tried)
    status.end(processor.out)
    counts = run["counts"]
    missing = counts["found"] - sum(counts[name] for name in ("enhanced", "skipped", "failed"))
    if not missing and not interrupted and not reason:
        history.end(processor.out)
    if missing and not interrupted and not reason:
        reason = f"{missing} photos have no result"
    return Outcome(run, missing, interrupted, reason)


def say_batch(run: dict[str, Any], as_json: bool) -> None:
    """Prints one line after a batch of a folder that is watched."""
    counts = run["counts"]
    if as_json:
        click.echo(json.dumps({"event": "batch", **counts}))
        return
    enhanced, skipped, failed = (f"{counts[name]:,}" for name in ("enhanced", "skipped", "failed"))
    click.echo(f"{time.strftime('%X')}: {enhanced} photos enhanced, {skipped} done before, {failed} failed")


def say_outcome(outcome: Outcome, out: str, as_json: bool) -> int:
    """Prints what a run did, and returns the exit code."""
    say_result(out, outcome.run, as_json)
    if left := outcome.run.get("unstripped"):
        click.echo(
            f"{left:,} image(s) of earlier runs in OUT may hold metadata. --overwrite replaces those whose photos "
            "still exist; delete the others.",
            err=True,
        )
    if flat := outcome.run["gain_maps_dropped"]:
        click.echo(
            f"{flat:,} photo(s) have lost their gain map, so they are no HDR photos any more. --unchanged-hdr leaves "
            "photos with a gain map as they are.",
            err=True,
        )
    to_go = f"{outcome.missing} photos to go: the same command goes on from here."
    if outcome.interrupted:
        click.echo(f"Interrupted with {to_go}", err=True)
        return 130
    if outcome.reason:
        click.echo(f"Error: {printable(outcome.reason)}; {to_go}", err=True)
    return 1 if outcome.reason or outcome.run["counts"]["failed"] else 0


def _follow(
    job: runners.Job,
    follower: Follower,
    reporter: progress.Reporter,
    max_failures: int | None,
    attempts: Attempts,
    session: Session,
) -> str:
    """Shows the progress of a job until it ends, and stops it if it fails too often.

    Returns:
        Why it stopped the job; empty if it did not.

    Raises:
        KeyboardInterrupt: The user has asked for the end.
    """
    faults, reason = _Faults(), ""
    while job.is_alive():
        job.join(0.2)
        if session.stop.is_set():
            raise KeyboardInterrupt
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
        if not session.is_held():
            reason = HALTED
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
