"""Splits, shards and references: functions of names."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.preprocess import splits
from pipelines.preprocess.splits import SplitError

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1), unique=True)


def lol(ours: int, evaluation: int) -> list[str]:
    names = [f"our485/low/{index}.png" for index in range(ours)]
    return [*names, *(f"eval15/low/{index}.png" for index in range(evaluation))]


def test_lol_in_sorted_order_the_first_400_train() -> None:
    keys = lol(485, 15)
    assignment = splits.split_lol(keys, 400)
    expected = sorted(f"{index}.png" for index in range(485))  # as text: 0, 1, 10, 100, 101 ...
    assert expected[:4] == ["0.png", "1.png", "10.png", "100.png"]
    assert {key.rsplit("/", 1)[1] for key in assignment.splits["train"]} == set(expected[:400])
    assert {key.rsplit("/", 1)[1] for key in assignment.splits["val"]} == set(expected[400:])
    assert len(assignment.splits["test"]) == 15
    assert "partial" not in assignment.rule
    assert "400" in assignment.rule


@pytest.mark.parametrize(
    ("images", "train_count", "train", "val"),
    [(101, 400, 83, 18), (101, 80, 80, 21), (400, 400, 330, 70), (401, 400, 400, 1), (2, 400, 2, 0), (1, 400, 1, 0)],
)
def test_a_partial_lol_keeps_400_to_85(images: int, train_count: int, train: int, val: int) -> None:
    assignment = splits.split_lol(lol(images, 0), train_count)
    assert {split: len(keys) for split, keys in assignment.splits.items()} == {"train": train, "val": val, "test": 0}
    assert ("400:85" in assignment.rule) == (images <= train_count)


def test_records_are_ordered_by_the_hash_of_their_name() -> None:
    keys = splits.split_lol(lol(20, 0), 10).splits["train"]
    assert keys == sorted(keys, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    assert keys != sorted(keys)


def test_stable_hash_is_the_head_of_the_sha_256() -> None:
    assert splits.stable_hash("a/b.png") == int(hashlib.sha256(b"a/b.png").hexdigest()[:16], 16)


@given(NAMES, st.randoms(use_true_random=False))
def test_a_hash_split_depends_on_nothing_but_the_name(names: list[str], random) -> None:
    fractions = {"train": 0.5, "val": 0.3, "test": 0.2}
    assignment = splits.split_by_hash(names, fractions)
    assert sorted(key for keys in assignment.splits.values() for key in keys) == sorted(names)
    shuffled = list(names)
    random.shuffle(shuffled)
    assert splits.split_by_hash(shuffled, fractions) == assignment
    more = splits.split_by_hash([*names, "one more.png"], fractions)
    for split, keys in assignment.splits.items():
        assert [key for key in more.splits[split] if key != "one more.png"] == keys or "one more.png" in names


def test_fractions_are_kept_on_many_names() -> None:
    counts = splits.split_by_hash([f"{index}.png" for index in range(10_000)], splits.DEFAULT_FRACTIONS).splits
    # the standard deviation of a binomial of 10,000 at 0.8 is 40, at 0.1 it is 30
    assert abs(len(counts["train"]) - 8000) < 160
    assert abs(len(counts["val"]) - 1000) < 120
    assert abs(len(counts["test"]) - 1000) < 120


def test_fractions_are_read() -> None:
    assert splits.parse_fractions("train=0.8, val=.1,test=0.1") == {"train": 0.8, "val": 0.1, "test": 0.1}
    assert splits.parse_fractions("all=1") == {"all": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train=0.8,val=0.1", "add up to 0.9, not to 1"),
        ("train", "'train' is not NAME=FRACTION; write train=0.8"),
        ("train=a", "is not NAME=FRACTION"),
        ("train=1.1.1", "is not NAME=FRACTION"),
        ("tr/ain=1", "is not NAME=FRACTION"),
        ("train=1,val=-0.1", "is not NAME=FRACTION"),
        ("train=0.5,train=0.5", "train is named twice"),
        ("", "is not NAME=FRACTION"),
    ],
)
def test_wrong_fractions_are_said(text: str, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        splits.parse_fractions(text)


def test_a_split_file_is_followed() -> None:
    listed = splits.read_split_file(b'\xef\xbb\xbfsplit,path,note\r\ntrain,a.png,x\r\ndev,"b,c.png",\r\n')
    assert listed == {"a.png": "train", "b,c.png": "dev"}
    assignment = splits.split_by_list(["a.png", "b,c.png", "d.png"], listed)
    assert assignment.splits == {"train": ["a.png"], "dev": ["b,c.png"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "needs the columns path,split"),
        (b"path,set\na,b\n", "needs the columns path,split"),
        (b"path,split\na.png,\n", "line 2: '' is not the name of a split"),
        (b"path,split\na.png,../x\n", "line 2: '../x' is not the name"),
        (b"path,split\na.png,train\na.png,val\n", "line 3: a.png is already in train"),
        (b"path,split\n\xff,train\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_split_file_is_said(content: bytes, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        splits.read_split_file(content)


def test_an_empty_split_file_is_refused() -> None:
    with pytest.raises(SplitError, match="it names no image"):
        splits.split_by_list(["a.png"], splits.read_split_file(b"path,split\n"))


def test_a_split_file_that_names_what_is_not_there_is_refused() -> None:
    with pytest.raises(SplitError, match=r"names 2 files that are not among the images, first x\.png"):
        splits.split_by_list(["a.png"], {"a.png": "train", "x.png": "val", "y.png": "val"})


@given(st.integers(0, 200), st.integers(1, 50))
def test_shards_hold_every_key_once_in_order_and_evenly(count: int, shard_records: int) -> None:
    keys = [f"{index}.png" for index in range(count)]
    shards = splits.into_shards("train", keys, shard_records)
    assert [key for part in shards.values() for key in part] == keys
    lengths = [len(part) for part in shards.values()]
    assert len(lengths) == -(-count // shard_records)
    assert not lengths or (max(lengths) <= shard_records and max(lengths) - min(lengths) <= 1 and min(lengths) > 0)


def test_shards_are_named_as_tensorflow_names_them() -> None:
    assert list(splits.into_shards("val", ["a", "b", "c"], 2)) == [
        "val-00000-of-00002.tfrecord",
        "val-00001-of-00002.tfrecord",
    ]


def test_names_that_differ_in_unicode_form_only_are_one_key_and_refused() -> None:
    splits.check_unique(["a.png", "b.png", "A.png"])
    with pytest.raises(SplitError, match=r"'caf\\xe9\.png' and 'cafe\\u0301\.png' are the same name"):
        splits.check_unique(["caf\u00e9.png", "cafe\u0301.png"])
