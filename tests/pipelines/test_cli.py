"""Versions and shell completion: quick, because they import nothing heavy."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipelines import cli, versions
from pipelines.layouts import LAYOUTS

ROOT = Path(__file__).parents[2]
_CODE = """
import sys
from pipelines.cli import main
try:
    main({arguments}, prog_name="zerodce")
finally:
    heavy = {{"numpy", "PIL", "cv2", "numba", "apache_beam", "tensorflow", "keras", "pyarrow", "rich", "requests"}}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def run(arguments: list[str] | None = None, **environment: str) -> str:
    """What the command prints, of which it is checked that it imports nothing heavy."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(arguments=arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
    return done.stdout


def complete(*words: str) -> list[str]:
    """What the shell is told after these words of a command line, of which the last one is not finished."""
    line = " ".join(words)
    return run(_ZERODCE_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).splitlines()


def test_the_version_is_followed_by_those_of_the_packages() -> None:
    first, *others = run(["--version"]).splitlines()
    assert first == f"zerodce, version {importlib.metadata.version('zerodce')}"
    assert others[0] == f"python {platform.python_version()}"
    found = dict(line.split(" ", 1) for line in others)
    for package in ("numpy", "pillow", "opencv-python-headless", "numba", "apache-beam"):
        assert found[package] == importlib.metadata.version(package)
    assert ("tensorflow" in found) == versions.installed("tensorflow")
    assert "not installed" not in found.values()


def test_a_package_that_is_not_installed() -> None:
    assert versions.installed("pillow")
    assert not versions.installed("no-such-package-zerodce")


def test_words_are_completed() -> None:
    assert set(complete("zerodce", "")) >= {"plain,enhance", "plain,preprocess", "plain,doctor", "plain,completion"}
    assert complete("zerodce", "records", "ex") == ["plain,export"]
    assert complete("zerodce", "preprocess", "--layout", "l") == [
        f"plain,{name}" for name in LAYOUTS if name.startswith("l")
    ]
    assert complete("zerodce", "enhance", "--strength", "1", "a", "b", "--stri") == ["plain,--strip-metadata"]
    assert complete("zerodce", "enhance", "--denoise", "") == ["plain,auto", "plain,off"]


@pytest.mark.parametrize(
    "words",
    [
        ("enhance", "my"),
        ("enhance", "photos", "my"),
        ("enhance", "--model", "my"),
        ("preprocess", "--reference", "my"),
        ("preprocess", "--split-file", "my"),
        ("evaluate", "--pairs", "my"),
        ("records", "verify", "my"),
        ("train", "my"),
        ("doctor", "my"),
    ],
)
def test_paths_are_completed_by_the_shell(words: tuple[str, ...]) -> None:
    assert complete("zerodce", *words) == ["file,my"]


def test_no_argument_is_a_bare_text() -> None:
    """All arguments are places, or words of a choice; so the shell completes each."""

    def commands(group: click.Group) -> Iterator[click.Command]:
        for command in group.commands.values():
            yield from commands(command) if isinstance(command, click.Group) else (command,)

    arguments = [
        (command.name, parameter.name, parameter.type)
        for command in commands(cli.main)
        for parameter in command.params
        if isinstance(parameter, click.Argument)
    ]
    assert len(arguments) >= 15
    assert [(command, name) for command, name, type_ in arguments if type_ is click.STRING] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_that_of_the_shell(shell: str) -> None:
    script = run(["completion", shell])
    assert f"_ZERODCE_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    """The line that the help names, with a command `zerodce` of this interpreter."""
    program = tmp_path / "zerodce"
    code = 'from pipelines.cli import main; main(prog_name="zerodce")'
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}' \"$@\"\n")
    program.chmod(0o755)
    script = (
        'eval "$(zerodce completion bash)"; complete -p zerodce; '
        'COMP_WORDS=(zerodce records ve); COMP_CWORD=2; _zerodce_completion zerodce; echo "${COMPREPLY[@]}"'
    )
    found = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert found.stdout.splitlines() == ["complete -o nosort -F _zerodce_completion zerodce", "verify"], found.stderr


def test_the_docs_have_the_line_for_each_shell() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for shell in ("bash", "zsh"):
        assert f'eval "$(zerodce completion {shell})"' in page
    assert "zerodce completion fish | source" in page


def test_the_doctor_knows_the_extras_of_the_package() -> None:
    from pipelines.doctor.checks import EXTRAS

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert EXTRAS.keys() == declared.keys() - {"all", "benchmark", "docs", "test", "test-light"}
    for extra, (_, packages) in EXTRAS.items():
        names = {requirement.split(">=")[0] for requirement in declared[extra]}
        if "apache-beam[gcp]" in names:  # which installs many
            names = names - {"apache-beam[gcp]"} | {"google-cloud-storage"}
        assert set(packages) == names
