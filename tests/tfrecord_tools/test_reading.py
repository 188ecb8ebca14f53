"""Reading without TensorFlow."""

from pathlib import Path

import pytest
from record_samples import record

from tfrecord_tools import DatasetError, read_records
from tfrecord_tools.reading import open_dataset


def test_records_come_in_the_order_of_the_shards(dataset: Path) -> None:
    assert list(read_records(dataset, "train")) == [record(index) for index in range(10)]


def test_a_missing_shard_is_named(dataset: Path) -> None:
    (dataset / "train-00001-of-00003.tfrecord").unlink()
    with pytest.raises(DatasetError, match=r"train-00001-of-00003\.tfrecord is missing.*records verify"):
        open_dataset(dataset)


def test_a_stray_shard_is_named(dataset: Path) -> None:
    (dataset / "train-00003-of-00004.tfrecord").touch()
    with pytest.raises(DatasetError, match=r"train-00003-of-00004\.tfrecord is not in manifest\.json"):
        next(read_records(dataset, "train"))


@pytest.mark.parametrize(
    ("split", "message"), [("training", "no split 'training', only train, val, test"), ("test", "has no records")]
)
def test_a_split_that_is_not_there_is_named(dataset: Path, split: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        next(read_records(dataset, split))


def test_a_damaged_record_is_named(dataset: Path, damage) -> None:
    damage("train-00001-of-00003.tfrecord", lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"train-00001-of-00003\.tfrecord: record 2 \(byte \d+\): the checksum"):
        list(read_records(dataset, "train"))
