"""The page to look at: `OUT/report.html` and the `report/` folder beside it, which open from a disk, offline.

A page that was opened from a disk may not fetch its data, so the rows lie in scripts of 5,000 rows each that the page
loads one after another, and everything else stands in the page itself. At most 2,000 photos have thumbnails: the
extremes and an even sample, or all of a small archive; for the others the page shows the full-size files.
"""

import heapq
import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any
from urllib.parse import quote

from PIL import Image

from pipelines import storage
from pipelines.digests import digest
from pipelines.photos import PhotoError, failing_as, thumbnail, to_srgb
from zerodce.images.pixels import PREVIEW

THUMBNAILS = 2000  # photos that have thumbnails, at most

_PAGE = resources.files("pipelines.enhance") / "report_page"
PAGE_FILES = tuple(sorted(file.name for file in _PAGE.iterdir() if file.name != "report.html"))
"""Scripts and style of the page, which lie in `report/`."""

_LIST = ".zerodce/report.json"  # of what was written to report/data and report/thumbs
_OURS = re.compile(r"data/(rows|failures)-\d+\.js|thumbs/[0-9a-f]{16}-(before|autocontrast|after)\.jpg")
_SAMPLE = 1800  # of them the even sample: a hash hits it within a few dozen, and the extremes come on top
_EXTREMES = 15  # photos of each kind
_CHUNK = 5000  # rows in a script
_TEXTS = {"path", "output", "notes", "unwritten"}
_LAST = "after"  # is written last: where it is, all of a photo's thumbnails are


def is_sampled(path: str, total: int) -> bool:
    """Whether a photo belongs to the even sample that gets thumbnails, which depends on nothing but its path.

    Args:
        path: Relative path of the photo.
        total: Number of photos that the run found; up to `THUMBNAILS` of them are all sampled.
    """
    return total <= THUMBNAILS or _position(path) < _SAMPLE / total


def write_thumbnails(
    out: str,
    row: Mapping[str, Any],
    before: Image.Image,
    after: Image.Image,
    autocontrast: Image.Image | None,
    *,
    icc_profile: bytes = b"",
    like: str | None = None,
) -> None:
    """Writes the small pictures of a photo, JPEG files, where `write_report` finds them.

    Args:
        out: The folder of the run.
        row: The photo's row of `metrics.csv`, as `write_report` will get it.
        before: Preview of the photo as it was, upright, mode RGB or L; its size is that of the picture.
        after: Preview of the enhanced photo.
        autocontrast: Preview of the autocontrast baseline; None where that was not asked for.
        icc_profile: The colours of all three, empty for sRGB; the files are in sRGB.
        like: Path of the photo, whose permissions they get.
    """
    stem = storage.join(out, f"report/thumbs/{_name(row)}")
    encoded: dict[int, bytes] = {}  # once, where two of them are one image
    for kind, image in (("before", before), ("autocontrast", autocontrast), (_LAST, after)):
        if image is not None:
            if id(image) not in encoded:
                encoded[id(image)] = _thumbnail(to_srgb(image, icc_profile))
            storage.write(f"{stem}-{kind}.jpg", encoded[id(image)], like=like)


def _thumbnail(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=78)
    return content.getvalue()


def _position(path: str) -> float:
    """A number in [0, 1) that a path always gets, and paths get evenly."""
    return int(digest(path), 16) / 2**64


def _name(row: Mapping[str, Any]) -> str:
    """Named after what was measured too, so that a photo that has changed never shows its old picture."""
    measured = [f"{row[column]:.6g}" for column in ("width", "height", "mean_input", "mean_enhanced")]
    return digest([row["path"], *measured])


