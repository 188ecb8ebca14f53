"""Renders a few dark photos, always the same: `python -m benchmarks.scenes FOLDER`.

They are still lifes of balls on a tiled floor before a wall, lit by one visible lamp and a little sky. They are
ray-traced, then photographed with far too little light: the input of `make enhance` and of the README's picture.
"""

import argparse
import math
from pathlib import Path

import cv2
import numba
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 1536, 1024
SCENES = {
    "still-life-1": (7, 0.06),
    "still-life-2": (23, 0.03),
    "still-life-3": (40, 0.045),
    "still-life-4": (61, 0.02),
}
"""By name of each photo: its seed, and its share of a proper exposure."""

LAMP = (1.3, 2.65, 5.0)
LAMP_RADIUS = 0.16
LIGHT_SAMPLES = 5
"""For shadows the lamp is a square with this many points along each side."""


def balls(seed: int) -> np.ndarray:
    """Balls on the floor that do not touch: (n, 8) of centre x, y, z, radius, red, green, blue, stripes."""
    rng = np.random.default_rng(seed)
    placed: list[list[float]] = []
    while len(placed) < 14:
        radius = rng.uniform(0.22, 0.75) if len(placed) < 8 else rng.uniform(0.12, 0.25)
        x, z = rng.uniform(-3.0, 3.0), rng.uniform(2.6, 6.0)
        if all(math.hypot(x - other[0], z - other[2]) > radius + other[3] + 0.05 for other in placed):
            hue = rng.uniform(0, 2 * math.pi)
            colour = [0.45 + 0.4 * math.cos(hue + shift) for shift in (0.0, 2.1, 4.2)]
            placed.append([x, radius, z, radius, *colour, float(rng.integers(0, 3))])
    return np.array(placed)


@numba.njit(cache=True)
def _hit(ox, oy, oz, dx, dy, dz, spheres):
    """The first hit of a ray: its distance, and a ball's number, -1 the floor, -2 the wall, or -3 nothing."""
    nearest, which = 1e9, -3
    if dy < 0:
        nearest, which = -oy / dy, -1
    if dz > 0 and (7.5 - oz) / dz < nearest:
        nearest, which = (7.5 - oz) / dz, -2
    for i in range(spheres.shape[0]):
        cx, cy, cz, radius = ox - spheres[i, 0], oy - spheres[i, 1], oz - spheres[i, 2], spheres[i, 3]
        b = cx * dx + cy * dy + cz * dz
        root = b * b - (cx * cx + cy * cy + cz * cz - radius * radius)
        if root > 0:
            distance = -b - math.sqrt(root)
            if 1e-4 < distance < nearest:
                nearest, which = distance, i
    return nearest, which


