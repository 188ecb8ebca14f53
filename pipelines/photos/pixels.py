"""Converts everything that Pillow decodes to grey or RGB of 8 or 16 bits, and alpha."""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps

# formats whose 16-bit colour Pillow cuts to 8 bits; OpenCV reads all bits
_COLOUR_16 = frozenset({"PNG", "TIFF", "PPM"})
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANES, _TIFF_SAMPLE_FORMAT = 258, 262, 284, 339
_PNG_BITS_AT, _SGI_BYTES_AT = 24, 3
_BAND = 64  # rows that fit into the processor's cache
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MIRRORED = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
"""Steps along rows and columns, by orientation. From orientation 5 on, the pixels are transposed first."""

Image.core.set_use_block_allocator(1)  # each image in one block, so that Arrow can share it with NumPy


@dataclasses.dataclass(frozen=True)
class Depth:
    """How a file stores a value: number of bits, whether signed or floating point, and whether 0 is white."""

    bits: int
    signed: bool = False
    floating: bool = False
    inverted: bool = False

    def __str__(self) -> str:
        return f"{self.bits} bit" + (" float" if self.floating else " signed" if self.signed else "")


def depth_of(image: Image.Image, content: bytes) -> Depth:
    """The depth that a file declares. It is never guessed from the values.

    Args:
        image: Opened image, its pixels not decoded yet.
        content: The file.

    Raises:
        NotImplementedError: Pillow would misread the file.
    """
    if image.format == "TIFF":
        tags = vars(image)["tag_v2"]
        bits, kind = max(tags.get(_TIFF_BITS, (1,))), tags.get(_TIFF_SAMPLE_FORMAT, (1,))[0]
        tiles = vars(image)["tile"]
        if bits > 8 and tags.get(_TIFF_PLANES) == 2 and tiles and tiles[0].codec_name == "raw":
            raise NotImplementedError(f"uncompressed TIFF of {bits} bits in separate planes, which Pillow misreads")
        inverted = tags.get(_TIFF_PHOTOMETRIC) == 0 and image.mode[0] in "IF"  # Pillow inverts 8 bits itself
        return Depth(bits, kind == 2 and image.mode == "I", kind == 3, inverted)
    if image.mode == "F":
        return Depth(32, floating=True)
    if image.format == "PNG":
        return Depth(content[_PNG_BITS_AT])
    if image.format == "PPM":  # the largest value is the decoder's last argument
        return Depth(16 if image.mode == "I" or _largest_argument(image) > 255 else 8)
    if image.format == "SGI":
        return Depth(8 * content[_SGI_BYTES_AT])
    if image.format == "JPEG2000" and (start := content.find(b"\xff\x4f\xff\x51")) >= 0:
        return Depth((content[start + 42] & 0x7F) + 1)
    if image.format == "AVIF" and (start := content.find(b"av1C")) >= 0:
        return Depth(8 if not content[start + 6] & 0x40 else 12 if content[start + 6] & 0x20 else 10)
    if image.format == "HEIF":
        return Depth(image.info.get("bit_depth", 8))
    return Depth({"I": 32, "I;16": 16, "I;16B": 16, "I;16L": 16}.get(image.mode, 8), signed=image.mode == "I")


def _largest_argument(image: Image.Image) -> int:
    arguments = vars(image)["tile"][0].args
    return max((x for x in arguments if isinstance(x, int)), default=0) if isinstance(arguments, tuple) else 0


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """An image turned as its EXIF orientation says. If there is nothing to turn, the image itself."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def turned_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Like `turned`, for pixels (height, width, channels). Returns a contiguous array."""
    if orientation >= 5 and orientation in _TURNS:
        pixels = pixels.transpose(1, 0, 2)
    rows, columns = _MIRRORED[orientation] if orientation in _TURNS else (1, 1)
    return np.ascontiguousarray(pixels[::rows, ::columns])


_POINTS: dict[int, Callable[[float, float], tuple[float, float]]] = {
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}
"""By EXIF orientation: the position in the upright picture of a point in the stored picture, both in [0, 1]."""


def turned_point(x: float, y: float, orientation: int) -> tuple[float, float]:
    """The position in the upright image of a point in the stored image. Both are shares of width and height."""
    return _POINTS[orientation](x, y) if orientation in _POINTS else (x, y)


def eight_bit_values(values: np.ndarray) -> np.ndarray:
    """The values as uint8. Of uint16 values it takes the upper byte, as Pillow does."""
    return values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)


