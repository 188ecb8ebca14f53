"""Both jobs in this process, as the command line starts them, and a bucket of S3 for them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli, storage
from pipelines.enhance import command as enhance_command
from pipelines.enhance.settings import EnhanceSettings
from pipelines.preprocess import command as preprocess_command
from pipelines.preprocess.settings import PreprocessSettings


def enhance(photos: Path | str, out: Path | str, *options: str) -> int:
    """`zerodce enhance` in this process; returns the exit code."""
    params = cli.enhance.make_context("enhance", [str(photos), str(out), *options]).params
    return enhance_command.enhance(params.pop("photos"), params.pop("out"), EnhanceSettings(**params))


def preprocess(data: Path | str, out: Path | str, *options: str) -> int:
    """`zerodce preprocess` in this process; returns the exit code."""
    params = cli.preprocess.make_context("preprocess", [str(data), str(out), *options]).params
    return preprocess_command.preprocess(params.pop("data"), params.pop("out"), PreprocessSettings(**params))


@contextlib.contextmanager
def bucket(address: str, name: str) -> Iterator[Any]:
    """An empty bucket of the S3 service at an address, which this process may use; gives a client of boto3."""
    import boto3

    from pipelines.storage import objects

    with pytest.MonkeyPatch.context() as patch:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(variable, "local")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", address)
        objects._client.cache_clear()
        client = boto3.client("s3")
        client.create_bucket(Bucket=name)
        yield client
        storage.delete(f"s3://{name}/{entry.path}" for entry in storage.walk(f"s3://{name}"))  # moto keeps them
        client.delete_bucket(Bucket=name)
    objects._client.cache_clear()
