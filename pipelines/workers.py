"""Checks of clusters and workers: errors appear before the job starts, or before a worker's first file."""

import dataclasses
import json
import os
import socket
import urllib.request
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import click
import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from pipelines import runners, storage, versions

SECONDS = 5.0
"""Seconds to wait for an answer from a cluster."""


class WorkerError(Exception):
    """A worker cannot do this job at all."""


@dataclasses.dataclass(frozen=True)
class WorkerRequirements:
    """The requirements that every worker checks.

    Attributes:
        options: Beam's options. Workers that were started before the job (EXTERNAL) get them only in this way.
        paths: Files and folders that a worker has to see.
        versions: Versions of the packages of the command.
    """

    options: dict[str, Any]
    paths: tuple[str, ...]
    versions: dict[str, str] = dataclasses.field(default_factory=versions.of_workers)

    @classmethod
    def of(cls, options: PipelineOptions, *paths: str) -> "WorkerRequirements":
        """The requirements of a job with these options. Its workers have to see these paths."""
        return cls(options.get_all_options(drop_default=True), paths)

    def enter(self) -> None:
        """Sets the options for s3://, gs:// and hdfs:// in this worker, and checks its versions and paths.

        Raises:
            WorkerError: It has other versions, or does not see a path.
        """
        host = socket.gethostname()
        here = versions.of_workers()
        for name, version in self.versions.items():
            if here[name] != version:
                raise WorkerError(
                    f"worker {host} has {name} {here[name]}, the command has {version}: install the same on both"
                )
        FileSystems.set_options(PipelineOptions.from_dictionary(self.options))
        storage.configure(self.options)
        for path in self.paths:
            try:
                storage.reach(path)
                reason = "" if _holds_something(path) else "it is missing or empty"
            except OSError as error:
                reason = error.strerror or str(error)
            if reason:
                raise WorkerError(f"worker {host} cannot see {path} ({reason}): share the folder with it, or use s3://")


def _holds_something(path: str) -> bool:
    """Whether a path is a file, or a folder with files. The folder of a missing mount is empty."""
    return any(os.scandir(path)) if os.path.isdir(path) else storage.exists(path)


class FileDoFn(beam.DoFn):
    """A DoFn that reads or writes files, on any machine.

    Args:
        requirements: Requirements on its worker.
    """

    def __init__(self, requirements: WorkerRequirements) -> None:
        self.requirements = requirements
        self.entered = False

    def start_bundle(self) -> None:
        # not in setup: if setup fails twice, Flink waits for the bundle for ever
        if not self.entered:
            self.requirements.enter()
            self.entered = True


def check_cluster(options: PipelineOptions, beam_args: Sequence[str], paths: Sequence[str]) -> None:
    """Checks a cluster as far as possible, before a job is sent to it.

    Args:
        options: Beam's options of the job.
        beam_args: The arguments from which the options were made.
        paths: Files and folders that its workers have to see.

    Raises:
        click.UsageError: Nothing answers at the address, it is another version of Flink, the workers cannot see a path,
            or an option is unknown.
    """
    portable, flink = options.view_as(PortableOptions), options.view_as(FlinkRunnerOptions)
    if portable.environment_type in (None, "DOCKER"):
        for path in filter(storage.is_local, paths):
            raise click.UsageError(
                f"workers in containers cannot see {path}: use s3:// or gs://, or share the folder with workers of "
                "--environment_type=EXTERNAL"
            )
    if portable.job_endpoint:
        host, _, port = portable.job_endpoint.rpartition(":")
        try:
            socket.create_connection((host, int(port)), SECONDS).close()
        except (OSError, ValueError) as error:
            raise click.UsageError(
                f"no job server answers at {portable.job_endpoint} ({error}): start it, or correct --job_endpoint"
            ) from error
    _refuse_unknown(portable.job_endpoint, runners.unknown_options(beam_args))
    if flink.flink_master.startswith("["):
        return
    try:
        with urllib.request.urlopen(f"http://{flink.flink_master.split('://')[-1]}/config", timeout=SECONDS) as answer:
            version = json.load(answer)["flink-version"]
    except (OSError, ValueError, KeyError) as error:
        raise click.UsageError(
            f"no Flink answers at {flink.flink_master} ({error}): start it, or correct --flink_master"
        ) from error
    if not version.startswith(f"{flink.flink_version}."):
        raise click.UsageError(
            f"{flink.flink_master} is Flink {version}, not {flink.flink_version}: "
            "use the job server of its version, and name that version with --flink_version"
        )


def _refuse_unknown(job_endpoint: str | None, arguments: Sequence[str]) -> None:
    """Raises click.UsageError for options that neither Beam nor the job server knows.

    If the runner will start the job server itself, the server cannot be asked yet. Then only likely mistakes are
    refused: a word without `--`, a name with a hyphen (as zerodce's own options have), or one similar to a Beam option.
    """
    names = [argument[2:].split("=", 1)[0] for argument in arguments if argument.startswith("--")]
    if not names:
        runners.refuse_unknown(arguments)
    if job_endpoint:
        served = _served_options(job_endpoint) if names else set()
        runners.refuse_unknown([f"--{name}" for name in names if _plain(name) not in served])
    else:
        runners.refuse_unknown([f"--{name}" for name in names if "-" in name or runners.nearest_option(name)])


def _served_options(job_endpoint: str) -> set[str]:
    """The options that a job server knows, as `_plain` writes them."""
    with grpc.insecure_channel(job_endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        try:
            return {_plain(option.name) for option in service.DescribePipelineOptions(request, timeout=SECONDS).options}
        except grpc.RpcError as error:
            raise click.UsageError(f"the job server at {job_endpoint} does not answer ({error.code().name})") from error


def _plain(name: str) -> str:
    """The name of an option in lower case, without underscores. Java writes `maxSize`, Python writes `max_size`."""
    return name.replace("_", "").lower()
