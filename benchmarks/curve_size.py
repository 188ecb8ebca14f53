r"""What the size of the small copy, from which the curves are estimated, costs in quality and saves in time.

    python -m benchmarks.curve_size lol \
        --pairs docs/held-out-pairs.csv --images sice

Curves alone, nothing denoised. Prints the table of docs/curve-size.md.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

from pipelines import evaluate
from zerodce import metrics
from zerodce.enhancement import CurveSize, Enhancer
from zerodce.pixels import small_copy
from zerodce.pretrained import load_pretrained

SIZES: tuple[CurveSize, ...] = ("full", 512, 384, 256, 192, 128, 96)


def scores(enhancer: Enhancer, images: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Mean PSNR in dB and mean SSIM over pairs of an image and its reference."""
    values = [
        (metrics.psnr(enhanced, reference), metrics.ssim(enhanced, reference))
        for enhanced, reference in ((enhancer(image), reference) for image, reference in images)
    ]
    psnr, ssim = np.mean(values, axis=0)
    return float(psnr), float(ssim)


def milliseconds(enhancer: Enhancer, image: np.ndarray, repeats: int = 20) -> float:
    """Processor time of estimating the curves of one photo, all cores added up."""
    small = small_copy(image, enhancer.curve_size)
    enhancer.estimate([small])
    started = time.process_time()
    for _ in range(repeats):
        enhancer.estimate([small])
    return (time.process_time() - started) / repeats * 1000


def main() -> None:
    """Prints the table for the pairs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lol")
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--images", required=True)
    arguments = parser.parse_args()
    sets = [
        [(evaluate.read_image(pair.low), evaluate.read_image(pair.reference)) for pair in pairs]
        for pairs in (
            evaluate.lol_pairs(arguments.lol),
            evaluate.listed_pairs(arguments.pairs, arguments.images),
        )
    ]
    model = load_pretrained()
    photo = np.zeros((3000, 2000, 3), np.uint8)
    lol, held_out = (f"{len(images)} {name} pairs" for images, name in zip(sets, ("LoL", "SICE"), strict=True))
    print(f"| curve size | {lol}: PSNR / SSIM | {held_out}: PSNR / SSIM | estimate of a 3:2 photo |")
    print("|---|---|---|---|")
    for size in SIZES:
        enhancer = Enhancer(model, size, denoise="off")
        cells = [f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in (scores(enhancer, images) for images in sets)]
        cost = "" if size == "full" else f"{milliseconds(enhancer, photo):.0f} core-ms"
        print(f"| {size} | {' | '.join(cells)} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
