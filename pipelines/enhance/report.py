"""The report: the page `OUT/report.html` and the folder `report/` beside it. They work offline, from a disk.

A browser does not let a page on a disk fetch data. So the rows lie in scripts of 5,000 rows each, which the page loads
one after another; all other data is in the page itself. At most 2,000 photos have thumbnails: all of a small archive,
or else the extremes and an even sample. For the other photos the page shows the full-size files. Of more than `SHOWN`
photos the page shows only those with thumbnails, and of as many failures the first. The tables have all of them.
"""

import heapq
import io
import itertools
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
from pipelines.enhance.settings import beside_photo, place
from pipelines.photos import PhotoError, encode_small, failing_as, thumbnail, to_srgb
from zerodce.images.pixels import PREVIEW

THUMBNAILS = 2000  # photos that have thumbnails, at most
_QUALITY = 78  # of thumbnails

SHOWN = 100_000
"""Photos in the page, at most. If there are more, it shows the extremes and the even sample."""

BINS = 40
"""Bars of the histogram of brightness."""

_PAGE = resources.files("pipelines.enhance") / "report_page"
PAGE_FILES = tuple(sorted(file.name for file in _PAGE.iterdir() if file.name != "report.html"))
"""Scripts and style of the page, which lie in `report/`."""

_LIST = ".zerodce/report.json"  # the list of files written to report/data and report/thumbs
_OURS = re.compile(r"data/(rows|failures)-\d+\.js|thumbs/[0-9a-f]{16}-(before|autocontrast|after)\.jpg")
_SAMPLE = 1800  # photos in the even sample; a hash selects about this many, and the extremes are added
_EXTREMES = 15  # photos of each kind
_CHUNK = 5000  # rows in a script
_TEXTS = {"path", "output", "notes", "unwritten", "unchanged"}
_LAST = "after"  # is written last: if it exists, all thumbnails of the photo exist


def is_sampled(path: str, total: int) -> bool:
    """Whether a photo belongs to the even sample that gets thumbnails. This depends only on its path and `total`.

    Args:
        path: Relative path of the photo.
        total: Number of photos that the run found. If they are at most `THUMBNAILS`, all belong to the sample.
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
    """Writes the thumbnails of a photo as JPEG files, where `write_report` finds them.

    Args:
        out: The folder of the run.
        row: The photo's row of `metrics.csv`, as `write_report` will get it.
        before: Preview of the original photo, upright, mode RGB or L. The thumbnails get its size.
        after: Preview of the enhanced photo.
        autocontrast: Preview of the autocontrast baseline; None if it is switched off.
        icc_profile: Colour profile of all three; empty for sRGB. The thumbnails are in sRGB.
        like: Path of the photo; the thumbnails get its permissions.
    """
    stem = storage.join(out, f"report/thumbs/{_name(row)}")
    encoded: dict[int, bytes] = {}  # so that the same image is encoded once
    for kind, image in (("before", before), ("autocontrast", autocontrast), (_LAST, after)):
        if image is not None:
            if id(image) not in encoded:
                encoded[id(image)] = encode_small(to_srgb(image, icc_profile), _QUALITY)
            storage.write(f"{stem}-{kind}.jpg", encoded[id(image)], like=like)


def _position(path: str) -> float:
    """A stable hash of a path, evenly distributed over [0, 1)."""
    return int(digest(path), 16) / 2**64


def _name(row: Mapping[str, Any]) -> str:
    """The name of a photo's thumbnails. It depends on the measured values, so that a changed photo gets new ones."""
    measured = [f"{row[column]:.6g}" for column in ("width", "height", "mean_input", "mean_enhanced")]
    return digest([row["path"], *measured])