@numba.njit(cache=True)
def _shade(px, py, pz, which, spheres, out):
    """Writes the light from a point to the camera: diffuse colour times lamp and sky."""
    nx, ny, nz = 0.0, 1.0, 0.0
    if which >= 0:
        ball = spheres[which]
        nx, ny, nz = (px - ball[0]) / ball[3], (py - ball[1]) / ball[3], (pz - ball[2]) / ball[3]
        band = 1.0
        if ball[7] == 1 and math.sin(9 * math.atan2(nx, nz)) > 0:
            band = 0.35
        if ball[7] == 2 and math.sin(14 * ny) > 0:
            band = 0.45
        red, green, blue = ball[4] * band, ball[5] * band, ball[6] * band
    elif which == -1:
        tile = (math.floor(px / 0.6) + math.floor(pz / 0.6)) % 2
        grout = min(px / 0.6 - math.floor(px / 0.6), pz / 0.6 - math.floor(pz / 0.6)) < 0.03
        red, green, blue = (0.62, 0.55, 0.46) if tile else (0.34, 0.30, 0.27)
        if grout:
            red, green, blue = 0.18, 0.17, 0.16
    else:
        nx, ny, nz = 0.0, 0.0, -1.0
        course = math.floor(py / 0.35)
        across = px / 0.9 + 0.5 * (course % 2)
        joint = py / 0.35 - course < 0.06 or across - math.floor(across) < 0.025
        tone = 0.5 + 0.12 * math.sin(12.9 * math.floor(across) + 78.2 * course)
        red, green, blue = (0.30, 0.29, 0.28) if joint else (tone, 0.62 * tone, 0.48 * tone)
    px, py, pz = px + 1e-3 * nx, py + 1e-3 * ny, pz + 1e-3 * nz
    lamp, glint = 0.0, 0.0
    for i in range(LIGHT_SAMPLES):
        for j in range(LIGHT_SAMPLES):
            lx = LAMP[0] + 2 * LAMP_RADIUS * ((i + 0.5) / LIGHT_SAMPLES - 0.5) - px
            ly, lz = LAMP[1] - py, LAMP[2] + 2 * LAMP_RADIUS * ((j + 0.5) / LIGHT_SAMPLES - 0.5) - pz
            distance = math.sqrt(lx * lx + ly * ly + lz * lz)
            cosine = (nx * lx + ny * ly + nz * lz) / distance
            if cosine <= 0:
                continue
            met, _ = _hit(px, py, pz, lx / distance, ly / distance, lz / distance, spheres)
            if met < distance:
                continue
            lamp += cosine / (distance * distance)
            if which >= 0:
                reflected = 2 * cosine * nz - lz / distance
                glint += max(0.0, -reflected) ** 60 / (distance * distance)
    lamp *= 9.0 / LIGHT_SAMPLES**2
    glint *= 14.0 / LIGHT_SAMPLES**2
    sky = 0.10 * (0.6 + 0.4 * ny)
    out[0] = red * (lamp * 1.00 + sky * 0.7) + glint
    out[1] = green * (lamp * 0.86 + sky * 0.9) + glint * 0.86
    out[2] = blue * (lamp * 0.66 + sky * 1.4) + glint * 0.66


@numba.njit(cache=True, parallel=True)
def render(spheres, width, height):
    """Traces the scene with four rays a pixel: linear light, float64 (height, width, 3), 1 for a proper exposure."""
    image = np.zeros((height, width, 3))
    for y in numba.prange(height):
        light = np.zeros(3)
        for x in range(width):
            for sample in range(4):
                dx = (x + 0.25 + 0.5 * (sample % 2) - width / 2) / width
                dy = -(y + 0.25 + 0.5 * (sample // 2) - height / 2) / width - 0.16
                length = math.sqrt(dx * dx + dy * dy + 0.64)
                dx, dy, dz = dx / length, dy / length, 0.8 / length
                distance, which = _hit(0.0, 1.75, -1.2, dx, dy, dz, spheres)
                along = LAMP[0] * dx + (LAMP[1] - 1.75) * dy + (LAMP[2] + 1.2) * dz
                aside = LAMP[0] ** 2 + (LAMP[1] - 1.75) ** 2 + (LAMP[2] + 1.2) ** 2 - along * along
                # the lamp itself and its glow in the lens
                image[y, x] += np.array([1.0, 0.86, 0.66]) * (0.02 / (aside + 0.01))
                if aside < LAMP_RADIUS**2 and along < distance:
                    image[y, x] += 60.0
                    continue
                _shade(dx * distance, 1.75 + dy * distance, -1.2 + dz * distance, which, spheres, light)
                image[y, x] += light / 4
    return image


def photograph(light: np.ndarray, exposure: float, seed: int) -> np.ndarray:
    """Converts linear light to a camera's 8-bit sRGB picture: shot and read noise, clipping, the sRGB curve."""
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(light * exposure * 12_000) + rng.normal(0, 3, light.shape)
    linear = np.clip(electrons / 12_000, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def grain(width: int, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Noise of standard deviation 1. `width` is the grain in pixels: 1 is white, else a Gaussian's half-width."""
    white = np.random.default_rng(seed).normal(size=shape)
    noise = cv2.GaussianBlur(white, (0, 0), width / 2.355) if width > 1 else white
    return np.asarray(noise / noise.std())


def main() -> None:
    """Renders every scene into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, (seed, exposure) in SCENES.items():
        light = render(balls(seed), WIDTH, HEIGHT)
        Image.fromarray(photograph(light, exposure, seed)).save(folder / f"{name}.jpg", quality=92)


if __name__ == "__main__":
    main()
