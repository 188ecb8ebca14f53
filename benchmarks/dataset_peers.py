"""Other tools make a data set of 256x256 PNG from a folder. Run it with an interpreter that has them installed.

python benchmarks/dataset_peers.py img2dataset FOLDER OUT
python benchmarks/dataset_peers.py tfds FOLDER OUT
"""

import os
import sys
from pathlib import Path
from typing import Any

SIZE = 256
PNG_LEVEL = 4


def run_img2dataset(folder: Path, out: Path) -> None:
    """img2dataset on file:// addresses, one process for each core, in its own shard format (webdataset)."""
    from img2dataset import download

    addresses = out.with_suffix(".txt")
    addresses.write_text("".join(f"{path.as_uri()}\n" for path in sorted(folder.rglob("*")) if path.is_file()))
    cores = os.cpu_count() or 1
    download(
        url_list=str(addresses),
        output_folder=str(out),
        output_format="webdataset",
        image_size=SIZE,
        resize_mode="center_crop",
        encode_format="png",
        encode_quality=PNG_LEVEL,
        processes_count=cores,
        thread_count=2 * cores,
        number_sample_per_shard=-(-sum(1 for _ in folder.rglob("*.*")) // cores),
        disallowed_header_directives=[],
    )


def run_tfds(folder: Path, out: Path) -> None:
    """TensorFlow Datasets with a builder as in its guide."""
    import numpy as np
    import tensorflow_datasets as tfds
    from PIL import Image

    class Photos(tfds.core.GeneratorBasedBuilder):
        """A folder of images."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            image = tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png")
            features = tfds.features.FeaturesDict({"image": image, "filename": tfds.features.Text()})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager: Any) -> Any:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Any:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                name = path.relative_to(folder).as_posix()
                image = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
                yield name, {"image": np.asarray(image), "filename": name}

    Photos(data_dir=str(out)).download_and_prepare()


if __name__ == "__main__":
    {"img2dataset": run_img2dataset, "tfds": run_tfds}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
