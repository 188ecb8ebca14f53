"""Reads photo files: decodes them upright, at full size or as a small copy, and collects their metadata."""

import contextlib
import ctypes
import dataclasses
import io
import logging
import re
import struct
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from pipelines.memory import CancelledError
from pipelines.photos import colour, gain_maps, jpeg_xl, unread
from pipelines.photos.errors import PhotoError, described, failing_as
from pipelines.photos.formats import LOSSY, UNREADABLE, Format, named_format, written_format
from pipelines.photos.jpeg import DAMAGED, decode_jpeg
from pipelines.photos.metadata import Metadata
from pipelines.photos.pixels import channels, depth_of, eight_bit_values, image_of, pixels_of, turned_pixels
from pipelines.photos.raw import DNG_VERSION_TAG, open_raw

try:
    import pillow_heif

    pillow_heif.register_heif_opener()
except ImportError:
    pass

jpeg_xl.register()

MAX_PIXELS = 500_000_000
_ONE_PICTURE = frozenset({"PSD", "ICO", "ICNS"})  # their further frames are layers or sizes of the same picture
_MANY_CHANNELS = 1000  # a file that claims more is damaged
_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 1 | 4  # TIFF's tag, and its bits
_OLD_SUBFILE_TYPE, _OLD_REDUCED = 255, 2
_NOT_RAW = (b"\xff\xd8\xff", b"\x89PNG")
_HEIF_STARTS = {b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")}

Image.MAX_IMAGE_PIXELS = None  # Pillow's limit for the process; `_open` checks the limit of each photo
# Pillow warns and logs about damaged files; here the photo gets a note or an error instead
logging.getLogger("PIL").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"PIL\.")
# Pillow's libtiff prints errors to standard error, and Pillow raises the same errors
with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


@dataclasses.dataclass
class Photo:
    """A decoded photo, upright.

    Attributes:
        pixels: RGB or grey, (height, width, 3 or 1). uint16 if the file and the output have more than 8 bits, else
            uint8.
        alpha: Opacity, uint8 or uint16 (height, width); None if there is none or the output cannot hold it.
        format: The format to write.
        notes: Short sentences about differences between file and output.
        metadata: The metadata for the output.
        lossless: Whether the file is lossless.
        same_format: Whether the file already has the format to write.
        jpeg_tables: The quantization table of each component of a JPEG; None for other files.
        jpeg_subsampling: Pillow's number of the chroma subsampling; if Pillow cannot write it, of the next finer one.
        damage: A sentence with the JPEG decoder's warning; empty if there is none.
        hdr: Whether the file has a gain map.
        gain_map: The gain map, if it may be kept over brighter pixels; else None.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    format: Format
    notes: list[str]
    metadata: Metadata
    lossless: bool
    same_format: bool
    jpeg_tables: list[list[int]] | None
    jpeg_subsampling: int
    damage: str
    hdr: bool = False
    gain_map: gain_maps.GainMap | None = None

    @property
    def eight_bits(self) -> np.ndarray:
        """The pixels as uint8."""
        return eight_bit_values(self.pixels)

    @property
    def image(self) -> Image.Image:
        """The pixels as an image, RGB or L. Each call makes a new one."""
        return image_of(self.eight_bits)


def load(
    content: bytes,
    path: str,
    *,
    output_format: str | None = None,
    max_pixels: int = MAX_PIXELS,
    admit: Callable[[int, int], None] = lambda pixels, bits: None,
) -> Photo:
    """Decodes a photo.

    Args:
        content: The file.
        path: Name of the file. It determines the format to write, and whether the file is camera RAW.
        output_format: The format to write; None for the one that `path` determines.
        max_pixels: Photos with more pixels are refused before they are decoded.
        admit: Called before the photo is decoded, with its number of pixels and the bits of a value. It may wait, or
            raise PhotoError.

    Raises:
        PhotoError: It is damaged (decode), of a kind that cannot be read (unsupported), or too large.
        ValueError: `output_format` is unknown.
    """
    written = written_format(path, output_format)
    with _reading(content, path):
        image = _open(content, path, max_pixels, admit)
        depth = depth_of(image, content)
        if image.format not in ("RAW", "JXL"):  # `_open` has decoded it already
            admit(image.width * image.height, depth.bits)
        stored = _stored_orientation(image, content)
        gain_map = gain_maps.find(image, content, stored)
        notes = list(dict.fromkeys([*_other_pictures(image, content, gain_map), *unread.notes(image, content)]))
        pixels, damage = decode_jpeg(image, content)
        if pixels is None:
            image.load()
        orientation = _orientation(image)
        metadata, lost = Metadata.of(image, written, stored)
        notes += [note for note in lost if note not in notes]  # XMP can cause the same note about other pictures
        hdr = unread.GAIN_MAP in notes
        gain_map = gain_map if gain_map and written.name == "JPEG" and gain_maps.only_brightens(gain_map) else None
        notes = [note for note in notes if not (gain_map and note == unread.GAIN_MAP)]
        tables = _jpeg_tables(image)
        subsampling = _subsampling(image, orientation)
        source = image.format
        lossless = source not in LOSSY and (source != "WEBP" or _is_lossless_webp(content))
        alpha = None
        if pixels is not None:
            pixels = turned_pixels(pixels, orientation)
        else:
            upright = channels(image, depth, orientation, content, written.bits == 16)
            pixels = pixels_of(upright.image) if upright.pixels_16 is None else upright.pixels_16
            alpha = upright.alpha
            notes += upright.notes
    if alpha is not None and not written.alpha:
        notes.append(f"alpha dropped ({written.name} holds none)")
        alpha = None
    same = source == written.name or (source, written.name) == ("MPO", "JPEG")
    if not same:
        notes.append(f"{source} written as {written.name}")
    return Photo(pixels, alpha, written, notes, metadata, lossless, same, tables, subsampling, damage, hdr, gain_map)


def _is_lossless_webp(content: bytes) -> bool:
    """Whether the first image of a WebP file is lossless. It may be anywhere in the RIFF container."""
    at = 12
    while at + 8 <= len(content):
        kind, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        # a frame of an animation contains chunks, after a header of 16 bytes
        at += 8 + (16 if kind == b"ANMF" else size + size % 2)
    return False


def is_whole(content: bytes) -> bool:
    """Whether a file is an image that can be read completely."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # decoders raise exceptions of any type on damaged data
        return False
    return True


