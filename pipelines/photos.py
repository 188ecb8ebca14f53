"""Photo files into memory: decoded upright, at full size or as a small copy, with all that a file should keep."""

import contextlib
import dataclasses
import io
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

from pipelines import metadata
from pipelines.encoding import encode
from pipelines.formats import PhotoError, is_photo, output_path, written_format
from zerodce.metrics import psnr_from_error

__all__ = ["Photo", "PhotoError", "autocontrast", "encode", "is_photo", "load", "output_path", "small_copy"]

MAX_PIXELS = 500_000_000
_HOLDS_ALPHA = frozenset({"PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"})
_HOLDS_16_BITS = frozenset({"PNG", "TIFF"})
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_opening = threading.Lock()

# Pillow warns about damaged metadata; what matters of that becomes a note in the photo's row.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclasses.dataclass
class Photo:
    """A decoded photo, upright.

    Attributes:
        image: 8-bit RGB or L.
        pixels: uint8 or uint16 (height, width, 3 or 1).
        alpha: As `pixels`, (height, width), or None.
        format: The format to write.
        notes: What is different in the output, a short sentence each.
        exif: None where there is none, or none that can be read.
        icc_profile: Empty where there is none.
        xmp: Empty where there is none.
        dpi: None where the file does not say.
        quantization: The JPEG tables and chroma subsampling to write with; None for another kind of source.
        lossless: Whether the file held the pixels without loss.
    """

    image: Image.Image
    pixels: np.ndarray
    alpha: np.ndarray | None
    format: str
    notes: list[str]
    exif: metadata.Exif | None = None
    icc_profile: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    quantization: tuple[dict[int, list[int]], int] | None = None
    lossless: bool = True


def load(content: bytes, path: str, *, output_format: str | None = None, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decodes a photo.

    Args:
        content: The file.
        path: Its name, for the format to write and for RAW.
        output_format: The format to write, None for the one that `path` says.
        max_pixels: Refuse photos with more, before they are decoded.

    Raises:
        PhotoError: It cannot be read (decode), is of a kind that is not read here (unsupported), or is too
            large (too_large).
    """
    format_name = written_format(path, output_format)
    notes: list[str] = []
    with _reading(path):
        image = _open(content, path, max_pixels)
        source_format = image.format or ""
        count = _frames(image)
        image.load()
        if count > 1:
            notes.append(f"first frame of {count}")
        image, exif = _upright(image, notes)
        photo = _photo(image, format_name, notes)
        photo.exif = exif
    if source_format not in (format_name, "MPO"):
        notes.append(f"{source_format} written as {format_name}")
    return photo


def small_copy(content: bytes, path: str, long_side: int, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes a small, upright copy; of a JPEG for a fraction of the price of the whole.

    Args:
        content: The file.
        path: Its name.
        long_side: The longer side of the copy, in pixels, at most; a smaller photo keeps its size.
        max_pixels: Refuse photos with more, before they are decoded.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        PhotoError: As `load`.
    """
    with _reading(path):
        image = _open(content, path, max_pixels)
        if image.mode in ("RGB", "L", "CMYK"):
            image.thumbnail((long_side, long_side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        image.load()
        image, _ = _upright(image, [])
        image, _ = _eight_bit(image, [])
        image.thumbnail((long_side, long_side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(image.convert("RGB"))


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Whatever a decoder raises on bad input becomes a PhotoError: they raise nearly everything."""
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError("decode", "not an image, or damaged at its start") from None
    except NotImplementedError as error:
        raise PhotoError("unsupported", str(error)) from error
    except MemoryError as error:
        raise PhotoError("too_large", "not enough memory to decode it") from error
    except Exception as error:
        raise PhotoError("decode", str(error) or type(error).__name__) from error


def _open(content: bytes, path: str, max_pixels: int) -> Image.Image:
    with _opening:  # Pillow's limit is one for the process: ours holds only while a header is read
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            image = Image.open(io.BytesIO(content))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > max_pixels:
        raise PhotoError("too_large", f"{image.width}x{image.height} is more than --max-pixels {max_pixels}")
    return image


def _frames(image: Image.Image) -> int:
    """How many pictures of equal standing the file holds."""
    if image.format in ("MPO", "PSD", "ICO", "ICNS"):
        return 1
    return getattr(image, "n_frames", 1)


def _upright(image: Image.Image, notes: list[str]) -> tuple[Image.Image, metadata.Exif | None]:
    """Turns an image as its EXIF says, and keeps its mode and info."""
    orientation = image.getexif().get(0x0112, 1)
    exif = None
    if block := image.info.get("exif"):
        try:
            exif = metadata.Exif.parse(block)
        except ValueError:
            notes.append("EXIF unreadable")
    if orientation in _UPRIGHT:
        original = image
        image = image.transpose(_UPRIGHT[orientation])
        for name in ("quantization", "layer", "layers", "format"):
            if hasattr(original, name):
                setattr(image, name, getattr(original, name))
    return image, exif


def _photo(image: Image.Image, format_name: str, notes: list[str]) -> Photo:
    info = image.info
    quantization = None
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        quantization = (vars(image)["quantization"], JpegImagePlugin.get_sampling(image))
    lossless = image.format not in ("JPEG", "MPO", "HEIF", "AVIF")
    icc_profile = info.get("icc_profile") or b""
    if image.mode in ("CMYK", "LAB"):
        icc_profile = b""
    xmp = info.get("xmp") or b""
    image, alpha = _eight_bit(image, notes)
    if alpha is not None and format_name not in _HOLDS_ALPHA:
        notes.append(f"alpha dropped ({format_name} holds none)")
        alpha = None
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    return Photo(
        image=image,
        pixels=pixels,
        alpha=alpha,
        format=format_name,
        notes=notes,
        icc_profile=icc_profile,
        xmp=metadata.upright_xmp(xmp),
        dpi=info.get("dpi"),
        quantization=quantization,
        lossless=lossless,
    )


def _eight_bit(image: Image.Image, notes: list[str]) -> tuple[Image.Image, np.ndarray | None]:
    """An image of any mode as RGB or L, and its alpha."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image, None
    if image.mode in ("1", "P"):
        notes.append("palette converted to RGB" if image.mode == "P" else "1 bit converted to RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA")
        alpha = np.asarray(image.getchannel("A"))
        return image.convert(image.mode[:-1]), alpha
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    return image.convert("RGB"), None


def autocontrast(photo: Photo) -> tuple[Image.Image, float]:
    """Pillow's autocontrast of a photo, the baseline to compare with.

    Returns:
        `ImageOps.autocontrast(photo.image)` and its PSNR in dB against `photo.image`, worked out from the
        histogram: autocontrast is one look-up table for each channel.
    """
    image = photo.image
    histogram = np.array(image.histogram(), dtype=np.int64).reshape(-1, 256)
    levels = np.arange(256, dtype=np.uint8)
    error = 0
    table = []
    for counts in histogram:
        present = np.flatnonzero(counts)
        ramp = levels.clip(int(present[0]), int(present[-1]))
        stretched = np.asarray(ImageOps.autocontrast(Image.fromarray(ramp[np.newaxis])))[0]
        error += int(np.dot(counts, (stretched.astype(np.int64) - levels) ** 2))
        table.extend(stretched.tolist())
    return image.point(table), psnr_from_error(error, histogram.sum())
