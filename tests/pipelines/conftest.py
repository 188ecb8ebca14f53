"""What tests of jobs and of photo files share."""

import sys

import pytest
from PIL import ImageCms

from pipelines.stopping import STOP


@pytest.fixture(autouse=True)
def nothing_is_stopped() -> None:
    """What a test left (a job that it stopped, a photo in work) must not hold up the tests after it in its process."""
    STOP.clear()
    if memory := sys.modules.get("pipelines.memory"):
        memory.budget.cache_clear()


@pytest.fixture(scope="session")
def red_is_green() -> bytes:
    """An ICC profile whose red is the green of sRGB, and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"?XYZ"), (b"gXYZ", b"rXYZ"), (b"?XYZ", b"gXYZ")):  # names in its table of contents
        assert profile.count(old) == 1
        profile = profile.replace(old, new)
    return profile.replace("sRGB".encode("utf-16-be"), "turn".encode("utf-16-be"))
