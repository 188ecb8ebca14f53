"""Photo files: which files are photos, and how they are read and written. Independent of Beam and of the jobs.

Modules are imported at first use, because the command line needs only the names of the formats.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.photos.errors import PhotoError, described, failing_as
    from pipelines.photos.formats import is_ignored, is_named_alike, is_photo, output_path
    from pipelines.photos.jpeg import encode_small
    from pipelines.photos.pixels import autocontrast_table, look_up, to_srgb
    from pipelines.photos.reading import Photo, decode, is_whole, load, thumbnail
    from pipelines.photos.writing import encode

_HOMES = {
    "Photo": "pipelines.photos.reading",
    "PhotoError": "pipelines.photos.errors",
    "autocontrast_table": "pipelines.photos.pixels",
    "decode": "pipelines.photos.reading",
    "described": "pipelines.photos.errors",
    "encode": "pipelines.photos.writing",
    "encode_small": "pipelines.photos.jpeg",
    "failing_as": "pipelines.photos.errors",
    "is_ignored": "pipelines.photos.formats",
    "is_named_alike": "pipelines.photos.formats",
    "is_photo": "pipelines.photos.formats",
    "is_whole": "pipelines.photos.reading",
    "load": "pipelines.photos.reading",
    "look_up": "pipelines.photos.pixels",
    "output_path": "pipelines.photos.formats",
    "thumbnail": "pipelines.photos.reading",
    "to_srgb": "pipelines.photos.pixels",
}
__all__ = [
    "Photo",
    "PhotoError",
    "autocontrast_table",
    "decode",
    "described",
    "encode",
    "encode_small",
    "failing_as",
    "is_ignored",
    "is_named_alike",
    "is_photo",
    "is_whole",
    "load",
    "look_up",
    "output_path",
    "thumbnail",
    "to_srgb",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipelines.photos' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)  # cached: called once for each name
    return found
