"""Every shell and Python line of the README runs here, or is at least understood by the command that it names."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from pipelines import cli

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
SHELL = [
    line.partition("  #")[0].strip()
    for kind, block in BLOCKS
    if kind == ""
    for line in block.splitlines()
    if line.strip()
]
PYTHON = [block for kind, block in BLOCKS if kind == "python"]


def lines(program: str) -> list[str]:
    return [line for line in SHELL if line.startswith(program)]


def test_no_line_is_of_a_kind_that_is_not_tried_here() -> None:
    known = ("make ", "zerodce ", "pip install ", "python -m benchmarks.")
    assert {kind for kind, _ in BLOCKS} == {"", "python"}
    assert [line for line in SHELL if not line.startswith(known)] == []
    assert len(PYTHON) == 2


@pytest.mark.parametrize("line", lines("make "))
def test_make_knows_its_targets(line: str) -> None:
    done = subprocess.run(shlex.split(line.replace("make", "make -n", 1)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", lines("zerodce "))
def test_every_command_understands_its_arguments(line: str) -> None:
    _, *arguments = shlex.split(line)
    command: click.Command = cli.main
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    context = command.make_context(name, arguments)
    assert context.params


@pytest.mark.parametrize("line", lines("pip install "))
def test_the_extras_exist(line: str) -> None:
    wanted = re.findall(r"\[([\w,]+)\]", line)
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in ",".join(wanted).split(","):
        assert re.search(rf"^{name} = \[", extras, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("line", lines("python -m benchmarks."))
def test_every_benchmark_understands_its_arguments(line: str) -> None:
    """Asked for its help after the same words, which it prints only if it knows them."""
    _, *arguments = shlex.split(line)
    done = subprocess.run([sys.executable, *arguments, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@pytest.mark.slow
def test_python_enhances_an_image() -> None:
    image = np.random.default_rng(0).integers(0, 40, (48, 64, 3), dtype=np.uint8)
    names: dict[str, Any] = {"image": image}
    exec(PYTHON[0], names)
    for name in ("enhanced", "lit"):
        assert names[name].shape == image.shape
        assert names[name].mean() > image.mean()
    assert names["model"].name


@pytest.mark.slow
def test_plain_tensorflow_reads_the_shards(lol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lol").symlink_to(lol)
    made = CliRunner().invoke(cli.main, ["preprocess", "lol", "shards", "--size", "32"])
    assert made.exit_code == 0, made.output
    names: dict[str, object] = {}
    exec(PYTHON[1], names)
    batch = next(iter(names["dataset"]))
    assert batch.shape == (32, 32, 32, 3)
    assert float(batch.numpy().max()) <= 1