def files_of(out: str, rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The files of the report that earlier runs wrote, relative to `report/`: listed files, and thumbnails of rows.

    Args:
        out: The folder of the run.
        rows: Rows of enhanced photos, as the journal has them.
    """
    there: dict[str, set[str]] = {}
    for name in _names(storage.join(out, "report/thumbs")):
        there.setdefault(_stem(name), set()).add(f"thumbs/{name}")
    found = _listed(out)
    for row in rows if there else ():
        found |= there.get(_name(row), set())
    return found


def write_report(
    out: str,
    photos: str,
    rows: Collection[Mapping[str, Any]],
    failures: Collection[Mapping[str, Any]],
    run: dict[str, Any],
    ours: Collection[str] = (),
    kept_originals: Collection[str] = (),
) -> None:
    """Writes `OUT/report.html` and `OUT/report/`. It keeps the rows of only one script in memory.

    It makes the missing thumbnails of the extremes from the files. It deletes scripts and thumbnails of earlier runs
    that no row needs, and no other files.

    Args:
        out: The folder of the run.
        photos: The folder of the originals, for the links to them.
        rows: Rows of `metrics.csv`, not rounded, sorted by path. A missing value is None. `output` is relative to
            `enhanced/` (with `--beside`, to the folder of the originals) and `autocontrast/`. `unwritten` names those
            of the two folders that have no image of the photo, because it would equal the original.
        failures: Rows of `failures.csv`: path, stage and error.
        run: The content of `run.json`.
        ours: The files that `files_of` found before the run. The files listed by now are added.
        kept_originals: The paths in the list of `--keep-original`.
    """
    ours = {*ours, *_listed(out)}
    overview = _Overview(rows)
    thumbs = _Thumbs(out, run.get("settings", {}).get("beside", False), overview.extremes)
    data = _Data(out)
    shown: Iterable[Mapping[str, Any]] = rows
    if len(rows) > SHOWN:
        shown = (row for row in rows if row["path"] in overview.extremes or is_sampled(row["path"], len(rows)))
    row_count = data.write("rows", map(thumbs.seen, shown), _row_columns)
    failure_count = data.write("failures", itertools.islice(failures, SHOWN), _failure_columns)
    thumbs.finish(photos)
    pictures, kept = thumbs.files()
    ours |= pictures
    kept |= {f"data/{name}" for name in data.written}
    _write_list(out, ours | kept)  # before the deletion, so that the list is complete after a kill
    storage.delete(storage.join(out, f"report/{name}") for name in ours - kept)
    _write_list(out, kept)
    page = {
        "run": run,
        "chunk": _CHUNK,
        "rows": row_count,
        "failures": failure_count,
        "all_rows": len(rows),
        "all_failures": len(failures),
        "brightness": overview.brightness(),
        "thumbs": thumbs.names,
        "originals": _relative_url(photos, out),
        "kept": sorted(kept_originals),
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
    """The URL of `folder` relative to the page in `start`; None if one of them is not local."""
    if not (storage.is_local(folder) and storage.is_local(start)):
        return None
    return quote(os.fsencode(os.path.relpath(folder, start)))


def _row_columns(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows as columns, which load several times faster. Columns that are mostly empty hold only filled cells."""
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
    """The scripts in `report/data`. Each passes the columns of its rows to the page."""

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


class _Overview:
    """What the page shows of all photos: how bright they are before and after, and which are extreme.

    Args:
        rows: Their rows.
    """

    def __init__(self, rows: Collection[Mapping[str, Any]]) -> None:
        self._count = len(rows)
        self._bins = {name: [0] * BINS for name in ("before", "after")}
        self._sums = dict.fromkeys(self._bins, 0.0)
        heaps: dict[str, list[tuple[float, int, Mapping[str, Any]]]] = {}
        for index, row in enumerate(rows):
            before, after = row["mean_input"], row["mean_enhanced"]
            for name, mean in (("before", before), ("after", after)):
                self._sums[name] += mean
                self._bins[name][min(BINS - 1, int(mean * BINS))] += 1
            for kind, extremity in {
                "darkest": -before,
                "lifted most": after - before,
                "lifted least": before - after,
                "farthest from the input": -row["psnr_enhanced_db"],
            }.items():
                heap = heaps.setdefault(kind, [])
                (heapq.heappush if len(heap) < _EXTREMES else heapq.heappushpop)(heap, (extremity, index, row))
        self.extremes = {row["path"]: row for heap in heaps.values() for _, _, row in heap}

    def brightness(self) -> dict[str, dict[str, Any]]:
        """The mean of all photos and the histogram over [0, 1], for `before` and `after`."""
        return {name: {"mean": self._sums[name] / max(1, self._count), "bins": self._bins[name]} for name in self._bins}


class _Thumbs:
    """Finds and makes thumbnails. `names` holds the name of each row's thumbnails, by the index of the row.

    Args:
        out: The folder of the run.
        beside: Whether the enhanced photos lie beside their originals.
        extremes: Rows of the photos that get thumbnails in any case, by path.
    """

    def __init__(self, out: str, beside: bool, extremes: Mapping[str, Mapping[str, Any]]) -> None:
        self.names: dict[int, str] = {}
        self._extremes = extremes
        self._beside = beside
        self._out = out
        self._folder = storage.join(out, "report/thumbs")
        there = _names(self._folder)
        self._there = {name.removesuffix("-after.jpg") for name in there if name.endswith("-after.jpg")}
        self._parts = set(map(_stem, there))
        self._paths: dict[int, str] = {}  # of the photos in `names`
        self._rows_of_extremes: dict[int, Mapping[str, Any]] = {}
        self._seen: set[str] = set()
        self._rows = 0

    def seen(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        index = self._rows
        self._rows += 1
        name = _name(row)
        if name in self._parts:
            self._seen.add(name)
        if name in self._there:
            self.names[index], self._paths[index] = name, row["path"]
        if row["path"] in self._extremes:
            self._rows_of_extremes[index] = row
        return row

    def finish(self, photos: str) -> None:
        extremes = self._rows_of_extremes
        missing = {index: row for index, row in extremes.items() if index not in self.names}
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda row: self._make(photos, row), missing.values())
            self.names |= {index: _name(missing[index]) for index, done in zip(missing, made, strict=True) if done}
        others = sorted(self.names.keys() - extremes.keys(), key=lambda index: _position(self._paths[index]))
        for index in others[max(0, THUMBNAILS - len(self.names.keys() & extremes.keys())) :]:
            del self.names[index]

    def files(self) -> tuple[set[str], set[str]]:
        """The thumbnail files of all rows, relative to `report/`, and those of the rows in `names`."""
        kept = set(self.names.values())
        stems = {f"thumbs/{name}": _stem(name) for name in _names(self._folder)}
        ours = {name for name, stem in stems.items() if stem in self._seen or stem in kept}
        return ours, {name for name in ours if stems[name] in kept}

    def _make(self, photos: str, row: Mapping[str, Any]) -> bool:
        before, output = storage.join(photos, row["path"]), row["output"]
        images = {
            "enhanced": beside_photo(output) if self._beside else f"enhanced/{output}",
            "autocontrast": f"autocontrast/{output}",
        }
        after, autocontrast = (
            before if kind in row.get("unwritten", ()) else place(image, self._out, photos)
            for kind, image in images.items()
        )
        try:
            with failing_as("write"):
                before_after = _small(before), _small(after)
                baseline = None if row["psnr_autocontrast_db"] is None else _small(autocontrast)
                with Image.open(io.BytesIO(storage.read(after))) as enhanced:
                    icc_profile = enhanced.info.get("icc_profile", b"")
                write_thumbnails(self._out, row, *before_after, baseline, icc_profile=icc_profile, like=before)
        except PhotoError:  # moved or changed since: the page has no thumbnail of it
            return False
        return True


def _stem(name: str) -> str:
    """The common beginning of the names of one photo's thumbnails; empty for other names."""
    stem, _, kind = name.rpartition("-")
    return stem if kind in ("before.jpg", "autocontrast.jpg", "after.jpg") else ""


def _listed(out: str) -> set[str]:
    """The files in the list of earlier runs. Names that this command never writes are left out."""
    try:
        return set(filter(_OURS.fullmatch, json.loads(storage.read(storage.join(out, _LIST)))))
    except (OSError, ValueError, TypeError):  # the list is missing or damaged
        return set()


def _write_list(out: str, names: set[str]) -> None:
    storage.write(storage.join(out, _LIST), json.dumps(sorted(names)).encode())


def _small(path: str) -> Image.Image:
    return Image.fromarray(thumbnail(storage.read(path), path, PREVIEW))


def _names(folder: str) -> list[str]:
    if storage.is_local(folder) and not os.path.isdir(folder):
        return []
    return [entry.path for entry in storage.walk(folder)]
