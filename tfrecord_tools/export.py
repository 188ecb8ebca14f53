"""Exports a data set as a folder of images, or as a contact sheet."""

import hashlib
import itertools
import math
import os
import posixpath
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from PIL import Image, ImageDraw, ImageFont

from tfrecord_tools.conversion import CHECKSUMS, checksums
from tfrecord_tools.decoding import decode
from tfrecord_tools.manifest import DatasetError
from tfrecord_tools.reading import open_dataset, read_records
from tfrecord_tools.records import Record, StoredImage

_EXTENSIONS = {"png": (".png",), "jpeg": (".jpg", ".jpeg")}
_CELL, _GAP, _CAPTION = 160, 8, 16  # pixels
_BACKGROUND, _INK = "#ffffff", "#33475b"


def export_images(folder: str | Path, out: str | Path) -> Iterator[Path]:
    """Writes every image with the bytes of its record, under SPLIT/image/ and SPLIT/reference/.

    Keeps the relative path of the source. If its extension is of another format, the right one is appended. At the end
    it writes `CHECKSUMS`, with the SHA-256 of every image.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        out: Folder of the images; existing files are replaced.

    Yields:
        The path of each file after it is written.

    Raises:
        DatasetError: The folder is not a complete data set, two images have the same path, or a link leads out of
            `out`.
        OSError: A file cannot be written.
    """
    manifest = open_dataset(folder)
    digests: dict[str, str] = {}
    for split in manifest.splits:
        if not manifest.records(split):
            continue
        for record in read_records(folder, split):
            for kind, image in (("image", record.image), ("reference", record.reference)):
                if image is None:
                    continue
                name = f"{split}/{kind}/{_relative_path(image)}"
                if kind == "image" and name in digests:  # one reference may belong to several images
                    raise DatasetError(f"two records of {split} have the same file, {image.label}")
                digests[name] = hashlib.sha256(image.encoded).hexdigest()
                _write(Path(out) / name, image.encoded, Path(out))
                yield Path(out) / name
    _write(Path(out) / CHECKSUMS, checksums(digests), Path(out))


def _write(path: Path, content: bytes, out: Path) -> None:
    """Writes a file below a folder, atomically. Never writes through a link."""
    if not path.parent.resolve().is_relative_to(out.resolve()):
        raise DatasetError(f"{path.parent} leads out of {out} through a link: remove it, or choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _relative_path(image: StoredImage) -> PurePosixPath:
    path = PurePosixPath(image.filename)
    extensions = _EXTENSIONS[image.format]
    return path if path.suffix.lower() in extensions else path.with_name(path.name + extensions[0])


def contact_sheet(folder: str | Path, split: str, images: int = 60, columns: int = 10) -> Image.Image:
    """A grid of the first images of a split, with their names. The reference of an image is beside it.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        split: Name of the split.
        images: Largest number of records.
        columns: Number of pictures in a row.

    Raises:
        DatasetError: The folder is not a complete data set, or has no such split.
    """
    pictures = list(_pictures(itertools.islice(read_records(folder, split), images)))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (_CELL + _GAP) + _GAP, rows * (_CELL + _CAPTION + _GAP) + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for index, (picture, caption) in enumerate(pictures):
        left = _GAP + index % columns * (_CELL + _GAP)
        top = _GAP + index // columns * (_CELL + _CAPTION + _GAP)
        sheet.paste(picture, (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2))
        while draw.textlength(caption, font) > _CELL:
            caption = "\u2026" + caption[2:]
        draw.text((left, top + _CELL + 1), caption, _INK, font)
    return sheet


def _pictures(records: Iterator[Record]) -> Iterator[tuple[Image.Image, str]]:
    for record in records:
        yield _thumbnail(record.image), posixpath.basename(record.image.label)
        if record.reference:
            yield _thumbnail(record.reference), "its reference"


def _thumbnail(stored: StoredImage) -> Image.Image:
    image = decode(stored)
    image.thumbnail((_CELL, _CELL))
    return image
