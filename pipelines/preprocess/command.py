"""The command `zerodce preprocess`: plans the data set, runs the job, shows its progress, and prints the result."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import apache_beam as beam
import click
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import folders, progress, runners, storage, versions
from pipelines.digests import digest
from pipelines.preprocess import dataset_folder
from pipelines.preprocess.plan import DatasetPlan, make_plan
from pipelines.preprocess.settings import PreprocessSettings
from pipelines.preprocess.shards import ShardWriter
from pipelines.preprocess.transforms import MakeShards, finished_here
from pipelines.records import split_table
from pipelines.workers import WorkerRequirements, check_cluster
from tfrecord_tools.manifest import FILENAME, REJECTED, Manifest
from tfrecord_tools.records import printable

_LISTED = 5  # names in a message
_POLL_SECONDS = 5.0  # between two listings of the finished shards, if workers are elsewhere


def preprocess(data: str, out: str, settings: PreprocessSettings) -> int:
    """The command `zerodce preprocess`.

    Args:
        data: The LoL data set, or any folder of images.
        out: Folder of the data set.
        settings: The options.

    Returns:
        The exit code: 0 everything done, 1 images were rejected, 130 interrupted.

    Raises:
        click.UsageError: Wrong arguments.
        click.ClickException: The data set could not be made.
    """
    options = runners.pipeline_options(settings.runner, settings.beam_args)
    if not runners.is_local(settings.runner):
        check_cluster(options, settings.beam_args, [data, out])
    for folder in (data, settings.reference):
        if folder is not None:
            folders.refuse_overlap(folder, out)
    folders.refuse_other_job(out, "preprocess")
    plan = make_plan(data, settings)
    decisive = settings.decisive(plan.rule)
    everything = digest([decisive, versions.of_shards()], 64)
    writer = ShardWriter(plan.data, plan.references, storage.absolute(out), settings, everything)
    with folders.lock(out, [f"{folders.STATE}/preprocess"], runners.is_local(settings.runner)):
        try:
            dataset_folder.refuse_foreign(out)
            if settings.overwrite:
                dataset_folder.clear(out)
            manifest = dataset_folder.find_manifest(out, decisive, plan)
            faults = dataset_folder.find_faults(writer, manifest, plan) if manifest else set()
            if manifest is not None and not faults:
                dataset_folder.refuse_rejected(out, manifest.counts["rejected"], settings.max_rejected)
                click.echo(f"{printable(out)} is complete already: nothing to do.", err=True)
            else:
                digests = dataset_folder.begin(writer, decisive, plan)
                names = list(plan.shards)
                if manifest is not None:
                    more = f" and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
                    listed = ", ".join(sorted(faults)[:_LISTED])
                    click.echo(printable(f"{out} is not whole: {listed}{more} will be made again."), err=True)
                    dataset_folder.reopen(writer, manifest, digests, plan, faults)
                    names = [name for name in names if name in faults]
                run_job(writer, plan, names, options, runners.is_local(settings.runner))
                manifest = dataset_folder.write_manifest(writer, digests, decisive, plan)
            dataset_folder.write_description(out)
        except KeyboardInterrupt:
            click.echo("Interrupted: the same command goes on from here.", err=True)
            return 130
        except OSError as error:
            raise click.ClickException(folders.what_failed(error, out)) from None
        finally:
            with contextlib.suppress(OSError):  # the next run tidies up
                dataset_folder.tidy(out)
    say_result(out, manifest)
    if manifest.counts["rejected"] and settings.max_rejected is None:
        click.echo(f"{REJECTED} says why images were rejected; use --max-rejected to accept them.", err=True)
        return 1
    return 0


def run_job(
    writer: ShardWriter, plan: DatasetPlan, names: Sequence[str], options: PipelineOptions, local: bool
) -> None:
    """Makes shards, and shows the progress.

    Args:
        writer: Writer of the shards.
        plan: The images of all shards.
        names: Names of the shards to make.
        options: Beam's options.
        local: Whether the job runs in this process.

    Raises:
        KeyboardInterrupt: It was interrupted, and has ended.
        click.ClickException: It failed.
    """
    if not names:
        return
    requirements = WorkerRequirements.of(options, writer.data, writer.plan_path(names[0]))
    pipeline = runners.new_pipeline(options)
    _ = pipeline | "Shards" >> beam.Create(names) | MakeShards(writer, requirements)
    job = runners.Job(pipeline)
    finished = finished_here() if local else _finished_elsewhere(writer, set(names))
    with progress.Reporter(sum(len(plan.shards[name]) for name in names), "images") as reporter:
        try:
            job.start()
            while job.is_alive():
                job.join(0.2 if local else _POLL_SECONDS)
                if job.lost is not None:
                    click.echo(
                        f"Error: a worker process has ended with exit code {job.lost}; finished shards are kept: the "
                        "same command goes on from here",
                        err=True,
                    )
                    os._exit(1)
                for images, rejected in next(finished):
                    reporter.advance(0, rejected, images)
                reporter.show()
        except KeyboardInterrupt:
            job.stop()
            raise
    if job.error:
        raise click.ClickException(
            f"{runners.failure_reason(job.error)}; finished shards are kept: the same command goes on from here"
        ) from job.error


def _finished_elsewhere(writer: ShardWriter, shards: set[str]) -> Iterator[list[tuple[int, int]]]:
    """Yields, at each step, the images done and rejected in shards that were finished since the last step."""
    seen: set[str] = set()
    while True:
        names = (shards & set(writer.written())) - seen
        seen |= names
        rows = [row for name in names if (row := writer.result(name))]
        yield [(row.records + len(row.rejected), len(row.rejected)) for row in rows]


def say_result(out: str, manifest: Manifest) -> None:
    """Prints the closing table."""
    counts = manifest.counts
    progress.Console().print(split_table(manifest))
    click.echo(f"split       {manifest.split_rule}")
    click.echo(f"images      {counts['found']:,} = {counts['records']:,} written + {counts['rejected']:,} rejected")
    click.echo(f"references  {counts['references']:,}; {counts['without_reference']:,} images have none")
    click.echo(f"ignored     {counts['ignored']:,} other files")
    for note, count in manifest.notes.items():
        click.echo(f"note        {note}: {count:,}")
    click.echo(printable(f"to look at  {storage.join(out, FILENAME)}"))
