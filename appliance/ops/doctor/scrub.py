"""Texts without secrets: the host's own, wherever they stand, and whatever looks like one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REMOVED: Final = "[removed]"

_SHORTEST: Final = 8
"""Characters: what is shorter is no secret of ours, and would blacken half of a text."""

# No pattern begins twice in one run of letters: strangers write into logs, and it would take for ever.
_SHAPES: Final = (
    # PEM: private keys. Without an end nearby only what looks like one goes: anybody can begin one in a log.
    re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
        r"(?:.{0,8192}?-----END [A-Z ]*PRIVATE KEY-----|(?:\\[nr]|[A-Za-z0-9+/=\s])*)",
        re.DOTALL,
    ),
    # JWT (RFC 7519), as view tokens are
    re.compile(r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"\bwhsec_[A-Za-z0-9+/=]{8,}"),
)
# What follows stays in the group before it.
_NAMED: Final = (
    re.compile(r"(\b[Bb]earer\s+)[^\s\"',]+"),
    re.compile(r"(\bBasic\s+)[A-Za-z0-9+/=]{8,}"),
    # what stands before the host of a URL
    re.compile(r"((?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://)[^\s/@\"']+(?=@)"),
    # what `sysctl -a` prints to root: tcp_fastopen_key, stable_secret (ip-sysctl.rst of the kernel)
    re.compile(r"^([\w./-]+_(?:key|secret) = )\S+", re.MULTILINE),
    # arguments of a URL or form, and fields of JSON and YAML
    re.compile(
        r"([?&;]|\b)((?:key|reader|token|secret|password|passwd|signature|api_key|access_key|view)=)[^\s&\"';,]+",
        re.IGNORECASE,
    ),
    re.compile(
        r"""(["']?(?<![\w-])[\w-]*(?:password|passwd|secret|token|api_key|private_key|encryption_key)["']?\s*:\s*)"""
        r"""(?:"[^"]*"|'[^']*'|[^\s,}\]#]+)""",
        re.IGNORECASE,
    ),
)
# Valkey's users: a password's SHA-256 behind `#`, a password behind `>`
_ACL: Final = re.compile(r"(?<=\s)(#[0-9a-f]{64}|>\S+)")

_WEB_PATH: Final = re.compile(r"(\bhttps?://[^\s/?#\"']+[/?#])[^\s\"']+")
_LONG: Final = 16
"""Characters: a word of a URL that is shorter may stand elsewhere too, as a folder's name."""


class Scrubber:
    """Removes secrets.

    Parameters
    ----------
    secrets
        Texts that must not stand anywhere.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first: one may be the beginning of another.
        known = sorted({one for one in secrets if len(one) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """`text` without secrets."""
        if self._known is not None:
            text = self._known.sub(REMOVED, text)
        for shape in _SHAPES:
            text = shape.sub(REMOVED, text)
        for named in _NAMED:
            text = named.sub(lambda found: "".join(part or "" for part in found.groups()) + REMOVED, text)
        return _ACL.sub(REMOVED, text)


def without_paths(text: str) -> str:
    """`text` with the hosts of its web addresses, and no more of them: who knows a webhook's may call it."""
    return _WEB_PATH.sub(rf"\1{REMOVED}", text)


def secrets_in_url(url: str) -> set[str]:
    """What of a web address is as good as a password: all of it, and its long words wherever they stand."""
    parts = urlsplit(url)
    behind = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if len(behind) < 2:
        return set()
    return {f"{parts.netloc}{behind}", *(word for word in re.split(r"[/?&=]", behind) if len(word) >= _LONG)}


def secrets_below(directory: Path) -> set[str]:
    """Every text in the files of `directory` that may be a secret: words, and the strings of JSON.

    Raises OSError when a file cannot be read: then nobody knows what has to be removed.
    """
    found: set[str] = set()
    for path in sorted(directory.iterdir()):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            try:
                found |= set(_strings(json.loads(text)))
            except ValueError:
                words = [word for word in text.split() if not word.startswith(("created=", "ends="))]
                # The secret itself may have a `=` in it.
                found |= {*words, *(word.partition("=")[2] for word in words)}
    return {one for one in found if not _is_time(one)}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _is_time(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.+Z-]+", text) is not None
