"""The model of a process is loaded once."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import threadpoolctl

from pipelines import models
from zerodce.inference.model import CurveModel
from zerodce.training.model import ZeroDCE


def test_threads_that_ask_together_get_one_enhancer(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    read = CurveModel.read

    def slow(content: bytes) -> CurveModel:
        loaded.append(read(content))
        time.sleep(0.1)
        return loaded[-1]

    monkeypatch.setattr(CurveModel, "read", slow)
    model = models.read_model(None)
    application = models.Application(curve_size=17, exposure=0.31, denoise="off")
    with ThreadPoolExecutor(4) as pool:
        enhancers = list(pool.map(lambda _: models.load_enhancer(model, application), range(4)))
    assert len(loaded) == 1
    assert len({id(enhancer) for enhancer in enhancers}) == 1


@pytest.mark.parametrize("backend", ["numpy", "tensorflow"])
def test_weights_that_are_no_numbers_are_refused(backend: Any, tmp_path: Path) -> None:
    """They would make black photos."""
    path = tmp_path / "model.keras"
    model = ZeroDCE()
    weights = model.get_weights()
    weights[0].flat[0] = np.nan
    model.set_weights(weights)
    model.save(path)
    damaged = models.read_model(str(path))
    with pytest.raises(click.ClickException, match="weights are not finite numbers") as error:
        models.check_model(lambda: models.load_enhancer(damaged, models.Application(backend=backend)), str(path))
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("curve_size", "workers", "threads"), [("auto", 3, 1), (256, None, 1), (257, 3, 3), ("full", 2, 2)]
)
def test_small_copies_need_one_thread(curve_size: Any, workers: int | None, threads: int) -> None:
    with threadpoolctl.threadpool_limits(2, "blas"):
        models.limit_threads(curve_size, workers)
        assert {
            pool["num_threads"]
            for pool in threadpoolctl.threadpool_info()
            if pool.get("threading_layer", "disabled") != "disabled"
        } == {threads}


def test_a_file_that_threads_share_is_pickled_by_its_name() -> None:
    """Beam pickles what it is given several times, and compresses it each time."""
    shared, alone = models.read_model(None, shared=True), models.read_model(None)
    assert len(pickle.dumps(shared)) < 200
    assert pickle.loads(pickle.dumps(shared)) is shared
    assert len(pickle.dumps(alone)) > len(alone.content) > 300_000
    assert pickle.loads(pickle.dumps(alone)) == alone


@pytest.mark.parametrize("look", ["natural", "bright"])
def test_both_backends_give_the_same_pixels(look: Any) -> None:
    model = models.read_model(None)
    y, x = np.mgrid[0:300, 0:400] / 400
    photo = np.rint(np.stack([90 * x, 60 * y, 80 * x * y + 5 * np.sin(99 * x)], axis=2).clip(0)).astype(np.uint8)
    made = [
        models.load_enhancer(model, models.Application(backend=backend, look=look))(photo)
        for backend in ("numpy", "tensorflow")
    ]
    assert made[0].mean() > photo.mean() + 5
    np.testing.assert_array_equal(*made)
