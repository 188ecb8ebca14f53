"""What a person and a program see while a job works, where there is no terminal."""

import json

import pytest

from pipelines import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose only element is the time."""
    now = [100.0]
    monkeypatch.setattr("pipelines.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_every_few_seconds(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Reporter(8, "photos") as reporter:
        clock[0] += 4
        reporter.advance(12.0, failed=0)
        reporter.show()
        assert capsys.readouterr().err == ""
        clock[0] += 2
        reporter.advance(0.0, failed=1)
        reporter.show()
        reporter.show()
    assert capsys.readouterr().err == "2 of 8 photos, 1 failed, 2.0 MP/s, 18 s left\n"


def test_without_megapixels_the_elements_are_the_rate(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Reporter(8, "images") as reporter:
        clock[0] += 5
        reporter.advance(0, failed=0, elements=4)
        reporter.show()
    assert capsys.readouterr().err == "4 of 8 images, 0.8 images/s, 5 s left\n"


def test_json_lines(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Reporter(8, "photos", as_json=True) as reporter:
        clock[0] += 10
        reporter.show()
        clock[0] += 10
        reporter.advance(50.0, failed=0, elements=4)
        reporter.show()
    said = capsys.readouterr()
    assert said.err == ""
    first, second = map(json.loads, said.out.splitlines())
    assert first["seconds_left"] is None
    assert second == {
        "event": "progress",
        "done": 4,
        "total": 8,
        "failed": 0,
        "megapixels_per_second": 2.5,
        "seconds_left": 20,
    }
