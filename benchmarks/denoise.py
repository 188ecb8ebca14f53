r"""Compares noise filters on enhanced images: PSNR and SSIM against references, and time.

    python -m benchmarks.denoise lol \
        --pairs docs/held-out-pairs.csv --images sice \
        --photo photos/unpaired_misc__low_light_factoryside.jpeg

Every filter gets the same images, made by the shipped weights with `--denoise off`. Time is processor time on the
photo, over all cores. Prints the table of docs/denoising.md.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterable

import cv2
import numpy as np
from skimage.restoration import denoise_wavelet

from pipelines import evaluate
from zerodce.applying.denoising import smooth
from zerodce.applying.enhancement import Curves, Enhancer
from zerodce.applying.noise import estimate_noise
from zerodce.images import metrics
from zerodce.images.pixels import small_copy
from zerodce.pretrained import load_pretrained

Filter = Callable[[np.ndarray, np.ndarray, Curves], np.ndarray]
"""Function from an enhanced image, its original and its curves to the filtered image."""


def bilateral(enhanced: np.ndarray, image: np.ndarray, curves: Curves) -> np.ndarray:
    """OpenCV's bilateral filter."""
    return cv2.bilateralFilter(enhanced, 7, 0.2 * 255, 3)


def guided(enhanced: np.ndarray, image: np.ndarray, curves: Curves) -> np.ndarray:
    """The guided filter at full size and one strength; red, green and blue are each guided by themselves."""
    pixels = enhanced.astype(np.float32) / 255
    window = (5, 5)
    mean = cv2.boxFilter(pixels, -1, window)
    variance = cv2.boxFilter(pixels * pixels, -1, window) - mean * mean
    slope = variance / (variance + 0.05**2)
    offset = cv2.boxFilter(mean - slope * mean, -1, window)
    return np.rint(np.clip(cv2.boxFilter(slope, -1, window) * pixels + offset, 0, 1) * 255).astype(np.uint8)


def non_local_means(enhanced: np.ndarray, image: np.ndarray, curves: Curves) -> np.ndarray:
    """OpenCV's fast non-local means."""
    return cv2.fastNlMeansDenoisingColored(enhanced, None, 10, 10, 7, 15)


def wavelet(enhanced: np.ndarray, image: np.ndarray, curves: Curves) -> np.ndarray:
    """scikit-image's BayesShrink in Y, Cb and Cr."""
    filtered = denoise_wavelet(enhanced, channel_axis=2, convert2ycbcr=True, rescale_sigma=True)
    return np.rint(np.clip(filtered, 0, 1) * 255).astype(np.uint8)


def noise_aware(strength: float = 1.0, planes: Iterable[float] = (1, 1, 1), sizes: Iterable[float] = (1,)) -> Filter:
    """The filter of `--denoise`, or parts of it: planes and sizes of weight 0 are not filtered."""
    weights = np.array(list(planes), np.float32) * np.array(list(sizes), np.float32)[:, np.newaxis, np.newaxis]

    def run(enhanced: np.ndarray, image: np.ndarray, curves: Curves) -> np.ndarray:
        noise = estimate_noise(image).with_coding()
        noise = dataclasses.replace(noise, deviations=noise.deviations * weights)
        return smooth(enhanced.copy(), noise, curves.noise_gain, strength)

    return run


def one_tone(enhanced: np.ndarray, image: np.ndarray, curves: Curves) -> np.ndarray:
    """The filter of `--denoise` with one noise for all tones: their median."""
    noise = estimate_noise(image).with_coding()
    median = np.median(noise.deviations, axis=1, keepdims=True)
    noise = dataclasses.replace(noise, deviations=np.broadcast_to(median, noise.deviations.shape))
    return smooth(enhanced.copy(), noise, curves.noise_gain)


FILTERS: dict[str, Filter] = {
    "none": lambda enhanced, image, curves: enhanced,
    "bilateral, d 7, 0.2, 3": bilateral,
    "guided, 5x5, 0.05": guided,
    "non-local means, h 10": non_local_means,
    "wavelet, BayesShrink": wavelet,
    "`--denoise auto`": noise_aware(),
    "- brightness only": noise_aware(planes=(1, 0, 0)),
    "- colour only": noise_aware(planes=(0, 1, 1)),
    "- at full size only": noise_aware(sizes=(1, 0, 0, 0)),
    "- at full and half size": noise_aware(sizes=(1, 1, 0, 0)),
    "- one noise for all tones": one_tone,
    "`--denoise 0.5`": noise_aware(0.5),
    "`--denoise 2`": noise_aware(2),
}


def main() -> None:
    """Prints the table for the pairs and the photo that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lol")
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--photo", required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    enhancer = Enhancer(load_pretrained(), denoise="off")

    def enhanced(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, Curves]:
        (curves,) = enhancer.estimate([small_copy(image, enhancer.curve_size)])
        return enhancer.apply(image, curves), image, curves

    pairs = {
        "LoL": evaluate.lol_pairs(arguments.lol),
        "SICE": evaluate.listed_pairs(arguments.pairs, arguments.images),
    }
    sets = {
        name: [(enhanced(evaluate.read_image(pair.low)), evaluate.read_image(pair.reference)) for pair in listed]
        for name, listed in pairs.items()
    }
    photo = enhanced(evaluate.read_image(arguments.photo))
    megapixels = photo[0].shape[0] * photo[0].shape[1] / 1e6
    print("| | " + " | ".join(f"{name}, {len(listed)} pairs" for name, listed in sets.items()) + " | core-ms / MP |")
    print("|---|" + "---|" * (len(sets) + 1))
    for name, run in FILTERS.items():
        run(*photo)  # compiles
        started = time.process_time()
        run(*photo)
        milliseconds = (time.process_time() - started) / megapixels * 1000
        columns = []
        for listed in sets.values():
            results = [(run(*images), reference) for images, reference in listed]
            psnr = np.mean([metrics.psnr(*result) for result in results])
            ssim = np.mean([metrics.ssim(*result) for result in results])
            columns.append(f"{psnr:.2f} / {ssim:.3f}")
        print(f"| {name} | {' | '.join(columns)} | {milliseconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
