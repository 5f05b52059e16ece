"""What an expression may come to, read from the source of the function that it stands in.

Of `f"{path} is full"` that is `PATH is full`: what is known is given, and what only a host can tell is a name
in capitals. An expression has several texts where a condition or a table decides. Of a variable the last
assignment above it counts, and no other: what a condition decides is read in one (`a if c else b`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Texts = tuple[str, ...]
Function = ast.FunctionDef | ast.AsyncFunctionDef

_OF_WHAT: Final = frozenset({"name", "number", "value"})
"""Attributes that say less than whose they are."""

_CHANGES: Final = frozenset({"replace", "strip", "rstrip", "removeprefix", "removesuffix", "lower"})
"""Methods of a text that leave its words as they are."""


@dataclass(frozen=True)
class Scope:
    """A function: its source, the names of its module, and what is known of its parameters."""

    node: Function
    module: Mapping[str, Any]
    given: Mapping[str, Texts] = field(default_factory=dict)
    labelled: bool = False
    """Whether a text of a table has its key behind it: what is meant by `one of` is seen by that."""

    def texts(self, node: ast.expr) -> Texts:  # noqa: PLR0911 - one for each kind of expression
        """Every text that `node` may come to; one for each row where a table answers, alike or not."""
        match node:
            case ast.Constant(value=value):
                return (str(value),)
            case ast.JoinedStr(values=parts):
                return _joined([self.texts(part) for part in parts])
            case ast.FormattedValue(value=value):
                return self.texts(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.texts(body) + self.texts(orelse)
            case ast.BoolOp(values=values):
                return tuple(text for value in values for text in self.texts(value))
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return _joined([self.texts(left), self.texts(right)])
            case ast.Name():
                return self._named(node)
            case ast.Attribute() if isinstance(known := self._known(node), str):
                return (known,)
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _CHANGES:
                return self.texts(value)
        rows = self._rows(node)
        return tuple(str(row) for row in rows) or (_placeholder(node),)

    def _named(self, node: ast.Name) -> Texts:
        """A local name by what was assigned to it last, a parameter, or one of the module."""
        assigned = [one for one in _assignments(self.node, node.id) if one.ends < node.lineno]
        if assigned:
            texts = self._assigned(max(assigned, key=lambda one: one.ends))
            return texts if any(map(says, texts)) else (_placeholder(node),)
        if node.id in self.own:
            return self.given.get(node.id, (_placeholder(node),))
        value = self.module.get(node.id)
        return (value,) if isinstance(value, str) else (_placeholder(node),)

    @cached_property
    def own(self) -> frozenset[str]:
        """The names of its parameters and variables."""
        stored = (node for node in ast.walk(self.node) if isinstance(node, ast.Name))
        names = {node.id for node in stored if isinstance(node.ctx, ast.Store)}
        return frozenset(names | {node.arg for node in ast.walk(self.node) if isinstance(node, ast.arg)})

    def _known(self, node: ast.expr) -> Any:
        """What `Alert.SLOW.value.mends` is: a name of the module, and attributes of it."""
        match node:
            case ast.Name(id=name) if name not in self.own:
                return self.module.get(name)
            case ast.Attribute(value=value, attr=attribute):
                return getattr(self._known(value), attribute, None)
        return None

    def _assigned(self, one: _Assignment) -> Texts:
        if one.place is None:
            return self.texts(one.value)
        literal = one.value.elts if isinstance(one.value, ast.Tuple) else []
        if literal and one.loop:
            rows = [row.elts[one.place] for row in literal if isinstance(row, ast.Tuple)]
            return tuple(text for row in rows for text in self.texts(row))
        if literal:
            return self.texts(literal[one.place])
        return tuple(str(row[one.place]) for row in self._rows(one.value) if isinstance(row, tuple))

    def _rows(self, node: ast.expr) -> list[Any]:
        """What a table of the module may answer: every row, and what is taken where it has none."""
        other: list[ast.expr] = []
        match node:
            case ast.Name(id=name) if name not in self.own:
                rows = self.module.get(name)
                return list(rows) if isinstance(rows, tuple) else []
            case ast.Subscript(value=ast.Name(id=name)):
                table = self.module.get(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get"), args=[_, *other]):
                table = self.module.get(name)
            case _:
                return []
        rows = list(dict.fromkeys(table.values())) if isinstance(table, dict) else []
        if self.labelled and isinstance(table, dict) and all(isinstance(row, str) for row in rows):
            keys = {row: ", ".join(key for key, value in table.items() if value == row) for row in rows}
            rows = [f"{row} ({keys[row]})" for row in rows]
        for default in other if rows else []:
            if isinstance(default, ast.Tuple):
                rows.append(tuple(_inline(self.texts(element)) for element in default.elts))
            else:
                rows += self.texts(default)
        return rows


@dataclass(frozen=True)
class _Assignment:
    """`value` was assigned in a statement that `ends` in this line.

    `place`: that of a tuple's elements; `loop`: of each row in turn.
    """

    ends: int
    value: ast.expr
    place: int | None = None
    loop: bool = False


def _assignments(function: Function, name: str) -> Iterator[_Assignment]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[target], value=value, end_lineno=ends):
                loop = False
            case ast.For(target=target, iter=value):
                loop, ends = True, value.end_lineno
            case _:
                continue
        if isinstance(target, ast.Name) and target.id == name:
            yield _Assignment(ends or 0, value, None, loop)
        for place, one in enumerate(getattr(target, "elts", [])):
            if isinstance(one, ast.Name) and one.id == name:
                yield _Assignment(ends or 0, value, place, loop)


def says(text: str) -> bool:
    """Whether there are words, and not just a name for what only a host can tell."""
    return any(letter.islower() for letter in text)


def _joined(parts: list[Texts]) -> Texts:
    """Texts of parts that follow each other: one for each row of a table, if one part is such a row."""
    rows = next((part for part in parts if len(part) > 2), ("",))
    return tuple("".join(row if part is rows else _inline(part) for part in parts) for row in rows)


def _inline(texts: Texts) -> str:
    """Several texts as a part of another one: `(nearly) full`, `restart/reload`."""
    texts = tuple(dict.fromkeys(texts))
    some = [text for text in texts if text.strip()]
    if len(texts) == 2 and len(some) == 1:
        return some[0].replace(some[0].strip(), f"({some[0].strip()})")
    return "/".join(some or texts[:1])


def _placeholder(node: ast.expr) -> str:  # noqa: PLR0911 - one for each kind of expression
    """A name in capitals for what only a host can tell."""
    match node:
        case ast.Name(id=name):
            return name.strip("_").upper()
        case ast.Attribute(value=value, attr=attribute):
            return _placeholder(value) if attribute in _OF_WHAT else attribute.strip("_").upper()
        case ast.Call(func=ast.Name(id="len")):
            return "N"
        case ast.Call(func=ast.Name(id="str"), args=[argument]) | ast.Subscript(value=argument):
            return _placeholder(argument)
        case ast.Call(func=ast.Attribute(attr="text"), args=[ast.Constant(value=name)]):
            return str(name).upper()
        case ast.Call(func=ast.Attribute(attr="join"), args=[argument]):
            return _placeholder(argument)
        case ast.Call(func=ast.Name(id=name)):
            return name.strip("_").upper()
    return "…"