def files_of(out: str, rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The files of a report that earlier runs wrote, relative to `report/`: what they wrote down, and pictures of rows.

    Args:
        out: The folder of the run.
        rows: Rows of photos that were enhanced, as the journal has them.
    """
    pictured = {_name(row) for row in rows}
    return _listed(out) | {
        f"thumbs/{name}" for name in _names(storage.join(out, "report/thumbs")) if _stem(name) in pictured
    }


def write_report(
    out: str,
    photos: str,
    rows: Iterable[Mapping[str, Any]],
    failures: Iterable[Mapping[str, Any]],
    run: dict[str, Any],
    ours: Collection[str] = (),
) -> None:
    """Writes `OUT/report.html` and `OUT/report/`; of the rows it keeps only a script's worth in memory.

    The extremes that have no thumbnails yet get theirs here, from the files. Of what was written before, and of nothing
    else in these folders, scripts and thumbnails that no row needs are removed.

    Args:
        out: The folder of the run.
        photos: The folder of the originals, for the links to them.
        rows: Rows of `metrics.csv` before they are rounded, sorted by path; None where there is no value, and `output`
            relative to `enhanced/` and `autocontrast/`; in `unwritten` those of the two where it is not, as the
            original would be the same.
        failures: Rows of `failures.csv`: path, stage and error.
        run: The content of `run.json`.
        ours: What `files_of` found before the run; what is written down by now counts as well.
    """
    ours = {*ours, *_listed(out)}
    thumbs = _Thumbs(out)
    data = _Data(out)
    row_count = data.write("rows", map(thumbs.seen, rows), _row_columns)
    failure_count = data.write("failures", failures, _failure_columns)
    thumbs.finish(photos)
    pictures, kept = thumbs.files()
    ours |= pictures
    kept |= {f"data/{name}" for name in data.written}
    _write_list(out, ours | kept)  # before anything goes, so that it is known after a kill
    storage.delete(storage.join(out, f"report/{name}") for name in ours - kept)
    _write_list(out, kept)
    page = {
        "run": run,
        "chunk": _CHUNK,
        "rows": row_count,
        "failures": failure_count,
        "thumbs": thumbs.names,
        "originals": _relative_url(photos, out),
    }
    for name in PAGE_FILES:
        storage.write(storage.join(out, f"report/{name}"), (_PAGE / name).read_bytes())
    html = (_PAGE / "report.html").read_text(encoding="utf-8")
    # "<" is escaped so that no text in the data can end the script element that holds it
    html = html.replace("{{page}}", _json(page).replace("<", "\\u003c"))
    storage.write(storage.join(out, "report.html"), html.encode())


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _relative_url(folder: str, start: str) -> str | None:
    """How the page in `start` reaches the files of `folder`; None where a link cannot."""
    if not (storage.is_local(folder) and storage.is_local(start)):
        return None
    return quote(os.fsencode(os.path.relpath(folder, start)))


def _row_columns(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns, which load several times faster than rows; texts that are mostly empty only where there are any."""
    numbers = [column for column in rows[0] if column not in _TEXTS]
    return {
        "path": [row["path"] for row in rows],
        "output": {i: row["output"] for i, row in enumerate(rows) if row["output"] != row["path"]},
        "notes": {i: row["notes"] for i, row in enumerate(rows) if row["notes"]},
        "unwritten": {i: row["unwritten"] for i, row in enumerate(rows) if row.get("unwritten")},
        "numbers": {column: [row[column] for row in rows] for column in numbers},
    }


def _failure_columns(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {column: [row[column] for row in rows] for column in ("path", "stage", "error")}


class _Data:
    """The scripts in `report/data`; each calls the page with the columns of its rows."""

    def __init__(self, out: str) -> None:
        self._folder = storage.join(out, "report/data")
        self.written: set[str] = set()

    def write(
        self,
        kind: str,
        rows: Iterable[Mapping[str, Any]],
        columns: Callable[[list[Mapping[str, Any]]], dict[str, Any]],
    ) -> int:
        count = 0
        chunk: list[Mapping[str, Any]] = []

        def flush() -> None:
            if chunk:
                name = f"{kind}-{(count - 1) // _CHUNK:05}.js"
                script = f"receive({_json(kind)},{count - len(chunk)},{_json(columns(chunk))});\n"
                storage.write(storage.join(self._folder, name), script.encode())
                self.written.add(name)
                chunk.clear()

        for row in rows:
            chunk.append(row)
            count += 1
            if len(chunk) == _CHUNK:
                flush()
        flush()
        return count


class _Thumbs:
    """Which rows have thumbnails: `names`, by the index of the row."""

    def __init__(self, out: str) -> None:
        self.names: dict[int, str] = {}
        self._out = out
        self._folder = storage.join(out, "report/thumbs")
        there = _names(self._folder)
        self._there = {name.removesuffix("-after.jpg") for name in there if name.endswith("-after.jpg")}
        self._parts = set(map(_stem, there))
        self._paths: dict[int, str] = {}  # of the photos in `names`
        self._seen: set[str] = set()
        self._rows = 0
        self._extremes: dict[str, list[tuple[float, int, Mapping[str, Any]]]] = {}

    def seen(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        index = self._rows
        self._rows += 1
        name = _name(row)
        if name in self._parts:
            self._seen.add(name)
        if name in self._there:
            self.names[index], self._paths[index] = name, row["path"]
        before, after = row["mean_input"], row["mean_enhanced"]
        for kind, extremity in {
            "darkest": -before,
            "lifted most": after - before,
            "lifted least": before - after,
            "farthest from the input": -row["psnr_enhanced_db"],
        }.items():
            heap = self._extremes.setdefault(kind, [])
            (heapq.heappush if len(heap) < _EXTREMES else heapq.heappushpop)(heap, (extremity, index, row))
        return row

    def finish(self, photos: str) -> None:
        extremes = {index: row for heap in self._extremes.values() for _, index, row in heap}
        missing = {index: row for index, row in extremes.items() if index not in self.names}
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda row: self._make(photos, row), missing.values())
            self.names |= {index: _name(missing[index]) for index, done in zip(missing, made, strict=True) if done}
        others = sorted(self.names.keys() - extremes.keys(), key=lambda index: _position(self._paths[index]))
        for index in others[max(0, THUMBNAILS - len(self.names.keys() & extremes.keys())) :]:
            del self.names[index]

    def files(self) -> tuple[set[str], set[str]]:
        """The files of thumbnails of the rows, relative to `report/`, and those of them that are in `names`."""
        kept = set(self.names.values())
        stems = {f"thumbs/{name}": _stem(name) for name in _names(self._folder)}
        ours = {name for name, stem in stems.items() if stem in self._seen or stem in kept}
        return ours, {name for name in ours if stems[name] in kept}

    def _make(self, photos: str, row: Mapping[str, Any]) -> bool:
        before = storage.join(photos, row["path"])
        after, autocontrast = (
            before if folder in row.get("unwritten", ()) else storage.join(self._out, f"{folder}/{row['output']}")
            for folder in ("enhanced", "autocontrast")
        )
        try:
            with failing_as("write"):
                before_after = _small(before), _small(after)
                baseline = None if row["psnr_autocontrast_db"] is None else _small(autocontrast)
                with Image.open(io.BytesIO(storage.read(after))) as enhanced:
                    icc_profile = enhanced.info.get("icc_profile", b"")
                write_thumbnails(self._out, row, *before_after, baseline, icc_profile=icc_profile, like=before)
        except PhotoError:  # moved, or changed since: the page does without
            return False
        return True


def _stem(name: str) -> str:
    """What the files of one photo's thumbnails begin with; empty for another name."""
    stem, _, kind = name.rpartition("-")
    return stem if kind in ("before.jpg", "autocontrast.jpg", "after.jpg") else ""


def _listed(out: str) -> set[str]:
    """What earlier runs wrote down that they wrote; only names that can be theirs."""
    try:
        return set(filter(_OURS.fullmatch, json.loads(storage.read(storage.join(out, _LIST)))))
    except (OSError, ValueError, TypeError):  # there is none, or it is damaged
        return set()


def _write_list(out: str, names: set[str]) -> None:
    storage.write(storage.join(out, _LIST), json.dumps(sorted(names)).encode())


def _small(path: str) -> Image.Image:
    return Image.fromarray(thumbnail(storage.read(path), path, PREVIEW))


def _names(folder: str) -> list[str]:
    if storage.is_local(folder) and not os.path.isdir(folder):
        return []
    return [entry.path for entry in storage.walk(folder)]
