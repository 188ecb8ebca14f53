"""Where a job runs: Beam's options from the command line's `--runner` and what follows `--`."""

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

from pipelines.options import LOCAL_RUNNERS

# The name itself: DirectRunner tries Prism first, which downloads a binary.
LOCAL = LOCAL_RUNNERS[-1]


STOP = threading.Event()
"""Set in the process of the command to end a local job after what is in flight."""


class StoppedError(Exception):
    """The job was asked to end."""


class Job(threading.Thread):
    """A pipeline run in a thread of its own, so that the command's main thread can show progress and take Ctrl-C.

    Attributes:
        error: Exception that ended the job; None if it did not fail.
        lost: Exit code of a worker process (Beam's mode multi_processing) that has ended too early; None if none has.
            Beam itself would wait for it for ever, so whoever finds it has to end this process at once.
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
            if STOP.is_set() and not PipelineState.is_terminal(self.result.state):  # while it was being submitted
                self.result.cancel()
            self.result.wait_until_finish()
        except BaseException as error:
            self.error = error
            STOP.set()  # or photos that wait for their turn would wait for ever
        finally:
            threading.excepthook = hook

    def _see(self, hook: Callable[[Any], Any], arguments: Any) -> None:
        """Looks at what has ended a thread of Beam's: one of them waits for each worker process."""
        if found := re.fullmatch(r"Worker subprocess exited with return code (-?\d+)", str(arguments.exc_value)):
            self.lost = int(found[1])
        elif not isinstance(arguments.exc_value, grpc.RpcError):  # connections to it, which end with it
            hook(arguments)

    def stop(self) -> None:
        """Ends the job: locally after what is in flight, elsewhere by cancelling it."""
        STOP.set()
        if self.result is not None and self.is_alive():
            self.result.cancel()
        if self.is_alive():
            self.join()


def failure_reason(error: BaseException) -> str:
    """One line on why a job ended: what `OutputError` or `WorkerError` said, or the last line that Beam gives."""
    text = re.sub(r" \[while running '[^\n]*'\]", "", f"{type(error).__name__}: {error}")
    found = re.search(r"(OutputError|WorkerError): ([^\n]*)", text)
    if not found:
        return text.strip().splitlines()[-1]
    return f"cannot write {found[2]}" if found[1] == "OutputError" else found[2]


def pipeline_options(runner: str, beam_args: Sequence[str] = ()) -> PipelineOptions:
    """Beam's options for a job; this process's file systems (s3:// and the like) are given them too.

    Args:
        runner: DirectRunner (on this machine, downloads nothing), or any name that Beam resolves.
        beam_args: Further Beam options, such as `--flink_master=host:8081`.

    Raises:
        click.UsageError: An option that would lose data or that Beam does not know.
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
    return options


def in_one_process(options: PipelineOptions) -> bool:
    """Whether all workers of a job are threads of this process."""
    local = options.view_as(StandardOptions).runner == LOCAL
    return local and options.view_as(DirectOptions).direct_running_mode == "in_memory"


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """An empty pipeline of a job; its worker processes on this machine, if it has such, end with this process."""
    direct = options.view_as(DirectOptions)
    if options.view_as(StandardOptions).runner != LOCAL or in_one_process(options):
        return beam.Pipeline(options=options)
    direct.direct_running_mode = "in_memory"  # which leaves the runner the environment that it is given
    command = f"exec {shlex.quote(sys.executable)} -m pipelines.local_worker {os.getpid()}"
    return beam.Pipeline(FnApiRunner(SubprocessSDKEnvironment.from_command_string(command)), options)


def unknown_options(beam_args: Sequence[str]) -> list[str]:
    """What of the arguments Beam's own options leave over, such as options of a cluster's job server."""
    left: list[str] = []
    options = PipelineOptions(list(beam_args))
    options.get_all_options(add_extra_args_fn=lambda parser: left.extend(parser.parse_known_args(list(beam_args))[1]))
    return left


def refuse_unknown(arguments: Sequence[str]) -> None:
    """Raises click.UsageError if there is any argument: an option mistyped would be left out silently."""
    if arguments:
        near = nearest_option(arguments[0].split("=", 1)[0].removeprefix("--"))
        hint = f"; did you mean --{near}?" if near else ""
        raise click.UsageError(f"neither zerodce nor Beam knows {' '.join(arguments)}{hint}")


def nearest_option(name: str) -> str | None:
    """The option of Beam's that a name is nearly, if any."""
    return next(iter(difflib.get_close_matches(name, PipelineOptions([]).get_all_options(), n=1, cutoff=0.85)), None)


def is_local(runner: str) -> bool:
    """Whether the job runs in this process."""
    return runner in LOCAL_RUNNERS
