"""From a check to every finding that it can make, through the functions that it calls."""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import dataclass, field, replace
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from appliance.health.finding import Finding, critical, warning
from appliance.ops.runbook.texts import Function, Scope, Texts, says

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES: Final = ("appliance.ops.", "appliance.health.")
_FIELDS: Final = ("what", "seen", "why", "mend")
_EITHER: Final = "warning or critical"


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding that there can be; it may mean, and be mended by, more than one thing.

    `place` is where it is made: module and line.
    """

    severity: str
    what: str
    why: Texts
    mend: Texts
    place: str = field(compare=False)


@dataclass(frozen=True)
class _Called:
    """A function that is called, the class that it belongs to, and what is known of its arguments."""

    function: FunctionType
    owner: type | None = None
    given: tuple[tuple[str, Texts], ...] = ()

    @property
    def scope(self) -> Scope:
        return Scope(source(self.function), self.function.__globals__, dict(self.given))


def entries(check: Any) -> list[Entry]:
    """Every finding that the function `check` can make, in the order of the calls, each once."""
    found: dict[Entry, None] = {}
    _walk(_Called(check), set(), found)
    return list(found)


@cache
def source(function: FunctionType) -> Function:
    """The function in the syntax tree of its module."""
    first = inspect.unwrap(function).__code__.co_firstlineno
    for node in ast.walk(_tree(function.__module__)):
        if isinstance(node, Function) and node.name == function.__name__ and _begins(node) == first:
            return node
    raise LookupError(f"{function.__qualname__} has no source")


def _begins(node: Function) -> int:
    """The line that a function's code object says, which is that of its first decorator."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def _walk(called: _Called, seen: set[_Called], found: dict[Entry, None]) -> None:
    if called in seen:
        return
    seen.add(called)
    scope = called.scope
    for call in _in_order(node for node in ast.walk(scope.node) if isinstance(node, ast.Call)):
        if severity := severity_of(call, scope):
            place = f"{called.function.__module__}:{call.lineno}"
            found |= dict.fromkeys(_made(call, severity, scope, place))
        for one in _targets(call, called, scope):
            _walk(one, seen, found)


def _in_order(calls: Iterator[ast.Call]) -> list[ast.Call]:
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def severity_of(call: ast.Call, scope: Scope) -> str:
    """Of a call that makes a finding; empty for any other."""
    if not isinstance(call.func, ast.Name):
        return ""
    name = call.func.id
    made = scope.module.get(name)
    if made is Finding:
        return _EITHER if any(word.arg == "severity" for word in call.keywords) else "critical"
    if made is warning or made is critical:
        return name
    # make = critical if … else warning
    either = [
        node for node in ast.walk(scope.node) if isinstance(node, ast.Assign) and _names(node) == [name]
    ]
    makers = {"critical", "warning"}
    return _EITHER if any({word.id for word in _words(node.value)} >= makers for node in either) else ""


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _words(node: ast.expr) -> Iterator[ast.Name]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Name))


def _made(call: ast.Call, severity: str, scope: Scope, place: str) -> Iterator[Entry]:
    given = _given(_FIELDS, call)
    what, mend = (scope.texts(given[name]) for name in ("what", "mend"))
    why = replace(scope, labelled=True).texts(given["why"])
    for number, one in enumerate(what):
        if not says(one):
            continue  # a helper that nobody has given words yet
        # Words that a table gives together belong together.
        its = slice(number, number + 1)
        yield Entry(
            severity,
            " ".join(one.split()),
            why[its] if len(why) == len(what) else tuple(dict.fromkeys(why)),
            mend[its] if len(mend) == len(what) else tuple(dict.fromkeys(mend)),
            place,
        )


def _given(names: tuple[str, ...], call: ast.Call) -> dict[str, ast.expr]:
    named = {word.arg: word.value for word in call.keywords if word.arg}
    return dict(zip(names, call.args, strict=False)) | named


def _targets(call: ast.Call, called: _Called, scope: Scope) -> Iterator[_Called]:
    """The functions of ours that a call calls: itself, those it is given, a class's methods."""
    target = _resolve(call.func, called, scope)
    if isinstance(target, FunctionType):
        names = tuple(name for name in inspect.signature(target).parameters if name != "self")
        texts = {name: scope.texts(node) for name, node in _given(names, call).items()}
        words = tuple((name, text) for name, text in texts.items() if any(map(says, text)))
        yield _Called(target, called.owner, words)
    elif isinstance(target, type):
        for method in vars(target).values():
            if isinstance(method, FunctionType) and not method.__name__.startswith("__"):
                yield _Called(method, target)
    for argument in call.args:
        function = _resolve(argument, called, scope)
        if isinstance(function, FunctionType):
            yield _Called(function, called.owner)


def _resolve(node: ast.expr, called: _Called, scope: Scope) -> Any:
    """The function or class of ours that `node` names."""
    match node:
        case ast.Name(id=name) if name not in scope.own:
            found: Any = scope.module.get(name)
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if called.owner:
            found = vars(called.owner).get(name)
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            found = getattr(scope.module.get(module), name, None)
        case _:
            return None
    module_name = str(getattr(found, "__module__", ""))
    return found if module_name.startswith(_PACKAGES) and module_name != Finding.__module__ else None
