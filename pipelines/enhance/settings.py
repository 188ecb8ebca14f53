"""The options of `zerodce enhance` and their help, as one object from the command line to the workers."""

import dataclasses
from collections.abc import Collection
from typing import Any, Literal

import click

import zerodce
from pipelines import storage
from pipelines.digests import digest
from pipelines.enhance import naming
from pipelines.options import PLACE, ByteCount, WrittenFormat
from pipelines.settings import Application, JobSettings, option

IMAGE_FOLDERS = ("enhanced", "autocontrast")
"""The folders of images, relative to the folder of the results."""

BESIDE = ""
"""Stands for the folder of the photos among the folders of images (`--beside`).

The name of an image beside its photo is "/" and its path among the photos. No path in the folder of the results begins
with "/".
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceSettings(Application, JobSettings):
    """How photos are enhanced, and how the run is done. Each field is an option of `zerodce enhance`.

    Attributes:
        reference: None is for no comparison, or for the folder of the photos with `pairs`.
    """

    model: str | None = option(
        None, type=PLACE, help="A model.keras that `zerodce train` wrote.  [default: the shipped weights]"
    )
    reference: str | None = option(
        None, decisive=True, type=PLACE, help="Folder of well-exposed photos of the same names, for PSNR and SSIM."
    )
    exclude: tuple[str, ...] = option(
        (),
        multiple=True,
        metavar="GLOB",
        help="Ignore files and folders with such a relative path, as `*/raw` or `*.tmp.jpg`; may be given several "
        "times.",
    )
    files: str | None = option(
        None,
        type=PLACE,
        metavar="LIST",
        help="Enhance only the photos of this list: one path a line, a CSV or Parquet table with a column `path` or "
        "`key`, the manifest.json of an S3 inventory, or - for standard input.",
    )
    autocontrast: bool = option(
        True, "--no-autocontrast", decisive=True, help="Leave out the PIL-autocontrast baselines."
    )
    output_format: str | None = option(
        None,
        "--format",
        decisive=True,
        type=WrittenFormat(),
        help="Write all photos in this format.  [default: each its own, where it can be written]",
    )
    name: str | None = option(
        None,
        decisive="if given",
        type=naming.NameTemplate(),
        metavar="TEMPLATE",
        help="Name of each enhanced photo, such as '{stem}_bright{ext}'. {parent} is the name of the photo's folder.  "
        "[default: the photo's name]",
    )
    beside: bool = option(
        False,
        decisive="if given",
        help="Write each enhanced photo into the folder of its original, as '{stem}_bright{ext}' or with the name of "
        "--name. Tables, report and baselines go into OUT.",
    )
    quality: int | None = option(
        None,
        decisive=True,
        type=click.IntRange(1, 100),
        help="JPEG, WebP, AVIF and JPEG XL quality.  [default: about the original's]",
    )
    max_side: int | None = option(
        None,
        decisive="if given",
        type=click.IntRange(1),
        metavar="PIXELS",
        help="Scale images down whose longer side is longer than this: small copies, such as for the web.",
    )
    strip_metadata: bool = option(False, decisive=True, help="Drop EXIF, ICC profile, XMP, DPI and the file time.")
    history: bool = option(
        True,
        "--no-history",
        decisive="if given",
        help="Write no history entry into the XMP of enhanced photos: what was done, when, and by which model.",
    )
    unchanged: Literal["copy", "skip"] = option(
        "copy",
        decisive=True,
        type=click.Choice(["copy", "skip"]),
        help="Copy a photo that needs no change byte for byte, or write no image of it.",
    )
    unchanged_hdr: bool = option(
        False,
        decisive="if given",
        help="Leave photos with a gain map (Ultra HDR, Apple) as they are.",
    )
    keep_original: str | None = option(
        None,
        type=PLACE,
        metavar="LIST",
        help="Leave the photos in this list as they are: a relative path on each line, as the report page writes it.",
    )
    max_pixels: int = option(
        500_000_000, decisive=True, type=click.IntRange(1), help="Refuse larger photos before they are decoded."
    )
    max_bytes: int = option("4GB", type=ByteCount(), help="Refuse larger files before they are read.")
    max_memory: int | None = option(
        None,
        type=ByteCount(),
        help="What the job may take: a large photo waits until there is room.  [default: all there is]",
    )
    photo_timeout: int | None = option(
        None,
        type=click.IntRange(1),
        metavar="SECONDS",
        help="What a photo may take to be read and decoded, and again to be enhanced and written; then it has failed.  "
        "[default: 300, and 2 more a megabyte and 5 a megapixel]",
    )
    max_failures: int | None = option(None, type=click.IntRange(0), help="Stop once more photos than this have failed.")
    verify: bool = option(False, help="Read each image in OUT, and make it again if its bytes have changed.")
    same_archive: bool = option(
        False,
        help="Go on in OUT although PHOTOS has another path than before, if the photos that are done are the same by "
        "name, size and time.",
    )
    watch: bool = option(
        False,
        help="Go on as photos appear in PHOTOS, until Ctrl-C. A file is taken when it has not changed for 5 seconds.",
    )
    dry_run: bool = option(False, help="Say what would be done, and do nothing.")
    force: bool = option(False, help="Begin although the disk seems to have too little room.")
    as_json: bool = option(False, "--json", help="Progress and result as JSON lines on standard output.")

    def decisive(self, model_sha256: str) -> dict[str, Any]:
        """All that an enhanced photo and its row depend on besides the photo, as `run.json` holds it."""
        fields = [field for field in dataclasses.fields(self) if field.metadata.get("decisive")]
        values = {field.name: getattr(self, field.name) for field in fields}
        unset = {f.name for f in fields if f.metadata["decisive"] == "if given" and values[f.name] == f.default}
        chosen = {name: value for name, value in values.items() if name not in unset}
        return {"model": model_sha256, "revision": zerodce.REVISION} | chosen

    def digest_with(self, model_sha256: str) -> str:
        """A digest that changes when anything decisive does."""
        return digest(self.decisive(model_sha256))

    @property
    def keep_files(self) -> bool:
        """Whether a file may stay as it is where its pixels do: nothing asks for another."""
        return self.output_format is None and self.quality is None and not self.strip_metadata

    @property
    def image_folders(self) -> tuple[str, ...]:
        """The folders in the folder of the results into which the run writes images."""
        folders = IMAGE_FOLDERS if self.autocontrast else IMAGE_FOLDERS[:1]
        return folders[1:] if self.beside else folders

    def image(self, kind: str, output: str) -> str:
        """The name of an image: its path relative to the folder of the results, or that of an image `BESIDE` a photo.

        Args:
            kind: "enhanced" or "autocontrast".
            output: Relative path of the enhanced photo.
        """
        return beside_photo(output) if self.beside and kind == "enhanced" else f"{kind}/{output}"

    @property
    def template(self) -> str | None:
        """The template of the names of enhanced photos; None if each has the name of its photo."""
        return self.name or (naming.BESIDE if self.beside else None)

    def outputs(self, output: str, unchanged: Collection[str] = ()) -> list[str]:
        """The names of the images that a photo's output consists of.

        Args:
            output: Relative path of the enhanced photo.
            unchanged: Those of "enhanced" and "autocontrast" that are the original.
        """
        kinds = IMAGE_FOLDERS if self.autocontrast else IMAGE_FOLDERS[:1]
        written = (kind for kind in kinds if self.unchanged == "copy" or kind not in unchanged)
        return [self.image(kind, output) for kind in written]


def place(image: str, out: str, photos: str) -> str:
    """The path of an image.

    Args:
        image: Its name, as `EnhanceSettings.image` gives it.
        out: Folder of the results.
        photos: Folder of the photos.
    """
    start = beside_photo("")
    return storage.join(photos, image.removeprefix(start)) if image.startswith(start) else storage.join(out, image)


def beside_photo(output: str) -> str:
    """The name of an image that lies beside its photo, from its path relative to the folder of the photos."""
    return f"{BESIDE}/{output}"
