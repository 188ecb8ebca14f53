"""The report in a real browser, opened from the disk as a person opens it."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from PIL import Image

from pipelines.enhance import report

HOSTILE = [
    "<img src=x onerror=hacked=1>.png",
    "\"double\" & 'single' quotes.png",
    "50% off #1, what?.png",
    "日本語 ünïcode 😀.png",
    os.fsdecode(b"caf\xe9 latin-1.png"),
    "javascript:hacked=1;a=b.png",
]
COUNT = 120
PAGE = 50
NAMES = sorted([f"folder/{i:03}.png" for i in range(COUNT - len(HOSTILE))] + [f"odd/{name}" for name in HOSTILE])
# a byte that is no UTF-8 is shown as a replacement character
SHOWN = [os.fsencode(name).decode("utf-8", "replace") for name in NAMES]
FAILURES = [
    {"path": "broken/<b>bold</b>.jpg", "stage": "decode", "error": "image file is truncated </script><script>hacked=1"},
    {"path": "broken/huge.png", "stage": "too_large", "error": "900 MP are more than --max-pixels"},
]

pytestmark = pytest.mark.browser


def brightness(index: int) -> float:
    return round((37 * index % COUNT) / 1000 + 0.1, 3)  # every photo another one, in no order


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder of 120 photos; those with hostile names have no thumbnails, so the page shows their full-size files."""
    root = tmp_path_factory.mktemp("report #1 100% ü")
    out, photos = root / "out", root / "photos"
    dark, bright = Image.new("RGB", (60, 40), (20, 20, 60)), Image.new("RGB", (60, 40), (90, 120, 200))
    rows = []
    for i, name in enumerate(NAMES):
        row = {
            "path": name,
            "output": name,
            "width": 60,
            "height": 40,
            "mean_input": brightness(i),
            "mean_enhanced": brightness(i) + 0.2,
            "psnr_enhanced_db": float("inf") if i == 3 else 10 + i / 10,
            "psnr_autocontrast_db": None if i == 4 else 30.0,
            "exposure": 0.6,
            "notes": "first frame of 12; alpha dropped" if i in (5, 70) else "",
        }
        for kind, psnr, ssim in (("input", 8.123, 0.2), ("enhanced", 18.456, 0.66), ("autocontrast", 14.789, 0.51)):
            row[f"psnr_{kind}_reference_db"] = psnr if i == 2 else None
            row[f"ssim_{kind}_reference"] = ssim if i == 2 else None
        rows.append(row)
        if name.startswith("folder/"):
            report.write_thumbnails(str(out), row, dark, bright, dark)
        for path, image in (
            (photos / name, dark),
            (out / "enhanced" / name, bright),
            (out / "autocontrast" / name, dark),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_EXTREMES", 0)
        patch.setattr(report, "_CHUNK", 48)
        counts = {"found": COUNT + 2, "enhanced": COUNT, "skipped": 0, "failed": 2, "ignored": 1}
        run = {"counts": counts, "megapixels": 210.0, "seconds": 3.0, "settings": {"curve_size": "auto"}}
        report.write_report(str(out), str(photos), rows, FAILURES, run)
    return out


class Page:
    """What the tests do with the page."""

    def __init__(self, browser, out: Path) -> None:
        self.browser = browser
        browser.get((out / "report.html").as_uri())
        self.wait(lambda: self.text("#shown").endswith(f"of {COUNT}"))

    def wait(self, condition):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 10, poll_frequency=0.02).until(lambda _: condition())

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def text(self, selector):
        return self.one(selector).text

    def click(self, selector):
        self.one(selector).click()

    def press(self, selector, *keys):
        self.one(selector).send_keys(*keys)

    def filter(self, text):
        from selenium.webdriver import Keys

        self.press("#text", Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE, text)

    def evaluate(self, expression):
        return self.browser.execute_script(f"return {expression}")

    def names(self):
        return self.evaluate("[...document.querySelectorAll('tbody .name button')].map((b) => b.textContent)")

    def column(self, number):
        cells = f"[...document.querySelectorAll('tbody td:nth-child({number})')]"
        return self.evaluate(f"{cells}.map((cell) => cell.textContent.replace(' dB', ''))")

    def clip(self):
        """Width of the part of the stage that shows the photo before, in percent, as the browser computed it."""
        inset = self.evaluate("getComputedStyle(document.getElementById('before')).clipPath")
        hidden = inset.split()[1]
        if "calc" not in inset:
            return 100 - float(hidden.rstrip("%"))
        split = self.evaluate("getComputedStyle(document.getElementById('compare')).getPropertyValue('--split')")
        return float(split.rstrip("%"))

    def loaded(self, selector):
        return self.evaluate(f"document.querySelector('{selector}').complete") and self.evaluate(
            f"document.querySelector('{selector}').naturalWidth"
        )


