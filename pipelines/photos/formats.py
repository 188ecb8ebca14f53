"""Formats by file name: which files are photos, and what is written for each."""

import functools
import posixpath

from PIL import Image

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
}
UNREADABLE |= set(_BY_PLUGIN.values())
_NO_PHOTOS = frozenset({"MPEG"})  # films are no photos, by whatever name Pillow knows them
_JUNK_NAMES = frozenset({"thumbs.db"})
_JUNK_FOLDERS = frozenset(
    {"@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"}
)
_EXTENSION_OF = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "JPEG2000": ".jp2",
    "AVIF": ".avif",
}
_CHOICES = "JPEG, PNG, WebP, TIFF, BMP, JPEG2000, AVIF"


@functools.cache
def formats_by_extension() -> dict[str, str]:
    """Pillow's name of the format of every extension that counts as a photo, whatever extras are installed."""
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


def written_format(path: str, output_format: str | None = None) -> str:
    """The format in which the enhanced photo is written: JPEG, PNG, WEBP, TIFF, BMP, JPEG2000 or AVIF.

    Args:
        path: The photo's path.
        output_format: Format asked for, in any case; None for the photo's own format where it can be
            written well, else JPEG (MPO, HEIF, RAW) or PNG (the rest).

    Raises:
        ValueError: `output_format` is none of these.
    """
    if output_format is None:
        name = named_format(path)
        if name in _EXTENSION_OF:
            return name
        return "JPEG" if name in ("HEIF", "MPO", "RAW") else "PNG"
    name = output_format.upper().replace(" ", "").lstrip(".")
    name = {"JPG": "JPEG", "TIF": "TIFF", "JP2": "JPEG2000"}.get(name, name)
    if name not in _EXTENSION_OF:
        raise ValueError(f"unknown format {output_format!r}; choose one of {_CHOICES}")
    return name


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
    name = written_format(path, output_format)
    return path if named_format(path) == name else path + _EXTENSION_OF[name]
