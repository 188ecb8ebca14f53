"""Photo formats: what each written format can hold, and which files are photos by name."""

import dataclasses
import functools
import importlib.util
import posixpath
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Encoding(NamedTuple):
    """How well an encoder keeps a photo.

    Attributes:
        quality: The quality asked for, 1 to 100; None for about the quality of the original.
        original: The estimated quality of the original file, 1 to 100.
        lossless: Whether the original file is lossless.
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


def _jxl_options(encoding: Encoding) -> dict[str, Any]:
    speed = {"effort": 3, "num_threads": 1}
    if encoding.lossless and encoding.quality is None:
        return {"lossless": True, **speed}
    return {"quality": encoding.quality or encoding.original, **speed}


@dataclasses.dataclass(frozen=True)
class Format:
    """A format in which photos are written. To add a format, add an entry to `FORMATS`.

    Pillow writes it, unless `pipelines.photos.writing.WRITERS` has a function for it.

    Attributes:
        name: Pillow's name.
        label: The name as people write it.
        extension: The extension that is appended to a file name with another extension.
        aliases: Other names that people use, in capitals.
        alpha: Whether it can hold opacity.
        bits: The most bits that a value can have.
        metadata: Whether it can hold EXIF, an ICC profile and XMP.
        profile: Whether the encoder writes an ICC profile. If not, pixels with one are converted to sRGB.
        chunks: Whether it can hold PNG chunks: named texts and colour chunks.
        comments: How many comments it can hold.
        resources: Whether it can hold IPTC and other Photoshop resources.
        longest_block: The most bytes of one block of metadata; None for no limit.
        options: Gives Pillow's `save` options for an encoding.
        feature: Pillow's name of the library that writes it; None for a format that Pillow always writes.
        module: The module of the plug-in that writes it; None without one.
        extra: The extra of this package with the plug-in.
    """

    name: str
    label: str
    extension: str
    aliases: tuple[str, ...] = ()
    alpha: bool = False
    bits: int = 8
    metadata: bool = False
    profile: bool = True
    chunks: bool = False
    comments: int = 0
    resources: bool = False
    longest_block: int | None = None
    options: Callable[[Encoding], dict[str, Any]] = _no_options
    feature: str | None = None
    module: str | None = None
    extra: str | None = None

    def is_writable(self) -> bool:
        """Whether what writes it is installed."""
        if self.feature:
            from PIL import features

            return bool(features.check(self.feature))
        return self.module is None or importlib.util.find_spec(self.module) is not None


FORMATS = {
    format_.name: format_
    for format_ in (
        # a JPEG segment has at most 65,535 bytes, including its length of 2 bytes
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
        Format("WEBP", "WebP", ".webp", alpha=True, metadata=True, options=_webp_options, feature="webp"),
        Format("TIFF", "TIFF", ".tif", ("TIF",), alpha=True, bits=16, metadata=True, resources=True),
        Format("BMP", "BMP", ".bmp"),
        Format("JPEG2000", "JPEG2000", ".jp2", ("JP2",), alpha=True, comments=1, feature="jpg_2000"),
        Format("AVIF", "AVIF", ".avif", alpha=True, metadata=True, options=_avif_options, feature="avif"),
        Format(
            "JXL",
            "JPEGXL",
            ".jxl",
            ("JPEGXL",),
            alpha=True,
            metadata=True,
            profile=False,
            options=_jxl_options,
            module="pillow_jxl",
            extra="jxl",
        ),
    )
}
"""The formats in which photos are written, by Pillow's name."""

_NAMES = {name: format_ for format_ in FORMATS.values() for name in (format_.name, *format_.aliases)}

LOSSY = frozenset({"JPEG", "MPO", "HEIF", "AVIF", "JXL"})
"""Lossy formats. WebP can be either; so can JPEG XL, but Pillow's plug-in does not tell."""

