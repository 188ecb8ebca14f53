"""The report page of photos that lie beside their originals shows and links them there."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser


def test_the_page_links_the_photo_beside_its_original(chromium, tmp_path):
    photo = tmp_path / "photos" / "trip #1" / "50% ü.png"
    photo.parent.mkdir(parents=True)
    ramp = np.linspace(0, 40, 60).astype(np.uint8)
    Image.fromarray(np.tile(ramp[:, np.newaxis], (40, 1, 3))).save(photo)
    command = [sys.executable, "-m", "pipelines.cli", "enhance", photo.parents[1], tmp_path / "out", "--beside"]
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == 0
    chromium.get((tmp_path / "out" / "report.html").as_uri())
    links = {link.text: link.get_attribute("href") for link in chromium.find_elements("css selector", "#facts a")}
    assert links == {
        "Enhanced": (photo.parent / "50% ü_bright.png").as_uri(),
        "Original": photo.as_uri(),
        "Autocontrast": (tmp_path / "out" / "autocontrast" / "trip #1" / "50% ü_bright.png").as_uri(),
    }
    assert all((tmp_path / "photos" / "trip #1" / name).exists() for name in ("50% ü.png", "50% ü_bright.png"))
