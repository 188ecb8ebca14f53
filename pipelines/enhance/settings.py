"""What the results of a run depend on, besides the photos."""

import dataclasses
import hashlib
import json

from zerodce.enhancement import CurveSize, Denoise, Exposure


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that an enhanced photo and its row depend on, besides the photo.

    Attributes:
        model: SHA-256 of the model file.
        reference: Folder of references, or None.
        curve_size, exposure, denoise, autocontrast, output_format, quality, strip_metadata, max_pixels: As the options
            of `zerodce enhance`.
    """

    model: str
    reference: str | None = None
    curve_size: CurveSize = "auto"
    exposure: Exposure = "auto"
    denoise: Denoise = "auto"
    autocontrast: bool = True
    output_format: str | None = None
    quality: int | None = None
    strip_metadata: bool = False
    max_pixels: int = 500_000_000

    def digest(self) -> str:
        """A short digest that changes when any setting does."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def outputs(self, output: str) -> list[str]:
        """The images that a photo's output consists of, relative to the folder of the results."""
        return [f"{folder}/{output}" for folder in ("enhanced", "autocontrast")[: 1 + self.autocontrast]]
