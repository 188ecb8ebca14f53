"""The options of `zerodce enhance`, as one object from the command line to the workers."""

import dataclasses
import hashlib
import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import zerodce

if TYPE_CHECKING:  # it brings Keras along, which help does without
    from zerodce.applying.enhancement import CurveSize, Denoise, Exposure
    from zerodce.applying.looks import Look

_DECISIVE = (
    *("reference", "curve_size", "exposure", "denoise", "strength", "look", "autocontrast"),
    *("output_format", "quality", "strip_metadata", "unchanged", "max_pixels"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceSettings:
    """How photos are enhanced, and how the run is done; each as `zerodce enhance --help` explains the option.

    Attributes:
        model: Path of a model file; None for the shipped one.
        reference: Folder of well-exposed photos; None for no comparison.
        curve_size: Long side, in pixels, of the copy that the curves are estimated on, "auto" or "full".
        exposure: Mean brightness aimed at, 0 to 1, or "auto".
        denoise: Strength, 0 to 10, "auto" or "off".
        strength: What multiplies the light that a photo gets, 0 to 2.
        look: "natural" or "bright".
        autocontrast: Whether the PIL-autocontrast baselines are written.
        output_format: Format of all outputs; None for each photo's own.
        quality: JPEG, WebP and AVIF quality, 1 to 100; None for about the original's.
        strip_metadata: Whether EXIF, ICC profile, XMP, DPI and the file time are dropped.
        unchanged: Whether a photo that nothing changes is copied byte for byte, or skipped: no image of it is written.
        max_pixels: Largest photo that is decoded, in pixels.
        max_bytes: Largest file that is read, in bytes.
        max_memory: What a process may take in all, in bytes; None for what the machine or container has.
        max_failures: Number of failed photos above which the run ends; None for any number.
        workers: Threads per process; None for one a core.
        runner: Name of the Beam runner.
        beam_args: Further Beam options.
        verify: Whether images that are there are read whole, and not only measured, before their photo is skipped.
        overwrite: Whether everything is done anew.
        dry_run: Whether the plan is only printed.
        as_json: Whether progress and result are JSON lines.
    """

    model: str | None
    reference: str | None
    curve_size: "CurveSize"
    exposure: "Exposure"
    denoise: "Denoise"
    strength: float
    look: "Look"
    autocontrast: bool
    output_format: str | None
    quality: int | None
    strip_metadata: bool
    unchanged: Literal["copy", "skip"]
    max_pixels: int
    max_bytes: int
    max_memory: int | None
    max_failures: int | None
    workers: int | None
    runner: str
    beam_args: tuple[str, ...]
    verify: bool
    overwrite: bool
    dry_run: bool
    as_json: bool

    def decisive(self, model_sha256: str) -> dict[str, Any]:
        """All that an enhanced photo and its row depend on besides the photo, as `run.json` holds it."""
        return {"model": model_sha256, "revision": zerodce.REVISION} | {name: getattr(self, name) for name in _DECISIVE}

    def digest(self, model_sha256: str) -> str:
        """A short digest that changes when anything decisive does."""
        return hashlib.sha256(json.dumps(self.decisive(model_sha256), sort_keys=True).encode()).hexdigest()[:16]

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
        folders = ["enhanced", "autocontrast"] if self.autocontrast else ["enhanced"]
        return [f"{folder}/{output}" for folder in folders if self.unchanged == "copy" or folder not in unchanged]
