"""`croissant.json`: valid for the library of MLCommons, which reads from it what it can; and checked by `verify`."""

import hashlib
import json
import logging
from pathlib import Path

import pytest
from record_samples import record, write_dataset

from tfrecord_tools import croissant, read_manifest, verify


@pytest.fixture
def described(dataset: Path) -> Path:
    content = (dataset / "manifest.json").read_bytes()
    (dataset / "croissant.json").write_text(croissant.describe(read_manifest(dataset), content))
    return dataset


def test_mlcroissant_finds_no_error_and_reads_splits_and_shards(
    described: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    with caplog.at_level(logging.WARNING):
        data = mlcroissant.Dataset(described / "croissant.json")
    assert data.metadata.issues.errors == set()
    missing = {"citeAs", "datePublished", "license"}  # only its owner knows these
    assert len(data.metadata.issues.warnings) == len(missing)
    assert all(any(f"/{name}" in warning for name in missing) for warning in data.metadata.issues.warnings)
    assert "context" not in caplog.text
    assert [(row["splits/name"], row["splits/records"]) for row in data.records("splits")] == [
        ("train", 10), ("val", 5), ("test", 0)
    ]  # fmt: skip
    files = [path for name in ("train", "val") for path in sorted(described.glob(f"{name}-*"))]
    rows = list(data.records("shards"))
    assert [row["shards/name"].decode() for row in rows] == [path.name for path in files]
    assert [row["shards/sha256"].decode() for row in rows] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    ]
    assert [row["shards/records"] for row in rows] == [4, 3, 3, 5]
    keys = {field.id.removeprefix("records/") for field in data.metadata.record_sets[2].fields}
    assert keys == {"split", *read_manifest(described).features}


def test_verify_accepts_it_edited_but_not_of_other_files(described: Path) -> None:
    path = described / "croissant.json"
    assert verify(described) == []
    assert croissant.is_unedited(path.read_bytes())
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"license": "mine"}))
    assert not croissant.is_unedited(path.read_bytes())
    assert verify(described) == []
    content["distribution"][2]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    wrong = "its checksum of 'train-00001-of-00003.tfrecord' is not that of the data set"
    assert [str(fault) for fault in verify(described)] == [f"croissant.json: {wrong}"]
    write_dataset(described, {"train": [[record(0)]]})
    assert "croissant.json" in {fault.file for fault in verify(described)}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"distribution": 3}', '{"distribution": ["x"]}'])
def test_what_is_no_description_is_a_fault(dataset: Path, text: str) -> None:
    (dataset / "croissant.json").write_text(text)
    assert [str(fault) for fault in verify(dataset)] == ["croissant.json: is no description of a data set"]
    assert not croissant.is_unedited(text.encode())


def test_a_link_that_leads_nowhere_is_a_fault(dataset: Path) -> None:
    (dataset / "croissant.json").symlink_to("nowhere")
    assert [str(fault) for fault in verify(dataset)] == ["croissant.json: is a link that leads nowhere"]
