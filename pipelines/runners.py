"""Runs a job: turns `--runner` and the options behind `--` into Beam's options, and starts and stops the pipeline."""

import difflib
import functools
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
import click
import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineState
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from pipelines import storage
from pipelines.options import LOCAL_RUNNERS
from pipelines.stopping import STOP

# The full name, because DirectRunner tries Prism first, which downloads a binary.
LOCAL = LOCAL_RUNNERS[-1]


class Job(threading.Thread):
    """Runs a pipeline in a thread, so that the main thread can show progress and handle Ctrl-C.

    Attributes:
        error: Exception that ended the job; None if it did not fail.
        lost: Exit code of a worker process (Beam's mode multi_processing) that ended too early; None if none did. Beam
            waits for that worker for ever. So a caller that finds an exit code here must end this process at once.
    """

    def __init__(self, pipeline: beam.Pipeline) -> None:
        super().__init__(name="job", daemon=True)
        STOP.clear()
        self.pipeline = pipeline
        self.result: Any = None
        self.error: BaseException | None = None
        self.lost: int | None = None

    def run(self) -> None:
        hook = threading.excepthook
        threading.excepthook = functools.partial(self._see, hook)
        try:
            self.result = self.pipeline.run()
            if STOP.is_set() and not PipelineState.is_terminal(
                self.result.state
            ):  # it was stopped while it was being submitted
                self.result.cancel()
            self.result.wait_until_finish()
        except BaseException as error:
            self.error = error
            STOP.set()  # otherwise, photos that wait for memory would wait for ever
        finally:
            threading.excepthook = hook

    def _see(self, hook: Callable[[Any], Any], arguments: Any) -> None:
        """Handles an exception of one of Beam's threads. Beam has one thread that waits for each worker process."""
        if found := re.fullmatch(r"Worker subprocess exited with return code (-?\d+)", str(arguments.exc_value)):
            self.lost = int(found[1])
        elif not isinstance(arguments.exc_value, grpc.RpcError):  # connections to a worker fail when it ends
            hook(arguments)

    def stop(self) -> None:
        """Ends the job. A local job finishes the photos or shards in flight; a job elsewhere is cancelled."""
        STOP.set()
        if self.result is not None and self.is_alive():
            self.result.cancel()
        if self.is_alive():
            self.join()


def failure_reason(error: BaseException) -> str:
    """Why a job failed, in one line: the message of an error that ends a job, else the last line from Beam."""
    text = re.sub(r" \[while running '[^\n]*'\]", "", f"{type(error).__name__}: {error}")
    found = re.search(rf"({'|'.join(_ENDING)}): ([^\n]*)", text)
    return _ENDING[found[1]] + found[2] if found else text.strip().splitlines()[-1]


_ENDING = {"OutputError": "cannot write ", "InputError": "cannot read ", "WorkerError": ""}


def pipeline_options(runner: str, beam_args: Sequence[str] = ()) -> PipelineOptions:
    """Beam's options for a job. The file systems of this process (s3:// and so on) get them too.

    Args:
        runner: DirectRunner (on this machine, downloads nothing), or any runner that Beam knows.
        beam_args: Further Beam options, such as `--flink_master=host:8081`.

    Raises:
        click.UsageError: An option would lose data, or Beam does not know it.
    """
    options = PipelineOptions(list(beam_args))
    if is_local(runner):
        refuse_unknown(unknown_options(beam_args))
    if options.view_as(DirectOptions).direct_running_mode == "multi_threading":
        raise click.UsageError(
            "--direct_running_mode=multi_threading loses records in Beam; leave it out and use --workers"
        )
    options.view_as(StandardOptions).runner = LOCAL if is_local(runner) else runner
    FileSystems.set_options(options)
    storage.configure(options.get_all_options(drop_default=True))
    return options


def in_one_process(options: PipelineOptions) -> bool:
    """Whether all workers of a job are threads of this process."""
    local = options.view_as(StandardOptions).runner == LOCAL
    return local and options.view_as(DirectOptions).direct_running_mode == "in_memory"


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """An empty pipeline for a job. If it uses worker processes on this machine, they end with this process."""
    direct = options.view_as(DirectOptions)
    if options.view_as(StandardOptions).runner != LOCAL or in_one_process(options):
        return beam.Pipeline(options=options)
    direct.direct_running_mode = "in_memory"  # makes the runner use the environment that it is given
    command = f"exec {shlex.quote(sys.executable)} -m pipelines.local_worker {os.getpid()}"
    return beam.Pipeline(FnApiRunner(SubprocessSDKEnvironment.from_command_string(command)), options)


def unknown_options(beam_args: Sequence[str]) -> list[str]:
    """The arguments that Beam does not recognise, such as options of a cluster's job server."""
    left: list[str] = []
    options = PipelineOptions(list(beam_args))
    options.get_all_options(add_extra_args_fn=lambda parser: left.extend(parser.parse_known_args(list(beam_args))[1]))
    return left


def refuse_unknown(arguments: Sequence[str]) -> None:
    """Raises click.UsageError if there are any arguments. Otherwise a mistyped option would be ignored silently."""
    if arguments:
        near = nearest_option(arguments[0].split("=", 1)[0].removeprefix("--"))
        hint = f"; did you mean --{near}?" if near else ""
        raise click.UsageError(f"neither zerodce nor Beam knows {' '.join(arguments)}{hint}")


def nearest_option(name: str) -> str | None:
    """The Beam option with the most similar name; None if no name is similar."""
    return next(iter(difflib.get_close_matches(name, PipelineOptions([]).get_all_options(), n=1, cutoff=0.85)), None)


def is_local(runner: str) -> bool:
    """Whether the job runs in this process."""
    return runner in LOCAL_RUNNERS
