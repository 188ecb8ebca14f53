"""Imports go one way: between the packages, between the rooms of `pipelines`, and between modules."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("zerodce", "tfrecord_tools", "pipelines")
FORBIDDEN = {
    "zerodce": {"tfrecord_tools", "pipelines", "apache_beam"},
    "tfrecord_tools": {"zerodce", "pipelines", "apache_beam"},
    "pipelines": {"tests", "benchmarks"},
}
JOBS = {"cli", "doctor", "enhance", "preprocess", "trying", "train", "evaluate", "download", "records"}
"""The rooms of `pipelines` that serve one command each, and the command line; all others are general."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """What a module imports, anywhere in it: modules, and names in modules."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own(name: str) -> str | None:
    """The module of this repository that an imported name is or is in."""
    return name if name in MODULES else name.rpartition(".")[0] if name.rpartition(".")[0] in MODULES else None


def arrows() -> dict[str, set[str]]:
    """The modules of this repository that each of them imports."""
    return {name: {target for n in imported(path) if (target := own(n))} - {name} for name, path in MODULES.items()}


def room(module: str) -> str:
    """The part of its package that a module belongs to: the name below the package."""
    return module.split(".")[1] if "." in module else ""


def rooms_of(package: str) -> dict[str, set[str]]:
    """The rooms of a package that each of them imports."""
    rooms: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        if module.startswith(f"{package}."):
            inside = {room(target) for target in targets if target.startswith(f"{package}.")}
            rooms.setdefault(room(module), set()).update(inside - {room(module)})
    return rooms


def test_the_architecture_page_names_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tables = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`(\w+)/?`", tables))
    assert named >= {"journal", "metadata", "zerodce"}
    assert {name for name in MODULES if name.rpartition(".")[2] not in named} == set()


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_only_what_they_may(package: str) -> None:
    modules = {name: path for name, path in MODULES.items() if name.split(".")[0] == package}
    assert modules
    tops = {name: {top.split(".")[0] for top in imported(path)} for name, path in modules.items()}
    assert {name: top & FORBIDDEN[package] for name, top in tops.items() if top & FORBIDDEN[package]} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = arrows()
    assert "pipelines.storage" in found["pipelines.folders"]
    graphlib.TopologicalSorter(found).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    ("package", "arrow"), [("pipelines", ("enhance", "photos")), ("zerodce", ("applying", "curves"))]
)
def test_no_rooms_import_each_other_in_a_circle(package: str, arrow: tuple[str, str]) -> None:
    rooms = rooms_of(package)
    assert arrow[1] in rooms[arrow[0]]
    graphlib.TopologicalSorter(rooms).prepare()


def test_no_general_room_imports_that_of_a_job() -> None:
    rooms = {room(module) for module in MODULES if module.startswith("pipelines.")}
    assert rooms >= JOBS
    wrong = {
        module: jobs
        for module, targets in arrows().items()
        if module.startswith("pipelines.") and room(module) not in JOBS
        if (jobs := {target for target in targets if target.startswith("pipelines.") and room(target) in JOBS})
    }
    assert wrong == {}
