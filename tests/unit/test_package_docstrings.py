"""A package whose docstring says what its modules are says it of every one of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def modules(package: Path) -> set[str]:
    """Return the names of the package's modules and sub-packages."""
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in package.glob("*/__init__.py")}


def named(package: Path) -> set[str]:
    """Return what stands between backticks in the package's docstring."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    return set(re.findall(r"`(\w+)`", docstring))


PACKAGES = [path.parent for path in sorted((TOP / "appliance").rglob("__init__.py"))]
TABLES = [package for package in PACKAGES if modules(package) & named(package)]


@pytest.mark.parametrize("package", TABLES, ids=lambda path: str(path.relative_to(TOP)))
def test_names_every_module(package: Path) -> None:
    assert modules(package) - named(package) == set()


def test_the_tables_are_found() -> None:
    assert {"appliance", "encode", "lab", "package"} <= {package.name for package in TABLES}
