"""The README's first command, on folders as people name them; nothing is run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("given", "called"), [("My Pictures", "My Pictures"), ("a/b", "a/b"), ("~/My Pictures", "/home/me/My Pictures")]
)
def test_any_folder_can_be_enhanced(given: str, called: str) -> None:
    make = shutil.which("make")
    assert make
    result = subprocess.run(
        [make, "--dry-run", "--no-print-directory", "enhance", f"INPUT={given}", f"OUTPUT={given} bright"],
        cwd=Path(__file__).parents[1],
        # what an outer make tells its children would come first: `make test` runs this
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | {"HOME": "/home/me"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.rstrip("\n").endswith(f' enhance "{called}" "{called} bright"')