def pixels_of(image: Image.Image) -> np.ndarray:
    """The values of an RGB or L image, uint8 (height, width, 3 or 1).

    Equal to `numpy.asarray`, but takes a fifth of the time and does not hold the GIL. Arrow gives a view of Pillow's
    memory, and OpenCV removes the fourth byte that Pillow adds to every RGB pixel.
    """
    import cv2
    import pyarrow

    try:
        # images of `fromarray` and `fromarrow` borrow memory, and would crash the process here (Pillow's issue 9896)
        flat = None if image.readonly else pyarrow.array(image)
    except ValueError:  # not one block of memory, because it was made before the setting above
        flat = None
    if flat is None:
        values = np.asarray(image)
        return values[..., np.newaxis] if values.ndim == 2 else values
    if image.mode == "L":
        return flat.to_numpy(zero_copy_only=True).reshape(image.height, image.width, 1)
    padded = flat.flatten().to_numpy(zero_copy_only=True).reshape(image.height, image.width, 4)
    return cv2.cvtColor(padded, cv2.COLOR_RGBA2RGB)


def image_of(pixels: np.ndarray) -> Image.Image:
    """A Pillow image of uint8 values (height, width, 3 or 1). The inverse of `pixels_of`, and as fast."""
    import cv2
    import pyarrow

    height, width, count = pixels.shape
    if count == 1:
        return Image.fromarray(pixels[..., 0])
    padded = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    flat = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(padded.reshape(-1)), 4)
    return Image.fromarrow(flat, "RGB", (width, height))


def scaled_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Width and height of an image that is scaled down so that its longer side has `max_side` pixels."""
    longer = max(width, height)
    return max(1, round(width * max_side / longer)), max(1, round(height * max_side / longer))


def scaled(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scales an image with Pillow's Lanczos filter.

    Args:
        pixels: Grey or RGB, with or without alpha: uint8 or uint16 (height, width, 1 to 4).
        size: The new width and height.

    Returns:
        The image, of the same type. With 8 bits, hidden colours of transparent pixels do not bleed into others.
    """
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        return np.asarray(image.resize(size, Image.Resampling.LANCZOS)).reshape(size[1], size[0], -1)
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(pixels, 2, 0))
    return np.dstack([np.asarray(plane.resize(size, Image.Resampling.LANCZOS)) for plane in planes])


def to_srgb(image: Image.Image, icc_profile: bytes) -> Image.Image:
    """Converts a small picture to sRGB, which viewers assume for pictures without a profile.

    Args:
        image: The picture, 8-bit RGB or L. It is returned unchanged if it is in sRGB, or if its profile cannot be used.
        icc_profile: Colour profile of the picture; empty for sRGB.
    """
    transform = _transform_to_srgb(icc_profile, image.mode) if icc_profile else None
    return transform.apply(image) if transform else image


@functools.lru_cache(maxsize=4)
def _transform_to_srgb(
    icc_profile: bytes, mode: str, intent: ImageCms.Intent = ImageCms.Intent.PERCEPTUAL
) -> ImageCms.ImageCmsTransform | None:
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile, or one for another mode
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        if "sRGB" not in ImageCms.getProfileDescription(profile):
            return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", intent)
    return None


class Channels(NamedTuple):
    """A decoded image in the form that is enhanced.

    Attributes:
        image: The upright image as 8-bit RGB or L.
        pixels_16: Its values in uint16 (height, width, 3 or 1); None if the image or the output has only 8 bits.
        alpha: Its opacity, uint8 or uint16 (height, width); None if there is none.
        notes: A short sentence for each change.
    """

    image: Image.Image
    pixels_16: np.ndarray | None
    alpha: np.ndarray | None
    notes: list[str]


def channels(image: Image.Image, depth: Depth, orientation: int, content: bytes, keep_16: bool) -> Channels:
    """Brings a decoded image into the form that is enhanced.

    Args:
        image: Decoded image of any mode.
        depth: Result of `depth_of`.
        orientation: The EXIF orientation, 1 to 8, to apply.
        content: The file, which is read again for 16-bit colour.
        keep_16: Whether the output can hold more than 8 bits.
    """
    if image.mode[0] in "IF":
        values, opacity = _grey_16(image, depth, orientation)
        grey = Image.fromarray(eight_bit_values(values))
        if keep_16:
            return Channels(grey, values[..., np.newaxis], opacity, _note_of_depth(depth, 16))
        return Channels(grey, None, None if opacity is None else eight_bit_values(opacity), _note_of_depth(depth, 8))
    source = image
    image, opacity = _eight_bit(image)
    image = turned(image, orientation)
    opacity = None if opacity is None else np.asarray(turned(Image.fromarray(opacity), orientation))
    pixels_16 = None
    if depth.bits == 16 and keep_16 and source.format in _COLOUR_16:
        pixels_16, opacity = _colour_16(content, orientation, pixels_of(image), opacity)
    notes = [*_note_of_mode(source.mode), *_note_of_depth(depth, 8 if pixels_16 is None else 16)]
    return Channels(image, pixels_16, opacity, notes)


def _note_of_depth(depth: Depth, kept: int) -> list[str]:
    """A note if the depth of an image changes because it is written with `kept` bits."""
    if depth.floating:
        return [f"{depth} values 0 to 1 written as {kept} bit"]
    return [f"{depth} written as {kept} bit"] if depth.bits > kept or depth.signed or 8 < depth.bits < kept else []


