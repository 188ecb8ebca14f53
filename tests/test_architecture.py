"""The three packages depend on each other in one direction only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "zerodce": {"tfrecord_tools", "pipelines", "apache_beam"},
    "tfrecord_tools": {"zerodce", "pipelines", "apache_beam"},
    "pipelines": {"tests", "benchmarks"},
}


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_only_what_they_may(package: str) -> None:
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    assert {
        path.name: imported(path) & FORBIDDEN[package] for path in modules if imported(path) & FORBIDDEN[package]
    } == {}
