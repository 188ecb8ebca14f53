"""The command `zerodce download`: downloads the LoL data set from its drive, checks it, and unpacks it safely."""

import hashlib
import re
import shutil
import stat
import textwrap
import zipfile
from pathlib import Path, PurePosixPath

import click
import gdown
import requests
from gdown.exceptions import DownloadError
from rich.progress import DownloadColumn, TransferSpeedColumn

from pipelines import folders, progress, storage
from tfrecord_tools.records import printable

FILE_ID = "1lNHqJmW8IJwpBbQkJC8ElfZZyBiWcDTi"
URL = f"https://drive.google.com/uc?id={FILE_ID}"
PAGE = f"https://drive.google.com/file/d/{FILE_ID}/view"
ARCHIVE = "lol_dataset.zip"
PARTS = {"our485": 485, "eval15": 15}
"""The folders of the data set, and how many pairs each holds."""

_UNPACKED = f"{folders.STATE}/unpacked"

TIMEOUT = 60.0
"""Seconds of silence after which a connection counts as broken."""

RETRIES = 3
"""How often a broken connection is opened again, with exponential backoff, before the command gives up."""


class ArchiveError(Exception):
    """The archive cannot be unpacked. The message says why."""


def download(out: str, *, url: str | None, sha256: str | None) -> int:
    """The command `zerodce download`. The arguments are its options; `zerodce download --help` explains them.

    Returns:
        The exit code. 0: `out` holds pairs of both folders of the data set. 130: interrupted.

    Raises:
        click.UsageError: Wrong arguments.
        click.ClickException: The archive could not be fetched, is damaged, or cannot be written.
    """
    if not storage.is_local(out):
        raise click.UsageError("download works on local folders: copy the data set to the store afterwards")
    target = Path(out)
    archive = target / ARCHIVE
    folders.refuse_links_out(out, [folders.STATE, _UNPACKED, *PARTS])
    if all((target / part).exists() for part in PARTS) and not archive.exists():
        refuse_empty(target)
        click.echo(f"{printable(out)} is complete already: {contents(target)}")
        return 0
    try:
        with folders.lock(out):
            if not archive.exists():
                fetch(url or URL, archive)
            check(archive, sha256)
            unpack(archive, target)
            archive.unlink()
    except KeyboardInterrupt:
        click.echo("Interrupted: the same command goes on from here.", err=True)
        return 130
    except ArchiveError as error:
        raise click.ClickException(
            f"{archive} {error}. Delete it and run the command again, or put the file from {PAGE} in its place"
        ) from None
    except (requests.RequestException, DownloadError) as error:
        reason = textwrap.shorten(without_secrets(str(error).split("You may still")[0]), 120, placeholder=" ...")
        raise click.ClickException(
            f"the download failed ({reason}). The same command goes on where it stopped; if the drive refuses, open "
            f"{PAGE} in a browser, save the file as {archive}, and run the command again"
        ) from None
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written ({error.strerror or error}): choose another") from None
    refuse_empty(target)
    click.echo(f"{printable(out)}: {contents(target)}")
    return 0


def without_secrets(text: str) -> str:
    """A message without the secrets in its addresses: user names, passwords, and queries behind a question mark."""
    return re.sub(r"\?[^\s'\")]+", "?...", re.sub(r"//[^/\s]*@", "//", text))


def fetch(url: str, target: Path) -> None:
    """Downloads a file, and resumes an earlier try. The file appears under its name when it is complete.

    Args:
        url: A Google Drive link, or another address.
        target: Path of the file. Until it is complete, it lies beside this path with a name that ends in `.part`.

    Raises:
        requests.RequestException, DownloadError: It could not be fetched. The part that has arrived is kept.
        click.UsageError: `url` is not an address.
    """

    def parts() -> dict[Path, int]:
        return {part: part.stat().st_size for part in target.parent.glob(f"{target.name}*.part")}

    kept = parts()
    bar = progress.bar(DownloadColumn(), TransferSpeedColumn())
    task = bar.add_task(target.name, total=None)

    def attempt() -> None:
        gdown.download(
            url,
            str(target),
            quiet=True,
            resume=True,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            timeout=TIMEOUT,
            retries=RETRIES,
        )

    with bar:
        try:
            attempt()
        except requests.JSONDecodeError:
            raise
        except ValueError:  # its text is not shown, because it may contain part of a password
            raise click.UsageError("--url is not an address that can be fetched: write https://...") from None
        except (DownloadError, requests.HTTPError):
            if not any(kept.values()) or parts() != kept:
                raise
            # the part did not grow: the server cannot resume, or its file has changed
            for part in kept:
                part.unlink()
            attempt()


