"""Which files of a watched folder are complete, and when a batch begins: with a clock and listings made by hand."""

import threading
from collections.abc import Iterator

import click
import pytest

from pipelines.enhance import watching
from pipelines.enhance.settings import EnhanceSettings
from pipelines.enhance.watching import Arrivals, batches
from pipelines.folders import Listing
from pipelines.storage import Entry


def test_a_file_is_complete_when_it_has_not_changed_for_five_seconds() -> None:
    arrivals = Arrivals()
    small, large = Entry("a.jpg", 10, 1.0), Entry("a.jpg", 20, 2.0)
    assert arrivals.complete([small], 100.0) == []
    assert arrivals.complete([small], 104.9) == []
    assert arrivals.complete([large], 105.1) == []  # it has grown
    assert arrivals.complete([large], 110.0) == []
    assert arrivals.complete([large], 110.1) == [large]
    assert arrivals.complete([large], 110.2) == [large]


def test_a_file_that_is_replaced_counts_as_its_former_version_until_then() -> None:
    former, new, newer = (Entry("a.jpg", 10, time) for time in (1.0, 2.0, 3.0))
    arrivals = Arrivals([former])
    assert arrivals.complete([former], 0.0) == [former]
    assert arrivals.complete([new], 2.0) == [former]
    assert arrivals.complete([newer], 6.9) == [former]
    assert arrivals.complete([newer], 11.8) == [former]
    assert arrivals.complete([newer], 11.9) == [newer]


def test_a_file_that_vanishes_is_forgotten() -> None:
    entry, other = Entry("a.jpg", 10, 1.0), Entry("b.jpg", 10, 1.0)
    arrivals = Arrivals([entry, other])
    assert arrivals.complete([other], 0.0) == [other]
    assert arrivals.complete([entry, other], 1.0) == [other]
    assert arrivals.complete([entry, other], 6.0) == [entry, other]


def test_a_batch_begins_when_a_file_is_complete_and_never_because_files_vanish(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, c, c2 = Entry("a", 1, 1.0), Entry("b", 1, 1.0), Entry("c", 1, 1.0), Entry("c", 2, 2.0)
    at_first, away = [[a], [a, b], [a, b], [a, b]], [None, None, []]  # seconds 0, 3, 6, 9; 12, 15, 18
    back = [[b, c], [b, c], [b, c], [b, c2], [b, c2], [b, c2], [b, c2], [b]]  # seconds 21, 24, 27; from 30
    listings = [*at_first, *away, *back]
    clock, stop = iter(range(0, 1000, 3)), threading.Event()
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.0)

    def monotonic() -> Iterator[float]:  # three seconds from one listing to the next, which takes no time
        for now in clock:
            yield float(now)
            yield float(now)

    times = monotonic()
    monkeypatch.setattr(watching.time, "monotonic", lambda: next(times))

    def find() -> watching.Found:
        entries = listings.pop(0)
        if not listings:
            stop.set()
        if entries is None:
            raise click.UsageError("the share is away")
        return Listing("photos", entries, {".txt": 1}), {}

    found = [listing.entries for listing, _ in batches(find, [a], stop)]
    assert found == [[a], [a, b], [b, c], [b, c2]]
    assert capsys.readouterr().err == "Waiting: the share is away\n"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"runner": "FlinkRunner"}, "--watch works on this machine only: leave out --watch, or --runner FlinkRunner"),
        ({"dry_run": True}, "--watch and --dry-run exclude each other"),
        ({"pairs": "pairs.csv"}, "--watch and --pairs exclude each other"),
        ({"files": "list.txt"}, "--watch and --files exclude each other"),
    ],
)
def test_it_does_not_go_with_everything(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(click.UsageError, match=reason):
        watching.refuse(EnhanceSettings(watch=True, **settings))
    watching.refuse(EnhanceSettings(watch=True))
