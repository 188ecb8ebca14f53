"""What the commands share before anything heavy is imported."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipelines import cli
from pipelines.enhance import supervisor
from pipelines.enhance.options import enhance
from pipelines.options import run_as_module, standard_output

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_sees_at_once_that_something_goes_on(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "watch", lambda attempts: 7)  # before anything heavy is imported
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with pytest.raises(SystemExit) as ended:
        enhance.main(["photos", "out"])
    assert ended.value.code == 7
    assert capsys.readouterr().err == ("Starting.\n" if terminal else "")


@pytest.mark.parametrize(
    "start",
    [lambda: cli.main(["enhance", "a", "b"]), lambda: run_as_module(enhance, ["--input", "a", "--output", "b"])],
    ids=["zerodce", "module"],
)
def test_an_interrupt_while_click_reads_the_arguments_is_130(
    start: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(click.Command, "parse_args", interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended:
            start()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert ended.value.code == 130


def test_what_another_user_left_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "out/.zerodce/in_work"
    state.mkdir(parents=True)

    def refusing(path: str) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "listdir", refusing)
    result = CliRunner().invoke(cli.main, ["enhance", str(tmp_path), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert f"Error: {state} cannot be read (Permission denied): the run of another user left it" in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("pipelines.cli", "--help"),
        ("pipelines.cli", "--version"),
        ("pipelines.cli", "records", "verify", "--help"),
        ("pipelines.preprocess", "--input", "in", "--output", "out", "--help"),
    ],
)
def test_standard_output_that_cannot_be_written_is_named(arguments: tuple[str, ...], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.stderr == "Error: standard output cannot be written (No space left on device)\n"
    assert done.returncode == 1


def test_other_errors_are_none_of_standard_output() -> None:
    stream = sys.stdout
    with pytest.raises(OSError, match="of a file"), standard_output():
        raise OSError("of a file")
    assert sys.stdout is stream


@pytest.mark.parametrize(
    ("command", "missing", "said"),
    [
        (["train", "in", "out"], "keras", "Keras is not installed: pip install 'zerodce[train]'"),
        (["evaluate", "in"], "keras", "Keras is not installed: pip install 'zerodce[train]'"),
        (["records", "stats", "in"], "matplotlib", "Matplotlib is not installed: pip install 'zerodce[train]'"),
        (["download", "out"], "gdown", "gdown is not installed: pip install 'zerodce[lol]'"),
    ],
)
def test_what_an_extra_brings_is_named_at_once(command: list[str], missing: str, said: str, tmp_path: Path) -> None:
    """In a process of its own, where the package cannot be imported."""
    code = f"import sys; sys.modules[{missing!r}] = None; from pipelines import cli; cli.main({command!r})"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr) == (1, f"Error: {said}\n")
    assert not list(tmp_path.iterdir())
