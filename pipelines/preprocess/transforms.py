"""The data-set job in Beam: maps names of shards to their rows.

One element is one shard. A small file in OUT lists the images of each shard, so only names of shards pass through Beam.
The bytes of a shard depend only on the names and contents of its images.
"""

import queue
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines.preprocess.shards import ShardResult, ShardWriter
from pipelines.stopping import STOP, StoppedError
from pipelines.workers import FileDoFn, WorkerRequirements

_done: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()  # images done and rejected in this process


class MakeShards(beam.PTransform):
    """Maps names of shards to their rows, after shard and row are in storage.

    Args:
        writer: Writer of the shards.
        requirements: Requirements on every worker.
    """

    def __init__(self, writer: ShardWriter, requirements: WorkerRequirements) -> None:
        super().__init__()
        self.writer = writer
        self.requirements = requirements

    def expand(self, names: beam.PCollection[str]) -> beam.PCollection[ShardResult]:
        return names | "Spread" >> beam.Reshuffle() | "Make" >> beam.ParDo(MakeShard(self.writer, self.requirements))


class MakeShard(FileDoFn):
    """Maps the name of a shard to its row, after shard and row are in storage.

    Args:
        writer: Writer of the shard.
        requirements: Requirements on its worker.
    """

    def __init__(self, writer: ShardWriter, requirements: WorkerRequirements) -> None:
        super().__init__(requirements)
        self.writer = writer
        self.counters = {name: Metrics.counter("zerodce", name) for name in ("records", "rejected", "bytes")}

    def process(self, name: str) -> Iterator[ShardResult]:
        row = self.writer.write(name, _tick)
        counts = {"records": row.records, "rejected": len(row.rejected), "bytes": row.size}
        for counter, count in counts.items():
            self.counters[counter].inc(count)
        yield row


def _tick(images: int, rejected: int) -> None:
    if STOP.is_set():
        raise StoppedError
    _done.put((images, rejected))


def finished_here() -> Iterator[list[tuple[int, int]]]:
    """Yields, at each step, the images done and rejected in this process since the last step."""
    while True:
        yield [_done.get() for _ in range(_done.qsize())]
