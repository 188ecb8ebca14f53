"""Photo files: what is a photo, what it holds, and how it is read and written. Knows no Beam and no jobs."""

from pipelines.photos.errors import PhotoError, described, failing_as
from pipelines.photos.formats import is_ignored, is_photo, output_path
from pipelines.photos.pixels import autocontrast_table, look_up, to_srgb
from pipelines.photos.reading import Photo, decode, load, thumbnail
from pipelines.photos.writing import encode

__all__ = [
    "Photo",
    "PhotoError",
    "autocontrast_table",
    "decode",
    "described",
    "encode",
    "failing_as",
    "is_ignored",
    "is_photo",
    "load",
    "look_up",
    "output_path",
    "thumbnail",
    "to_srgb",
]
