"""Rejecting enhanced photos: chosen on the report page in Chromium, saved as a list, honoured by the next run."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

NAMES = sorted(["#1.png", os.fsdecode(b"caf\xe9.png"), "evening/💀 ü.png", "night.png", "two\nlines.png"])
COMMENT = b"# Photos that stay as they are: zerodce enhance PHOTOS OUT --keep-original keep-original.txt\n"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.linspace(0, 40 + number, 60).astype(np.uint8)
        Image.fromarray(np.tile(ramp[:, np.newaxis], (40, 1, 3))).save(path, "PNG")
    return folder


def enhance(photos, *options):
    """Runs the command; returns the counts, and the names of the photos that are unchanged."""
    out = photos.parent / "out"
    command = [sys.executable, "-m", "pipelines.cli", "enhance", photos, out, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with open(out / "metrics.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        unchanged = {row["path"] for row in csv.DictReader(file) if row["psnr_enhanced_db"] == "inf"}
    return json.loads((out / "run.json").read_text())["counts"], unchanged


class Report:
    """The page of a run."""

    def __init__(self, browser, out):
        from selenium.webdriver.support.ui import WebDriverWait

        self.browser, self.out = browser, out
        self.waiting = WebDriverWait(browser, 10, poll_frequency=0.02)
        downloads = {"behavior": "allow", "downloadPath": str(out.parent)}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
        self.open()

    def open(self):
        self.browser.get((self.out / "report.html").as_uri())
        self.waiting.until(lambda _: self.text("#shown").endswith(f"of {len(NAMES)}"))

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def text(self, selector):
        return self.one(selector).text

    def select(self, number):
        self.one(f"tbody tr:nth-child({number + 1})").click()

    def pressed(self):
        found = []
        for number in range(len(NAMES)):
            self.select(number)
            if self.one("#keep").get_attribute("aria-pressed") == "true":
                found.append(NAMES[number])
        return found

    def download(self):
        path = self.out.parent / "keep-original.txt"
        path.unlink(missing_ok=True)
        self.one("#kept-list").click()
        self.waiting.until(lambda _: path.exists() and path.stat().st_size)
        return path


def test_rejected_photos_are_kept_by_the_next_run(chromium, photos):
    out = photos.parent / "out"
    counts, unchanged = enhance(photos)
    assert (counts["enhanced"], unchanged) == (len(NAMES), set())
    report = Report(chromium, out)
    assert not report.one("#kept").is_displayed()
    assert not report.pressed()

    report.select(0)
    report.one("#keep").click()
    assert report.text("#kept-count") == "1 original to keep."
    for number in (1, 2, 3):
        report.select(number)
        report.one("body").send_keys("k")
    report.one("body").send_keys("k")  # and changes the mind about night.png
    assert report.text("#kept-count") == "3 originals to keep."
    report.select(4)
    assert not report.one("#keep").is_displayed()  # a list has one name on each line
    report.open()
    assert report.pressed() == NAMES[:3]  # after a reload
    report.one("[data-kind=kept]").click()
    assert report.text("#shown") == "1 to 3 of 3"
    assert report.text("[data-kind=kept]") == "To keep3"
    assert len(chromium.find_elements("css selector", "tbody .mark")) == 3
    listed = report.download()
    assert listed.read_bytes() == COMMENT + b"./#1.png\ncaf\xe9.png\n" + "evening/💀 ü.png\n".encode()

    counts, unchanged = enhance(photos, "--keep-original", listed)
    assert (counts["enhanced"], counts["skipped"], unchanged) == (3, 2, set(NAMES[:3]))
    for name in NAMES[:3]:
        assert (out / "enhanced" / name).read_bytes() == (photos / name).read_bytes()
    report.open()
    assert report.pressed() == NAMES[:3]
    assert not report.one("#kept-next").is_displayed()  # the run has done it
    assert chromium.execute_script("return choices.size") == 0

    chromium.execute_script("localStorage.clear()")
    report.open()
    report.select(1)
    report.one("body").send_keys("k")
    assert report.text("tbody tr:nth-child(2) .mark") == "Enhance again"
    listed = report.download()  # the rest of the list is not lost with the browser's memory
    assert listed.read_bytes() == COMMENT + b"./#1.png\n" + "evening/💀 ü.png\n".encode()
    counts, unchanged = enhance(photos, "--keep-original", listed)
    assert (counts["enhanced"], counts["skipped"], unchanged) == (1, 4, {NAMES[0], NAMES[2]})
    report.open()
    assert report.pressed() == [NAMES[0], NAMES[2]]
    assert chromium.get_log("browser") == []
