"""A data-set folder as a `tf.data.Dataset` of images, or of images with their references."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
    drop_remainder: bool = False,
    shuffle: bool = False,
    seed: int | None = None,
    start: int = 0,
    reference: bool = False,
    dtype: str = "float32",
    shard: tuple[int, int] | None = None,
) -> tf.data.Dataset:
    """Reads a split. Decoded images of at most `CACHE_BYTES` in all are kept in memory.

    Each pass over the dataset is an epoch, and so is each repetition of `repeat`.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        split: `train`, `val`, `test`, or another split of the manifest.
        batch_size: Images in a batch; single images if None.
        drop_remainder: Leave out the last batch of an epoch if it is smaller.
        shuffle: Whether every epoch has another order; otherwise the order is always the same.
        seed: Seed of `shuffle`, for the same orders in every run. Reading is faster without a seed.
        start: Number of batches (without `batch_size`: of images), over all epochs, that were read before. The first
            pass is the rest of their last epoch. It equals that of a dataset that is read from its begin, and so do
            all further passes. What the first pass skips is not decoded.
        reference: Yield `(image, reference, weight)` instead of `image`. The weight is 1. If a record has no reference,
            the weight is 0 and the reference is all zeros.
        dtype: `float32` for values in [0, 1], or `uint8` for values in [0, 255].
        shard: `(index, count)`: this is reader number `index`, from 0, of `count` readers that share the split.

    Returns:
        Images of shape (height, width, 3), weights of shape (), with a leading batch axis if `batch_size`. The dataset
        knows its length, unless its first pass is shorter; reading another number of records is an error.

    Raises:
        DatasetError: The folder is not a data set or has no such split, or a shard is missing, extra or of another
            size.
    """
    manifest = open_dataset(folder, split)
    if dtype not in ("float32", "uint8"):
        raise ValueError(f"dtype {dtype!r} is neither float32 nor uint8")
    if start < 0 or (start and shuffle and seed is None):
        raise ValueError(f"start {start}: give a number from 0 and, to shuffle, the seed of the earlier steps")
    if batch_size and manifest.image["resize"] == "fit":
        raise DatasetError(
            f"the images of {folder} differ in size (it was made with --resize fit), so they cannot form a batch: "
            "load single images, or preprocess with --resize crop or stretch"
        )
    part = _part(Path(folder), manifest.splits[split], shard)
    pixels = manifest.image["width"] * manifest.image["height"] * 3 * (2 if reference else 1)
    order = _Order(part, shuffle, seed, in_memory=part.records * pixels <= CACHE_BYTES)
    steps = part.records // (batch_size or 1) if drop_remainder else math.ceil(part.records / (batch_size or 1))
    epoch, step = divmod(start, max(1, steps))

    dataset = order.images(_decoder(manifest, reference), epoch, step * (batch_size or 1))
    if batch_size:
        dataset = dataset.batch(batch_size, drop_remainder, tf.data.AUTOTUNE, deterministic=order.deterministic)
    if dtype == "float32":
        dataset = dataset.map(_as_float, num_parallel_calls=tf.data.AUTOTUNE, deterministic=order.deterministic)
    options = tf.data.Options()
    options.deterministic = order.deterministic
    # shard by elements: by files, each tf.distribute worker would read fewer records than the manifest says
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


@dataclasses.dataclass(frozen=True)
class _Part:
    """What one reader reads: all records of its files, or every so many-th of them.

    Attributes:
        files: Paths of shards.
        records: Number of records of this reader.
        every: `(index, count)` if it reads every `count`-th record of its files; None for all records.
    """

    files: list[str]
    records: int
    every: tuple[int, int] | None = None


def _part(folder: Path, shards: list[Shard], shard: tuple[int, int] | None) -> _Part:
    """The part of reader `shard`."""
    files, records = [str(folder / each.name) for each in shards], [each.records for each in shards]
    if shard is None:
        return _Part(files, sum(records))
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard {shard}: the index is not in [0, {count})")
    if len(files) < count:
        return _Part(files, len(range(index, sum(records), count)), shard)
    return _Part(files[index::count], sum(records[index::count]))


@dataclasses.dataclass(frozen=True)
class _Order:
    """The records of a reader in the order of each epoch. With a seed, seed and epoch alone decide the order.

    Attributes:
        part: What is read.
        shuffle: As in `load`.
        seed: As in `load`.
        in_memory: Whether decoded images stay in memory.
    """

    part: _Part
    shuffle: bool
    seed: int | None
    in_memory: bool

    @property
    def deterministic(self) -> bool:
        return self.seed is not None or not self.shuffle

    def images(self, decode: Callable[..., Any], first: int, skipped: int) -> tf.data.Dataset:
        """The decoded images; each pass is an epoch.

        Args:
            decode: Decodes (path of the shard, serialized record).
            first: Epoch of the first pass.
            skipped: Number of records that the first pass leaves out. They are not decoded.
        """
        left_out, none, everything = map(np.int64, (skipped, 0, -1))

        def decoded(data: tf.data.Dataset) -> tf.data.Dataset:
            return data.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=self.deterministic)

        def from_files(epoch: tf.Tensor) -> tf.data.Dataset:
            # the small encoded records are shuffled
            return self._shuffled(self._records(epoch), epoch).skip(tf.where(epoch == first, left_out, none))

        def from_memory(epoch: tf.Tensor) -> tf.data.Dataset:
            later = self._shuffled(kept, epoch)
            if not skipped:
                return later
            begun = epoch == first  # a pass that leaves out records cannot fill the memory
            rest = decoded(from_files(epoch)).take(tf.where(begun, everything, none))
            return rest.concatenate(later.take(tf.where(begun, none, everything)))

        epochs = self._epochs(first, counted=bool(skipped))
        if self.in_memory:
            kept = decoded(self._records(np.int64(0))).cache()
            dataset = epochs.flat_map(from_memory)
        else:
            dataset = decoded(epochs.flat_map(from_files))
        return dataset if skipped else dataset.apply(tf.data.experimental.assert_cardinality(self.part.records))

    def _epochs(self, first: int, counted: bool) -> tf.data.Dataset:
        """A dataset of one number, the epoch of the pass: `first` in the first pass, 1 more in each further one."""
        if not counted and (not self.shuffle or self.seed is None):
            return tf.data.Dataset.from_tensors(np.int64(0))  # all epochs are alike, or have no seed
        numbers = itertools.count(first)
        signature = tf.TensorSpec((), tf.int64)
        return tf.data.Dataset.from_generator(lambda: [next(numbers)], output_signature=signature)

    def _shuffled(self, data: tf.data.Dataset, epoch: tf.Tensor | np.int64) -> tf.data.Dataset:
        if not self.shuffle:
            return data
        size = self.part.records if self.in_memory else min(self.part.records, _SHUFFLE_RECORDS)
        seed = None if self.seed is None else self.seed + epoch
        return data.shuffle(max(1, size), seed, reshuffle_each_iteration=False)

    def _records(self, epoch: tf.Tensor | np.int64) -> tf.data.Dataset:
        """The (path of the shard, serialized record) of an epoch, files in its order; not yet shuffled."""
        files = tf.data.Dataset.from_tensor_slices(self.part.files)
        # readers that share files must see the same order; where all records are shuffled, that of the files is idle
        if self.shuffle and not self.part.every and not self.in_memory:
            seed = None if self.seed is None else self.seed + epoch
            files = files.shuffle(len(self.part.files), seed, reshuffle_each_iteration=False)

        def read(path: tf.Tensor) -> tf.data.Dataset:
            return tf.data.TFRecordDataset(path, buffer_size=1 << 20).map(lambda record: (path, record))

        records = files.interleave(
            read,
            cycle_length=min(8, len(self.part.files)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=self.deterministic or bool(self.part.every),
        )
        if self.part.every:
            index, count = self.part.every
            records = records.shard(count, index)
        return records.apply(tf.data.experimental.assert_cardinality(self.part.records))


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