HEIF_EXTENSIONS = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
RAW_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "bay", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "gpr", "iiq", "k25", "kdc", "mef"),
        *("mos", "mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
# formats that Pillow knows by name but cannot decode by itself
UNREADABLE = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF"})
# photo formats that need a plug-in of Pillow, if there is one: such a file gets a failure row and is not ignored
_BY_PLUGIN = {
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
_NO_PHOTOS = frozenset({"MPEG"})  # video extensions that Pillow registers
_JUNK_NAMES = frozenset({"thumbs.db"})
_JUNK_FOLDERS = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "network trash folder"),
        *("$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx"),
    }
)


@functools.cache
def formats_by_extension() -> dict[str, str]:
    """Pillow's name of the format, for every photo extension. It does not depend on the installed extras."""
    from PIL import Image

    registered = Image.registered_extensions().items()
    known = {extension.lower(): name for extension, name in registered if name not in _NO_PHOTOS}
    known[".jxl"] = "JXL"
    return _BY_PLUGIN | known | dict.fromkeys(HEIF_EXTENSIONS, "HEIF") | dict.fromkeys(RAW_EXTENSIONS, "RAW")


def is_photo(path: str) -> bool:
    """Whether a file is a photo by its name. The content is not read.

    Args:
        path: Relative path with `/`.

    Returns:
        True for the extensions that Pillow knows, those of HEIF and camera RAW, and those of known formats that cannot
        be read. False for `._*`, `Thumbs.db`, and all files in dot folders and in folders of network storage and
        operating systems (`@eaDir`, `#recycle`, `$RECYCLE.BIN`, `lost+found` ...).
    """
    return posixpath.splitext(path)[1].lower() in formats_by_extension() and not is_ignored(path)


def is_ignored(path: str) -> bool:
    """Whether a path is a file that cameras, viewers or systems leave among photos, or lies in such a folder.

    Args:
        path: Relative path with `/` of a file or a folder.
    """
    *folders, name = path.split("/")
    if name.startswith("._") or name.lower() in _JUNK_NAMES:
        return True
    return any(folder.startswith(".") or folder.lower() in _JUNK_FOLDERS for folder in folders)


def named_format(path: str) -> str:
    """The format that a file's extension stands for: Pillow's name, or "RAW"; empty if the extension is unknown."""
    return formats_by_extension().get(posixpath.splitext(path)[1].lower(), "")


def is_named_alike(path: str, other: str) -> bool:
    """Whether the extensions of two files stand for the same format."""
    return named_format(path) == named_format(other)


def written_format(path: str, output_format: str | None = None) -> Format:
    """The format in which the enhanced photo is written.

    Args:
        path: The photo's path.
        output_format: Format asked for, in upper or lower case. None for the photo's own format if it is one of
            `FORMATS`, else JPEG (for MPO, HEIF, RAW) or PNG (for others).

    Raises:
        ValueError: `output_format` is not one of `FORMATS`, or what writes it is not installed.
    """
    if output_format is None:
        name = named_format(path)
        return FORMATS.get(name) or FORMATS["JPEG" if name in ("HEIF", "MPO", "RAW") else "PNG"]
    found = _NAMES.get(output_format.upper().replace(" ", "").lstrip("."))
    if found is None:
        raise ValueError(f"unknown format {output_format!r}; choose one of {', '.join(writable_labels())}")
    if not found.is_writable():
        way = f": pip install 'zerodce[{found.extra}]'" if found.extra else ", which this Pillow was built without"
        raise ValueError(f"{found.label} needs another library{way}")
    return found


def writable_labels() -> list[str]:
    """The labels of the formats that this installation can write."""
    return [format_.label for format_ in FORMATS.values() if format_.is_writable()]


def output_path(path: str, output_format: str | None = None, named: str | None = None) -> str:
    """The relative path of the enhanced photo.

    Args:
        path: The photo's relative path.
        output_format: See `written_format`.
        named: The path that the enhanced photo shall have; None for `path`.

    Returns:
        `named`, if its extension stands for the format. Otherwise the format's extension is appended (`a.CR2` ->
        `a.CR2.jpg`), so that two photos that differ only in their extension get different outputs.

    Raises:
        ValueError: `output_format` is unknown.
    """
    written = written_format(path, output_format)
    named = path if named is None else named
    return named if named_format(named) == written.name else named + written.extension
