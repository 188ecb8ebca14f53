"""A data-set folder as a `tf.data.Dataset` of images, or of images with their references."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrecord_tools.manifest import DatasetError, Manifest, Shard
from tfrecord_tools.reading import open_dataset

CACHE_BYTES = 512 << 20
"""A split whose decoded images take at most this many bytes stays in memory after the first epoch."""

_SHUFFLE_RECORDS = 2048


def load(
    folder: str | Path,
    split: str = "train",
    *,
    batch_size: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    reference: bool = False,
    dtype: str = "float32",
    shard: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """Reads a split. Decoded images of at most `CACHE_BYTES` in all are kept in memory.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        split: `train`, `val`, `test`, or another split of the manifest.
        batch_size: Images in a batch; single images if None.
        shuffle: Whether every epoch has another order; otherwise the order is always the same.
        seed: Seed of `shuffle`, for the same orders in every run. Reading is faster without a seed.
        reference: Yield `(image, reference, weight)` instead of `image`. The weight is 1. If a record has no reference,
            the weight is 0 and the reference is all zeros.
        dtype: `float32` for values in [0, 1], or `uint8` for values in [0, 255].
        shard: `(index, count)`: this is reader number `index`, from 0, of `count` readers that share the split.

    Returns:
        Images of shape (height, width, 3), weights of shape (), with a leading batch axis if `batch_size`. The dataset
        knows its length; reading another number of records is an error.

    Raises:
        DatasetError: The folder is not a data set or has no such split, or a shard is missing, extra or of another
            size.
    """
    manifest = open_dataset(folder, split)
    records = manifest.records(split)
    if dtype not in ("float32", "uint8"):
        raise ValueError(f"dtype {dtype!r} is neither float32 nor uint8")
    if batch_size and manifest.image["resize"] == "fit":
        raise DatasetError(
            f"the images of {folder} differ in size (it was made with --resize fit), so they cannot form a batch: "
            "load single images, or preprocess with --resize crop or stretch"
        )
    deterministic = seed is not None or not shuffle

    dataset, records = _serialized(Path(folder), manifest.splits[split], records, shard, shuffle, seed)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(records))
    pixels = manifest.image["width"] * manifest.image["height"] * 3 * (2 if reference else 1)
    cache = records * pixels <= CACHE_BYTES

    def decoded(data: tf.data.Dataset) -> tf.data.Dataset:
        decode = _decoder(manifest, reference)
        return data.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=deterministic)

    def shuffled(data: tf.data.Dataset) -> tf.data.Dataset:
        size = max(1, records if cache else min(records, _SHUFFLE_RECORDS))
        return data.shuffle(size, seed=seed, reshuffle_each_iteration=True) if shuffle else data

    # from files: shuffle the small encoded records; in memory: shuffle all images
    dataset = shuffled(decoded(dataset).cache()) if cache else decoded(shuffled(dataset))
    if batch_size:
        dataset = dataset.batch(batch_size, num_parallel_calls=tf.data.AUTOTUNE)
    if dtype == "float32":
        dataset = dataset.map(_as_float, num_parallel_calls=tf.data.AUTOTUNE, deterministic=deterministic)
    options = tf.data.Options()
    options.deterministic = deterministic
    # shard by elements: by files, each tf.distribute worker would read fewer records than the manifest says
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def _serialized(
    folder: Path,
    shards: list[Shard],
    records: int,
    shard: tuple[int, int] | None,
    shuffle: bool,
    seed: int | None,
) -> tuple[tf.data.Dataset, int]:
    """A dataset of (path of the shard, serialized record) for this reader, and its number of records."""
    by_record, deterministic = False, seed is not None or not shuffle
    if shard:
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(f"shard {shard}: the index is not in [0, {count})")
        by_record = len(shards) < count  # there are fewer files than readers
        if by_record:
            records = len(range(index, records, count))
        else:
            shards = shards[index::count]
            records = sum(each.records for each in shards)
    files = tf.data.Dataset.from_tensor_slices([str(folder / each.name) for each in shards])
    if shuffle and not by_record:  # readers that share files must see the same order
        files = files.shuffle(len(shards), seed=seed, reshuffle_each_iteration=True)

    def read(path: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path, buffer_size=1 << 20).map(lambda record: (path, record))

    dataset = files.interleave(
        read,
        cycle_length=min(8, len(shards)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=deterministic or by_record,
    )
    return (dataset.shard(shard[1], shard[0]) if shard and by_record else dataset), records


def _decoder(manifest: Manifest, reference: bool) -> Any:
    """A function that maps (path, serialized record) to an image, or to (image, reference, weight), in uint8."""
    fixed = manifest.image["resize"] != "fit"
    shape = (manifest.image["height"], manifest.image["width"], 3) if fixed else (None, None, 3)
    keys = ("image/encoded", "reference/encoded") if reference else ("image/encoded",)
    features = {key: tf.io.FixedLenFeature((), tf.string, "") for key in keys}

    def decode_image(encoded: tf.Tensor) -> tf.Tensor:
        decode = tf.io.decode_png if manifest.image["encoding"] == "png" else tf.io.decode_jpeg
        image = decode(encoded, channels=3)
        image.set_shape((None, None, 3))
        return tf.ensure_shape(image, shape)

    def decode(path: tf.Tensor, record: tf.Tensor) -> Any:
        parsed = tf.io.parse_single_example(record, features)
        encoded = parsed["image/encoded"]
        ours = tf.debugging.Assert(encoded != "", ["a record of", path, "has no `image/encoded`"])
        with tf.control_dependencies([ours]):
            image = decode_image(tf.identity(encoded))
        if not reference:
            return image
        has_reference = parsed["reference/encoded"] != ""
        paired = tf.cond(has_reference, lambda: decode_image(parsed["reference/encoded"]), lambda: tf.zeros_like(image))
        return image, paired, tf.cast(has_reference, tf.float32)

    return decode


def _as_float(image: tf.Tensor, *paired: tf.Tensor) -> Any:
    """Converts uint8 in [0, 255] to float32 in [0, 1]. Weights are unchanged."""

    def scaled(pixels: tf.Tensor) -> tf.Tensor:
        return tf.image.convert_image_dtype(pixels, tf.float32)

    return (scaled(image), scaled(paired[0]), paired[1]) if paired else scaled(image)