def check(archive: Path, sha256: str | None) -> None:
    """Raises `ArchiveError` if a file is not a ZIP archive, or has another SHA-256 (hexadecimal) than the given one."""
    if not zipfile.is_zipfile(archive):
        with archive.open("rb") as file:
            web_page = file.read(512).lstrip().startswith(b"<")
        raise ArchiveError("is a web page, because the drive refused" if web_page else "is not a ZIP archive")
    if sha256:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256.lower():
            raise ArchiveError(f"has the SHA-256 {found}, not {sha256.lower()}")


def unpack(archive: Path, target: Path) -> None:
    """Unpacks the data set. Inside the archive it may lie in any folder. Each part appears when it is complete.

    The size and checksum of every member are checked.

    Args:
        archive: A ZIP archive.
        target: Folder of the data set, which gets the folders in `PARTS`. Existing ones are not changed.

    Raises:
        ArchiveError: It does not hold the data set, is damaged, or a member leads out of the folder or is a link. Then
            no unpacked files are left.
    """
    unpacked = target / _UNPACKED
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            members = {destination: info for info in file.infolist() if (destination := _destination(info))}
            missing = [part for part in PARTS if not any(path.parts[:2] == (part, "low") for path in members)]
            if missing:
                raise ArchiveError(f"holds no {missing[0]}/low: it is not the LoL data set")
            for part in PARTS:
                if not any(
                    PurePosixPath(part, "high", path.name) in members
                    for path in members
                    if path.parts[:2] == (part, "low")
                ):
                    raise ArchiveError(f"holds no pair of {part}: it is not the LoL data set")
            free = shutil.disk_usage(target).free
            needed = sum(info.file_size for info in members.values())
            if needed > free:
                raise ArchiveError(f"needs {needed / 1e9:.1f} GB, and only {free / 1e9:.1f} GB are free")
            for path, info in members.items():
                (unpacked / path).parent.mkdir(parents=True, exist_ok=True)
                with file.open(info) as source, (unpacked / path).open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
        for part in PARTS:
            if not (target / part).exists():
                (unpacked / part).rename(target / part)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"is damaged ({error})") from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _destination(info: zipfile.ZipInfo) -> PurePosixPath | None:
    """The path of a member, beginning with the folder of its part; None for folders and files that are not needed.

    Raises:
        ArchiveError: The member is a link, or its name leads out of the folder.
    """
    name = info.orig_filename.replace("\\", "/")
    parts = name.split("/")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ArchiveError(f"holds a link, {info.filename!a}, and was not unpacked")
    if name.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in name:
        raise ArchiveError(f"holds a file whose name leads out of its folder, {info.filename!a}, and was not unpacked")
    start = next((index for index, part in enumerate(parts) if part in PARTS), None)
    if info.is_dir() or start is None or "__MACOSX" in parts or parts[-1].startswith("."):
        return None
    return PurePosixPath(*parts[start:])


def _names(target: Path, part: str) -> tuple[set[str], set[str]]:
    """Names of the dark and of the well-exposed images of a part."""
    low, high = ({path.name for path in (target / part / side).glob("*")} for side in ("low", "high"))
    return low, high


def refuse_empty(target: Path) -> None:
    """Raises click.ClickException if a part of a LoL folder has no pair."""
    for part in PARTS:
        low, high = _names(target, part)
        if not low & high:
            raise click.ClickException(
                f"{target / part} holds no pair of images in low and high: move it away, and run the command again"
            )


def contents(target: Path) -> str:
    """The content of a LoL folder in words: pairs, and images without a counterpart."""
    texts = []
    for part, expected in PARTS.items():
        low, high = _names(target, part)
        text = f"{part} {len(low & high)} pairs"
        if single := len(low ^ high):
            text += f" and {single} single images"
        if len(low & high) != expected:
            text += f" (the whole set has {expected})"
        texts.append(text)
    return ", ".join(texts)
