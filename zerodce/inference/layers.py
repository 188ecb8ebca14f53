"""The layers of the networks on NumPy and OpenCV, for one image. Each gives what the Keras layer of its name gives.

Arrays are float32. Images are (height, width, channels), sequences (length, channels).
"""

import cv2
import numpy as np
from PIL import Image


def conv2d(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int = 1) -> np.ndarray:
    """A convolution with padding "same": one matrix product for each tap of the kernel.

    Args:
        image: (height, width, channels).
        kernel: (rows, columns, channels, filters).
        bias: (filters,).
        stride: Step in pixels, along both axes.

    Returns:
        (ceil(height / stride), ceil(width / stride), filters).
    """
    rows, columns, channels, filters = kernel.shape
    height, width = (-(-side // stride) for side in image.shape[:2])
    spare = [
        max((made - 1) * stride + taps - side, 0)
        for made, taps, side in zip((height, width), (rows, columns), image.shape[:2], strict=True)
    ]
    padded = np.zeros((image.shape[0] + spare[0], image.shape[1] + spare[1], channels), image.dtype)
    top, left = spare[0] // 2, spare[1] // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    result = np.broadcast_to(bias, (height * width, filters)).copy()
    for row in range(rows):
        for column in range(columns):
            seen = padded[row : row + (height - 1) * stride + 1 : stride]
            seen = seen[:, column : column + (width - 1) * stride + 1 : stride]
            result += seen.reshape(-1, channels) @ kernel[row, column]
    return result.reshape(height, width, filters)


def conv1d(sequence: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution of stride 1 with padding "same".

    Args:
        sequence: (length, channels).
        kernel: (taps, channels, filters).
        bias: (filters,).

    Returns:
        (length, filters).
    """
    return conv2d(sequence[np.newaxis], kernel[np.newaxis], bias)[0]


def relu(values: np.ndarray) -> np.ndarray:
    """The larger of each value and 0."""
    return np.maximum(values, np.float32(0))


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) of each value x."""
    return 1 / (1 + np.exp(-values))


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Scales an image to a square, bilinear and antialiased: `keras.layers.Resizing(antialias=True)`."""
    planes = (Image.fromarray(np.ascontiguousarray(image[..., channel])) for channel in range(image.shape[2]))
    return np.stack([np.asarray(plane.resize((side, side), Image.Resampling.BILINEAR)) for plane in planes], axis=2)


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarges an image, bilinear: `keras.layers.UpSampling2D`."""
    height, width = image.shape[:2]
    return cv2.resize(image, (width * factor, height * factor), interpolation=cv2.INTER_LINEAR)


def halve(image: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels: `keras.layers.AveragePooling2D(2)`, for even sides."""
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
