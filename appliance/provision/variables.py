"""Compare an inventory's variables with what the roles declare in ``meta/argument_specs.yml``.

Ansible checks a role's arguments when the play reaches the role, converts what it can (so that a string
passes for a list and breaks a template later) and never notices a misspelt name. Here everything is compared
before the first change, and strictly: what a template will see has to have the declared type.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

Spec = Mapping[str, Any]

SECRET_NAME = re.compile(r"key|secret|password|passphrase|token|credential", re.IGNORECASE)
# How alike a variable without a role's prefix must be to count as a misspelt one (`ngnix_version`),
# and its first word to count as a misspelt role (`contol_x`).
MISSPELT = 0.9
MISSPELT_ROLE = 0.8

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list, tuple),
    "dict": (Mapping,),
}
_HOW: dict[str, str] = {
    "str": "text (quote a number)",
    "path": "a path",
    "int": "a whole number (with -e: as JSON, -e '{\"NAME\": 1}')",
    "float": "a number",
    "bool": "true or false (with -e: as JSON, -e '{\"NAME\": true}')",
    "list": "a list",
    "dict": "a dictionary",
}


@dataclass(frozen=True)
class Declared:
    """The variables that the roles declare, and the roles' names."""

    options: Mapping[str, Spec]
    roles: frozenset[str]

    def hiding(self, variables: Iterable[str]) -> Declared:
        """Return the same declarations with ``variables`` as secret as those with ``no_log``."""
        hidden = {name: {**self.options[name], "no_log": True} for name in variables}
        return replace(self, options={**self.options, **hidden})

    def role_of(self, variable: str) -> str | None:
        """Return the role whose prefix ``variable`` carries (the longest that fits), misspelt or not."""
        fitting = [role for role in self.roles if variable.startswith(f"{role}_")]
        if fitting:
            return max(fitting, key=len)
        word, underscore, _ = variable.partition("_")
        near = difflib.get_close_matches(word, self.roles, n=1, cutoff=MISSPELT_ROLE) if underscore else []
        return near[0] if near else None


def declared_by(roles: Path) -> Declared:
    """Read ``<role>/meta/argument_specs.yml`` of every role below the folder ``roles``.

    ``playbooks/meta/argument_specs.yml`` beside that folder, if any, declares what belongs to no role.

    Raises
    ------
    OSError, yaml.YAMLError
        A specification cannot be read.
    """
    options: dict[str, Spec] = {}
    names = set()
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        document = yaml.safe_load(path.read_text()) or {}
        names.add(path.parent.parent.name)
        options.update(document.get("argument_specs", {}).get("main", {}).get("options") or {})
    playbooks = roles.parent / "playbooks/meta/argument_specs.yml"
    if playbooks.exists():
        options.update(yaml.safe_load(playbooks.read_text())["argument_specs"]["main"]["options"])
    return Declared(options, frozenset(names))


def unknown_variables(names: Mapping[str, Any], declared: Declared) -> list[str]:
    """Return a line for each variable that looks like a role's and that no role declares.

    A value is shown unless the name, or the name probably meant, speaks of a secret.
    """
    problems = []
    for name in sorted(set(names) - set(declared.options)):
        role = declared.role_of(name)
        likeness = 0.6 if role else MISSPELT
        near = difflib.get_close_matches(name, declared.options, n=1, cutoff=likeness)
        if role is None and not near:
            continue
        secret = SECRET_NAME.search(name) or (near and declared.options[near[0]].get("no_log"))
        seen = "(value hidden)" if secret else shown(names[name])
        if near:
            mend = f"did you mean {near[0]}?"
        else:
            known = sorted(option for option in declared.options if option.startswith(f"{role}_"))
            mend = f"role {role} knows {', '.join(known)}"
        problems.append(f"unknown variable {name} = {seen}; {mend}")
    return problems


def settings_taken_for_variables(
    names: Iterable[str], settings: Collection[str], declared: Collection[str]
) -> list[str]:
    """Return a line for each variable that bears the name of a setting of the host, which no role would see.

    Names of one word are let through: an inventory may have an `encoder` or a `node` of its own. So are names
    in capitals that no variable stands for. `declared` are the variables that roles have.
    """
    problems = []
    for name in sorted(names):
        if name.isupper() and f"control_{name.lower()}" in declared:
            problems.append(f"unknown variable {name}; did you mean control_{name.lower()}?")
        elif name in settings and "_" in name and name not in declared:
            owner = f"control_{name}"
            mend = owner if owner in declared else f"control_settings, with {name} in it"
            problems.append(f"unknown variable {name}: it is a setting of the host; did you mean {mend}?")
    return problems


def value_problems(name: str, value: Any, spec: Spec) -> list[str]:
    """Return a line for each way in which ``value`` departs from ``spec``: place, value, what is allowed.

    Parameters
    ----------
    name
        The variable, with ``[3]`` and ``.key`` appended for places within it.
    value
        What templates will see.
    spec
        One option of an argument specification: ``type``, ``choices``, ``elements``, ``options``, ``no_log``.
    """
    if value is None and "default" not in spec and not spec.get("required"):
        return []
    kind = spec.get("type", "str")
    if kind in _TYPES and not _is(value, kind):
        return [_problem(name, value, spec, _HOW[kind].replace("NAME", name))]
    choices = spec.get("choices")
    if kind == "list":
        return _list_problems(name, value, spec)
    if choices and value not in choices:
        return [_problem(name, value, spec, ", ".join(map(str, choices)))]
    if kind == "dict" and spec.get("options"):
        return _dict_problems(name, value, spec)
    return []


def _list_problems(name: str, value: Sequence[Any], spec: Spec) -> list[str]:
    element = {key: spec[key] for key in ("options", "choices", "no_log") if key in spec}
    element["type"] = spec.get("elements", "raw")
    return [
        line for place, item in enumerate(value) for line in value_problems(f"{name}[{place}]", item, element)
    ]


def _dict_problems(name: str, value: Mapping[str, Any], spec: Spec) -> list[str]:
    options = spec["options"]
    problems = []
    for key in sorted(set(value) - set(options), key=str):
        near = difflib.get_close_matches(str(key), options, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(f"{name} has the unknown key {key}; allowed: {', '.join(sorted(options))}{hint}")
    problems += [
        f"{name} lacks {key}" for key, sub in options.items() if sub.get("required") and key not in value
    ]
    for key in sorted(set(value) & set(options)):
        sub = {"no_log": True, **options[key]} if spec.get("no_log") else options[key]
        problems += value_problems(f"{name}.{key}", value[key], sub)
    return problems


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, _TYPES[kind])


def _problem(name: str, value: Any, spec: Spec, allowed: str) -> str:
    return f"{name} = {'(value hidden)' if spec.get('no_log') else shown(value)}; allowed: {allowed}"


def shown(value: Any) -> str:
    """Return a value as a message shows it, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
