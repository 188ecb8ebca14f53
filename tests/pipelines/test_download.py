"""The download, from a server of the test's own that stands in for the drive."""

import contextlib
import hashlib
import io
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest

from pipelines import download as job
from pipelines.download import ARCHIVE, ArchiveError, check, download, unpack

pytestmark = pytest.mark.slow


def lol_zip(prefix: str = "lol_dataset/", **more: bytes) -> bytes:
    """An archive of the LoL layout: two pairs of our485, one of eval15, and further members."""
    names = [f"{part}/{side}/{name}" for part, name in (("our485", "2.png"), ("our485", "5.png"), ("eval15", "1.png"))
             for side in ("low", "high")]  # fmt: skip
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(prefix + name, f"pixels of {name} ".encode() * 20000)
        for name, data in more.items():
            file.writestr(name, data)
    return content.getvalue()


class Drive:
    """A web server with one file, which breaks off connections and answers ranges if told to.

    Attributes:
        url: Of the file.
        ranges: The `Range` headers of the requests so far, "" for a request of all.
        break_after: Bytes after which the next answer breaks off; None for never.
        resumes: Whether it answers ranges.
        status: Status of every answer; 200 or 206 if None.
    """

    def __init__(self, content: bytes, content_type: str) -> None:
        drive = self
        self.ranges: list[str] = []
        self.break_after: int | None = None
        self.resumes = True
        self.status: int | None = None

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range", "")
                drive.ranges.append(asked)
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and drive.resumes else 0
                self.send_response(drive.status or (206 if start else 200))
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(content) - start))
                self.send_header("ETag", '"1"')
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(content[start:][: drive.break_after])

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/lol_dataset.zip"


