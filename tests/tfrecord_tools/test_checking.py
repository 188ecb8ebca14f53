"""`verify` against every way in which a data set goes wrong on a disk."""

import dataclasses
import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from record_samples import pixels, record, stored, write_dataset

from tfrecord_tools import verify
from tfrecord_tools.framing import frame
from tfrecord_tools.manifest import FILENAME, REJECTED, DatasetError
from tfrecord_tools.records import Record

FIRST, SECOND, THIRD = (f"train-0000{index}-of-00003.tfrecord" for index in range(3))


def said(folder: Path) -> list[str]:
    return [str(fault) for fault in verify(folder)]


def test_a_whole_data_set_has_no_fault(dataset: Path) -> None:
    seen = []
    assert verify(dataset, progress=lambda shard: seen.append(shard.name)) == []
    assert len(seen) == 4


def test_a_missing_shard(dataset: Path) -> None:
    (dataset / SECOND).unlink()
    assert said(dataset) == [f"{SECOND}: is missing"]


def test_a_link_that_leads_nowhere_is_named(dataset: Path) -> None:
    extra = "train-00000-of-00001.tfrecord"
    (dataset / SECOND).unlink()
    for name in (SECOND, extra):
        (dataset / name).symlink_to("nowhere")
    assert said(dataset) == [
        f"{SECOND}: is a link that leads nowhere",
        f"{extra}: is not in manifest.json, and is a link that leads nowhere",
    ]
    (dataset / REJECTED).unlink()
    (dataset / REJECTED).symlink_to("nowhere")
    assert said(dataset)[-1] == "rejected.csv: is a link that leads nowhere"
    (dataset / FILENAME).unlink()
    (dataset / FILENAME).symlink_to("nowhere")
    with pytest.raises(DatasetError, match=r"manifest\.json is a link that leads nowhere"):
        verify(dataset)


def test_files_that_cannot_be_read_are_named(dataset: Path) -> None:
    for name in (SECOND, "more-00000-of-00001.tfrecord"):
        (dataset / name).unlink(missing_ok=True)
        (dataset / name).mkdir()
    assert said(dataset) == [
        f"{SECOND}: cannot be read (Is a directory)",
        "more-00000-of-00001.tfrecord: not in manifest.json, and cannot be read (Is a directory)",
    ]


def test_a_flipped_bit_anywhere_in_the_manifest(dataset: Path, damage) -> None:
    size = (dataset / FILENAME).stat().st_size
    for place in range(size):
        bit = 1 << place % 8

        def flip(content: bytes, place: int = place, bit: int = bit) -> bytes:
            return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]

        damage(FILENAME, flip)
        with pytest.raises(DatasetError):
            verify(dataset)
        damage(FILENAME, flip)
    assert said(dataset) == []


def test_an_extra_shard_and_a_copy(dataset: Path) -> None:
    (dataset / "train-00000-of-00001.tfrecord").write_bytes(b"")
    shutil.copy(dataset / FIRST, dataset / "more-00000-of-00001.tfrecord")
    assert said(dataset) == [
        f"more-00000-of-00001.tfrecord: not in manifest.json, a copy of {FIRST}",
        "train-00000-of-00001.tfrecord: not in manifest.json",
    ]


def test_swapped_shards(dataset: Path) -> None:
    (dataset / SECOND).rename(dataset / "aside")
    (dataset / THIRD).rename(dataset / SECOND)
    (dataset / "aside").rename(dataset / THIRD)
    assert said(dataset) == [
        f"{SECOND}: holds the bytes of {THIRD}: files were exchanged or renamed",
        f"{THIRD}: holds the bytes of {SECOND}: files were exchanged or renamed",
    ]


