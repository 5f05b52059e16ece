"""The package's parts stand on one another: none imports what is above it, and no two import each other."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOP = Path(__file__).resolve().parents[2]

USES: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(below.split())
    for name, below in {
        "secrets": "",
        "state": "secrets",
        "media": "secrets",
        "health": "media",
        "control": "secrets state media health",
        "ops": "secrets state media health control",
        "lab": "",
        "demo": "lab",
        "provision": "health ops",
        "cli": "secrets state media health control ops lab demo",
    }.items()
}
"""The packages from the bottom to the top, and which of those below it each may import.

Beneath them all, to be imported by each, are the modules that stand in `appliance/` itself.
"""


@dataclass(frozen=True, slots=True)
class Import:
    """`module` imports `target`, both with their dots; `loads`: as soon as it is loaded itself."""

    module: str
    target: str
    place: str
    loads: bool

    def __str__(self) -> str:
        return f"{self.place} imports {self.target}"


def read_imports(top: Path) -> list[Import]:
    """What the modules of `top`/appliance import of it, for their types alone or late (in a function) too."""
    files = {_module(path.relative_to(top)): path for path in sorted((top / "appliance").rglob("*.py"))}
    found = []
    for module, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for name in _named(node, path.relative_to(top).parent.parts):
                target = name if name in files else name.rpartition(".")[0]
                if name.split(".")[0] == "appliance" and target != module:
                    place = f"{path.relative_to(top)}:{node.lineno}"
                    found.append(Import(module, target, place, loads=node in tree.body))
    return found


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _named(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    start = package[: len(package) - node.level + 1] if node.level else ()
    return [".".join([*start, *filter(None, [node.module]), name.name]) for name in node.names]


def upwards(imports: Iterable[Import]) -> list[str]:
    """Those that go against USES."""
    return [
        str(one)
        for one in imports
        if (package := _package(one.target)) != _package(one.module)
        and package  # the modules of appliance/ itself
        and package not in USES.get(_package(one.module), ())
    ]


def _package(module: str) -> str:
    """The package below `appliance` that it is in; empty for a module of `appliance` itself."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in USES else ""


def mutual(imports: Iterable[Import]) -> list[str]:
    """Those between two packages in the same folder that import each other, inside a package as well.

    A package and one inside it are not looked at: its modules are those that lead the rooms, and those
    that all rooms use.
    """
    between: dict[tuple[str, str], list[str]] = {}
    for one in imports:
        pair = _part(one.module, one.target)
        if pair is not None:
            between.setdefault(pair, []).append(str(one))
    return [text for (a, b), texts in between.items() if (b, a) in between for text in texts]


def _part(module: str, target: str) -> tuple[str, str] | None:
    """The two packages beside each other that they are in; None if they are in one, or in a module."""
    one, other = module.split("."), target.split(".")
    depth = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if depth is None or len(one) < depth + 2 or len(other) < depth + 2:
        return None
    return ".".join(one[: depth + 1]), ".".join(other[: depth + 1])


def circle(imports: Iterable[Import]) -> list[str]:
    """The modules that load one another in a circle; empty when there is none."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        if one.loads:
            graph.setdefault(one.module, set()).add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return read_imports(TOP)


def test_nothing_is_imported_upwards(imports: list[Import]) -> None:
    assert upwards(imports) == []


def test_no_two_packages_import_each_other(imports: list[Import]) -> None:
    assert mutual(imports) == []


def test_no_modules_load_each_other(imports: list[Import]) -> None:
    assert circle(imports) == []


def test_every_package_has_its_place() -> None:
    folders = {path.parent.name for path in (TOP / "appliance").glob("*/__init__.py")}
    assert folders == set(USES)
    below: set[str] = set()
    for name, uses in USES.items():
        assert uses <= below, f"{name} may import only what stands before it"
        below.add(name)


def planted(top: Path, files: Mapping[str, str]) -> list[Import]:
    """Return what is imported in a package of these files."""
    for name, text in files.items():
        path = top / "appliance" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_imports(top)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("ops/doctor/memory.py", "from appliance.cli.output import span", "appliance.cli.output"),
        ("errors.py", "import appliance.secrets.moment", "appliance.secrets.moment"),
        ("media/a.py", "if TYPE_CHECKING: from appliance.state.b import B", "appliance.state.b"),
        ("media/a.py", "def f(): from ..state import b", "appliance.state.b"),
        ("lab/a.py", "from appliance.ops import b", "appliance.ops"),
    ],
)
def test_an_import_upwards_is_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    imports = planted(tmp_path, {file: text, "cli/output.py": "", "state/b.py": "", "secrets/moment.py": ""})
    assert upwards(imports) == [f"appliance/{file}:1 imports {said}"]


def test_packages_and_modules_that_import_each_other_are_named(tmp_path: Path) -> None:
    imports = planted(
        tmp_path,
        {
            "control/api/a.py": "import appliance.control.view.b",
            "control/view/b.py": "def f(): import appliance.control.api.a",
            "control/c.py": "from appliance.control import d",
            "control/d.py": "from appliance.control.c import e",
        },
    )
    assert upwards(imports) == []
    assert mutual(imports) == [
        "appliance/control/api/a.py:1 imports appliance.control.view.b",
        "appliance/control/view/b.py:1 imports appliance.control.api.a",
    ]
    assert set(circle(imports)) == {"appliance.control.c", "appliance.control.d"}
