r"""Quality and time by the size of the small copy.

    python -m benchmarks.curve_size lol fivek

LOL is the LoL data set; the other folder holds `input` and `target`. Prints the table of docs/curve-size.md.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

from pipelines import evaluate
from zerodce.applying.enhancement import CurveSize, Enhancer
from zerodce.images import metrics
from zerodce.images.pixels import small_copy
from zerodce.pretrained import load_pretrained

SIZES: tuple[CurveSize, ...] = (512, 256, 192, 128, 96, 64)


def scores(enhancer: Enhancer, images: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Mean PSNR in dB and mean SSIM over pairs of an image and its reference."""
    values = [
        (metrics.psnr(enhanced, reference), metrics.ssim(enhanced, reference))
        for enhanced, reference in ((enhancer(image), reference) for image, reference in images)
    ]
    psnr, ssim = np.mean(values, axis=0)
    return float(psnr), float(ssim)


def milliseconds(enhancer: Enhancer, image: np.ndarray, repeats: int = 20) -> float:
    """Processor time of estimating the curves of one photo, over all cores."""
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
    parser.add_argument("pairs")
    arguments = parser.parse_args()
    sets = [
        [(evaluate.read_image(pair.low), evaluate.read_image(pair.reference)) for pair in pairs]
        for pairs in (evaluate.lol_pairs(arguments.lol), evaluate.folder_pairs(arguments.pairs))
    ]
    model = load_pretrained()
    photo = np.random.default_rng(0).integers(0, 60, (3000, 2000, 3), dtype=np.uint8)
    lol, others = (f"{len(images)} {name} pairs" for images, name in zip(sets, ("LoL", "other"), strict=True))
    print(f"| curve size | {lol}: PSNR / SSIM | {others}: PSNR / SSIM | estimate of a photo |")
    print("|---|---|---|---|")
    for size in SIZES:
        enhancer = Enhancer(model, size)
        cells = [f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in (scores(enhancer, images) for images in sets)]
        print(f"| {size} | {' | '.join(cells)} | {milliseconds(enhancer, photo):.0f} core-ms |", flush=True)


if __name__ == "__main__":
    main()
