"""Runs the checks of `zerodce doctor`, prints the report, and says what to do."""

import json
from collections.abc import Iterator
from typing import Any

import click

from pipelines import storage, versions
from pipelines.doctor import checks
from pipelines.folders import refuse_lost_link
from tfrecord_tools.records import printable


def doctor(folder: str, as_json: bool) -> int:
    """The command `zerodce doctor`.

    Args:
        folder: The folder that is tried.
        as_json: Whether to print the report as JSON.

    Returns:
        The exit code: 0 enhancing works here, 1 it does not.

    Raises:
        click.UsageError: There is no such folder.
    """
    refuse_lost_link(folder)
    try:
        storage.reach(folder)
        there = storage.exists(folder) and not storage.is_file(folder)
    except OSError as error:
        raise click.UsageError(f"{folder} cannot be read: {error.strerror or error}") from None
    if not there and storage.is_local(folder):  # an object store has no empty folders
        raise click.UsageError(f"{folder} is not a folder: name one that exists")
    report: dict[str, Any] = {
        "versions": versions.of_installation(),
        "extras": checks.check_extras(),
        "formats": checks.check_formats(),
        "processor": checks.check_processor(),
        "gpu": checks.check_gpu(),
        "memory": checks.check_memory(),
        "folder": checks.check_folder(folder),
        "kernels": checks.check_kernels(),
        "enhancing": checks.check_enhancing(),
    }
    report["to_do"] = list(find_faults(report))
    report["works"] = not report["to_do"]
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        for name, text in describe(report):
            click.echo(printable(f"{name:<12}{text}"))
        for line in report["to_do"]:
            click.echo(printable(f"To do: {line}"))
        if report["works"]:
            click.echo("Enhancing works here.")
    return 0 if report["works"] else 1


def find_faults(report: dict[str, Any]) -> Iterator[str]:
    """What has to be done before enhancing works, one line for each fault."""
    for name in checks.NEEDED:
        for error in _errors(report["formats"][name]):
            yield f"{name} does not work ({error}): pip install --force-reinstall zerodce"
    folder, enhancing = report["folder"], report["enhancing"]
    if folder["error"]:
        yield f"{folder['folder']} cannot be written ({folder['error']}): name another folder, or make room in it"
    if enhancing["error"]:
        yield f"a small photo could not be enhanced ({enhancing['error']}): {enhancing['fix']}"


def describe(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The report in lines: a name, and a text."""
    yield "versions", ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    for extra, found in report["extras"].items():
        yield f"[{extra}]", _extra(extra, found)
    formats = report["formats"]
    for verb in ("read", "write"):
        yield f"{verb}s", ", ".join(name for name, found in formats.items() if found.get(verb) == "yes")
    for name, found in formats.items():
        for error in _errors(found):
            yield "fails", f"{name}: {error}"
    yield "processor", _processor(report["processor"])
    yield "backend", "numpy" + ("" if report["extras"]["train"]["missing"] else ", or tensorflow by --backend")
    yield "GPU", _gpu(report["gpu"])
    yield "memory", _memory(report["memory"])
    yield "folder", _folder(report["folder"])
    yield "code cache", _kernels(report["kernels"])
    enhancing = report["enhancing"]
    yield "enhance", enhancing["error"] or f"a small photo took {enhancing['seconds']} s, start included"


def _errors(found: dict[str, str]) -> list[str]:
    return list(dict.fromkeys(text for text in found.values() if text != "yes"))


def _extra(extra: str, found: dict[str, Any]) -> str:
    if not found["missing"]:
        return f"{found['for']}: installed"
    return f"{found['for']}: without {', '.join(found['missing'])}; pip install 'zerodce[{extra}]'"


def _processor(found: dict[str, Any]) -> str:
    cores, usable = found["cores"], found["usable_cores"]
    limit = "" if usable == cores else f", of which this process may use {usable}: enhance with --workers {usable}"
    avx2, avx512 = ("yes" if found[name] else "no" for name in ("avx2", "avx512"))
    return f"{found['name']}, {cores} cores{limit}; AVX2 {avx2}, AVX-512 {avx512}"


def _gpu(found: dict[str, Any]) -> str:
    if not found["seen"]:
        return "none seen. enhance needs none"
    usable = found["usable_by_tensorflow"]
    training = "" if usable is None else f" TensorFlow can use {usable} of {len(found['seen'])} to train."
    return f"{', '.join(found['seen'])}. enhance works on the processor and does not use it.{training}"


def _memory(found: dict[str, int]) -> str:
    return (
        f"{found['limit'] / 1e9:.1f} GB; {found['for_photos'] / 1e9:.1f} GB for the photos in work, room for "
        f"{found['photos_of_24_megapixels']} of 24 megapixels at a time (--max-memory sets less)"
    )


def _folder(found: dict[str, Any]) -> str:
    free = "" if found["free"] is None else f", {found['free'] / 1e9:.1f} GB free"
    written = f"cannot be written ({found['error']})" if found["error"] else f"{found['write_mb_per_second']} MB/s"
    return f"{storage.absolute(found['folder'])}{free}, {written}"


def _kernels(found: dict[str, Any]) -> str:
    if found["lasts"]:
        return f"{found['folder']} can be written"
    return f"{found['folder']} is a temporary folder: set NUMBA_CACHE_DIR to a folder that lasts, or each boot compiles"