@contextlib.contextmanager
def serving(content: bytes, content_type: str = "application/zip") -> Iterator[Drive]:
    drive = Drive(content, content_type)
    thread = threading.Thread(target=drive.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield drive
    finally:
        drive.server.shutdown()
        drive.server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries."""
    monkeypatch.setattr(job, "RETRIES", 0)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


EXPECTED = [
    f"{part}/{side}/{name}"
    for part, side, name in (
        ("eval15", "high", "1.png"),
        ("eval15", "low", "1.png"),
        ("our485", "high", "2.png"),
        ("our485", "high", "5.png"),
        ("our485", "low", "2.png"),
        ("our485", "low", "5.png"),
    )
]


@pytest.mark.parametrize("prefix", ["lol_dataset/", "", "a/b/"])
def test_download_unpacks_into_the_layout_and_leaves_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    content = lol_zip(prefix, **{"__MACOSX/lol_dataset/our485/low/._2.png": b"x", "lol_dataset/our485/.DS_Store": b"x"})
    with serving(content) as drive:
        assert download(str(tmp_path), url=drive.url, sha256=hashlib.sha256(content).hexdigest()) == 0
        assert download(str(tmp_path), url=drive.url, sha256=None) == 0
    assert drive.ranges == [""]  # the second call needs nothing
    assert [name for name in files(tmp_path) if not name.startswith(".zerodce")] == EXPECTED
    assert (tmp_path / "our485/low/5.png").read_bytes() == b"pixels of our485/low/5.png " * 20000
    assert "our485 2 pairs (the whole set has 485), eval15 1 pairs (the whole set has 15)" in capsys.readouterr().out


def test_a_broken_download_goes_on(tmp_path: Path) -> None:
    content = lol_zip()
    with serving(content) as drive:
        drive.break_after = 1_500_000
        with pytest.raises(click.ClickException, match="goes on where it stopped"):
            download(str(tmp_path), url=drive.url, sha256=None)
        (part,) = tmp_path.glob("*.part")
        kept = part.stat().st_size
        assert 0 < kept <= 1_500_000
        assert content.startswith(part.read_bytes())
        drive.break_after = None
        assert download(str(tmp_path), url=drive.url, sha256=None) == 0
    assert drive.ranges[-1] == f"bytes={kept}-"
    assert [name for name in files(tmp_path) if not name.startswith(".zerodce")] == EXPECTED


def test_a_server_that_cannot_resume_sends_all_again(tmp_path: Path) -> None:
    with serving(lol_zip()) as drive:
        drive.break_after = 1_500_000
        with pytest.raises(click.ClickException):
            download(str(tmp_path), url=drive.url, sha256=None)
        drive.break_after, drive.resumes = None, False
        assert download(str(tmp_path), url=drive.url, sha256=None) == 0
    assert [name for name in files(tmp_path) if not name.startswith(".zerodce")] == EXPECTED


def test_a_refusal_says_what_to_do_by_hand(tmp_path: Path) -> None:
    with serving(b"<html>Quota exceeded</html>", "text/html") as drive, pytest.raises(click.ClickException) as error:
        download(str(tmp_path), url=drive.url, sha256=None)
    message = error.value.message
    assert "is a web page, because the drive refused" in message
    assert "https://drive.google.com/file/d/1lNHqJmW8IJwpBbQkJC8ElfZZyBiWcDTi/view" in message
    assert str(tmp_path / ARCHIVE) in message


def test_no_connection_says_what_to_do_by_hand(tmp_path: Path) -> None:
    with serving(b"") as drive:
        pass
    with pytest.raises(click.ClickException) as error:
        download(str(tmp_path), url=drive.url, sha256=None)
    assert f"save the file as {tmp_path / ARCHIVE}" in error.value.message
    assert "\n" not in error.value.message


def test_a_file_put_there_by_hand_is_used(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(lol_zip())
    assert download(str(tmp_path), url="http://127.0.0.1:9/", sha256=None) == 0
    assert not (tmp_path / ARCHIVE).exists()
    assert (tmp_path / "eval15/high/1.png").exists()


def test_checksum(tmp_path: Path) -> None:
    content = lol_zip()
    archive = tmp_path / ARCHIVE
    archive.write_bytes(content)
    check(archive, hashlib.sha256(content).hexdigest().upper())
    with pytest.raises(ArchiveError, match=f"has the SHA-256 {hashlib.sha256(content).hexdigest()}, not 00"):
        check(archive, "00")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "lol_dataset/our485/low/../../../evil.txt",
        "/tmp/evil.txt",
        "C:\\evil.txt",
        "our485\\..\\..\\evil",
    ],
)
def test_a_member_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    archive, target = tmp_path / "evil.zip", tmp_path / "inside" / "out"
    target.mkdir(parents=True)
    archive.write_bytes(lol_zip(**{name: b"evil"}))
    with pytest.raises(ArchiveError, match="leads out of its folder"):
        unpack(archive, target)
    assert files(tmp_path) == ["evil.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO(lol_zip())
    with zipfile.ZipFile(content, "a") as file:
        link = zipfile.ZipInfo("lol_dataset/our485/low/9.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    (tmp_path / "evil.zip").write_bytes(content.getvalue())
    with pytest.raises(ArchiveError, match="holds a link"):
        unpack(tmp_path / "evil.zip", tmp_path / "out")
    assert files(tmp_path) == ["evil.zip"]


def test_a_damaged_archive_leaves_nothing(tmp_path: Path) -> None:
    content = bytearray(lol_zip())
    content[60_000] ^= 0xFF  # inside the first image
    (tmp_path / "damaged.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="is damaged"):
        unpack(tmp_path / "damaged.zip", tmp_path)
    assert files(tmp_path) == ["damaged.zip"]


def test_another_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("photos/1.png", b"x")
    with pytest.raises(ArchiveError, match="holds no our485/low"):
        unpack(tmp_path / "other.zip", tmp_path)


def single_images() -> bytes:
    """An archive of the LoL layout without one well-exposed image of eval15."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(lol_zip())) as whole, zipfile.ZipFile(content, "w") as part:
        for name in whole.namelist():
            if "eval15/high" not in name:
                part.writestr(name, whole.read(name))
    return content.getvalue()


def test_an_archive_without_pairs_is_refused(tmp_path: Path) -> None:
    with serving(single_images()) as drive, pytest.raises(click.ClickException, match="holds no pair of eval15"):
        download(str(tmp_path), url=drive.url, sha256=None)
    assert [name for name in files(tmp_path) if not name.startswith(".zerodce")] == [ARCHIVE]


def test_folders_without_pairs_are_no_data_set(tmp_path: Path) -> None:
    for part in ("our485", "eval15"):
        (tmp_path / part / "low").mkdir(parents=True)
        (tmp_path / part / "low" / "1.png").touch()
    with pytest.raises(click.ClickException, match="our485 holds no pair of images in low and high: move it away"):
        download(str(tmp_path), url="http://127.0.0.1:9/", sha256=None)


def test_no_link_is_followed_out_of_the_folder(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    (out / ".zerodce").mkdir(parents=True)
    (out / ".zerodce" / "unpacked").symlink_to(outside)
    (out / ARCHIVE).write_bytes(lol_zip())
    with pytest.raises(click.UsageError, match="is a link that leads to"):
        download(str(out), url=None, sha256=None)
    assert files(outside) == ["mine.txt"]


@pytest.mark.parametrize(
    "path", ["{host}/missing.zip?token=geheim", "me:geheim@{host}/missing.zip", "me:ge@heim@{host}/a"]
)
def test_no_password_is_printed(tmp_path: Path, path: str) -> None:
    with serving(b"") as drive:
        drive.status = 401
        url = f"http://{path.format(host=drive.url.split('/')[2])}"
        with pytest.raises(click.ClickException, match="the download failed") as error:
            download(str(tmp_path), url=url, sha256=None)
    assert "401" in error.value.message
    assert "127.0.0.1" in error.value.message
    assert "heim" not in error.value.message


@pytest.mark.parametrize("url", ["http://[geheim", "geheim", "ftp://me:geheim@x/y", "http://me:ge/heim@127.0.0.1:9/a"])
def test_an_address_that_is_none_is_said(tmp_path: Path, url: str) -> None:
    with pytest.raises(click.UsageError, match="--url is not an address that can be fetched") as error:
        download(str(tmp_path), url=url, sha256=None)
    assert "heim" not in error.value.message
