"""The page of `zerodce try` in a headless Chromium, opened from a disk."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

NAMES = ("<img src=x onerror=hacked=1>.png", "it's dark.png")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A page with two photos and a file that is none."""
    folder = tmp_path_factory.mktemp("try") / "some photos"
    folder.mkdir()
    ramp = np.linspace(0, 40, 300).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 12, (200, 300, 3), dtype=np.uint8)
    for name in NAMES:
        Image.fromarray(ramp[:, np.newaxis] + noise).save(folder / name)
    (folder / "text.jpg").write_text("</script><script>hacked=1</script>")
    page = folder.parent / "page.html"
    command = [sys.executable, "-m", "pipelines.cli", "try", *sorted(folder.iterdir()), "--out", page]
    assert subprocess.run(command, timeout=300).returncode == 1
    return page


@pytest.fixture
def page(chromium, out):
    chromium.get_log("browser")
    chromium.get(out.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return typeof hacked") == "undefined"


def all_of(page, selector):
    return page.find_elements("css selector", selector)


def pressed(page):
    return [button.get_attribute("aria-label") for button in all_of(page, ".version[aria-pressed=true]")]


def shown(page, selector, script):
    """A property of each photo's element."""
    found = f"[...document.querySelectorAll('.photo')].map((photo) => photo.querySelector('{selector}'))"
    return page.execute_script(f"return {found}.map((found) => found.{script})")


def test_all_is_on_the_page(page, out):
    folder = out.parent / "some photos"
    assert [title.text for title in all_of(page, ".photo h2")] == [
        f"{folder}/{name}300 × 200, 0.1 MP, brightness 0.10"  # noqa: RUF001
        for name in NAMES
    ]
    assert [line.text for line in all_of(page, "#failures li")] == [
        f"{folder}/text.jpg: not an image, or damaged at the start"
    ]
    assert len(all_of(page, ".version")) == 2 * 12
    widths = page.execute_script("return [...document.images].map((image) => image.complete && image.naturalWidth)")
    assert set(widths) == {300}


def test_a_click_gives_the_command_for_all_photos(page, out):
    folder = out.parent / "some photos"
    command = f"zerodce enhance '{folder}' '{folder}-enhanced'"
    assert page.find_element("id", "command").text == command
    assert pressed(page) == ["Look natural, strength 1, noise removed"] * 2
    before = shown(page, "[data-kind=part]", "src")
    page.find_element("css selector", "[aria-label='Look bright, strength 1.5, noise kept']").click()
    assert page.find_element("id", "command").text == f"{command} --look bright --strength 1.5 --denoise off"
    assert pressed(page) == ["Look bright, strength 1.5, noise kept"] * 2
    after = shown(page, "[data-kind=part]", "src")
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert after == shown(page, ".version[aria-pressed=true] .part", "src")
    assert shown(page, "[data-kind=whole]", "src") == shown(page, ".version[aria-pressed=true] .whole", "src")
    for line, index in (("--strength 0.5", 0), ("--denoise off", 4), ("--look bright", 7)):
        all_of(page, ".version")[12 + index].click()  # of the second photo
        assert page.find_element("id", "command").text == f"{command} {line}"


def test_the_command_is_copied(page):
    from selenium.webdriver import ActionChains, Keys

    page.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    all_of(page, ".version")[2].click()
    page.find_element("id", "copy").click()
    page.execute_script("document.getElementById('copy').insertAdjacentHTML('afterend', '<input id=paste>')")
    page.find_element("id", "paste").click()
    ActionChains(page).key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()
    command = page.find_element("id", "command").text
    assert command.endswith("--strength 1.5")
    assert page.find_element("id", "paste").get_attribute("value") == command
    assert page.find_element("id", "copy").text == "Copied"
    all_of(page, ".version")[0].click()
    assert page.find_element("id", "copy").text == "Copy"


def test_the_part_is_never_scaled(page):
    for selector in (".parts img", ".version .part"):
        assert set(shown(page, selector, "computedStyleMap().get('object-fit').toString()")) == {"none"}


def test_the_boundary_follows_the_keyboard(page):
    from selenium.webdriver import Keys

    handle = all_of(page, ".handle")[1]
    handle.send_keys(Keys.HOME, Keys.PAGE_UP)
    assert [each.get_attribute("aria-valuenow") for each in all_of(page, ".handle")] == ["50", "10"]


@pytest.mark.parametrize("width", [390, 1400])
def test_it_fits(page, width):
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 900}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        bar = page.find_element("id", "bar").rect
        assert bar["y"] + bar["height"] == pytest.approx(844 + page.execute_script("return scrollY"), abs=1)
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
