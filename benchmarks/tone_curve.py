"""Prints `evaluating.baselines.TONE_CURVE`: the best tone curve for all photos, which a network has to beat.

python -m benchmarks.tone_curve sice --split-file docs/training-split.csv
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from zerodce.evaluating.baselines import CONTEXT, own_multiples


def main() -> None:
    """Reads the training photos of a split file, and prints the mean of their own tone curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--split-file", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.split_file.open(newline="") as file:
        names = [row["path"] for row in csv.DictReader(file) if row["split"] == "train"]
    multiples = []
    for name in names:
        image = np.asarray(Image.open(arguments.images / name).convert("RGB"))
        small = cv2.resize(image, (CONTEXT, CONTEXT), interpolation=cv2.INTER_AREA)
        multiples.append(own_multiples(small.astype(np.float32) / 255))
    print(", ".join(f"{value:.2f}" for value in np.mean(multiples, axis=0)))


if __name__ == "__main__":
    main()