@pytest.fixture
def page(chromium, out):
    chromium.get_log("browser")
    page = Page(chromium, out)
    yield page
    assert chromium.get_log("browser") == []
    assert page.evaluate("typeof hacked") == "undefined"


def test_summary_and_first_photo(page):
    assert page.text("h1") == "120 photos enhanced"
    tiles = dict(reversed(tile.text.split("\n")) for tile in page.all("#counts div"))
    assert tiles == {
        "found": "122",
        "enhanced now": "120",
        "failed": "2",
        "not photos": "1",
        "megapixels": "210",
        "MP/s": "70",
    }
    assert page.text("#name") == NAMES[0]
    assert page.wait(lambda: page.loaded("#before") == page.loaded("#after") == 60)
    assert "0.100 → 0.300" in page.text("#facts")
    assert page.one("#brightness").is_displayed()
    assert page.text("#shown") == "1 to 50 of 120"
    assert not page.one("#notice").is_displayed()
    page.click("summary")
    assert "curve_size\nauto" in page.text("#made")


def test_dragging_the_slider_moves_the_boundary(page):
    from selenium.webdriver import ActionChains

    stage = page.one("#compare")
    assert page.clip() == 50
    width = stage.size["width"]

    def mouse():
        return ActionChains(page.browser, duration=20)

    quarter = round(width / 4)
    mouse().move_to_element(page.one("#handle")).click_and_hold().move_by_offset(-quarter, 10).release().perform()
    assert page.clip() == pytest.approx(25, abs=0.5)
    mouse().click_and_hold().move_by_offset(-quarter, 0).move_by_offset(-15, 0).release().perform()  # beyond the edge
    assert page.clip() == 0
    mouse().move_to_element_with_offset(stage, quarter, 0).perform()
    assert page.clip() == 0  # let go: it does not follow
    mouse().click().perform()
    assert page.clip() == pytest.approx(75, abs=0.5)
    assert page.one("#handle").get_attribute("aria-valuenow") == "75"


def test_a_finger_moves_the_boundary(page):
    box = page.evaluate("(({x, y, width, height}) => [x, y, width, height])(compare.getBoundingClientRect())")
    x, y, width, height = box

    def touch(kind, *points):
        points = [{"x": x + width * share, "y": y + height / 2} for share in points]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.5)
    for share in (0.45, 0.4, 0.3, 0.2):
        touch("touchMove", share)
    touch("touchEnd")
    assert page.clip() == pytest.approx(20, abs=1)


def test_the_keyboard_moves_the_boundary_and_the_photo(page):
    from selenium.webdriver import Keys

    page.press("#handle", Keys.ARROW_LEFT)
    assert page.clip() == 48
    page.press("#handle", Keys.PAGE_UP, Keys.ARROW_RIGHT)
    assert page.clip() == 60
    page.press("#handle", Keys.HOME)
    assert page.clip() == 0
    page.press("#handle", Keys.ARROW_LEFT, Keys.END)
    assert page.clip() == 100
    assert page.one("#handle").get_attribute("aria-valuetext") == "100 % before, 0 % after"
    page.press("body", "n", "n", "p")
    assert page.text("#name") == NAMES[1]
    assert page.text("tr[aria-current] .name") == NAMES[1]
    page.press("body", "/")
    page.browser.switch_to.active_element.send_keys("nnp")
    assert page.one("#text").get_attribute("value") == "nnp"  # a letter typed is no command
    assert page.text("#name") == NAMES[1]
    page.wait(lambda: page.text("#empty") == "Nothing here is called “nnp”.")
    page.filter("")
    page.wait(lambda: len(page.names()) == PAGE)
    page.press("tbody tr:nth-child(4) button", Keys.ENTER)
    assert page.text("#name") == NAMES[3]


