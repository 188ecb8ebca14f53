"""Writes photos as files, with the format, quality, alpha and metadata of the original."""

import contextlib
import dataclasses
import functools
import io
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin, TiffImagePlugin

from pipelines.photos.errors import PhotoError, failing_as
from pipelines.photos.formats import Encoding
from pipelines.photos.gain_maps import GainMap
from pipelines.photos.metadata import Metadata, tags_of_photo
from pipelines.photos.packets import Event
from pipelines.photos.pixels import eight_bit_values, image_of, scaled, scaled_size, to_srgb
from pipelines.photos.reading import Photo
from pipelines.photos.unread import GAIN_MAP

_PHOTOSHOP = 34377  # TIFF's tag of Photoshop's resources
_PNG_HEADER = 33  # bytes of signature and IHDR
_STRIP = 1 << 20  # bytes of a TIFF strip before compression


class Encoded(NamedTuple):
    """A file, and a short sentence for each part that could not be written into it."""

    content: bytes
    notes: list[str]


def encode(
    photo: Photo,
    pixels: np.ndarray,
    *,
    quality: int | None = None,
    strip_metadata: bool = False,
    event: Event | None = None,
    with_gain_map: bool = False,
    max_side: int | None = None,
) -> Encoded:
    """Encodes pixels as a file like that of the original photo.

    Args:
        photo: The original.
        pixels: The new pixels, with the shape and type of `photo.pixels`.
        quality: For JPEG, WebP, AVIF and JPEG XL, 1 to 100; None for about the quality of the original.
        strip_metadata: Whether to leave out EXIF, ICC profile, XMP, DPI, comments and IPTC.
        event: What was done to the photo, for the history in its XMP; None for no entry.
        with_gain_map: Whether to write the photo's gain map behind it. `strip_metadata` leaves it out.
        max_side: Longest side of the image in pixels; a longer one is scaled down. None for the size of the photo.

    Returns:
        The file. If metadata makes the encoder fail, the metadata is left out and there is a note.

    Raises:
        PhotoError: The photo cannot be encoded.
    """
    gain_map = photo.gain_map if with_gain_map else None
    notes = []
    if max_side is not None and max(pixels.shape[:2]) > max_side:
        with failing_as("encode"):
            photo, pixels = _scaled(photo, pixels, max_side)
    if not strip_metadata:
        try:
            with failing_as("encode"):
                return _encode_with_metadata(photo, pixels, quality, event, gain_map)
        except PhotoError as error:
            notes = [f"metadata could not be written and was dropped ({error.message})"]
    notes += [GAIN_MAP] if gain_map else []
    with failing_as("encode"):
        return Encoded(_encode(photo, pixels, quality, None), notes)


def _scaled(photo: Photo, pixels: np.ndarray, max_side: int) -> tuple[Photo, np.ndarray]:
    """A smaller copy of a photo and its pixels."""
    height, width = pixels.shape[:2]
    size = scaled_size(width, height, max_side)
    values = scaled(_with_alpha(pixels, photo.alpha), size)
    alpha = None if photo.alpha is None else values[..., -1]
    values = values if alpha is None else np.ascontiguousarray(values[..., :-1])
    return dataclasses.replace(photo, alpha=alpha, metadata=photo.metadata.of_scaled((width, height))), values


def _encode_with_metadata(
    photo: Photo, pixels: np.ndarray, quality: int | None, event: Event | None, gain_map: GainMap | None
) -> Encoded:
    metadata, notes, picture = photo.metadata, [], b""
    if gain_map:
        with contextlib.suppress(ValueError):  # the map is damaged
            picture = gain_map.upright()
        properties = gain_map.properties(len(picture))
        described = metadata.with_properties(properties, photo.format) if properties else metadata
        if picture and described:
            metadata = described
        else:
            gain_map, notes = None, [GAIN_MAP]
    if event:
        metadata, lost = metadata.with_event(event, photo.format)
        notes += lost
    content = _encode(photo, pixels, quality, metadata)
    return Encoded(gain_map.attached(content, picture) if gain_map else content, notes)


def _encode(photo: Photo, pixels: np.ndarray, quality: int | None, metadata: Metadata | None) -> bytes:
    image = image_of(eight_bit_values(pixels))
    options = metadata.options(image, photo.format) if metadata else {}
    if writer := WRITERS.get(photo.format.name):
        return writer(_with_alpha(pixels, photo.alpha), options)
    if photo.alpha is not None:
        image = Image.fromarray(_with_alpha(pixels, photo.alpha))
    if not photo.format.profile and (profile := options.pop("icc_profile", b"")):
        image = _in_srgb(image, profile)
    original = _estimated_quality(photo.jpeg_tables[0]) if photo.jpeg_tables else 95 if photo.lossless else 90
    encoding = Encoding(quality, original, photo.lossless, photo.jpeg_tables, photo.jpeg_subsampling)
    buffer = io.BytesIO()
    image.save(buffer, photo.format.name, **photo.format.options(encoding), **options)
    return buffer.getvalue()


