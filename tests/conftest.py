"""What all tests share: quiet libraries, the real images where they are at hand, and no silent skips in CI."""

import importlib.util
import os
import re
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ["SOURCE_DATE_EPOCH"] = "1600000000"  # so that runs in different folders write the same bytes

import hypothesis
import pytest

DATA = Path(os.environ.get("ZERODCE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

# on a busy machine an example, and drawing it, may take any time
hypothesis.settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machine")


SMALL_INSTALL = importlib.util.find_spec("tensorflow") is None
_TRAINING = re.compile(
    r"^ *(import|from) (tensorflow|keras|jax|gdown|sphinx|zerodce\.(training|networks|pretrained|evaluating)"
    r"|zerodce\.curves import tensors|tfrecord_tools(\.| import )statistics|pipelines import (download|evaluate)"
    r"|tests\.pipelines\.enhance\.test_enhance_job)",
    re.MULTILINE,
)
"""What a test file imports that needs the extra `train` or `lol`."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out what needs the extra `train` where that is not installed."""
    training = SMALL_INSTALL and collection_path.suffix == ".py" and _TRAINING.search(collection_path.read_text())
    return True if training else None


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images, ZERODCE_TEST_DATA or beside the checkout; the test is skipped where it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"the real test images are not at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def lol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of LoL: 101 images of our485 and 15 of eval15, of which 4 and 2 have a reference.

    The real one where it is at hand; else one of the same names, of a scene that the project renders, turned and cut.
    """
    if (DATA / "lol").is_dir():
        return DATA / "lol"
    import numpy as np
    from PIL import Image

    from benchmarks.scenes import balls, photograph, render

    folder = tmp_path_factory.mktemp("rendered") / "lol"
    light = render(balls(7), 360, 240)
    parts = {"our485": [2, 5, 6, 9, *range(10, 107)], "eval15": [493, 547, *range(600, 613)]}
    for part, numbers in parts.items():
        for index, number in enumerate(numbers):
            cut = np.roll(light, 3 * number, axis=1)[number % 40 :][:200, :300]
            paired = index < (4 if part == "our485" else 2)
            exposures = {"low": 0.03, "high": 0.5} if paired else {"low": 0.03}
            for side, exposure in exposures.items():
                (folder / part / side).mkdir(parents=True, exist_ok=True)
                Image.fromarray(photograph(cut, exposure, number)).save(folder / part / side / f"{number}.png")
    return folder


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    if os.environ.get("ZERODCE_TESTS_NO_SKIP") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("skipped tests count as failures here", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("ZERODCE_TESTS_NO_SKIP") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
