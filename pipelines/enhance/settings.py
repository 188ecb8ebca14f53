"""The options of `zerodce enhance`, as one object from the command line to the workers."""

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import zerodce
from pipelines.digests import digest

if TYPE_CHECKING:  # these bring NumPy and numba along, which help does without
    from zerodce.applying.enhancement import CurveSize, Denoise, Exposure
    from zerodce.applying.looks import Look

IMAGE_FOLDERS = ("enhanced", "autocontrast")
"""The folders of images, relative to the folder of the results."""

_DECISIVE = {"decisive": True}
"""Marks a field that an enhanced photo or its row depends on: where it differs, the photo is done anew."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceSettings:
    """How photos are enhanced, and how the run is done; each as `zerodce enhance --help` explains the option.

    Attributes:
        model: Path of a model file; None for the shipped one.
        reference: Folder of well-exposed photos; None for no comparison, or for that of the photos with `pairs`.
        pairs: Path of a CSV with the columns low,ref; None for references of the same names.
        curve_size: Long side, in pixels, of the copy that the curves are estimated on, "auto" or "full".
        exposure: Mean brightness aimed at, 0 to 1, or "auto".
        denoise: Strength, 0 to 10, "auto" or "off".
        strength: What multiplies the light that a photo gets, 0 to 2.
        look: "natural" or "bright".
        backend: "numpy" or "tensorflow": what runs the network.
        exclude: Patterns of relative paths that are ignored.
        autocontrast: Whether the PIL-autocontrast baselines are written.
        output_format: Format of all outputs; None for each photo's own.
        quality: JPEG, WebP and AVIF quality, 1 to 100; None for about the original's.
        strip_metadata: Whether EXIF, ICC profile, XMP, DPI and the file time are dropped.
        unchanged: Whether a photo that nothing changes is copied byte for byte, or skipped: no image of it is written.
        max_pixels: Largest photo that is decoded, in pixels.
        max_bytes: Largest file that is read, in bytes.
        max_memory: What a process may take in all, in bytes; None for what the machine or container has.
        photo_timeout: Seconds that a photo may take to be decoded, and as many to be enhanced and written; None for a
            limit that grows with its size.
        max_failures: Number of failed photos above which the run ends; None for any number.
        workers: Threads per process; None for one a core.
        runner: Name of the Beam runner.
        beam_args: Further Beam options.
        verify: Whether images that are there are read whole, and not only measured, before their photo is skipped.
        overwrite: Whether everything is done anew.
        same_archive: Whether the photos may be those that OUT was made of, moved to another path.
        dry_run: Whether the plan is only printed.
        as_json: Whether progress and result are JSON lines.
    """

    model: str | None = None
    reference: str | None = dataclasses.field(default=None, metadata=_DECISIVE)
    curve_size: "CurveSize" = dataclasses.field(default="auto", metadata=_DECISIVE)
    exposure: "Exposure" = dataclasses.field(default="auto", metadata=_DECISIVE)
    denoise: "Denoise" = dataclasses.field(default="auto", metadata=_DECISIVE)
    strength: float = dataclasses.field(default=1.0, metadata=_DECISIVE)
    look: "Look" = dataclasses.field(default="natural", metadata=_DECISIVE)
    autocontrast: bool = dataclasses.field(default=True, metadata=_DECISIVE)
    output_format: str | None = dataclasses.field(default=None, metadata=_DECISIVE)
    quality: int | None = dataclasses.field(default=None, metadata=_DECISIVE)
    strip_metadata: bool = dataclasses.field(default=False, metadata=_DECISIVE)
    unchanged: Literal["copy", "skip"] = dataclasses.field(default="copy", metadata=_DECISIVE)
    max_pixels: int = dataclasses.field(default=500_000_000, metadata=_DECISIVE)
    max_bytes: int = 4 * 10**9
    backend: Literal["numpy", "tensorflow"] = "numpy"
    pairs: str | None = None
    exclude: tuple[str, ...] = ()
    max_memory: int | None = None
    photo_timeout: int | None = None
    max_failures: int | None = None
    workers: int | None = None
    runner: str = "DirectRunner"
    beam_args: tuple[str, ...] = ()
    verify: bool = False
    overwrite: bool = False
    same_archive: bool = False
    dry_run: bool = False
    as_json: bool = False

    def decisive(self, model_sha256: str) -> dict[str, Any]:
        """All that an enhanced photo and its row depend on besides the photo, as `run.json` holds it."""
        names = [field.name for field in dataclasses.fields(self) if field.metadata.get("decisive")]
        return {"model": model_sha256, "revision": zerodce.REVISION} | {name: getattr(self, name) for name in names}

    def digest_with(self, model_sha256: str) -> str:
        """A digest that changes when anything decisive does."""
        return digest(self.decisive(model_sha256))

    @property
    def keep_files(self) -> bool:
        """Whether a file may stay as it is where its pixels do: nothing asks for another."""
        return self.output_format is None and self.quality is None and not self.strip_metadata

    def outputs(self, output: str, unchanged: Collection[str] = ()) -> list[str]:
        """The images that a photo's output consists of, relative to the folder of the results.

        Args:
            output: Relative path of the enhanced photo.
            unchanged: Those of "enhanced" and "autocontrast" that are the original.
        """
        folders = IMAGE_FOLDERS if self.autocontrast else IMAGE_FOLDERS[:1]
        return [f"{folder}/{output}" for folder in folders if self.unchanged == "copy" or folder not in unchanged]
