"""Files on a local disk: listed once each, written whole or not at all."""

import os
import resource
import struct
import zlib
from pathlib import Path

import pytest

from pipelines import storage


def test_walk_lists_files_with_size_and_time_and_follows_no_link_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"1")
    root = tmp_path / "root"
    (root / "a" / "ü b").mkdir(parents=True)
    (root / "a" / "ü b" / "1.jpg").write_bytes(b"123")
    os.utime(root / "a" / "ü b" / "1.jpg", (5, 7.5))
    (root / "0.jpg").write_bytes(b"")
    (root / "link.jpg").symlink_to("0.jpg")
    (root / "out.jpg").symlink_to(outside / "secret.jpg")
    (root / "folder").symlink_to(outside)
    (root / "round").symlink_to(root)
    (root / "dangling.jpg").symlink_to(root / "nowhere")
    found = {entry.path: entry for entry in storage.walk(str(root))}
    assert set(found) == {"0.jpg", "a/ü b/1.jpg", "link.jpg"}
    assert found["a/ü b/1.jpg"] == storage.Entry("a/ü b/1.jpg", 3, 7.5)
    assert storage.stat(str(root), "a/ü b/1.jpg") == found["a/ü b/1.jpg"]


def test_write_makes_folders_replaces_and_sets_the_time(tmp_path: Path) -> None:
    path = str(tmp_path / "x" / "y.bin")
    storage.write(path, b"old")
    storage.write(path, b"new", mtime=1234.5)
    assert storage.read(path) == b"new"
    assert os.stat(path).st_mtime == 1234.5
    assert os.listdir(tmp_path / "x") == ["y.bin"]


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o600, 0o600), (0o640, 0o640), (0o777, 0o777), (0o444, 0o444), (0o4755, 0o755)]
)
def test_a_file_gets_the_permissions_of_another_and_is_never_open_to_more(
    tmp_path: Path, mode: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "original").write_bytes(b"x")
    os.chmod(tmp_path / "original", mode)
    os.utime(tmp_path / "original", (7.5, 7.5))
    written: list[int] = []
    chmod = os.chmod

    def noting(path: str, to: int) -> None:
        written.append(os.stat(path).st_mode & 0o7777)
        chmod(path, to)

    monkeypatch.setattr(os, "chmod", noting)
    for _ in range(2):  # the second time over the first
        storage.write(str(tmp_path / "written"), b"x", like=str(tmp_path / "original"))
        storage.copy(str(tmp_path), storage.Entry("original", 1, 7.5), str(tmp_path / "copied"), zlib.crc32(b"x"))
    assert written == 4 * [0o600]  # while there was something to read
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in ("written", "copied")] == [kept, kept]
    storage.write(str(tmp_path / "other"), b"x", like=str(tmp_path / "gone"))
    assert (tmp_path / "other").read_bytes() == b"x"


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = str(tmp_path / ("n" * 255))
    storage.write(path, b"x")
    assert storage.read(path) == b"x"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(IsADirectoryError):
        storage.write(str(tmp_path / "target"), b"x")
    assert os.listdir(tmp_path) == ["target"]


def test_delete_ignores_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    storage.delete([str(tmp_path / "a"), str(tmp_path / "b")])
    assert os.listdir(tmp_path) == []


def test_paths_of_object_stores_are_joined_with_slashes() -> None:
    assert storage.join("s3://bucket/photos/", "a b/1.jpg") == "s3://bucket/photos/a b/1.jpg"
    assert storage.split("s3://bucket/photos/1.jpg") == ("s3://bucket/photos", "1.jpg")
    assert not storage.is_local("gs://bucket")
    assert storage.is_local("/disk")


def test_a_copy_is_whole_or_not_there(tmp_path: Path) -> None:
    content = b"content"
    (tmp_path / "a").write_bytes(content)
    os.utime(tmp_path / "a", (7.5, 7.5))
    copy = tmp_path / "copies" / "a"
    crc32 = storage.copy(str(tmp_path), storage.Entry("a", 7, 7.5), str(copy), zlib.crc32(content))
    assert crc32 == zlib.crc32(copy.read_bytes())
    assert (copy.read_bytes(), copy.stat().st_mtime) == (content, 7.5)

    copy.unlink()
    with pytest.raises(storage.SourceError, match="changed"):
        storage.copy(str(tmp_path), storage.Entry("a", 7, 7.0), str(copy), zlib.crc32(content))
    with pytest.raises(storage.SourceError, match="changed"):  # of the same size and time
        storage.copy(str(tmp_path), storage.Entry("a", 7, 7.5), str(copy), zlib.crc32(b"CONTENT"))
    with pytest.raises(storage.SourceError, match="No such file"):
        storage.copy(str(tmp_path), storage.Entry("b", 7, 7.5), str(copy), zlib.crc32(content))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))  # a disk that takes no more than three bytes
    try:
        with pytest.raises(OSError, match="File too large"):
            storage.copy(str(tmp_path), storage.Entry("a", 7, 7.5), str(copy), zlib.crc32(content))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path / "copies") == []


def test_folders_get_no_more_permissions_than_their_counterparts(tmp_path: Path) -> None:
    source = tmp_path / "photos" / "open" / "private" / "1.png"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"1")
    source.parent.chmod(0o700)
    (tmp_path / "photos/open").chmod(0o755)
    os.umask(umask := os.umask(0))
    storage.write(str(tmp_path / "out/enhanced/open/private/1.png"), b"2", like=str(source))
    modes = {
        name: (tmp_path / "out" / name).stat().st_mode & 0o777 for name in ("enhanced/open", "enhanced/open/private")
    }
    assert modes == {"enhanced/open": 0o755 & ~umask, "enhanced/open/private": 0o700}
    assert (tmp_path / "out/enhanced").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_file_with_an_access_control_list_gives_the_group_what_the_list_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """user::rw-, user:daemon:r--, group::---, mask::r--, other::---: the mode says 640, but the group may not read."""
    source = tmp_path / "1.png"
    source.write_bytes(b"1")
    source.chmod(0o640)
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, 4, 1), (4, 0, nobody), (0x10, 4, nobody), (0x20, 0, nobody)]
    listed = struct.pack("<L", 2) + b"".join(struct.pack("<HHL", *entry) for entry in entries)
    monkeypatch.setattr(os, "getxattr", lambda path, name: listed)
    storage.write(str(tmp_path / "out.png"), b"2", like=str(source))
    assert (tmp_path / "out.png").stat().st_mode & 0o777 == 0o600
