"""The manifest: written, read, and compared with the files beside it."""

import hashlib
import json
from pathlib import Path

import pytest

from tfrecord_tools.manifest import FILENAME, DatasetError, Manifest, check_files, read_manifest


def test_comes_back(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert [manifest.records(split) for split in manifest.splits] == [10, 5, 0]
    content = json.loads((dataset / FILENAME).read_text())
    assert content["schema_version"] == 1
    assert content["splits"]["train"]["records"] == 10
    assert content["splits"]["train"]["shards"][1]["name"] == "train-00001-of-00003.tfrecord"


def test_the_checksum_is_that_of_all_other_lines(dataset: Path) -> None:
    lines = (dataset / FILENAME).read_bytes().splitlines(keepends=True)
    (line,) = [line for line in lines if line.startswith(b'  "checksum": ')]
    rest = b"".join(each for each in lines if each != line)
    assert json.loads(line.strip(b" ,\n").join((b"{", b"}"))) == {"checksum": hashlib.sha256(rest).hexdigest()}
    manifest = read_manifest(dataset)
    assert manifest.intact
    (dataset / FILENAME).write_bytes(rest)  # as an older version wrote it
    older = read_manifest(dataset)
    assert older == manifest
    assert older.intact is None


def test_what_contradicts_nothing_is_seen_by_the_checksum(dataset: Path, damage) -> None:
    damage(FILENAME, lambda content: content.replace(b'"by hand"', b'"by hanf"'))
    with pytest.raises(DatasetError, match=r"manifest\.json: its checksum does not match: copy it again"):
        read_manifest(dataset)
    assert Manifest.from_json((dataset / FILENAME).read_bytes()).intact is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(schema_version=2), "schema version 2; this package reads 1"),
        (lambda content: content.pop("notes"), "not the manifest of a data set"),
        (lambda content: content["splits"]["val"].update(records=6), "contradict"),
        (lambda content: content["counts"].update(records=14), "contradict"),
        (lambda content: content.update(splits=[]), "not the manifest of a data set"),
        (lambda content: content["counts"].update(found=14), "contradict"),
        (lambda content: content["counts"].pop("rejected"), "rejected of counts is None"),
        (lambda content: content.update(image={}), "width of image is None"),
        (lambda content: content.update(notes=[]), "notes is no table"),
        (lambda content: content.update(sources={"listing": 5}), "bytes of sources is None"),
        (lambda content: content["splits"]["val"]["shards"][0].update(bytes=-1), "bytes of shards is -1"),
        (lambda content: content["splits"]["val"]["shards"][0].update(sha256=None), "sha256 of shards is None"),
        (lambda content: content["splits"]["val"]["shards"].append(5), "not the manifest of a data set"),
    ],
)
def test_what_is_wrong_with_it_is_said(dataset: Path, change, message: str) -> None:
    content = json.loads((dataset / FILENAME).read_text())
    change(content)
    (dataset / FILENAME).write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message):
        read_manifest(dataset)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "", ".", "..", "a\0b", "a\nb", "-x", "[bold]", "ü"])
def test_names_that_are_none_are_refused(dataset: Path, name: str) -> None:
    original = json.loads((dataset / FILENAME).read_text())
    splits = original["splits"]
    shard = splits["val"]["shards"][0]
    renamed = {**splits, "val": {"records": 5, "shards": [shard | {"name": f"{name}-00000-of-00001.tfrecord"}]}}
    moved = {name if split == "val" else split: entry for split, entry in splits.items()}
    twice = {**splits, "test": {"records": 5, "shards": [shard]}}
    for changed in (renamed, moved, twice):
        (dataset / FILENAME).write_text(json.dumps(original | {"splits": changed}))
        with pytest.raises(DatasetError, match="is not the name of a s"):
            read_manifest(dataset)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"schema_version": 1}'])
def test_another_file_is_refused(dataset: Path, text: str) -> None:
    (dataset / FILENAME).write_text(text)
    with pytest.raises(DatasetError, match=rf"{FILENAME}: not the manifest"):
        read_manifest(dataset)


def test_a_folder_without_one_is_no_finished_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no manifest\.json \(make one with `zerodce preprocess`\)"):
        read_manifest(tmp_path)


def test_files_are_compared_by_name_and_size(dataset: Path, damage) -> None:
    manifest = read_manifest(dataset)
    assert check_files(dataset, manifest) == {}
    (dataset / "train-00000-of-00003.tfrecord").unlink()
    (dataset / "train-00003-of-00004.tfrecord").touch()
    (dataset / "notes.txt").touch()
    damage("val-00000-of-00001.tfrecord", lambda content: content[:-1])
    size = manifest.splits["val"][0].bytes
    assert check_files(dataset, manifest) == {
        "train-00000-of-00003.tfrecord": "is missing",
        "train-00003-of-00004.tfrecord": "is not in manifest.json",
        "val-00000-of-00001.tfrecord": f"has {size - 1} bytes instead of {size}",
    }
