"""Formats: those that are written, and what each holds; which files are photos by their name."""

import dataclasses
import functools
import posixpath
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Encoding(NamedTuple):
    """How much of a photo an encoder is to keep.

    Attributes:
        quality: The quality asked for, 1 to 100; None for about the original's.
        original: About the quality of the original file, 1 to 100.
        lossless: Whether the original file held the pixels without loss.
        tables: The quantization tables of a JPEG; None for other files.
        subsampling: Pillow's number of the chroma subsampling of a JPEG.
    """

    quality: int | None
    original: int
    lossless: bool
    tables: list[list[int]] | None
    subsampling: int


def _no_options(encoding: Encoding) -> dict[str, Any]:
    return {}


def _jpeg_options(encoding: Encoding) -> dict[str, Any]:
    chroma = {"subsampling": encoding.subsampling if encoding.tables else 0 if encoding.lossless else -1}
    if encoding.quality is None and encoding.tables:
        return {"qtables": encoding.tables, **chroma}
    return {"quality": encoding.quality or encoding.original, **chroma}


def _webp_options(encoding: Encoding) -> dict[str, Any]:
    if encoding.lossless and encoding.quality is None:
        return {"lossless": True, "quality": 0, "method": 1, "exact": True}
    return {"quality": encoding.quality or encoding.original, "method": 2}


def _avif_options(encoding: Encoding) -> dict[str, Any]:
    return {"quality": encoding.quality or encoding.original, "speed": 8}


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that photos are written in. A new format is one entry of `FORMATS`.

    Pillow writes it, unless `pipelines.photos.writing.WRITERS` has a function of its own for it.

    Attributes:
        name: Pillow's name.
        label: The name as people write it.
        extension: The extension that is appended to a name with another one.
        aliases: Other names that people use, in capitals.
        alpha: Whether it holds opacity.
        bits: The most bits of a value that it holds.
        metadata: Whether it holds EXIF, an ICC profile and XMP.
        chunks: Whether it holds the chunks of a PNG: named texts, and those of colour.
        comments: How many comments it holds.
        resources: Whether it holds IPTC and other resources of Photoshop.
        longest_block: The most bytes of one block of metadata; None for any number.
        options: Pillow's `save` options for an encoding.
    """

    name: str
    label: str
    extension: str
    aliases: tuple[str, ...] = ()
    alpha: bool = False
    bits: int = 8
    metadata: bool = False
    chunks: bool = False
    comments: int = 0
    resources: bool = False
    longest_block: int | None = None
    options: Callable[[Encoding], dict[str, Any]] = _no_options


FORMATS = {
    format_.name: format_
    for format_ in (
        # a segment of a JPEG has 65,535 bytes, its length among them
        Format(
            "JPEG",
            "JPEG",
            ".jpg",
            ("JPG",),
            metadata=True,
            comments=sys.maxsize,
            resources=True,
            longest_block=65533,
            options=_jpeg_options,
        ),
        Format("PNG", "PNG", ".png", alpha=True, bits=16, metadata=True, chunks=True),
        Format("WEBP", "WebP", ".webp", alpha=True, metadata=True, options=_webp_options),
        Format("TIFF", "TIFF", ".tif", ("TIF",), alpha=True, bits=16, metadata=True, resources=True),
        Format("BMP", "BMP", ".bmp"),
        Format("JPEG2000", "JPEG2000", ".jp2", ("JP2",), alpha=True, comments=1),
        Format("AVIF", "AVIF", ".avif", alpha=True, metadata=True, options=_avif_options),
    )
}
"""The formats that photos are written in, by Pillow's name."""

_NAMES = {name: format_ for format_ in FORMATS.values() for name in (format_.name, *format_.aliases)}

LOSSY = frozenset({"JPEG", "MPO", "HEIF", "AVIF"})
"""Formats that hold pixels with loss; WebP holds them either way."""