def test_a_truncated_shard(dataset: Path, damage) -> None:
    size = (dataset / FIRST).stat().st_size
    damage(FIRST, lambda content: content[:-3])
    faults = said(dataset)
    assert faults[0].startswith(f"{FIRST}: record 3 (byte ")
    assert faults[0].endswith("is cut short")
    assert faults[1:] == [
        f"{FIRST}: {size - 3} bytes instead of {size}",
        f"{FIRST}: 3 readable records instead of 4",
        f"{FIRST}: its SHA-256 differs from the manifest",
    ]


def test_a_shard_cut_between_two_records(dataset: Path, damage) -> None:
    whole = frame(record(9).serialize())
    damage(THIRD, lambda content: content[: -len(whole)])
    assert f"{THIRD}: 2 readable records instead of 3" in said(dataset)


@pytest.mark.parametrize("where", [0, 0.3, 0.6, 0.999])
def test_a_flipped_bit_anywhere(dataset: Path, damage, where: float) -> None:
    def flip(content: bytes) -> bytes:
        at = int(len(content) * where)
        return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]

    damage(SECOND, flip)
    faults = said(dataset)
    assert all(fault.startswith(SECOND) for fault in faults)
    assert any("checksum" in fault for fault in faults)
    assert faults[-1] == f"{SECOND}: its SHA-256 differs from the manifest"


def written_anew(folder: Path, records: list[Record]) -> list[str]:
    """What is said of records whose checksums all fit, because they were written so."""
    write_dataset(folder, {"train": [records]})
    return [fault.split(": ", 1)[1] for fault in said(folder)]


def test_an_image_that_cannot_be_decoded(tmp_path: Path) -> None:
    good = record(1)
    broken = Record(dataclasses.replace(good.image, encoded=good.image.encoded[:-30]))
    (fault,) = written_anew(tmp_path, [good, broken])
    assert fault.startswith("record 1: low/1.png cannot be decoded (")


def test_an_image_of_another_size_than_recorded(tmp_path: Path) -> None:
    smaller = stored(pixels(2)[:4], "low/2.png")
    assert written_anew(tmp_path / "a", [Record(smaller)]) == ["record 0: low/2.png is 12x4, not 12x8 as the data set"]
    lying = dataclasses.replace(smaller, height=8)
    assert written_anew(tmp_path / "b", [Record(lying)]) == ["record 0: low/2.png is RGB 12x4, unlike its record"]


def test_a_grey_image(tmp_path: Path) -> None:
    grey = stored(np.zeros((8, 12), np.uint8), "low/2.png")
    assert written_anew(tmp_path, [Record(grey)]) == ["record 0: low/2.png is L 12x8, unlike its record"]


def test_a_foreign_record(tmp_path: Path) -> None:
    class Foreign:
        reference = None

        def serialize(self) -> bytes:
            return b""

    assert written_anew(tmp_path, [Foreign()]) == ["record 0: no `image/encoded` with one bytes value"]


def test_an_image_that_is_in_two_shards(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"train": [[record(1), record(2)]], "test": [[record(2)]]})
    assert said(tmp_path) == ["test-00000-of-00001.tfrecord: low/2.png is also in train-00000-of-00001.tfrecord"]


def test_the_list_of_rejected_images_is_counted(dataset: Path) -> None:
    (dataset / REJECTED).write_text("path,stage,error\nx.png,decode,broken\n")
    assert said(dataset) == ["rejected.csv: lists 1 images, manifest.json counts 0"]
    (dataset / REJECTED).unlink()
    assert said(dataset) == ["rejected.csv: cannot be read (No such file or directory)"]


def test_a_wrong_count_of_references(dataset: Path) -> None:
    text = re.sub(r'  "checksum": ".*",\n', "", (dataset / FILENAME).read_text())
    digest = hashlib.sha256((dataset / FIRST).read_bytes()).hexdigest()
    assert digest in text
    (dataset / FILENAME).write_text(text.replace('"references": 2', '"references": 3', 1))
    assert said(dataset) == [f"{FIRST}: 2 records with a reference instead of 3"]