def test_sorting(page):
    by_brightness = sorted(range(COUNT), key=brightness)
    page.click("[data-sort=mean_input]")
    assert page.names() == [SHOWN[i] for i in by_brightness[:PAGE]]
    assert page.column(3) == [f"{brightness(i):.3f}" for i in by_brightness[:PAGE]]
    assert page.one("th:has([data-sort=mean_input])").get_attribute("aria-sort") == "ascending"
    page.click("[data-sort=mean_input]")
    assert page.names() == [SHOWN[i] for i in by_brightness[: -PAGE - 1 : -1]]
    page.click("[data-sort=psnr_enhanced_db]")
    page.click("[data-sort=psnr_enhanced_db]")
    assert page.column(5)[:2] == ["∞", "21.9"]
    page.click("[data-sort=psnr_autocontrast_db]")  # 30 dB all but one, which has none and comes last
    page.click("[data-page=last]")
    assert page.column(6)[-2:] == ["30.0", "–"]  # noqa: RUF001
    page.click("tbody tr:last-child")
    assert page.text("#name") == NAMES[4]
    assert not page.one("#autocontrast").is_displayed()
    page.click("[data-sort=path]")
    page.click("[data-sort=path]")
    assert page.names() == SHOWN[: -PAGE - 1 : -1]


def test_paging(page):
    assert page.names() == NAMES[:PAGE]
    assert not page.one("[data-page=previous]").is_enabled()
    page.click("[data-page=next]")
    assert page.names() == NAMES[PAGE : 2 * PAGE]
    assert page.text("#shown") == "51 to 100 of 120"
    page.click("[data-page=next]")
    assert page.names() == SHOWN[2 * PAGE :]
    assert not page.one("[data-page=last]").is_enabled()
    page.browser.execute_script(
        "const p = document.getElementById('page'); p.value = 2; p.dispatchEvent(new Event('change'))"
    )
    assert page.names() == NAMES[PAGE : 2 * PAGE]
    page.click("tbody tr:last-child")
    page.click("#next")  # steps on to the next page
    assert page.text("#name") == NAMES[2 * PAGE]
    assert page.text("#shown") == "101 to 120 of 120"


def test_filters(page):
    page.filter("FOLDER/00")
    page.wait(lambda: page.text("#shown") == "1 to 10 of 10")
    assert page.names() == [f"folder/{i:03}.png" for i in range(10)]
    assert not page.one("#pager").is_displayed()
    page.filter("alpha dropped")
    page.wait(lambda: page.text("#shown") == "1 to 2 of 2")
    page.filter("")
    page.wait(lambda: page.text("#shown").endswith("of 120"))
    page.click("[data-kind=notes]")
    assert page.names() == [NAMES[5], NAMES[70]]
    assert page.text("[data-kind=notes]") == "With notes2"
    page.click("tbody tr")
    assert [item.text for item in page.all("#facts li")] == ["first frame of 12", "alpha dropped"]


def test_scores_against_a_reference(page):
    assert page.column(7)[1:4] == ["–", "18.46", "–"]  # noqa: RUF001
    assert page.column(8)[1:4] == ["–", "0.660", "–"]  # noqa: RUF001
    page.click("tbody tr:nth-child(3)")
    lines = [row.text for row in page.all(".reference tbody tr")]
    assert lines == ["input 8.12 dB 0.200", "autocontrast 14.79 dB 0.510", "enhanced 18.46 dB 0.660"]
    page.click("tbody tr:nth-child(4)")
    assert not page.all(".reference")


