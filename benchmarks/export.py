"""The model in other runtimes, beside zerodce itself: size of the file, core time, and the difference of the pixels.

    pip install '.[export]'
    python -m benchmarks.export --photos photos

Each photo is scaled to 6 megapixels. All runtimes enhance the same photos with the same light. Core time is that of all
threads; the first photo is not counted.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.enhance import photos_of, show
from zerodce.curves.brightening import brighten, surroundings
from zerodce.curves.tones import tables
from zerodce.exporting.graph import Graph
from zerodce.exporting.targets import TARGETS, export
from zerodce.images.pixels import small_copy
from zerodce.inference.model import shipped

MEGAPIXELS = 6.0
LIGHT = np.float32(0.3).item()

Run = Callable[[np.ndarray], np.ndarray]


def ours(image: np.ndarray) -> np.ndarray:
    """What zerodce itself computes."""
    small = small_copy(image, 128)
    grid = np.rint(shipped().grid(small.astype(np.float32) / 255, LIGHT) * 256) / 256
    return brighten(image, tables(grid), surroundings(small))


def onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda image: session.run(["enhanced"], {"image": image, "light": np.array(LIGHT, np.float32)})[0]


def litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=2)

    def run(image: np.ndarray) -> np.ndarray:
        inputs = {detail["name"].split("_")[-1].split(":")[0]: detail for detail in interpreter.get_input_details()}
        interpreter.resize_tensor_input(inputs["image"]["index"], image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(inputs["image"]["index"], image)
        interpreter.set_tensor(inputs["light"]["index"], np.array(LIGHT, np.float32))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


def openvino(path: Path) -> Run:
    import openvino as library

    model = library.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda image: np.asarray(model({"image": image, "light": np.array(LIGHT, np.float32)})["enhanced"])


def savedmodel(path: Path) -> Run:
    import tensorflow as tf

    enhance = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda image: enhance(image=tf.constant(image), light=tf.constant(LIGHT))["enhanced"].numpy()


def row(name: str, run: Run, images: list[np.ndarray], size: float, expected: list[np.ndarray]) -> str:
    """The row of a runtime."""
    run(images[0])
    started = time.process_time()
    made = [run(image) for image in images[1:]]
    spent = time.process_time() - started
    pixels = sum(image.shape[0] * image.shape[1] for image in images[1:]) / 1e6
    error = max(int(np.abs(one.astype(int) - other).max()) for one, other in zip(made, expected[1:], strict=True))
    return f"| {name} | {f'{size:.1f} MB' if size else '-'} | {spent * 1000 / pixels:.0f} | {error} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    images = []
    for path in photos_of(parser.parse_args().photos)[:6]:
        with Image.open(path) as file:
            photo = file.convert("RGB")
        scale = (MEGAPIXELS * 1e6 / (photo.width * photo.height)) ** 0.5
        images.append(np.asarray(photo.resize((round(photo.width * scale), round(photo.height * scale)))))
    expected = [ours(image) for image in images]
    lines = ["| runtime | file | core-ms a megapixel | largest difference, in steps of 255 |", "|---|---|---|---|"]
    lines.append(row("zerodce", ours, images, 0, expected))
    runs = {"onnx": onnx, "litert": litert, "openvino": openvino, "savedmodel": savedmodel}
    with tempfile.TemporaryDirectory() as folder:
        for name, target in TARGETS.items():
            files = export(Graph(shipped().weights), target, {}, path := Path(folder) / f"model{target.suffix}")
            size = sum(part.stat().st_size for each in files for part in [each, *each.rglob("*")] if part.is_file())
            lines.append(row(name, runs[name](path), images, size / 1e6, expected))
    show(lines)


if __name__ == "__main__":
    main()
