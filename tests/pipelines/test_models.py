"""The model of a process is loaded once."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import pytest

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
    with ThreadPoolExecutor(4) as pool:
        enhancers = list(pool.map(lambda _: models.load_enhancer(model, 17, 0.31, "off"), range(4)))
    assert len(loaded) == 1
    assert len({id(enhancer) for enhancer in enhancers}) == 1