def test_failures(page):
    page.click("[data-kind=failures]")
    assert page.names() == [failure["path"] for failure in FAILURES]
    assert page.column(2) == ["decode", "too large"]
    assert page.column(3) == [failure["error"] for failure in FAILURES]
    page.click("[data-sort=stage]")
    page.click("[data-sort=stage]")
    assert page.column(2) == ["too large", "decode"]
    page.filter("truncated")
    page.wait(lambda: page.names() == [FAILURES[0]["path"]])
    page.click("tbody tr")
    assert page.text("#name") == FAILURES[0]["path"]
    assert FAILURES[0]["error"] in page.text("#facts")
    page.wait(lambda: page.one("#unseen").is_displayed())  # this original is not there
    logged = page.browser.get_log("browser")
    assert [entry["source"] for entry in logged] == ["network"]


def test_hostile_names_are_shown_and_linked_as_they_are(page, out):
    page.filter("odd/")
    page.wait(lambda: len(page.names()) == len(HOSTILE))
    assert page.names() == [name for name in SHOWN if name.startswith("odd/")]
    hostile = [pair for pair in zip(NAMES, SHOWN, strict=True) if pair[0].startswith("odd/")]
    for row, (name, shown) in enumerate(hostile, 1):
        page.click(f"tbody tr:nth-child({row}) button")
        assert page.text("#name") == shown
        page.wait(lambda: page.loaded("#before") == page.loaded("#after") == page.loaded("#autocontrast img") == 60)
        links = {link.text: urlsplit(link.get_attribute("href")) for link in page.all("#facts a")}
        expected = {
            "Enhanced": out / "enhanced" / name,
            "Original": out.parent / "photos" / name,
            "Autocontrast": out / "autocontrast" / name,
        }
        assert {label: Path(os.fsdecode(unquote_to_bytes(link.path))) for label, link in links.items()} == expected
        assert all(link.scheme == "file" and not link.query and not link.fragment for link in links.values())


def test_fits_a_phone(page):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.one("#compare").size["width"] == 390
        page.click("[data-sort=mean_enhanced]")
        assert page.names()[0] == NAMES[min(range(COUNT), key=brightness)]
        page.click("[data-kind=failures]")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_very_large_run_is_shown_in_part_and_opens_soon(chromium, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_SAMPLE", 100)
    monkeypatch.setattr(report, "THUMBNAILS", 100)
    monkeypatch.setattr(report, "SHOWN", 1000)
    row: dict[str, Any] = dict.fromkeys(("mean_input", "mean_enhanced", "psnr_enhanced_db", "exposure"), 0.5)
    row |= {"width": 60, "height": 40, "psnr_autocontrast_db": None, "notes": ""}
    rows = [{"path": f"{i:05}.jpg", "output": f"{i:05}.jpg", **row} for i in range(20_000)]
    failures = [{"path": f"{i}.jpg", "stage": "decode", "error": "it is no photo"} for i in range(1001)]
    report.write_report(str(tmp_path), str(tmp_path / "photos"), rows, failures, {"counts": {"found": 21_001}})
    chromium.get((tmp_path / "report.html").as_uri())
    part = chromium.find_element("id", "part").text
    assert re.match(r"1\d\d of 20,000 photos are shown: an even sample, and the darkest, ", part)
    assert part.endswith("The first 1,000 of 1,001 failures are shown. The table failures.csv has all.")
    assert chromium.find_element("css selector", "h1").text == "20,000 photos enhanced"
    assert chromium.find_element("css selector", "b.before").text == "before (mean 0.50)"
    chromium.get_log("browser")  # there are no photos


def test_without_photos(chromium, tmp_path):
    counts = {"found": 0, "enhanced": 0, "skipped": 0, "failed": 0, "ignored": 3}
    report.write_report(str(tmp_path), str(tmp_path), [], [], {"counts": counts, "interrupted": True})
    chromium.get((tmp_path / "report.html").as_uri())
    assert chromium.find_element("css selector", "h1").text == "No photo enhanced"
    assert chromium.find_element("id", "empty").text == "There is no photo to show."
    assert chromium.find_element("id", "notice").text == "The run was interrupted; start it again and it goes on."
    assert not chromium.find_element("id", "viewer").is_displayed()
    assert chromium.get_log("browser") == []
