"""The model of a process is loaded once."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines import models


def test_threads_that_ask_together_get_one_enhancer(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = keras.saving.load_model

    def slow(*args: Any, **options: Any) -> Any:
        loaded.append(load(*args, **options))
        time.sleep(0.1)
        return loaded[-1]

    monkeypatch.setattr(keras.saving, "load_model", slow)
    model = models.read_model(None)
    application = models.Application(curve_size=17, exposure=0.31, denoise="off")
    with ThreadPoolExecutor(4) as pool:
        enhancers = list(pool.map(lambda _: models.load_enhancer(model, application), range(4)))
    assert len(loaded) == 1
    assert len({id(enhancer) for enhancer in enhancers}) == 1


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    """They would make black photos."""
    path = tmp_path / "model.keras"
    path.write_bytes(models.read_model(None))
    model = keras.saving.load_model(path, compile=False)
    weights = model.get_weights()
    weights[0].flat[0] = np.nan
    model.set_weights(weights)
    model.save(path)
    with pytest.raises(click.ClickException, match="weights are not finite numbers") as error:
        models.check_model(lambda: models.load_enhancer(path.read_bytes(), models.Application()), str(path))
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("curve_size", "workers", "threads"),
    [("auto", 3, (1, 1)), (256, None, (1, 1)), (257, 3, (3, 0)), ("full", None, (0, 0))],
)
def test_small_copies_need_one_thread_of_tensorflow(
    curve_size: Any, workers: int | None, threads: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    threading = tf.config.threading
    found = {}
    for kind in ("intra", "inter"):
        monkeypatch.setattr(
            threading, f"set_{kind}_op_parallelism_threads", lambda number, kind=kind: found.update({kind: number})
        )
    models.limit_threads(curve_size, workers)
    assert (found["intra"], found["inter"]) == threads


def test_the_command_really_limits_tensorflow(tmp_path: Path) -> None:
    """In a process of its own: whatever runs an op of TensorFlow while it is imported makes the limit void."""
    code = (
        "import pipelines.enhance.command, tensorflow as tf\n"
        "from pipelines import models\n"
        "models.limit_threads('auto', 3)\n"
        "print(tf.config.threading.get_intra_op_parallelism_threads())"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1"]
