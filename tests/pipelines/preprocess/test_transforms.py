"""The Beam transforms of the data-set job, in a pipeline of their own."""

import hashlib
import io
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from PIL import Image

from pipelines.options import LOCAL_RUNNERS
from pipelines.preprocess.settings import PreprocessSettings
from pipelines.preprocess.shards import ShardWriter, Source
from pipelines.preprocess.transforms import MakeShards, finished_here
from pipelines.workers import WorkerRequirements
from tfrecord_tools.framing import read_frames

NAMES = ["all-00000-of-00002.tfrecord", "all-00001-of-00002.tfrecord"]


def source(key: str) -> Source:
    """An image without a reference."""
    return Source(key, 0, 0.0)


@pytest.fixture
def writer(tmp_path: Path) -> ShardWriter:
    """A writer of two shards, of three images and of one; a fifth file is no image."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(np.full((8, 8, 3), 10 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    writer = ShardWriter(str(folder), str(folder), str(tmp_path / "out"), PreprocessSettings(size=(8, 8)), "digest")
    writer.plan(NAMES[0], [source(f"{number}.png") for number in range(3)])
    writer.plan(NAMES[1], [source("3.png"), source("broken.png")])
    return writer


def test_each_name_becomes_a_shard_and_its_row(writer: ShardWriter) -> None:
    requirements = WorkerRequirements.of(PipelineOptions([]), writer.data)
    next(finished_here())  # what other tests left
    with beam.Pipeline(runner=LOCAL_RUNNERS[-1], options=PipelineOptions([])) as p:
        rows = p | beam.Create(NAMES) | MakeShards(writer, requirements)
        counted = rows | beam.Map(lambda row: (row.name, row.records, [path for path, *_ in row.rejected]))
        assert_that(counted, equal_to([(NAMES[0], 3, []), (NAMES[1], 1, ["broken.png"])]))
    assert sorted(next(finished_here())) == 4 * [(1, 0)] + [(1, 1)]
    for name, records in zip(NAMES, (3, 1), strict=True):
        content = (Path(writer.out) / name).read_bytes()
        assert len(list(read_frames(io.BytesIO(content)))) == records
        row = writer.result(name)
        assert row is not None
        assert row.sha256 == hashlib.sha256(content).hexdigest()


def test_a_finished_shard_is_not_made_again(writer: ShardWriter) -> None:
    requirements = WorkerRequirements.of(PipelineOptions([]), writer.data)
    first = writer.write(NAMES[0])
    for number in range(3):
        (Path(writer.data) / f"{number}.png").unlink()  # it could not be made again
    with beam.Pipeline(runner=LOCAL_RUNNERS[-1], options=PipelineOptions([])) as p:
        assert_that(p | beam.Create(NAMES[:1]) | MakeShards(writer, requirements), equal_to([first]))