def _in_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    """An image with or without alpha, converted to sRGB."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    converted = to_srgb(image.convert("L" if image.mode in ("L", "LA") else "RGB"), icc_profile)
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _with_alpha(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Pixels and alpha as one array (height, width, 1 to 4). The alpha gets the depth of the pixels."""
    if alpha is None:
        return pixels
    if alpha.dtype != pixels.dtype:
        alpha = eight_bit_values(alpha) if pixels.dtype == np.uint8 else alpha * np.uint16(257)
    return np.dstack([pixels, alpha])


def _estimated_quality(table: list[int]) -> int:
    """The quality at which the sum of libjpeg's luminance table is nearest to the sum of this table."""
    return min(_sums_of_tables(), key=lambda quality: abs(_sums_of_tables()[quality] - sum(table)))


@functools.cache
def _sums_of_tables() -> dict[int, int]:
    sums = {}
    for quality in range(1, 101):
        buffer = io.BytesIO()
        Image.new("L", (1, 1)).save(buffer, "JPEG", quality=quality)
        buffer.seek(0)
        sums[quality] = sum(JpegImagePlugin.JpegImageFile(buffer).quantization[0])
    return sums


def _png(pixels: np.ndarray, options: dict[str, Any]) -> bytes:
    """A PNG with pixels encoded by OpenCV and metadata chunks written by Pillow.

    Pillow cannot write 16-bit colour. For 8 bits it takes more than twice the time, for a file of about the same size.
    """
    import cv2

    if pixels.shape[2] == 2 and pixels.dtype == np.uint8:  # OpenCV would write it as colour
        buffer = io.BytesIO()
        Image.fromarray(pixels, "LA").save(buffer, "PNG", compress_level=1, **options)
        return buffer.getvalue()
    if pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    swap = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(pixels.shape[2])
    done, body = cv2.imencode(".png", pixels if swap is None else cv2.cvtColor(pixels, swap))
    if not done:
        raise ValueError("OpenCV cannot write this PNG")
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG", **options)
    donor = buffer.getvalue()
    chunks = donor[_PNG_HEADER : donor.rindex(b"IDAT") - 4]
    file = body.tobytes()
    return file[:_PNG_HEADER] + chunks + file[_PNG_HEADER:]


def _tiff(pixels: np.ndarray, options: dict[str, Any]) -> bytes:
    """A TIFF of grey or RGB, 8 or 16 bits, with or without alpha. Compressed by deflate with a horizontal predictor.

    Pillow writes only the directory: it cannot write 16-bit colour, or EXIF in a compressed file. tifffile cannot write
    EXIF and GPS directories.
    """
    if pixels.shape[2] == 2 and pixels.dtype == np.uint16:
        pixels = pixels[..., [0, 0, 0, 1]]  # Pillow cannot read 16-bit grey with alpha
    height, width, count = pixels.shape
    pixels = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    rows = max(1, _STRIP // max(1, pixels[0].nbytes))
    strips = []
    for top in range(0, height, rows):
        band = pixels[top : top + rows]
        steps = np.concatenate([band[:, :1], np.diff(band, axis=1)], axis=1)
        strips.append(zlib.compress(steps.tobytes(), 1))
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    if "exif" in options:
        exif = Image.Exif()
        exif.load(options["exif"])
        directory.update(tags_of_photo(exif))
    if "dpi" in options:
        directory[TiffImagePlugin.RESOLUTION_UNIT] = 2
        directory[TiffImagePlugin.X_RESOLUTION], directory[TiffImagePlugin.Y_RESOLUTION] = options["dpi"]
    if "icc_profile" in options:
        directory[TiffImagePlugin.ICCPROFILE] = options["icc_profile"]
    if "xmp" in options:
        directory[TiffImagePlugin.XMP] = options["xmp"]
    if "resources" in options:
        directory.tagtype[_PHOTOSHOP] = 1
        directory[_PHOTOSHOP] = options["resources"]
    sizes = [len(strip) for strip in strips]
    directory[TiffImagePlugin.IMAGEWIDTH] = width
    directory[TiffImagePlugin.IMAGELENGTH] = height
    directory[TiffImagePlugin.BITSPERSAMPLE] = (8 * pixels.itemsize,) * count
    directory[TiffImagePlugin.COMPRESSION] = 8
    directory[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2 if count > 2 else 1
    directory[TiffImagePlugin.SAMPLESPERPIXEL] = count
    directory[TiffImagePlugin.ROWSPERSTRIP] = rows
    directory[TiffImagePlugin.PLANAR_CONFIGURATION] = 1
    directory[TiffImagePlugin.PREDICTOR] = 2
    if count in (2, 4):
        directory[TiffImagePlugin.EXTRASAMPLES] = 2
    for tag in (TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.STRIPBYTECOUNTS):
        directory.tagtype[tag] = 4
    # Pillow adds the length of the directory to these offsets
    directory[TiffImagePlugin.STRIPOFFSETS] = tuple(np.cumsum([0, *sizes[:-1]]).tolist())
    directory[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(sizes)
    buffer = io.BytesIO()
    directory.save(buffer)
    buffer.writelines(strips)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[np.ndarray, dict[str, Any]], bytes]] = {"PNG": _png, "TIFF": _tiff}
"""Functions that write pixels (with alpha) and metadata instead of Pillow, by name of the format."""
