"""What docs/dataset.md shows works as it stands there."""

import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from record_samples import pixels

from tfrecord_tools import Manifest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dataset.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def shards(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the page calls so."""
    dataset.rename(dataset.with_name("shards"))
    monkeypatch.chdir(dataset.parent)
    return dataset.with_name("shards")


def test_load_and_plain_tensorflow_read_the_same_images(shards: Path) -> None:
    pytest.importorskip("tensorflow")
    expected = sorted(pixels(index).tobytes() for index in range(10))
    for code in PYTHON[:2]:
        names: dict = {}
        exec(code, names)
        (batch,) = names["dataset"].as_numpy_iterator()
        assert batch.dtype == np.float32
        assert sorted(image.tobytes() for image in np.rint(batch * 255).astype(np.uint8)) == expected


def test_every_worker_of_pytorch_reads_its_part(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor:
        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def permute(self, *axes: int) -> np.ndarray:
            return self.values.transpose(axes)

    workers = [types.SimpleNamespace(id=index, num_workers=3) for index in range(3)]
    data = types.SimpleNamespace(
        IterableDataset=object, DataLoader=lambda *_, **__: None, get_worker_info=lambda: workers.pop(0)
    )
    torch = types.SimpleNamespace(utils=types.SimpleNamespace(data=data), from_numpy=Tensor)
    monkeypatch.setitem(sys.modules, "torch", torch)
    names: dict = {}
    exec(PYTHON[2], names)
    read = [list(names["Images"]()) for _ in range(3)]
    assert [len(part) for part in read] == [4, 3, 3]
    np.testing.assert_array_equal(read[1][2], pixels(7).transpose(2, 0, 1) / 255)


def test_the_manifest_shown_has_the_fields_of_a_real_one(shards: Path) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown, real = json.loads(example), json.loads((shards / "manifest.json").read_text())
    assert shown.keys() == real.keys()
    for part in ("image", "counts", "sources", "features"):
        assert shown[part].keys() == real[part].keys()
    assert shown["splits"]["train"]["shards"][0].keys() == real["splits"]["train"]["shards"][0].keys()
    with pytest.raises(ValueError, match="contradict"):  # it is shortened to one split
        Manifest.from_json(example)
