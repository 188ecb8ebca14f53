"""What the tests of pages share: a browser."""

import shutil

import pytest


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A headless Chromium."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip(
            "there is no Chromium with its chromedriver here (Debian: apt-get install chromium chromium-driver)"
        )
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --force-prefers-reduced-motion "
        f"--window-size=1400,1000 --user-data-dir={tmp_path_factory.mktemp('chromium')}"
    ).split(" "):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()
