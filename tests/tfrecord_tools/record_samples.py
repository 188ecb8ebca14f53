"""Records and data sets made by hand, so that reading is tested apart from the job that writes."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tfrecord_tools.framing import frame
from tfrecord_tools.manifest import FILENAME, REJECTED, Manifest, Shard
from tfrecord_tools.records import IMAGE_FEATURES, REFERENCE_FEATURES, Record, StoredImage

WIDTH, HEIGHT = 12, 8


def pixels(index: int) -> np.ndarray:
    """The image of a record: noise of its own, uint8."""
    return np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def stored(values: np.ndarray, filename: str) -> StoredImage:
    content = io.BytesIO()
    Image.fromarray(values).save(content, "png")
    return StoredImage(content.getvalue(), "png", values.shape[0], values.shape[1], filename)


def record(index: int) -> Record:
    """Every third record has a reference: its image upside down."""
    reference = stored(pixels(index)[::-1].copy(), f"high/{index}.png") if index % 3 == 0 else None
    return Record(stored(pixels(index), f"low/{index}.png"), reference)


def write_dataset(folder: Path, shards: dict[str, list[list[Record]]], resize: str = "stretch") -> Manifest:
    """Writes shards of records by split, and the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, parts in shards.items():
        splits[split] = []
        for index, records in enumerate(parts):
            content = b"".join(frame(each.serialize()) for each in records)
            name = f"{split}-{index:05d}-of-{len(parts):05d}.tfrecord"
            (folder / name).write_bytes(content)
            references = sum(each.reference is not None for each in records)
            digest = hashlib.sha256(content).hexdigest()
            splits[split].append(Shard(name, len(records), references, len(content), digest))
    everything = [shard for parts in splits.values() for shard in parts]
    total, references = sum(shard.records for shard in everything), sum(shard.references for shard in everything)
    manifest = Manifest(
        splits=splits,
        image={"width": WIDTH, "height": HEIGHT, "resize": resize, "filter": "bilinear", "encoding": "png"},
        counts={
            "found": total,
            "records": total,
            "rejected": 0,
            "references": references,
            "without_reference": total - references,
            "ignored": 0,
        },
        sources={"bytes": 0, "sha256": "", "listing": ""},
        features=IMAGE_FEATURES | REFERENCE_FEATURES,
        split_rule="by hand",
        notes={},
        settings={},
        versions={},
    )
    (folder / FILENAME).write_text(manifest.to_json())
    (folder / REJECTED).write_text("path,stage,error\n")
    return manifest
