"""Where a job runs: options that nobody knows are refused, and a job ends when it is asked to."""

import threading

import click
import pytest

from pipelines import runners
from pipelines.stopping import STOP


class SlowPipeline:
    """A pipeline whose submission takes until `submitted` is set, and whose job runs until it is cancelled."""

    def __init__(self) -> None:
        self.submitting, self.submitted, self.cancelled = threading.Event(), threading.Event(), threading.Event()
        self.state = "RUNNING"

    def run(self) -> "SlowPipeline":
        self.submitting.set()
        self.submitted.wait(10)
        return self

    def cancel(self) -> None:
        self.state = "CANCELLED"
        self.cancelled.set()

    def wait_until_finish(self) -> None:
        self.cancelled.wait(10)


def test_a_job_that_is_stopped_while_it_is_submitted_is_cancelled() -> None:
    pipeline = SlowPipeline()
    job = runners.Job(pipeline)
    job.start()
    assert pipeline.submitting.wait(10)
    threading.Timer(0.2, pipeline.submitted.set).start()
    try:
        job.stop()
    finally:
        STOP.clear()  # for the jobs of other tests in this process
    assert pipeline.cancelled.is_set()
    assert not job.is_alive()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--paralellism=64"], r"knows --paralellism=64; did you mean --parallelism\?"),
        (["--max-failure", "3"], r"neither zerodce nor Beam knows --max-failure 3$"),
        (["more"], "knows more$"),
    ],
)
def test_options_that_nobody_knows_are_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        runners.pipeline_options("DirectRunner", arguments)


def test_options_that_beam_knows_are_taken() -> None:
    options = runners.pipeline_options("DirectRunner", ["--parallelism=64", "--s3_region_name", "eu", "--streaming"])
    assert options.get_all_options(drop_default=True)["parallelism"] == 64


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("OutputError: /out: No space left [while running 'Finish']"), "cannot write /out: No space left"),
        (RuntimeError("a\nWorkerError: worker b has keras 1\nmore"), "worker b has keras 1"),
        (ValueError("first\nlast line [while running 'X/Y']"), "last line"),
    ],
)
def test_a_failure_is_one_line(error: Exception, reason: str) -> None:
    assert runners.failure_reason(error) == reason
