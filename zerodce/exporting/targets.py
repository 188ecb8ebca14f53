"""Writes the graph in the formats of other runtimes. To add a format, add an entry to `TARGETS`."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zerodce.exporting.graph import Graph

ABOUT = "zerodce.json"
"""The file with what is known of the model, in the formats that are a folder."""

OPSET = 18
"""Version of ONNX's operators: that of 2022, which all runtimes have."""


def _savedmodel(graph: "Graph", about: Mapping[str, str], path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(graph, str(path), signatures={"serving_default": graph.enhance})
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / ABOUT).write_text(json.dumps(about, indent=2))


def _onnx(graph: "Graph", about: Mapping[str, str], path: Path) -> None:
    import onnx
    import tf2onnx

    with contextlib.redirect_stdout(io.StringIO()):
        model, _ = tf2onnx.convert.from_function(
            graph.enhance, input_signature=graph.enhance.input_signature, opset=OPSET
        )
    for given, name in zip(model.graph.output, ("enhanced",), strict=True):
        _rename_output(model, given.name, name)
    onnx.helper.set_model_props(model, dict(about))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _rename_output(model: Any, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for output in model.graph.output:
        output.name = new if output.name == old else output.name


def _litert(graph: "Graph", about: Mapping[str, str], path: Path) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.enhance.get_concrete_function()], graph)
    path.write_bytes(converter.convert())


def _openvino(graph: "Graph", about: Mapping[str, str], path: Path) -> None:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        _onnx(graph, about, file := Path(folder) / "model.onnx")
        model = openvino.convert_model(file)
        for name, value in about.items():
            model.set_rt_info(value, ["zerodce", name])
        openvino.save_model(model, path, compress_to_fp16=False)


@dataclasses.dataclass(frozen=True)
class Target:
    """A format of another runtime.

    Attributes:
        suffix: The end of a file's name; empty for a folder.
        write: Writes a graph, and what is known of the model, to a path.
        needs: Modules that write it.
    """

    suffix: str
    write: Callable[["Graph", Mapping[str, str], Path], None]
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """The modules that are not installed."""
        return [name for name in ("tensorflow", *self.needs) if importlib.util.find_spec(name) is None]


TARGETS = {
    "onnx": Target(".onnx", _onnx, ("onnx", "tf2onnx")),
    "litert": Target(".tflite", _litert),
    "openvino": Target(".xml", _openvino, ("onnx", "openvino", "tf2onnx")),
    "savedmodel": Target("", _savedmodel),
}
"""The formats by name."""


def export(graph: "Graph", target: Target, about: Mapping[str, str], path: Path) -> list[Path]:
    """Writes a graph, complete or not at all.

    Args:
        graph: The graph.
        target: The format.
        about: What is known of the model: names and values.
        path: The file, or the folder of a SavedModel. It is replaced if it exists.

    Returns:
        The files and folders that were written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path.parent) as folder:
        target.write(graph, about, folder / path.name)
        made = sorted(folder.iterdir(), key=lambda each: each.name == path.name)  # what is asked for appears last
        for each in made:
            place = path.parent / each.name
            if place.is_dir():
                shutil.rmtree(place)
            os.replace(each, place)
    return [path.parent / each.name for each in made]


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".zerodce-tmp-", dir=folder) as made:
        yield Path(made)
