"""The settings file as YAML: one mapping, and nothing of YAML that would surprise who wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from appliance.errors import EX_CONFIG, OperatorError
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path


def read_mapping(path: Path) -> dict[str, object]:
    """What the YAML file `path` holds; nothing when it is empty.

    Raises OperatorError (EX_CONFIG) when it cannot be read, is no YAML mapping, or repeats a key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise refusal(str(path), f"cannot be read: {reason}") from None
    try:
        data = _UniqueKeyLoader(text).get_single_data()
    except yaml.YAMLError as error:
        raise refusal(str(path), f"is not valid YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:
        # PyYAML lets through what int() and date() say of a scalar that only looks like theirs.
        raise refusal(str(path), f"holds a value that is none: {error}; quote it") from None
    except (AttributeError, KeyError):  # so it does for `!!timestamp x` and `!!bool x`
        raise refusal(str(path), "holds a value that its !!tag does not fit") from None
    except RecursionError:
        raise refusal(str(path), "is nested too deeply") from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise refusal(str(path), "must be a mapping of settings, `key: value` on each line")
    return data


def refusal(source: str, message: str, hint: str | None = None) -> OperatorError:
    """The error that a settings file is refused with; `hint` instead of the command that checks it."""
    return OperatorError(
        f"{source}: {message}",
        exit_code=EX_CONFIG,
        hint=hint or f"mend it, then try: {program()} control check-config {source}",
    )


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader takes the last of two equal keys silently; an operator must hear of it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key_node.value} stands here twice", key_node.start_mark
                )
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)
