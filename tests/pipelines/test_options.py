"""What the commands share before anything heavy is imported."""

import errno
import gc
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines import cli
from pipelines.enhance import supervisor
from pipelines.enhance.options import enhance
from pipelines.options import lean_imports, standard_output


def test_what_no_photo_needs_is_missing_while_the_rest_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that would use matplotlib does without, and the next one finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] in ("jax", "matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    source = "try:\n    import matplotlib.colors as found\nexcept ImportError:\n    found = None\n"
    for name in ("lean", "whole"):
        (tmp_path / f"{name}_package.py").write_text(source)
    with lean_imports():
        assert not gc.isenabled()
        assert importlib.import_module("lean_package").found is None
    assert gc.isenabled()
    assert importlib.import_module("whole_package").found.to_hex("red") == "#ff0000"


def test_what_is_there_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", gc)
    with lean_imports():
        assert sys.modules["matplotlib"] is gc
    assert sys.modules["matplotlib"] is gc


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_sees_at_once_that_something_goes_on(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "watch", lambda attempts: 7)  # before anything heavy is imported
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with pytest.raises(SystemExit) as ended:
        enhance.main(["photos", "out"])
    assert ended.value.code == 7
    assert capsys.readouterr().err == ("Starting takes a few seconds.\n" if terminal else "")


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