def _note_of_mode(mode: str) -> list[str]:
    """A note if an image of a Pillow mode is converted to RGB."""
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        return [f"{mode} converted to RGB"]
    names = {"1": "1 bit", "P": "palette", "PA": "palette"}
    return [f"{names[mode]} converted to RGB"] if mode in names else []


def _eight_bit(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """An image of at most 8 bits as RGB or L, and its alpha, uint8 (height, width); None if there is none."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image, None
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode == "LA" or (image.mode == "L" and "transparency" in image.info):
        image = image.convert("LA")
        return image.getchannel("L"), np.asarray(image.getchannel("A"))
    if image.mode in ("PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return image.convert("RGB"), np.asarray(image.getchannel("A"))
    if image.mode == "CMYK" and (profile := image.info.get("icc_profile")):
        transform = _transform_to_srgb(profile, image.mode, ImageCms.Intent.RELATIVE_COLORIMETRIC)
        if transform:
            return transform.apply(image), None
    if image.mode == "LAB":  # Image.convert does not support it
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        return transform.apply(image), None
    return image.convert("RGB"), None


def _grey_16(image: Image.Image, depth: Depth, orientation: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey values of more than 8 bits, and the opacity if one value is transparent. Both are uint16, 0 to 65535."""
    stored = np.asarray(turned(image, orientation))
    transparent = image.info.get("transparency")
    opacity = np.where(stored == transparent, 0, 65535).astype(np.uint16) if isinstance(transparent, int) else None
    if image.mode == "F":
        levels = np.clip(np.nan_to_num(stored, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 65535
        values = np.rint(levels).astype(np.uint16)
    elif depth.signed:
        values = np.rint(np.maximum(stored, 0) * (65535 / (2 ** (depth.bits - 1) - 1))).astype(np.uint16)
    elif depth.bits > 16:
        values = (stored.astype(np.int32).view(np.uint32) >> 16).astype(np.uint16)
    elif depth.bits < 16 and image.format == "TIFF":  # other decoders scale to 16 bits themselves
        values = (stored.astype(np.uint32) * 65535 // (2**depth.bits - 1)).astype(np.uint16)
    else:
        values = stored.astype(np.uint16)
    return 65535 - values if depth.inverted else values, opacity


def _colour_16(
    content: bytes, orientation: int, pixels: np.ndarray, opacity: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The 16-bit values of an image that Pillow cut to 8 bits; None if OpenCV reads another picture from the file."""
    import cv2

    logs = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4; OpenCV 5
    logs.setLogLevel(0)  # silent
    pixels_16 = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels_16 is None or pixels_16.dtype != np.uint16 or pixels_16.ndim != 3:
        return None, opacity
    planes = [pixels_16[..., 2], pixels_16[..., 1], pixels_16[..., 0]][: pixels.shape[2]]
    if opacity is not None and pixels_16.shape[2] == 4:
        planes.append(pixels_16[..., 3])
    if orientation in _TURNS:
        planes = [np.asarray(turned(Image.fromarray(plane), orientation)) for plane in planes]
    values = np.dstack(planes).astype(np.uint16, copy=False)
    shallow = pixels if opacity is None else np.dstack([pixels, opacity])
    if not np.array_equal(values >> 8, shallow):
        return None, opacity
    channels = pixels.shape[2]
    return np.ascontiguousarray(values[..., :channels]), None if opacity is None else values[..., channels]


def autocontrast_table(pixels: np.ndarray) -> np.ndarray | None:
    """Pillow's autocontrast of an image as look-up tables, one for each channel.

    Args:
        pixels: uint8 (height, width, 3 or 1).

    Returns:
        A table, uint8 (256, 3 or 1), with which `look_up` gives the same as `ImageOps.autocontrast`; None if that
        changes no pixel.
    """
    levels = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    lowest, highest = _extremes(pixels)
    ramps = levels.clip(lowest, highest)[np.newaxis]
    image = Image.fromarray(ramps if len(lowest) > 1 else ramps[..., 0])
    table = np.asarray(ImageOps.autocontrast(image)).reshape(256, -1)
    changed = (table != levels) & (levels >= lowest) & (levels <= highest)  # if any, then the lowest or the highest
    return table if changed.any() else None


def _extremes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest value of each channel, uint8 (channels,). Stops early when 0 and 255 are found."""
    import cv2

    count = pixels.shape[2]
    lowest, highest = np.full(count, 255, np.uint8), np.zeros(count, np.uint8)
    for top in range(0, pixels.shape[0], _BAND):
        for channel, plane in enumerate(cv2.split(pixels[top : top + _BAND])):
            low, high, *_ = cv2.minMaxLoc(plane)
            lowest[channel], highest[channel] = min(lowest[channel], int(low)), max(highest[channel], int(high))
        if not lowest.any() and highest.min() == 255:
            break
    return lowest, highest


def look_up(pixels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Applies a look-up table, uint8 (256, channels), to uint8 pixels (height, width, channels)."""
    import cv2

    return cv2.LUT(pixels, table[np.newaxis]).reshape(pixels.shape)
