"""The names of enhanced photos, from a template such as `{stem}_bright{ext}`."""

import posixpath
import string
from typing import Any

import click

FIELDS = ("stem", "ext", "parent")
"""The fields of a template: the photo's name without extension, its extension with the dot, and its folder's name."""

BESIDE = "{stem}_bright{ext}"
"""The template of photos that are written beside their originals, if no other is given."""


class NameTemplate(click.ParamType):
    """A template for the name of a file, with the fields of `FIELDS`."""

    name = "template"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        template = str(value)
        try:
            parts = list(string.Formatter().parse(template))
        except ValueError as error:
            self.fail(f"{template!r} is not a template ({error}). Write {{{{ and }}}} for braces.", param, ctx)
        fields = [
            field + bool(spec) * f":{spec}" + bool(to) * f"!{to}" for _, field, spec, to in parts if field is not None
        ]
        if wrong := [field for field in fields if field not in FIELDS]:
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            self.fail(f"{{{wrong[0]}}} is not a field of a name. The fields are {known}.", param, ctx)
        if "stem" not in fields:
            self.fail(f"{template!r} lacks {{stem}}, so all photos of a folder would have one name.", param, ctx)
        if any(character in "/\\" or not character.isprintable() for text, *_ in parts for character in text):
            self.fail(f"{template!r} is not the name of a file: leave out slashes and control characters.", param, ctx)
        return template


def named(path: str, template: str | None, archive: str) -> str:
    """A photo's path with the name that a template gives.

    Args:
        path: Relative path of the photo, with `/`.
        template: The template; None for the photo's own name.
        archive: Name of the folder of all photos, which is the `{parent}` of those that lie in no folder below it.
    """
    if template is None:
        return path
    folder, name = posixpath.split(path)
    stem, ext = posixpath.splitext(name)
    parent = posixpath.basename(folder) or archive
    return posixpath.join(folder, template.format(stem=stem, ext=ext, parent=parent))
