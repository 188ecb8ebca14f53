import json
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import storage
from pipelines.enhance import report

RUN = {
    "counts": {"found": 2, "enhanced": 2, "skipped": 0, "failed": 0, "ignored": 0},
    "megapixels": 1.5,
    "seconds": 3.0,
}


def make_row(path="a.jpg", before=0.25, after=0.5, psnr=12.5, **more):
    return {
        "path": path,
        "output": path,
        "width": 60,
        "height": 40,
        "mean_input": before,
        "mean_enhanced": after,
        "psnr_enhanced_db": psnr,
        "psnr_autocontrast_db": float("inf"),
        "exposure": 0.6,
        "notes": "",
    } | more


def write_photo(path: Path, level: int, size=(60, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


def page_data(out: Path) -> dict:
    html = (out / "report.html").read_text("utf-8")
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def scripts(out: Path, kind: str) -> list[tuple[int, dict]]:
    """What each data script hands over: the index of its first row, and the columns."""
    found = []
    for path in sorted((out / "report/data").glob(f"{kind}-*.js")):
        called, start, columns = re.fullmatch(r'receive\("(\w+)",(\d+),(.*)\);\n', path.read_text("ascii")).groups()
        assert called == kind
        found.append((int(start), json.loads(columns)))
    return found


class TestSample:
    def test_small_archives_are_shown_whole(self):
        assert all(report.is_sampled(f"{i}.jpg", report.THUMBNAILS) for i in range(report.THUMBNAILS))

    def test_large_archives_are_sampled_evenly_within_the_limit(self):
        chosen = [i for i in range(50_000) if report.is_sampled(f"folder/{i}.jpg", 50_000)]
        assert 1600 < len(chosen) < report.THUMBNAILS  # 1,800 expected, with a standard deviation of 42
        tenths = np.bincount(np.array(chosen) // 5000, minlength=10)
        assert tenths.min() > 120
        assert tenths.max() < 240

    def test_a_photo_that_is_in_a_larger_sample_is_in_the_smaller(self):
        paths = [f"{i}.jpg" for i in range(20_000)]
        assert {p for p in paths if report.is_sampled(p, 20_000)} < {p for p in paths if report.is_sampled(p, 5_000)}


class TestThumbnails:
    def test_are_pictures_of_all_three(self, tmp_path):
        gradient = Image.linear_gradient("L").resize((800, 200))
        report.write_thumbnails(str(tmp_path), make_row(), gradient, gradient.point(lambda v: 255 - v), gradient)
        pictures = {p.stem.rpartition("-")[2]: Image.open(p) for p in (tmp_path / "report/thumbs").iterdir()}
        assert {kind: p.size for kind, p in pictures.items()} == dict.fromkeys(
            ("before", "after", "autocontrast"), (800, 200)
        )
        before, after = (np.asarray(pictures[kind].convert("L"), float) for kind in ("before", "after"))
        np.testing.assert_allclose(before, np.asarray(gradient), atol=6)
        np.testing.assert_allclose(before + after, 255, atol=8)

    def test_autocontrast_may_be_missing(self, tmp_path):
        image = Image.new("RGB", (2, 800), "red")
        report.write_thumbnails(str(tmp_path), make_row(), image, Image.new("RGB", (30, 20)), None)
        sizes = {p.stem.rpartition("-")[2]: Image.open(p).size for p in (tmp_path / "report/thumbs").iterdir()}
        assert sizes == {"before": (2, 800), "after": (30, 20)}

    def test_are_in_srgb_without_a_profile(self, tmp_path, red_is_green):
        image = Image.new("RGB", (8, 8), "red")
        report.write_thumbnails(str(tmp_path), make_row(), image, image, None, icc_profile=red_is_green)
        for path in (tmp_path / "report/thumbs").iterdir():
            picture = Image.open(path)
            assert "icc_profile" not in picture.info
            np.testing.assert_allclose(np.asarray(picture)[0, 0], (0, 255, 0), atol=4)

    def test_may_be_seen_by_those_who_may_see_the_photo(self, tmp_path):
        write_photo(tmp_path / "a.png", 7)
        os.chmod(tmp_path / "a.png", 0o640)
        image = Image.new("RGB", (8, 8))
        report.write_thumbnails(str(tmp_path), make_row(), image, image, None, like=str(tmp_path / "a.png"))
        assert {path.stat().st_mode & 0o7777 for path in (tmp_path / "report/thumbs").iterdir()} == {0o640}


class TestWriteReport:
    def test_a_photo_beyond_every_limit_costs_its_pictures(self, tmp_path):
        """One of 20,000x18,000, of which Pillow by itself raises at the header, and this one is cut behind it."""
        write_photo(tmp_path / "photos/good.png", 40)
        write_photo(tmp_path / "out/enhanced/good.png", 90)
        png = bytearray((tmp_path / "photos/good.png").read_bytes())
        png[16:24] = struct.pack(">LL", 20_000, 18_000)
        png[29:33] = struct.pack(">L", zlib.crc32(png[12:29]))
        for folder in ("photos", "out/enhanced"):
            (tmp_path / folder / "huge.png").write_bytes(png)
        rows = [make_row(name, psnr_autocontrast_db=None) for name in ("good.png", "huge.png")]
        report.write_report(str(tmp_path / "out"), str(tmp_path / "photos"), rows, [], RUN)
        assert list(page_data(tmp_path / "out")["thumbs"]) == ["0"]

    def test_every_row_is_in_the_scripts_in_order(self, tmp_path):
        rows = [make_row(f"{i:05}.jpg", psnr=float(i)) for i in range(5001)]
        rows[7] |= {"notes": "first frame of 12", "output": "00007.jpg.png"}
        failures = [{"path": "b.jpg", "stage": "decode", "error": "truncated"}]
        report.write_report(str(tmp_path / "out"), str(tmp_path / "photos"), rows, failures, RUN)
        (first, start_columns), (second, end_columns) = scripts(tmp_path / "out", "rows")
        assert (first, second) == (0, 5000)
        assert start_columns["path"] + end_columns["path"] == [row["path"] for row in rows]
        assert start_columns["numbers"]["psnr_enhanced_db"] == [float(i) for i in range(5000)]
        assert start_columns["numbers"]["psnr_autocontrast_db"][0] == float("inf")
        assert start_columns["notes"] == {"7": "first frame of 12"}
        assert start_columns["output"] == {"7": "00007.jpg.png"}
        assert scripts(tmp_path / "out", "failures") == [
            (0, {"path": ["b.jpg"], "stage": ["decode"], "error": ["truncated"]})
        ]
        data = page_data(tmp_path / "out")
        assert (data["rows"], data["failures"], data["run"]) == (5001, 1, RUN)

    def test_a_very_large_run_shows_extremes_a_sample_and_the_first_failures(self, tmp_path, monkeypatch):
        monkeypatch.setattr(report, "SHOWN", 100)
        monkeypatch.setattr(report, "THUMBNAILS", 30)
        monkeypatch.setattr(report, "_SAMPLE", 20)
        monkeypatch.setattr(report, "_EXTREMES", 2)
        rows = [make_row(f"{i:03}.jpg", before=i / 1000, after=0.5, psnr=100.0 + i) for i in range(200)]
        failures = [{"path": f"{i:03}.jpg", "stage": "decode", "error": "truncated"} for i in range(300, 450)]
        report.write_report(str(tmp_path / "out"), str(tmp_path / "photos"), rows, failures, RUN)
        ((_, columns),) = scripts(tmp_path / "out", "rows")
        # darkest, lifted most and farthest: 000 and 001; lifted least: 198 and 199
        sampled = {row["path"] for row in rows if report.is_sampled(row["path"], 200)}
        assert columns["path"] == sorted(sampled | {"000.jpg", "001.jpg", "198.jpg", "199.jpg"})
        assert 10 < len(sampled) < 30
        ((_, failed),) = scripts(tmp_path / "out", "failures")
        assert failed["path"] == [f"{i:03}.jpg" for i in range(300, 400)]
        data = page_data(tmp_path / "out")
        assert (data["all_rows"], data["rows"]) == (200, len(columns["path"]))
        assert (data["all_failures"], data["failures"]) == (150, 100)
        # of all 200 photos: 25 are in each fortieth up to 0.2
        assert data["brightness"]["before"]["bins"] == [25] * 8 + [0] * 32
        assert data["brightness"]["before"]["mean"] == pytest.approx(199 / 2000)
        assert data["brightness"]["after"] == {"mean": 0.5, "bins": [0] * 20 + [200] + [0] * 19}

    def test_values_that_are_none_or_infinite_arrive_as_such(self, tmp_path):
        row = make_row(psnr=float("inf"), psnr_autocontrast_db=None, ssim_input_reference=None)
        report.write_report(str(tmp_path), str(tmp_path), [row], [], RUN)
        ((_, columns),) = scripts(tmp_path, "rows")
        assert columns["numbers"] == {
            "width": [60],
            "height": [40],
            "mean_input": [0.25],
            "mean_enhanced": [0.5],
            "psnr_enhanced_db": [float("inf")],
            "psnr_autocontrast_db": [None],
            "exposure": [0.6],
            "ssim_input_reference": [None],
        }

    def test_scripts_of_a_larger_run_before_are_gone(self, tmp_path):
        report.write_report(str(tmp_path), str(tmp_path), [make_row(f"{i}.jpg") for i in range(5001)], [], RUN)
        report.write_report(str(tmp_path), str(tmp_path), [make_row()], [], RUN)
        assert [path.name for path in (tmp_path / "report/data").iterdir()] == ["rows-00000.js"]

    def test_no_photos_make_a_page_too(self, tmp_path):
        report.write_report(str(tmp_path), str(tmp_path), [], [], RUN)
        assert page_data(tmp_path)["rows"] == 0
        assert not (tmp_path / "report/data").exists()
        linked = re.findall(r'(?:href|src)="report/([^"]+)"', (tmp_path / "report.html").read_text("utf-8"))
        assert sorted(linked) == sorted(path.name for path in (tmp_path / "report").iterdir())

    def test_no_text_ends_the_element_that_holds_it(self, tmp_path):
        run = RUN | {"settings": {"reference": "</script><script>alert(1)</script><!--"}}
        report.write_report(str(tmp_path), str(tmp_path), [], [], run)
        assert page_data(tmp_path)["run"] == run
        assert "alert" not in re.sub(
            r'<script id="data".*?</script>', "", (tmp_path / "report.html").read_text("utf-8")
        )

    def test_links_to_the_originals_are_relative_and_encoded(self, tmp_path):
        report.write_report(str(tmp_path / "out"), str(tmp_path / "my photos #1 ü"), [], [], RUN)
        assert page_data(tmp_path / "out")["originals"] == "../my%20photos%20%231%20%C3%BC"
        report.write_report(str(tmp_path / "out"), "s3://bucket/photos", [], [], RUN)
        assert page_data(tmp_path / "out")["originals"] is None


class TestChosenThumbnails:
    @pytest.fixture
    def archive(self, tmp_path):
        """Twelve photos, each extreme in its own way or none, without thumbnails: (out, photos, rows)."""
        out, photos = tmp_path / "out", tmp_path / "photos"
        rows = [make_row(f"{i:02}.png", before=0.3 + i / 1000, after=0.5 + i / 1000, psnr=20.0) for i in range(12)]
        rows[3] |= {"mean_input": 0.01, "mean_enhanced": 0.21}  # darkest
        rows[5] |= {"mean_input": 0.30, "mean_enhanced": 0.90}  # lifted most
        rows[8] |= {"mean_input": 0.80, "mean_enhanced": 0.75}  # lifted least
        rows[9] |= {"psnr_enhanced_db": 3.0}  # farthest from the input
        for i, row in enumerate(rows):
            write_photo(photos / row["path"], i)
            write_photo(out / "enhanced" / row["path"], 100 + i)
            write_photo(out / "autocontrast" / row["path"], 200 + i)
        return out, photos, rows

    def test_extremes_get_theirs_from_the_files(self, archive, monkeypatch):
        monkeypatch.setattr(report, "_EXTREMES", 1)
        out, photos, rows = archive
        report.write_report(str(out), str(photos), rows, [], RUN)
        thumbs = page_data(out)["thumbs"]
        assert set(thumbs) == {"3", "5", "8", "9"}
        for index, name in thumbs.items():
            for kind, level in (("before", 0), ("after", 100), ("autocontrast", 200)):
                picture = Image.open(out / f"report/thumbs/{name}-{kind}.jpg")
                assert picture.size == (60, 40)
                np.testing.assert_allclose(np.asarray(picture), level + int(index), atol=1)

    def test_an_extreme_that_cannot_be_read_does_without(self, archive, monkeypatch):
        monkeypatch.setattr(report, "_EXTREMES", 1)
        out, photos, rows = archive
        (photos / "03.png").unlink()
        (photos / "05.png").write_bytes(b"no longer a photo")
        report.write_report(str(out), str(photos), rows, [], RUN)
        assert set(page_data(out)["thumbs"]) == {"8", "9"}

    def test_there_are_never_more_than_the_limit_and_extremes_come_first(self, archive, monkeypatch):
        monkeypatch.setattr(report, "_EXTREMES", 1)
        monkeypatch.setattr(report, "THUMBNAILS", 6)
        out, photos, rows = archive
        image = Image.new("RGB", (6, 4))
        for row in rows:
            report.write_thumbnails(str(out), row, image, image, image)
        report.write_report(str(out), str(photos), rows, [], RUN)
        thumbs = page_data(out)["thumbs"]
        assert len(thumbs) == 6
        assert set(thumbs) > {"3", "5", "8", "9"}
        kept = {entry.path.rpartition("-")[0] for entry in storage.walk(str(out / "report/thumbs"))}
        assert kept == set(thumbs.values())

    def test_a_photo_that_has_changed_never_shows_its_old_picture(self, archive, monkeypatch):
        monkeypatch.setattr(report, "_EXTREMES", 0)
        out, photos, rows = archive
        image = Image.new("RGB", (6, 4))
        for row in rows[:2]:
            report.write_thumbnails(str(out), row, image, image, None)
        ours = report.files_of(str(out), rows)
        rows[1] |= {"mean_input": 0.123}
        report.write_report(str(out), str(photos), rows, [], RUN, ours)
        assert set(page_data(out)["thumbs"]) == {"0"}
        assert len(list((out / "report/thumbs").iterdir())) == 2

    def test_one_that_was_cut_short_does_not_count(self, archive, monkeypatch):
        monkeypatch.setattr(report, "_EXTREMES", 0)
        out, photos, rows = archive
        report.write_thumbnails(str(out), rows[0], Image.new("RGB", (6, 4)), Image.new("RGB", (6, 4)), None)
        next((out / "report/thumbs").glob("*-after.jpg")).unlink()
        report.write_report(str(out), str(photos), rows, [], RUN)
        assert page_data(out)["thumbs"] == {}
        assert not list((out / "report/thumbs").iterdir())
