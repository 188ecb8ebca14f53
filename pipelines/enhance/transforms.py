"""The archive job in Beam: maps paths of plan files to enhanced photos and journal records.

spread the paths -> decode, small copy -> RunInference (curves) -> apply, encode, write, measure, journal. Only paths
cross the shuffle; pixels stay inside one fused stage.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines import folders, memory, models
from pipelines.enhance.photo import Done, PhotoProcessor, Prepared
from pipelines.enhance.plan import Task, read_plan
from pipelines.memory import Share
from pipelines.photos import PhotoError, failing_as
from pipelines.stopping import STOP, StoppedError
from pipelines.threads import OrderedPool
from pipelines.workers import FileDoFn, WorkerRequirements
from zerodce.applying.enhancement import Curves, Enhancer


class CurveModelHandler(ModelHandler[Prepared, PredictionResult, Enhancer]):
    """RunInference's handler: small copies in, `Curves` out.

    Each photo is a batch of its own. The network is no faster with larger batches, a failure costs one photo, and no
    decoded photo holds memory while its batch fills up. If the network fails, the result is a PhotoError.

    Args:
        processor: Gives the model.
    """

    def __init__(self, processor: PhotoProcessor) -> None:
        self.processor = processor

    def load_model(self) -> Enhancer:
        models.limit_threads(self.processor.settings.curve_size, self.processor.settings.workers)
        return self.processor.enhancer()

    def should_skip_batching(self) -> bool:
        return True

    def get_num_bytes(self, batch: Sequence[Prepared]) -> int:
        return sum(prepared.small.nbytes for prepared in batch)

    def run_inference(
        self, batch: Sequence[Prepared], model: Enhancer, inference_args: dict[str, Any] | None = None
    ) -> Iterator[PredictionResult]:
        return (PredictionResult(prepared, _estimate(prepared, model)) for prepared in batch)


def _estimate(prepared: Prepared, model: Enhancer) -> Curves | PhotoError:
    try:
        with failing_as("model"):
            return model.estimate([prepared.small])[0]
    except PhotoError as error:
        return error


class ReadPlan(FileDoFn):
    """Maps the path of a plan file to the tasks in it."""

    def process(self, path: str) -> Iterator[Task]:
        yield from read_plan(path)


class ThreadMap(FileDoFn):
    """Runs a step of photos in threads, and passes the results on in the order of the elements.

    It holds little more than one element for each thread, so memory does not grow with the bundle. A result of type
    `Done` only adds to Beam's metrics: its record is in the journal, which is safe at the end of the bundle.

    Args:
        processor: Processor of each photo.
        requirements: Requirements on its worker.
        step: Function of the processor and an element.
        workers: Number of threads; if None, one for each core of the worker.
    """

    def __init__(
        self,
        processor: PhotoProcessor,
        requirements: WorkerRequirements,
        step: Callable[[PhotoProcessor, Any], Any],
        workers: int | None,
    ) -> None:
        super().__init__(requirements)
        self.processor = processor
        self.step = step
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
        with contextlib.suppress(folders.OutputError):  # finish_bundle raises it
            self.processor.close()

    def process(self, element: Any) -> Iterator[Any]:
        self.pool.submit(functools.partial(self.step, self.processor), element)
        yield from self._results(self.threads)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for result in self._results(0):
            yield WindowedValue(result, window.max_timestamp(), (window,))
        self.processor.flush()

    def _results(self, allowed: int) -> Iterator[Any]:
        for result in self.pool.results(allowed):
            if STOP.is_set():
                self.pool.close()
                self.processor.flush()
                raise StoppedError
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


class Prepare(ThreadMap):
    """The first step of photos. Photos join the queue for memory in the order in which they arrive.

    Args:
        processor: Processor of each photo.
        requirements: Requirements on its worker.
        workers: Number of threads; if None, one for each core of the worker.
    """

    def __init__(self, processor: PhotoProcessor, requirements: WorkerRequirements, workers: int | None) -> None:
        super().__init__(processor, requirements, prepare, workers)

    def setup(self) -> None:
        super().setup()
        self.ended = threading.Event()

    def teardown(self) -> None:
        self.ended.set()
        super().teardown()

    def process(self, task: Task) -> Iterator[Any]:
        budget = memory.budget(self.processor.settings.max_memory)
        share = budget.queue(lambda: self.ended.is_set() or STOP.is_set())
        yield from super().process((task, share))


class Enhance(beam.PTransform):
    """From paths of plan files (`plan.write_plan`) to enhanced photos and journal records.

    Args:
        processor: Processor of each photo.
        workers: Threads per process; if None, one for each core.
        requirements: Requirements on every worker.
        spread: Whether the photos are spread over workers. The local runner would hold a plan of all of them in memory
            to spread it, and one process needs no spread.
    """

    def __init__(
        self, processor: PhotoProcessor, workers: int | None, requirements: WorkerRequirements, spread: bool = True
    ) -> None:
        super().__init__()
        self.spread = spread
        self.processor = processor
        self.workers = workers
        self.requirements = requirements

    def expand(self, plans: beam.PCollection[str]) -> beam.PCollection:
        tasks = plans | "SpreadPlan" >> beam.Reshuffle() | "ReadPlan" >> beam.ParDo(ReadPlan(self.requirements))
        if self.spread:
            tasks |= "Spread" >> beam.Reshuffle()
        return (
            tasks
            | "Prepare" >> beam.ParDo(Prepare(self.processor, self.requirements, self.workers))
            | "Single" >> beam.Map(lambda prepared: [prepared])
            | "EstimateCurves" >> RunInference(CurveModelHandler(self.processor))
            | "Finish" >> beam.ParDo(ThreadMap(self.processor, self.requirements, complete, self.workers))
        )


def prepare(processor: PhotoProcessor, queued: tuple[Task, Share]) -> Prepared | Done:
    """The first step of a photo that has joined the queue for memory."""
    return processor.prepare(*queued)


def complete(processor: PhotoProcessor, prediction: PredictionResult) -> Done:
    """The last step of a photo, with the curves from RunInference."""
    prepared, curves = cast(tuple[Prepared, Curves | PhotoError], prediction[:2])
    return processor.complete(prepared, curves)