def thumbnail(content: bytes, path: str, long_side: int, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes a small, upright copy. For a JPEG this takes a fraction of the time of the full size.

    Args:
        content: The file.
        path: Name of the file.
        long_side: The longest side of the copy, in pixels. A smaller photo keeps its size.
        max_pixels: Photos with more pixels are refused before they are decoded.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        PhotoError: As for `load`.
    """
    size = (long_side, long_side)
    with _reading(content, path):
        image = _open(content, path, max_pixels, half_size=True)
        depth = depth_of(image, content)
        if image.mode in ("RGB", "L", "CMYK"):  # decodes a JPEG at a small size, and uses the thumbnail of a HEIC
            image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        image.load()
        image = channels(image, depth, _orientation(image), content, keep_16=False).image
        image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(image.convert("RGB"))


def decode(
    content: bytes,
    path: str,
    at_least: tuple[int, int],
    *,
    max_pixels: int = MAX_PIXELS,
    reject_damaged: bool = False,
) -> tuple[Image.Image, list[str]]:
    """Decodes a photo that will be resized. A JPEG may be decoded at a smaller size.

    Args:
        content: The file.
        path: Name of the file.
        at_least: The smallest width and height of the upright image. A smaller photo keeps its size.
        max_pixels: Photos with more pixels are refused before they are decoded.
        reject_damaged: Whether to refuse a JPEG for which the decoder gives a warning.

    Returns:
        The upright image, 8-bit RGB, and a short sentence for each thing that was changed or left out.

    Raises:
        PhotoError: As for `load`.
    """
    with _reading(content, path):
        image = _open(content, path, max_pixels)
        depth = depth_of(image, content)
        notes = _other_pictures(image, content)
        orientation = _orientation(image)
        at_least = at_least if orientation < 5 else at_least[::-1]
        pixels, damage = decode_jpeg(image, content, at_least)
        if pixels is None:
            image.draft(None, at_least)
            image.load()
            orientation = _orientation(image)  # again, because Pillow turns a TIFF when it loads it
        else:
            image = image_of(pixels)
        if damage and reject_damaged:
            raise PhotoError("decode", damage)
        notes += [DAMAGED] if damage else []
        image, _, alpha, changes = channels(image, depth, orientation, content, keep_16=False)
        notes += changes
    image.info = {}  # otherwise an encoder would write the profile
    if alpha is not None:
        notes.append("alpha dropped")
    return image.convert("RGB"), notes


@contextlib.contextmanager
def _reading(content: bytes, path: str) -> Iterator[None]:
    """Converts the exceptions that decoders raise on damaged data into a PhotoError."""
    with failing_as("decode", CancelledError):
        try:
            yield
        except UnidentifiedImageError:
            name = named_format(path)
            if "HEIF" not in Image.OPEN and (name == "HEIF" or content[4:12] in _HEIF_STARTS):
                raise PhotoError("unsupported", "HEIC needs pillow-heif: pip install 'zerodce[heif]'") from None
            if "JXL" not in Image.OPEN and (name == "JXL" or jpeg_xl.size_of(content)):
                raise PhotoError("unsupported", "JPEG XL needs a library: pip install 'zerodce[jxl]'") from None
            if name in UNREADABLE:
                raise PhotoError("unsupported", f"{name} is a format that zerodce cannot read") from None
            if unread := _unread_kind(content):
                raise PhotoError("unsupported", f"{unread} is a format that zerodce cannot read") from None
            raise PhotoError("decode", "not an image, or damaged at the start") from None
        except NotImplementedError as error:
            raise PhotoError("unsupported", str(error)) from error
        except OSError as error:
            if str(error).startswith("Unsupported"):
                raise PhotoError("unsupported", str(error)) from error
            if str(error).startswith("decoder error"):  # from libtiff
                raise PhotoError("decode", f"damaged, or in a compression that cannot be read ({error})") from error
            raise


def _unread_kind(content: bytes) -> str:
    """The kind of a TIFF or JPEG that Pillow does not support; empty for other files and damaged ones."""
    with contextlib.suppress(Exception):  # damaged data can raise exceptions of any type
        if content[:4] in (b"II*\x00", b"MM\x00*"):
            tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
            file = io.BytesIO(content)
            file.seek(tags.next)
            tags.load(file)
            bits, channels = tags[258], tags.get(277, 1)
            kind = {3: "float ", 2: "signed "}.get(tags.get(339, (1,))[0], "")
            if not kind and bits[0] in (1, 8, 16) and not 4 < channels < _MANY_CHANNELS:
                return ""
            return f"TIFF of {bits[0]} bit {kind}values in {channels} channels"
        if content[:2] == b"\xff\xd8":
            position = 2
            while content[position] == 0xFF:
                mark, length = content[position + 1], int.from_bytes(content[position + 2 : position + 4])
                if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
                    return f"JPEG of {content[position + 4]} bits" if content[position + 4] != 8 else ""
                position += 2 + length
    return ""


def _open(
    content: bytes,
    path: str,
    max_pixels: int,
    admit: Callable[[int, int], None] = lambda pixels, bits: None,
    half_size: bool = False,
) -> Image.Image:
    """Opens a photo and reads its header. A RAW file is developed at once, at half size if `half_size`."""
    if named_format(path) == "RAW" and not content.startswith(_NOT_RAW):
        return open_raw(content, max_pixels, admit, half_size)
    if size := jpeg_xl.size_of(content):  # Pillow decodes it when it opens it
        _refuse_large(*size, max_pixels)
        if "JXL" in Image.OPEN:
            admit(size[0] * size[1], 8)
    image = Image.open(io.BytesIO(content))
    if image.format in UNREADABLE:
        raise PhotoError("unsupported", f"{image.format} is a format that zerodce cannot read")
    if image.format == "TIFF":
        _skip_reduced_pages(image)
    _refuse_large(image.width, image.height, max_pixels)
    if image.format == "TIFF" and DNG_VERSION_TAG in vars(image)["tag_v2"]:
        return open_raw(content, max_pixels, admit, half_size)
    image.info.update(unread.found(image, content))
    image.info.update(**colour.named(image, content))
    return image


def _refuse_large(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PhotoError("too_large", f"{width}x{height} is more than --max-pixels {max_pixels}")


def _skip_reduced_pages(image: Image.Image) -> None:
    """Goes to the first page of a TIFF that is not a thumbnail or mask; if there is none, to the first page."""
    tags = vars(image)
    page = 0
    with contextlib.suppress(Exception):  # damage in other pages must not make the first page fail
        while (
            tags["tag_v2"].get(_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK
            or tags["tag_v2"].get(_OLD_SUBFILE_TYPE) == _OLD_REDUCED
        ):
            page += 1
            image.seek(page)
        return
    image.seek(0)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # on damaged data, Pillow's parser raises exceptions of any type
        return 1
    return orientation if isinstance(orientation, int) else 1


def _stored_orientation(image: Image.Image, content: bytes) -> int:
    """EXIF orientation of the stored picture, before Pillow turns it; 0 if it was turned in an unknown way."""
    if image.format == "RAW":
        named = image.info.get("original_orientation", 1)
        return named if isinstance(named, int) else 1
    if image.format != "HEIF":
        return _orientation(image)
    if named := image.info.get("original_orientation"):
        return named
    meta = content.find(b"meta")
    head = content[meta : meta + int.from_bytes(content[max(0, meta - 4) : meta], "big")]
    exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
    size = exif.get(ExifTags.Base.ExifImageWidth), exif.get(ExifTags.Base.ExifImageHeight)
    transposed = image.width != image.height and size == (image.height, image.width)
    return 0 if transposed or re.search(rb"irot[\x01-\x03]|imir", head, re.DOTALL) else 1


def _other_pictures(image: Image.Image, content: bytes, gain_map: gain_maps.GainMap | None = None) -> list[str]:
    """A note for each further picture or map in a file."""
    notes = []
    try:
        count = _count_frames(image, content)
    except Exception as error:  # damage in other frames must not make the first frame fail
        notes.append(f"further frames unreadable ({described(error)})")
        count = 1
        image.seek(0)
    if image.format == "MPO" and gain_map:
        count -= 1
    if image.format == "MPO" and count > 1:
        notes.append("second MPO image dropped" if count == 2 else f"{count - 1} further MPO images dropped")
    elif count > 1:
        page = image.tell() + 1 if image.format == "TIFF" else 1
        notes.append(f"first frame of {count}" if page == 1 else f"page {page} of {count}, after thumbnails and masks")
    xmp = image.info.get("xmp", b"")
    with_gain_map = isinstance(xmp, bytes) and b"hdrgm:Version" in xmp
    if gain_map or with_gain_map or any("gainmap" in name for name in image.info.get("aux", ())):
        notes.append(unread.GAIN_MAP)
    if image.info.get("depth_images"):
        notes.append(unread.DEPTH_MAP)
    return notes


def _count_frames(image: Image.Image, content: bytes) -> int:
    if image.format in _ONE_PICTURE:
        return 1
    if image.format == "TIFF":
        return _count_directories(content)
    return int(getattr(image, "n_frames", 1))


def _count_directories(content: bytes) -> int:
    """The number of a TIFF's directories. Follows only their links, because Pillow takes quadratic time for this.

    Raises:
        struct.error: A link leads out of the file.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\x00", b"\x00+")
    link, number, entry = ("Q", "Q", 20) if big else ("L", "H", 12)
    (position,) = struct.unpack_from(order + link, content, 8 if big else 4)
    seen: set[int] = set()
    while position and position not in seen:
        seen.add(position)
        (entries,) = struct.unpack_from(order + number, content, position)
        position += struct.calcsize(order + number) + entries * entry
        (position,) = struct.unpack_from(order + link, content, position)
    return len(seen)


def _jpeg_tables(image: Image.Image) -> list[list[int]] | None:
    """The quantization table of each component, if the output will have the same components; else None."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB"):
        return None
    stored_as_rgb = image.info.get("adobe_transform") == 0 or [layer[0] for layer in image.layer] == list(b"RGB")
    if len(image.layer) == 3 and stored_as_rgb:  # RGB instead of luma and chroma
        return None
    if any(layer[3] not in image.quantization for layer in image.layer):
        return None
    tables = [image.quantization[layer[3]] for layer in image.layer]
    return tables[:2] if tables[1:2] == tables[2:] else tables


def _subsampling(image: Image.Image, orientation: int) -> int:
    """Pillow's number of a JPEG's chroma subsampling. If Pillow cannot write it, the next finer one, after turning."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or len(image.layer) != 3:
        return 0
    known = JpegImagePlugin.get_sampling(image)
    if known >= 0:
        return known
    (_, *luma, _), (_, *chroma, _) = image.layer[:2]
    columns, rows = (full > less for full, less in zip(luma, chroma, strict=True))
    if orientation >= 5:  # a quarter turn exchanges rows and columns
        columns, rows = rows, columns
    return 2 if columns and rows else int(columns)
