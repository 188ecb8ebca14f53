"""`load` with tf.data: values, order, shape, length, sharing among readers, and records that are not ours."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from record_samples import pixels, record, write_dataset

import tfrecord_tools
from tfrecord_tools import DatasetError
from tfrecord_tools.framing import frame
from tfrecord_tools.manifest import FILENAME

TRAIN = [pixels(index) for index in range(10)]


def indices(images) -> list[int]:
    """Which records of `train` these uint8 images are."""
    return [next(i for i, known in enumerate(TRAIN) if np.array_equal(known, image)) for image in images]


def test_floats_are_in_0_to_1_and_bytes_in_0_to_255(dataset: Path) -> None:
    by_bytes = list(tfrecord_tools.load(dataset, "val", dtype="uint8").as_numpy_iterator())
    by_floats = list(tfrecord_tools.load(dataset, "val").as_numpy_iterator())
    assert [image.dtype for image in by_bytes] == [np.uint8] * 5
    np.testing.assert_array_equal(by_bytes, [pixels(index) for index in range(10, 15)])
    assert by_floats[0].dtype == np.float32
    np.testing.assert_allclose(by_floats, np.array(by_bytes) / 255.0, atol=1e-6)


@pytest.fixture(params=[True, False], ids=["in memory", "from files"])
def cached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr("tfrecord_tools.dataset.CACHE_BYTES", 0)


@pytest.mark.usefixtures("cached")
def test_without_shuffle_the_order_is_always_the_same(dataset: Path) -> None:
    data = tfrecord_tools.load(dataset, "train", dtype="uint8")
    first = indices(data.as_numpy_iterator())
    assert sorted(first) == list(range(10))
    assert indices(data.as_numpy_iterator()) == first
    assert indices(tfrecord_tools.load(dataset, "train", dtype="uint8").as_numpy_iterator()) == first


@pytest.mark.usefixtures("cached")
def test_a_seed_repeats_the_orders_and_every_epoch_has_another(dataset: Path) -> None:
    def epochs(seed: int) -> list[list[int]]:
        data = tfrecord_tools.load(dataset, "train", dtype="uint8", shuffle=True, seed=seed)
        return [indices(data.as_numpy_iterator()) for _ in range(3)]

    first = epochs(7)
    assert epochs(7) == first
    assert all(sorted(epoch) == list(range(10)) for epoch in first)
    assert len({tuple(epoch) for epoch in first}) == 3
    assert epochs(8) != first


@pytest.mark.usefixtures("cached")
def test_shuffled_without_a_seed_nothing_is_lost(dataset: Path) -> None:
    data = tfrecord_tools.load(dataset, "train", dtype="uint8", shuffle=True)
    assert sorted(indices(data.as_numpy_iterator())) == list(range(10))


def test_the_last_batch_may_be_smaller(dataset: Path) -> None:
    data = tfrecord_tools.load(dataset, "train", batch_size=4)
    assert [len(batch) for batch in data] == [4, 4, 2]
    assert int(data.cardinality()) == 3
    assert data.element_spec.shape == (None, 8, 12, 3)


def test_references_come_with_a_weight(dataset: Path) -> None:
    data = tfrecord_tools.load(dataset, "train", batch_size=10, reference=True, dtype="uint8")
    assert [spec.shape for spec in data.element_spec] == [(None, 8, 12, 3), (None, 8, 12, 3), (None,)]
    ((images, references, weights),) = data.as_numpy_iterator()
    for image, reference, weight in zip(images, references, weights, strict=True):
        (index,) = indices([image])
        assert weight == (index % 3 == 0)
        np.testing.assert_array_equal(reference, image[::-1] if weight else np.zeros_like(image))


def test_float_references_are_scaled_as_images_are(dataset: Path) -> None:
    for image, reference, weight in tfrecord_tools.load(dataset, "train", reference=True).as_numpy_iterator():
        assert reference.dtype == weight.dtype == np.float32
        np.testing.assert_array_equal(reference, image[::-1] * weight)


ORDERS = {"in order": {}, "shuffled": {"shuffle": True, "seed": 3}}


def batches(dataset: Path, passes: int, **options) -> list[bytes]:
    """The batches of some passes, one after the other."""
    data = tfrecord_tools.load(dataset, "train", dtype="uint8", **options)
    return [np.asarray(batch).tobytes() for _ in range(passes) for batch in data.as_numpy_iterator()]


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("options", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize(("drop_remainder", "steps"), [(False, 3), (True, 2)])
def test_from_any_step_on_the_batches_are_those_of_a_reader_that_was_never_stopped(
    dataset: Path, options: dict, drop_remainder: bool, steps: int
) -> None:
    options = {"batch_size": 4, "drop_remainder": drop_remainder, **options}
    whole = batches(dataset, 4, **options)
    assert len(whole) == 4 * steps
    for start in (1, steps, 3 * steps - 1):
        passes = 4 - start // steps
        assert batches(dataset, passes, start=start, **options) == whole[start:]
        endless = tfrecord_tools.load(dataset, "train", dtype="uint8", start=start, **options).repeat()
        repeated = [batch.tobytes() for batch in endless.take(len(whole) - start).as_numpy_iterator()]
        assert repeated == whole[start:]


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("shard", [(1, 2), (1, 4)], ids=["of files", "of records"])
def test_start_counts_the_images_of_this_reader_where_there_are_no_batches(
    dataset: Path, shard: tuple[int, int]
) -> None:
    options = {"shuffle": True, "seed": 5, "shard": shard}
    whole = batches(dataset, 3, **options)
    each = len(whole) // 3
    assert batches(dataset, 2, start=each + 2, **options) == whole[each + 2 :]


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by an entry with each image that is decoded."""
    counted: list[int] = []
    decode_png = tf.io.decode_png

    def count() -> np.int64:
        counted.append(1)
        return np.int64(0)

    def counting(encoded: tf.Tensor, channels: int) -> tf.Tensor:
        (counter,) = tf.numpy_function(count, [], [tf.int64])
        with tf.control_dependencies([counter]):
            return decode_png(tf.identity(encoded), channels=channels)

    monkeypatch.setattr(tf.io, "decode_png", counting)
    return counted


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("options", ORDERS.values(), ids=ORDERS)
def test_what_is_skipped_is_not_decoded(dataset: Path, decodes: list[int], options: dict) -> None:
    assert len(batches(dataset, 1, batch_size=2, start=5 * 1000 + 3, **options)) == 2
    assert len(decodes) == 4
    decodes.clear()
    batches(dataset, 1, batch_size=2, **options)
    assert len(decodes) == 10


