"""The archive job: a folder of dark photos in; enhanced photos, autocontrast baselines and a row for each out.

list -> leave out what is done -> spread the paths -> small copy -> RunInference (curves) -> decode, apply, encode,
write, measure, journal. Only paths cross the shuffle; pixels live and die inside one fused step.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import apache_beam as beam
import click
import rich.box
import rich.console
import rich.table
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines import archive, folders, models, progress, runners, storage
from pipelines.journal import Follower, Journal
from pipelines.photos import PhotoError
from pipelines.threads import OrderedPool
from pipelines.work import Done, Prepared, Settings, Task, Work
from pipelines.workers import FileDoFn, Site, check_cluster
from zerodce.enhancement import Curves, Enhancer

BATCH = 8
"""Photos whose small copies go through the network at a time."""

BATCH_MEGAPIXELS = 24.0
"""How large these photos, which wait decoded, may be together."""


class CurveModelHandler(ModelHandler[Prepared, PredictionResult, Enhancer]):
    """RunInference's handler: small copies in, `Curves` out.

    A batch that fails is tried one by one, so that a photo sinks none of its neighbours; the inference of the one
    that fails is a PhotoError.

    Args:
        work: That has the model.
        workers: Threads per process, which bounds TensorFlow's as well; one for each core if None.
    """

    def __init__(self, work: Work, workers: int | None) -> None:
        self.work = work
        self.workers = workers

    def load_model(self) -> Enhancer:
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # it runs already, as in the process of the command
            tf.config.threading.set_intra_op_parallelism_threads(self.workers or 0)
        return self.work.enhancer()

    def batch_elements_kwargs(self) -> dict[str, Any]:
        return {"min_batch_size": 1, "max_batch_size": BATCH, "element_size_fn": batch_share}

    def get_num_bytes(self, batch: Sequence[Prepared]) -> int:
        return sum(prepared.small.nbytes for prepared in batch)

    def run_inference(
        self, batch: Sequence[Prepared], model: Enhancer, inference_args: dict[str, Any] | None = None
    ) -> Iterator[PredictionResult]:
        curves: Sequence[Curves | PhotoError]
        try:
            curves = model.estimate([prepared.small for prepared in batch])
        except Exception:
            curves = [_estimate_one(prepared, model) for prepared in batch]
        return (PredictionResult(*pair) for pair in zip(batch, curves, strict=True))


def batch_share(prepared: Prepared) -> int:
    """How many of the places of a batch a photo takes."""
    image = prepared.photo.image
    return max(1, round(image.width * image.height / 1e6 / BATCH_MEGAPIXELS * BATCH))


def _estimate_one(prepared: Prepared, model: Enhancer) -> Curves | PhotoError:
    try:
        return model.estimate([prepared.small])[0]
    except Exception as error:
        return PhotoError("model", str(error).split("\n", 1)[0])


class ReadPlan(FileDoFn):
    """Path of a file of the plan -> its tasks."""

    def process(self, path: str) -> Iterator[Task]:
        yield from archive.read_plan(path)


class ThreadMap(FileDoFn):
    """Maps a function over the elements in threads, handing results on oldest first.

    Hardly more elements than threads are under way, so memory does not grow with the bundle. A result
    that is `Done` is counted in Beam's metrics and goes no further: its row is in the journal.

    Args:
        site: What its worker is told.
        function: What is done with an element.
        workers: Number of threads; one for each core of the worker if None.
    """

    def __init__(self, site: Site, function: Callable[..., Any], workers: int | None) -> None:
        super().__init__(site)
        self.function = function
        self.workers = workers
        self.enhanced = Metrics.counter("zerodce", "enhanced")
        self.failed = Metrics.counter("zerodce", "failed")
        self.pixels = Metrics.counter("zerodce", "pixels")
        self.repeated = Metrics.counter("zerodce", "done_before")
        self.milliseconds = Metrics.distribution("zerodce", "milliseconds")
        self.speed = Metrics.gauge("zerodce", "megapixels_per_second")

    def setup(self) -> None:
        self.threads = self.workers or os.cpu_count() or 1
        self.pool: OrderedPool[Any] = OrderedPool(self.threads)
        self.started, self.megapixels = time.monotonic(), 0.0

    def teardown(self) -> None:
        self.pool.close()

    def process(self, element: Any) -> Iterator[Any]:
        self.pool.submit(self.function, element)
        yield from self._results(self.threads)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for result in self._results(0):
            yield WindowedValue(result, window.max_timestamp(), (window,))

    def _results(self, allowed: int) -> Iterator[Any]:
        for result in self.pool.results(allowed):
            if runners.STOP.is_set():
                self.pool.close()
                raise runners.StoppedError
            if isinstance(result, Done):
                self._count(result)
            else:
                yield result

    def _count(self, done: Done) -> None:
        if done.record is None:
            self.repeated.inc()
            return
        if row := done.record.row:
            pixels = row["width"] * row["height"]
            self.enhanced.inc()
            self.pixels.inc(pixels)
            self.megapixels += pixels / 1e6
            self.speed.set(round(self.megapixels / (time.monotonic() - self.started)))
        else:
            self.failed.inc()
        self.milliseconds.update(round(done.seconds * 1000))


class Enhance(beam.PTransform):
    """From paths of plan files (`archive.write_plan`) to enhanced photos and journal records.

    Args:
        work: What is done with each photo.
        workers: Threads per process; one for each core if None.
        site: What every worker is told.
    """

    def __init__(self, work: Work, workers: int | None, site: Site) -> None:
        super().__init__()
        self.work = work
        self.workers = workers
        self.site = site

    def expand(self, plans: beam.PCollection[str]) -> beam.PCollection:
        return (
            plans
            | "SpreadPlan" >> beam.Reshuffle()
            | "ReadPlan" >> beam.ParDo(ReadPlan(self.site))
            | "Spread" >> beam.Reshuffle()
            | "Prepare" >> beam.ParDo(ThreadMap(self.site, self.work.prepare, self.workers))
            | "EstimateCurves" >> RunInference(CurveModelHandler(self.work, self.workers))
            | "Finish" >> beam.ParDo(ThreadMap(self.site, functools.partial(finish, self.work), self.workers))
        )


def finish(work: Work, prediction: PredictionResult) -> Done:
    """The last step of a photo, from what RunInference made of it."""
    prepared, curves = cast(tuple[Prepared, Curves | PhotoError], prediction[:2])
    return work.finish(prepared, curves)


def enhance(
    photos: str,
    out: str,
    *,
    model: str | None,
    workers: int | None,
    runner: str,
    overwrite: bool,
    max_failures: int | None,
    dry_run: bool,
    as_json: bool,
    beam_args: Sequence[str],
    **settings: Any,
) -> int:
    """The command `zerodce enhance`; its options, as `zerodce enhance --help` explains them, are the arguments.

    Args:
        settings: The fields of `Settings` but for the model's digest.

    Returns:
        The exit code: 0 everything done, 1 something failed, 130 interrupted.

    Raises:
        click.UsageError: Wrong arguments.
        click.ClickException: A bad model, or an output that cannot be written.
    """
    options = runners.pipeline_options(runner, beam_args)
    source, found, ignored = folders.find(photos)
    folders.refuse_overlap(source, out)
    model_file = models.read_model(model)
    chosen = Settings(hashlib.sha256(model_file).hexdigest(), **settings)
    references = archive.references(chosen.reference)
    if not runners.is_local(runner):
        check_cluster(options, [source, out])
    journal = Journal(storage.join(storage.absolute(out), f"{folders.STATE}/journal"))
    known = journal.read()
    plan = archive.make_plan(source, found, ignored, out, chosen, {} if overwrite else known, references)
    if dry_run:
        say_plan(plan, out, as_json)
        return 0
    work = Work(source, storage.absolute(out), model_file, chosen, journal)
    models.check_model(work.enhancer, model)
    with folders.lock(out):
        archive.remove_leftovers(out)
        journal.forget(known, (task.path for task in plan.todo))
        run = {"photos": photos, "runner": runner, "settings": dataclasses.asdict(chosen)}
        return run_job(plan, work, run, workers, options, max_failures, as_json)


def say_plan(plan: archive.Plan, out: str, as_json: bool) -> None:
    """Prints what a run would do, and about how much disk it would take."""
    copies = 2 if plan.todo else 0
    megabytes = copies * sum(task.size for task in plan.todo) / 1e6
    counts = {
        "found": len(plan.found),
        "to_enhance": len(plan.todo),
        "skipped": plan.skipped,
        "clashes": len(plan.clashes),
        "ignored": plan.ignored,
        "megabytes": round(megabytes, 1),
    }
    if as_json:
        click.echo(json.dumps({"event": "plan", **counts}))
        return
    for task in plan.todo:
        click.echo(f"{task.path} -> {storage.join(out, 'enhanced/' + task.output)}")
    for record in plan.clashes:
        click.echo(f"{record.path}: {(record.failure or {})['error']}")
    click.echo(
        f"{len(plan.todo)} of {len(plan.found)} photos would be enhanced, {plan.skipped} are done, {len(plan.clashes)} "
        f"clash, {plan.ignored} other files are ignored; about {megabytes:.0f} MB would be written"
    )


def run_job(
    plan: archive.Plan,
    work: Work,
    run: dict[str, Any],
    workers: int | None,
    options: PipelineOptions,
    max_failures: int | None,
    as_json: bool,
) -> int:
    """Runs the job with its progress shown, writes what tells about it, and returns the exit code."""
    started = time.monotonic()
    interrupted, reason = False, ""
    with progress.Reporter(len(plan.todo), "photos", as_json) as reporter:
        follower = Follower(work.journal.folder)
        plans = archive.write_plan(work.out, plan)
        pipeline = beam.Pipeline(options=options)
        _ = pipeline | "Plan" >> beam.Create(plans) | Enhance(work, workers, Site.of(options, work.source, *plans[:1]))
        job = runners.Job(pipeline)
        try:
            if plan.todo:
                job.start()
            while job.is_alive():
                job.join(0.2)
                for record in follower.poll():
                    row = record.row or {"width": 0, "height": 0}
                    reporter.advance(row["width"] * row["height"] / 1e6, record.row is None)
                reporter.show()
                if max_failures is not None and reporter.failed > max_failures:
                    reason = f"more than {max_failures} photos failed (--max-failures)"
                    job.stop()
        except KeyboardInterrupt:
            interrupted = True
            job.stop()
    if job.error and not reason and not interrupted:
        reason = runners.failure_reason(job.error)
    seconds = time.monotonic() - started
    run |= {"interrupted": interrupted, "seconds": round(seconds, 3), "error": reason or None}
    counts = archive.finish(work.out, plan, work.settings, work.journal, run)
    missing = counts["found"] - sum(counts[name] for name in ("enhanced", "skipped", "failed"))
    if missing and not interrupted and not reason:
        reason = f"{missing} photos were lost on the way"
    say_result(work.out, run, as_json)
    if interrupted:
        click.echo(f"Interrupted with {missing} photos to go: the same command goes on from here.", err=True)
        return 130
    if reason:
        click.echo(f"Error: {reason}; {missing} photos are to go: the same command goes on from here.", err=True)
    return 1 if reason or counts["failed"] else 0


def say_result(out: str, run: dict[str, Any], as_json: bool) -> None:
    """Prints the closing table, or the whole of run.json as a line."""
    if as_json:
        click.echo(json.dumps({"event": "result", **run}))
        return
    table = rich.table.Table(box=rich.box.SIMPLE, show_header=False)
    for name, count in run["counts"].items():
        table.add_row(name, f"{count:,}", style="red" if name == "failed" and count else None)
    speed = run["megapixels"] / run["seconds"] if run["seconds"] else 0.0
    table.add_row("megapixels", f"{run['megapixels']:,.1f} in {run['seconds']:.1f} s, {speed:.1f} MP/s")
    table.add_row("to look at", storage.join(out, "report.html"))
    if run["counts"]["failed"]:
        table.add_row("what failed", storage.join(out, "failures.csv"))
    rich.console.Console().print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m pipelines.enhance --input PHOTOS --output OUT [options] [Beam options]`."""
    from pipelines.cli import enhance

    runners.run_command(enhance, argv)


if __name__ == "__main__":
    from pipelines.enhance import main as entry

    entry()
