"""What a backend may say beside its yes to a viewer.

A JSON object; all of it may be left out, and other members are not looked at: `sub` (who it is, RFC 7519,
section 4.1.2), `expires_in` (seconds, as in RFC 6749, section 5.1) and `max_sessions` (how often `sub` may
watch at once; 0 for no limit).
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError


class UnreadableGrantError(Exception):
    """An object is there and is not what it should be: nobody can say what was allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Who may watch, until when (Unix seconds) and how often at once; None for what was not said."""

    viewer: str | None = None
    expires: float | None = None
    max_sessions: int | None = None

    @classmethod
    def read(cls, body: bytes, *, now: float) -> Self:
        """What the body of a yes says; nothing when it is no JSON object, as an empty one or `OK`.

        Raises UnreadableGrantError, also for an object that breaks off: it may have had a bound in it.
        """
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            if body.lstrip().removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
                raise UnreadableGrantError(
                    "it answered yes, with an object that cannot be read as JSON"
                ) from None
            return cls()
        if not isinstance(content, dict):
            return cls()
        try:
            said = _ANSWER.validate_python({name: content[name] for name in _NAMES if name in content})
        except ValidationError as error:
            names = ", ".join(
                str(each["loc"][0]) for each in error.errors(include_input=False) if each["loc"]
            )
            raise UnreadableGrantError(f"it answered yes, with {names} that cannot be read") from None
        expires = None if said.expires_in is None else now + said.expires_in
        return cls(viewer=said.sub, expires=expires, max_sessions=said.max_sessions)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `dumps` wrote, None when it is something else."""
        try:
            content: Any = json.loads(text)
            viewer, expires, most = content
            return cls(
                viewer=None if viewer is None else str(viewer),
                expires=None if expires is None else float(expires),
                max_sessions=None if most is None else int(most),
            )
        except (ValueError, TypeError):
            return None

    def dumps(self) -> str:
        """As it is kept."""
        return json.dumps([self.viewer, self.expires, self.max_sessions])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    sub: Annotated[str, Field(strict=True, min_length=1, max_length=128)] | None = None
    expires_in: (
        Annotated[float, Field(strict=True, ge=0, le=10 * 366 * 86_400, allow_inf_nan=False)] | None
    ) = None
    max_sessions: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = None


_NAMES = ("sub", "expires_in", "max_sessions")
_ANSWER = TypeAdapter(_Answer)