def test_images_in_memory_are_decoded_once_after_the_rest_of_an_epoch(dataset: Path, decodes: list[int]) -> None:
    assert len(batches(dataset, 4, batch_size=2, start=3)) == 2 + 3 * 5
    assert len(decodes) == 4 + 10


def test_the_length_is_known_where_every_pass_has_it(dataset: Path) -> None:
    lengths = [
        int(tfrecord_tools.load(dataset, "train", batch_size=4, start=start, drop_remainder=drop).cardinality())
        for start, drop in ((0, False), (0, True), (6, False), (1, False))
    ]
    assert lengths == [3, 2, 3, tf.data.UNKNOWN_CARDINALITY]


def test_a_start_in_orders_that_nothing_repeats_is_refused(dataset: Path) -> None:
    for options in ({"start": 3, "shuffle": True}, {"start": -1}):
        with pytest.raises(ValueError, match="give a number from 0 and, to shuffle, the seed of the earlier steps"):
            tfrecord_tools.load(dataset, "train", **options)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_readers_share_a_split_without_gap_or_overlap(dataset: Path, count: int, shuffle: bool) -> None:
    parts = [
        tfrecord_tools.load(dataset, "train", dtype="uint8", shard=(index, count), shuffle=shuffle)
        for index in range(count)
    ]
    read = [indices(part.as_numpy_iterator()) for part in parts]
    assert sorted(itertools.chain(*read)) == list(range(10))
    assert [int(part.cardinality()) for part in parts] == [len(part) for part in read]


@pytest.mark.usefixtures("cached")
def test_a_reader_that_gets_no_record_reads_none(dataset: Path) -> None:
    readers = [tfrecord_tools.load(dataset, "val", shard=(index, 9), shuffle=True, seed=1) for index in range(9)]
    assert sorted(len(list(reader)) for reader in readers) == [0] * 4 + [1] * 5


def test_tf_distribute_gives_every_replica_its_part(dataset: Path) -> None:
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    data = strategy.experimental_distribute_dataset(tfrecord_tools.load(dataset, "train", batch_size=4))
    assert sum(int(tf.shape(batch)[0]) for batch in data) == 10


def replace_val(dataset: Path, payloads: list[bytes]) -> None:
    """Gives `val` other records, of which the manifest knows the bytes, but not the number."""
    content = b"".join(map(frame, payloads))
    (dataset / "val-00000-of-00001.tfrecord").write_bytes(content)
    manifest = json.loads((dataset / FILENAME).read_text())
    del manifest["checksum"]
    manifest["splits"]["val"]["shards"][0]["bytes"] = len(content)
    (dataset / FILENAME).write_text(json.dumps(manifest))


def test_a_foreign_record_is_an_error_that_names_shard_and_key(dataset: Path) -> None:
    example = tf.train.Example()
    example.features.feature["image"].bytes_list.value.append(b"other")
    replace_val(dataset, [example.SerializeToString()])
    names_both = r"(?s)val-00000-of-00001\.tfrecord.*has no `image/encoded`"
    with pytest.raises(tf.errors.InvalidArgumentError, match=names_both):
        list(tfrecord_tools.load(dataset, "val"))


@pytest.mark.parametrize("count", [4, 6])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_another_number_of_records_is_an_error(dataset: Path, count: int, batch_size: int | None) -> None:
    replace_val(dataset, [record(index).serialize() for index in range(count)])
    with pytest.raises(tf.errors.FailedPreconditionError, match="expected to contain 5 elements"):
        list(tfrecord_tools.load(dataset, "val", batch_size=batch_size))


def test_images_of_different_sizes_make_no_batch(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"train": [[record(0), record(1)]]}, resize="fit")
    assert len(list(tfrecord_tools.load(tmp_path, "train"))) == 2
    with pytest.raises(DatasetError, match=r"--resize fit.*cannot form a batch"):
        tfrecord_tools.load(tmp_path, "train", batch_size=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dtype": "float64"}, "neither float32 nor uint8"), ({"shard": (2, 2)}, r"the index is not in \[0, 2\)")],
)
def test_wrong_arguments_are_said(dataset: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tfrecord_tools.load(dataset, "train", **options)


def test_a_missing_shard_is_found_before_reading(dataset: Path) -> None:
    (dataset / "train-00000-of-00003.tfrecord").unlink()
    with pytest.raises(DatasetError, match=r"train-00000-of-00003\.tfrecord is missing"):
        tfrecord_tools.load(dataset, "val")
