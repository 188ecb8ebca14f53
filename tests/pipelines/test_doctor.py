"""What `zerodce doctor` finds, says, and ends with."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines import cli, memory, storage, versions
from pipelines.doctor import checks, command
from pipelines.photos import formats
from pipelines.photos.writing import WRITERS

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {"seconds": 1.5, "error": "", "fix": ""}


@pytest.fixture
def without_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "check_enhancing", lambda: GOOD)
    monkeypatch.setattr(cli, "silence_libraries", lambda: None)


def report_of(folder: Path) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(cli.main, ["doctor", "--json", str(folder)])
    return result.exit_code, json.loads(result.output)


@pytest.mark.slow
def test_the_command_enhances_a_photo_and_leaves_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"ZERODCE_ENHANCE_DRY_RUN": "1"}  # of the user's archive; the trial is none
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "doctor", "--json", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["works"], report["to_do"], report["enhancing"]["error"]) == (True, [], "")
    assert report["versions"] == versions.of_installation()
    assert report["memory"]["limit"] == memory.available()
    assert report["memory"]["for_photos"] == max(256 * 2**20, memory.available() - 350 * 2**20)
    assert report["memory"]["photos_of_24_megapixels"] == report["memory"]["for_photos"] // 576_000_000
    assert report["processor"]["cores"] == os.cpu_count()
    assert report["folder"]["write_mb_per_second"] > 0
    assert not list(tmp_path.iterdir())


def test_all_formats_that_are_written_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    found = checks.check_formats()
    for name in ("JPEG", "PNG", "WebP", "TIFF", "BMP", "JPEG2000"):
        assert found[name] == {"read": "yes", "write": "yes"}
    assert {format_.label for format_ in formats.FORMATS.values()} == {n for n, f in found.items() if "write" in f}
    assert found["GIF"] == {"read": "yes"}
    assert ("HEIF" in found) == versions.installed("pillow-heif")
    assert not {"PDF", "EPS", "RAW", "WEBP"} & found.keys()

    def broken(*_: object) -> bytes:
        raise OSError("encoder error -2")

    monkeypatch.setitem(WRITERS, "PNG", broken)
    monkeypatch.setitem(WRITERS, "TIFF", lambda *_: b"no image")
    found = checks.check_formats()
    assert found["PNG"] == {"read": "no file to read", "write": "OSError: encoder error -2"}
    assert found["TIFF"] == {"read": "not an image, or damaged at the start", "write": "yes"}
    assert found["JPEG"] == {"read": "yes", "write": "yes"}


@pytest.mark.usefixtures("without_trial")
def test_a_needed_format_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WRITERS, "PNG", lambda *_: b"no image")
    code, report = report_of(tmp_path)
    assert code == 1
    assert report["to_do"] == [
        "PNG does not work (not an image, or damaged at the start): pip install --force-reinstall zerodce"
    ]
    monkeypatch.undo()
    monkeypatch.setattr(checks, "check_enhancing", lambda: GOOD)
    monkeypatch.setitem(WRITERS, "TIFF", lambda *_: b"no image")
    code, report = report_of(tmp_path)
    assert (code, report["works"]) == (0, True)  # photos of other formats can be enhanced


@pytest.mark.usefixtures("without_trial")
def test_a_full_disk_is_said_and_the_probe_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(paths: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage, "sync", full)
    result = CliRunner().invoke(cli.main, ["doctor", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == (
        f"To do: {tmp_path} cannot be written (No space left on device): name another folder, or make room in it"
    )
    assert "Enhancing works here" not in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("without_trial")
def test_the_lines_for_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "check_gpu", lambda: {"seen": ["NVIDIA H100"], "usable_by_tensorflow": 0})
    monkeypatch.setattr(versions, "installed", lambda name: name not in ("rawpy", "keras", "tensorflow"))
    monkeypatch.setattr(
        checks, "check_memory", lambda: {"limit": 2e9, "for_photos": 15e8, "photos_of_24_megapixels": 2}
    )
    result = CliRunner().invoke(cli.main, ["doctor", str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = {line[:12].strip(): line[12:] for line in result.output.splitlines()}
    assert lines["[heif]"] == "HEIC photos: installed"
    assert lines["[raw]"] == "camera RAW: without rawpy; pip install 'zerodce[raw]'"
    assert lines["[train]"].endswith("without keras, tensorflow; pip install 'zerodce[train]'")
    assert lines["writes"] == ", ".join(format_.label for format_ in formats.FORMATS.values())
    assert "camera RAW" not in lines["reads"]
    assert lines["backend"] == "numpy"
    assert lines["GPU"] == (
        "NVIDIA H100. enhance works on the processor and does not use it. TensorFlow can use 0 of 1 to train."
    )
    assert lines["memory"] == (
        "2.0 GB; 1.5 GB for the photos in work, room for 2 of 24 megapixels at a time (--max-memory sets less)"
    )
    assert lines["folder"].startswith(f"{tmp_path}, ")
    assert lines["folder"].endswith(" MB/s")
    assert lines["enhance"] == "a small photo took 1.5 s, start included"
    assert result.output.splitlines()[-1] == "Enhancing works here."


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_wrong_folder_is_a_wrong_argument(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "doctor", str(tmp_path / name)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {tmp_path / name} is not a folder: name one that exists\n"


def test_a_package_that_cannot_be_imported_is_a_line() -> None:
    code = "import sys; sys.modules['llvmlite'] = None; from pipelines import cli; cli.main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "llvmlite" in done.stderr
    assert done.stderr.endswith(": pip install --force-reinstall zerodce\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_an_enhancing_that_fails_says_its_last_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apache_beam.py").write_text("raise ImportError('libbroken.so: no such file')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    found = checks.check_enhancing()
    assert found["error"] == "ImportError: libbroken.so: no such file"
    assert found["fix"] == "pip install --force-reinstall zerodce"


def test_a_temporary_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(checks.tempfile, "TemporaryDirectory", refused)
    found = checks.check_enhancing()
    assert "No usable temporary directory" in found["error"]
    assert found["fix"] == "set TMPDIR to a folder that can be written"


def test_gpus_are_seen_without_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_nvidia_names", list)
    monkeypatch.setattr(checks, "_ask_tensorflow", lambda: None)
    for name, kind, vendor in (
        ("0000:00:02.0", "0x030000", "0x8086"),
        ("0000:17:00.0", "0x030200", "0x10de"),
        ("0000:18:00.0", "0x020000", "0x10de"),  # a network card
        ("0000:19:00.0", "0x030000", "0x1234"),  # the screen of a virtual machine
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "class").write_text(f"{kind}\n")
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
    assert checks.check_gpu(tmp_path)["seen"] == ["Intel (0000:00:02.0)", "NVIDIA (0000:17:00.0)"]
    assert checks.check_gpu(tmp_path / "no") == {"seen": [], "usable_by_tensorflow": None}


def test_nvidia_names_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    asked = "[ \"$1 $2\" = '--query-gpu=name --format=csv,noheader' ]"
    program.write_text(f"#!/bin/sh\n{asked} && echo 'NVIDIA A' && echo 'NVIDIA B'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(checks, "_ask_tensorflow", lambda: 1)
    monkeypatch.setattr(versions, "installed", lambda name: True)
    assert checks.check_gpu() == {"seen": ["NVIDIA A", "NVIDIA B"], "usable_by_tensorflow": 1}
    program.write_text("#!/bin/sh\necho 'no driver' && exit 9\n")
    assert checks._nvidia_names() == []


@pytest.mark.slow
def test_machine_code_in_a_temporary_folder_does_not_last(tmp_path: Path) -> None:
    """In a process with a copy of the package, beside which nothing can be written, and without a home."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "zerodce", site / "zerodce", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "zerodce/kernels/__pycache__").write_text("a file, so no folder")
    nowhere = str(site / "zerodce/kernels/__pycache__/home")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    environment |= {"PYTHONPATH": f"{site}:{ROOT}", "HOME": nowhere, "XDG_CACHE_HOME": nowhere}
    code = "import json; from pipelines.doctor import checks; print(json.dumps(checks.check_kernels()))"

    def found(**more: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment | more, capture_output=True, text=True
        )
        assert done.stderr == ""
        return json.loads(done.stdout)

    place = found(TMPDIR=str(tmp_path))
    assert place["folder"].startswith(f"{tmp_path}/zerodce-numba-{os.getuid()}/")
    assert not place["lasts"]
    assert command._kernels(place).endswith("set NUMBA_CACHE_DIR to a folder that lasts, or each boot compiles")
    place = found(NUMBA_CACHE_DIR=str(tmp_path / "code"))
    assert place["folder"].startswith(f"{tmp_path}/code/")
    assert place["lasts"]
