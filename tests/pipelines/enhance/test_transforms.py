"""The Beam transforms of the archive job, each in a pipeline of its own."""

import pickle
import traceback
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from PIL import Image

from pipelines import folders, models
from pipelines.enhance.journal import Journal
from pipelines.enhance.photo import PhotoProcessor, Prepared
from pipelines.enhance.plan import EnhancePlan, make_plan, read_plan, write_plan
from pipelines.enhance.settings import EnhanceSettings
from pipelines.enhance.transforms import CurveModelHandler, Enhance, Prepare, ReadPlan, ThreadMap
from pipelines.options import LOCAL_RUNNERS
from pipelines.workers import WorkerRequirements

PHOTOS = 5


@pytest.fixture
def plan(tmp_path: Path) -> EnhancePlan:
    """Five dark photos to do."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        pixels = np.random.default_rng(number).integers(0, 50, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no photo")
    return make_plan(folders.find(str(folder)), str(tmp_path / "out"), EnhanceSettings(), "digest", {}, [])


@pytest.fixture
def processor(plan: EnhancePlan, tmp_path: Path) -> PhotoProcessor:
    out = str(tmp_path / "out")
    journal = Journal(f"{out}/.zerodce/journal")
    return PhotoProcessor(plan.source, out, models.read_model(None), plan.settings, journal)


@pytest.fixture
def requirements(plan: EnhancePlan) -> WorkerRequirements:
    return WorkerRequirements.of(PipelineOptions([]), plan.source)


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(runner=LOCAL_RUNNERS[-1], options=PipelineOptions([]))


def test_read_plan_gives_the_tasks_that_were_written(
    plan: EnhancePlan, tmp_path: Path, requirements: WorkerRequirements
) -> None:
    paths = write_plan(str(tmp_path / "out"), plan)
    with pipeline() as p:
        assert_that(p | beam.Create(paths) | beam.ParDo(ReadPlan(requirements)), equal_to(list(plan.todo.values())))
    assert [task for path in paths for task in read_plan(path)] == list(plan.todo.values())
    assert len(plan.todo) == PHOTOS + 1


def test_thread_map_maps_each_element_once(processor: PhotoProcessor, requirements: WorkerRequirements) -> None:
    doubled = ThreadMap(processor, requirements, lambda processor, number: 2 * number, 3)
    with pipeline() as p:
        assert_that(p | beam.Create(range(50)) | beam.ParDo(doubled), equal_to([2 * number for number in range(50)]))


def test_the_handler_gives_each_photo_its_curves(
    processor: PhotoProcessor, plan: EnhancePlan, requirements: WorkerRequirements
) -> None:
    """Those that the enhancer gives of the same small copy."""
    task = next(iter(plan.todo.values()))
    prepared = processor.prepare(task)
    assert isinstance(prepared, Prepared)
    (wanted,) = processor.enhancer().estimate([prepared.small])
    prepared.share.release()

    def grid_of(result: Any) -> tuple[str, list[float]]:
        done, curves = result[:2]
        done.share.release()
        return done.task.path, curves.grid.ravel().tolist()

    with pipeline() as p:
        found = (
            p
            | beam.Create([task])
            | beam.ParDo(Prepare(processor, requirements, 1))
            | beam.Map(lambda each: [each])
            | RunInference(CurveModelHandler(processor))
            | beam.Map(grid_of)
        )
        assert_that(found, equal_to([(task.path, wanted.grid.ravel().tolist())]))


def test_enhance_leaves_a_record_of_every_photo(
    plan: EnhancePlan, processor: PhotoProcessor, requirements: WorkerRequirements
) -> None:
    paths = write_plan(processor.out, plan)
    with pipeline() as p:
        assert_that(p | beam.Create(paths) | Enhance(processor, 2, requirements), equal_to([]))  # all is in the journal
    records = processor.journal.read()
    assert {path: record.failure["stage"] if record.failure else "" for path, record in records.items()} == {
        **{f"{number}.png": "" for number in range(PHOTOS)},
        "broken.png": "decode",
    }
    assert sorted(path.name for path in Path(processor.out, "enhanced").iterdir()) == [
        f"{n}.png" for n in range(PHOTOS)
    ]


def test_a_runner_that_takes_the_steps_apart_is_told_why_it_cannot(
    plan: EnhancePlan, processor: PhotoProcessor, requirements: WorkerRequirements
) -> None:
    """A shuffle between two steps stands in for it: no photo silently becomes something else."""
    with pytest.raises(ValueError, match="Error decoding") as error, pipeline() as p:
        _ = (
            p
            | beam.Create([next(iter(plan.todo.values()))])
            | beam.ParDo(Prepare(processor, requirements, 1))
            | beam.Reshuffle()
            | beam.Map(lambda prepared: prepared.task.path)
        )
    assert "a decoded photo has to stay in its process" in "".join(traceback.format_exception(error.value))


def test_beam_learns_the_size_of_a_photo_without_a_copy(plan: EnhancePlan, processor: PhotoProcessor) -> None:
    prepared = processor.prepare(next(iter(plan.todo.values())))
    assert isinstance(prepared, Prepared)
    prepared.share.release()
    assert len(pickle.dumps(prepared)) < 200