HEIF_EXTENSIONS = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
RAW_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "bay", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "gpr", "iiq", "k25", "kdc", "mef"),
        *("mos", "mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
# what Pillow knows by name but does not decode by itself
UNREADABLE = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF"})
# photo formats that Pillow knows only by a plug-in, if at all: each is a failure row, not a file that nobody mentions
_BY_PLUGIN = {
    ".jxl": "JPEG XL",
    ".jxr": "JPEG XR",
    ".wdp": "JPEG XR",
    ".hdp": "JPEG XR",
    ".exr": "OpenEXR",
    ".bpg": "BPG",
    ".flif": "FLIF",
    ".hdr": "Radiance HDR",
    ".psb": "PSB",
    ".xcf": "XCF",
}
UNREADABLE |= set(_BY_PLUGIN.values())
_NO_PHOTOS = frozenset({"MPEG"})  # films are no photos, by whatever name Pillow knows them
_JUNK_NAMES = frozenset({"thumbs.db"})
_JUNK_FOLDERS = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "network trash folder"),
        *("$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx"),
    }
)


@functools.cache
def formats_by_extension() -> dict[str, str]:
    """Pillow's name of the format of every extension that counts as a photo, whatever extras are installed."""
    from PIL import Image

    registered = Image.registered_extensions().items()
    known = {extension.lower(): name for extension, name in registered if name not in _NO_PHOTOS}
    return _BY_PLUGIN | known | dict.fromkeys(HEIF_EXTENSIONS, "HEIF") | dict.fromkeys(RAW_EXTENSIONS, "RAW")


def is_photo(path: str) -> bool:
    """Whether a file is a photo by its name: no look at its content.

    Args:
        path: Relative path with `/`.

    Returns:
        True for the extensions that Pillow knows, those of HEIF and camera RAW, and those of formats that are known but
        not read; never for `._*`, `Thumbs.db`, or anything in dot folders and in those that network storage and
        systems keep for themselves (`@eaDir`, `#recycle`, `$RECYCLE.BIN`, `lost+found` ...).
    """
    return posixpath.splitext(path)[1].lower() in formats_by_extension() and not is_ignored(path)


def is_ignored(path: str) -> bool:
    """Whether a path is one of those that cameras, viewers and systems leave among photos, or lies in such a folder.

    Args:
        path: Relative path with `/` of a file or a folder.
    """
    *folders, name = path.split("/")
    if name.startswith("._") or name.lower() in _JUNK_NAMES:
        return True
    return any(folder.startswith(".") or folder.lower() in _JUNK_FOLDERS for folder in folders)


def named_format(path: str) -> str:
    """The format that a file's name promises, in Pillow's spelling, or "RAW"; empty where it promises none."""
    return formats_by_extension().get(posixpath.splitext(path)[1].lower(), "")


def written_format(path: str, output_format: str | None = None) -> Format:
    """The format in which the enhanced photo is written.

    Args:
        path: The photo's path.
        output_format: Format asked for, in any case; None for the photo's own format where it can be
            written well, else JPEG (MPO, HEIF, RAW) or PNG (the rest).

    Raises:
        ValueError: `output_format` is none of `FORMATS`.
    """
    if output_format is None:
        name = named_format(path)
        return FORMATS.get(name) or FORMATS["JPEG" if name in ("HEIF", "MPO", "RAW") else "PNG"]
    found = _NAMES.get(output_format.upper().replace(" ", "").lstrip("."))
    if found is None:
        labels = ", ".join(format_.label for format_ in FORMATS.values())
        raise ValueError(f"unknown format {output_format!r}; choose one of {labels}")
    return found


def output_path(path: str, output_format: str | None = None) -> str:
    """Where the enhanced photo goes, relative as `path` is.

    Args:
        path: The photo's relative path.
        output_format: See `written_format`.

    Returns:
        `path` itself, or with the new format's extension appended (`a.CR2` -> `a.CR2.jpg`), so that two photos
        of one name but different formats stay apart.

    Raises:
        ValueError: `output_format` is unknown.
    """
    written = written_format(path, output_format)
    return path if named_format(path) == written.name else path + written.extension
