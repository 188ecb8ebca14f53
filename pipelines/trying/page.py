"""The page of `zerodce try`: one HTML file that holds its pictures, style and scripts, so that it works offline."""

import base64
import dataclasses
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from pipelines.settings import Application
from pipelines.trying.previews import Picture, Previews

MARK = b'<meta name="generator" content="zerodce try">'
"""Stands in every page of this command, among its first bytes."""

_PAGE = resources.files("pipelines.trying") / "try_page"
_REPORT = resources.files("pipelines.enhance") / "report_page"


@dataclasses.dataclass(frozen=True)
class Tried:
    """A photo on the page.

    Attributes:
        name: Path of the photo, as the user wrote it.
        folder: Absolute path of its folder.
        previews: The original and the enhanced versions.
    """

    name: str
    folder: str
    previews: Previews


def options(choice: Application) -> list[str]:
    """The options of `zerodce enhance` that give these settings. Options with their default value are left out."""
    defaults = dataclasses.asdict(Application())
    changed = {name: value for name, value in dataclasses.asdict(choice).items() if value != defaults[name]}
    return [
        f"--{name.replace('_', '-')} {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in changed.items()
    ]


def write_page(choices: Sequence[Application], tried: Iterable[Tried], failures: Iterable[Mapping[str, str]]) -> bytes:
    """The page.

    Args:
        choices: The settings, in the order of the versions of each photo.
        tried: The photos.
        failures: `name` and `error` of each photo that could not be shown.
    """
    page = {
        "settings": [
            {
                "look": choice.look,
                "denoise": choice.denoise,
                "strength": choice.strength,
                "options": options(choice),
            }
            for choice in choices
        ],
        "default": choices.index(Application()),
        "photos": [_photo(each) for each in tried],
        "failures": list(failures),
    }
    html = (_PAGE / "try.html").read_text(encoding="utf-8")
    for name, files in {
        "style": [_REPORT / "report.css", _PAGE / "try.css"],
        "script": [_REPORT / "slider.js", _PAGE / "try.js"],
    }.items():
        html = html.replace(f"{{{{{name}}}}}", "\n".join(file.read_text(encoding="utf-8") for file in files))
    # "<" is escaped so that no text in the data can end the script element that holds it
    return html.replace("{{page}}", json.dumps(page, separators=(",", ":")).replace("<", "\\u003c")).encode()


def _photo(tried: Tried) -> dict[str, Any]:
    """A photo as the page has it. Pictures that are equal, as those of unchanged versions, are there once."""
    pictures: dict[bytes, int] = {}

    def version(picture: Picture) -> dict[str, Any]:
        whole, part = (pictures.setdefault(jpeg, len(pictures)) for jpeg in (picture.whole, picture.part))
        return {"whole": whole, "part": part, "mean": round(picture.mean, 4), "changed": picture.changed}

    made = tried.previews
    return {
        "name": tried.name,
        "command": shlex.join(["zerodce", "enhance", tried.folder, f"{tried.folder}-enhanced"]),
        "width": made.width,
        "height": made.height,
        "original": version(made.original),
        "versions": [version(picture) for picture in made.enhanced],
        "pictures": [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in pictures],
    }
