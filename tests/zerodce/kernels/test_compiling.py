"""Compiled loops where nothing can be written but a temporary folder."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import zerodce

PROGRAM = """
from zerodce.kernels import brightening, grain
print(brightening.position(1, 4, 2), sum(brightening.position.stats.cache_hits.values()))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder of a copy of the package, beside which no folder can be made, whoever runs this."""
    shutil.copytree(
        Path(zerodce.__file__).parent, tmp_path / "site/zerodce", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "site/zerodce/kernels/__pycache__").write_text("a file, so no folder")
    (tmp_path / "temporary").mkdir()
    return tmp_path / "site"


def run(package: Path) -> tuple[list[str], list[str]]:
    """What a process prints that compiles a loop and has no home; and the lines of its warnings."""
    nowhere = str(package / "zerodce/kernels/__pycache__/home")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    environment |= {"PYTHONPATH": str(package), "TMPDIR": str(package.parent / "temporary")}
    environment |= {"HOME": nowhere, "XDG_CACHE_HOME": nowhere}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=package.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), [line for line in done.stderr.splitlines() if "Warning" in line]


def test_machine_code_is_kept_in_a_temporary_folder_and_that_is_said_once(package: Path) -> None:
    folder = package.parent / "temporary" / f"zerodce-numba-{os.getuid()}"
    for hits in ("0", "1"):  # the second process finds what the first has compiled
        printed, warned = run(package)
        assert printed == ["0.25", hits]  # (1 + 1/2) * 2 / 4 - 1/2
        assert len(warned) == 1
        assert warned[0].endswith(f"can be written: compiled code is kept in {folder}")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_can_write_is_not_trusted(package: Path) -> None:
    folder = package.parent / "temporary" / f"zerodce-numba-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    printed, (warned,) = run(package)
    assert printed == ["0.25", "0"]
    assert warned.rpartition(" ")[2].startswith(str(package.parent / "temporary" / "zerodce-numba-"))
    assert not warned.endswith(folder.name)
    assert list((package.parent / "temporary").rglob("*")) == [folder]
