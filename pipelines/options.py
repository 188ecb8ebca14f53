"""What the options of the commands share: their types, the start as a module, a quiet terminal."""

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

LOCAL_RUNNERS = ("DirectRunner", "FnApiRunner", "apache_beam.runners.portability.fn_api_runner.FnApiRunner")
"""Names of the runner that works in this process."""

_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR"}


def open_standard_streams() -> None:
    """Opens what a daemon closed of standard input, output and error: else the next files would take their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


INTERRUPTED = 130
"""Exit code after an interrupt: 128 + SIGINT, as shells show it."""

NOT_PRINTED = 1
"""Exit code where standard output cannot be written."""


class PrintError(Exception):
    """Standard output cannot be written; no OSError, so that no command takes it for an error of its own files."""


class _StandardOutput:
    """Standard output, whose errors are told from those of other files; a reader that has gone is none."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _naming():
            return int(self._stream.write(text))

    def flush(self) -> None:
        with _naming():
            self._stream.flush()


@contextlib.contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PrintError(error.strerror or str(error)) from error


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Where standard output cannot be written, ends the command with a line that says so."""
    own = _StandardOutput(sys.stdout)
    sys.stdout = own
    try:
        yield
    except PrintError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (what is left to print has no place)
        click.echo(f"Error: standard output cannot be written ({error})", err=True)
        sys.exit(NOT_PRINTED)
    finally:
        if sys.stdout is own:
            sys.stdout = own._stream


def run(main: Callable[..., Any], *args: Any, **options: Any) -> NoReturn:
    """Runs a command as click does, and exits; but an interrupt at any moment exits with 130.

    Args:
        main: The `main` method of a click command.
        args: Its arguments.
        options: Its keyword arguments.
    """
    try:
        sys.exit(main(*args, **{**options, "standalone_mode": False}))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a signal to the process group arrives twice
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)


def silence_libraries() -> None:
    """Keeps the terminal for what the command says: native libraries (TensorFlow, libtiff) write to nowhere.

    What Python writes to standard error still appears. To be called before anything heavy is imported.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's other programs want
    os.environ["KERAS_HOME"] = os.devnull  # where there is no keras.json, which is for those programs too
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.showwarning = _show_warning
    logging.getLogger().setLevel(logging.CRITICAL)  # what concerns a user is an error row, not a log line
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(errors="backslashreplace")  # a name that is no Unicode ends no command


def _show_warning(message: Warning | str, *place: object, **more: object) -> None:
    """A warning as a person reads it: without the line of code that it comes from."""
    click.echo(f"Warning: {message}", err=True)


class _Place(click.ParamType):
    """A path or an address. The shell completes files and folders."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


PLACE = _Place()
"""The type of arguments and options that name a file or a folder."""


class WordOrNumber(click.ParamType):
    """A number of a type, or one of some words."""

    name = "value"

    def __init__(self, number: click.ParamType, *words: str) -> None:
        self.number = number
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.words:
            return value
        try:
            number = self.number.convert(value, param, ctx)
            if number != number:  # a range holds no NaN, but click lets it pass
                raise click.BadParameter(f"{value!r} is not a number.")
            return number
        except click.BadParameter as error:
            self.fail(f"{error.message} Or use {' or '.join(self.words)}.", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


_UNITS = {unit: 1000**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB"))}
_UNITS |= {unit: 1024**power for power, unit in enumerate(("KIB", "MIB", "GIB", "TIB"), 1)}


class WrittenFormat(click.ParamType[str]):
    """The label of a format of photos, in upper or lower case. The help lists what this installation can write."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from pipelines.photos.formats import writable_labels

        return f"[{'|'.join(writable_labels())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pipelines.photos.formats import written_format

        try:
            return written_format("", str(value)).label
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from pipelines.photos.formats import writable_labels

        return [CompletionItem(label) for label in writable_labels() if label.lower().startswith(incomplete.lower())]


class ByteCount(click.ParamType):
    """A number of bytes, as it is or with a unit: 2000000000, 2GB, 512MiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number, unit = re.fullmatch(r"\s*([\d.]*)\s*(.*?)\s*", str(value), re.DOTALL).groups()  # type: ignore[union-attr]
        try:
            count = int(float(number) * _UNITS[unit.upper() or "B"])
        except (ValueError, KeyError, OverflowError):
            self.fail(f"{value!r} is not a number of bytes, such as 2000000000, 2GB or 512MiB.", param, ctx)
        if count < 1:
            self.fail(f"{value!r} is less than a byte.", param, ctx)
        return count


def run_as_module(command: click.Command, argv: Sequence[str] | None = None) -> None:
    """Runs a command of `zerodce` as Beam people start a job: `--input IN --output OUT`, Beam options among the rest.

    Args:
        command: A command with two leading arguments and a trailing one for Beam's options.
        argv: The arguments; those of the process if None.
    """
    open_standard_streams()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--help" in arguments:
        with standard_output():
            command.main(["--help"])
    known, rest = parser.parse_known_args(arguments)
    with standard_output():
        run(
            command.main,
            [known.input, known.output, *rest],
            ignore_unknown_options=True,
            auto_envvar_prefix=f"ZERODCE_{str(command.name).upper()}",
        )
