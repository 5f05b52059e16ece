"""Secrets that are replaced and stay good for a while: one a line, the newest first.

    SECRET created=2026-01-01T00:00:00+00:00
    SECRET created=2025-12-01T00:00:00+00:00 ends=2026-01-08T00:00:00+00:00

A line without a time was drawn by the first run on the host, and is older than any that a rotation has made;
`given` marks one that the operator chose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from appliance.secrets.moment import after, holds, moment, version_of

if TYPE_CHECKING:
    from datetime import timedelta

_TEXT: Final = re.compile(r"[!-~]{1,512}")
_GIVEN: Final = "given"


@dataclass(frozen=True, slots=True)
class DatedSecret:
    """One secret. `ends` is None for the newest: it is good until another one comes."""

    text: str = field(repr=False)
    created: datetime | None = None
    ends: datetime | None = None
    given: bool = False

    def line(self) -> str:
        """The line that stands for it."""
        words = [self.text]
        words += [f"created={self.created.isoformat()}"] if self.created else []
        words += [f"ends={self.ends.isoformat()}"] if self.ends else []
        return " ".join([*words, _GIVEN] if self.given else words)


@dataclass(frozen=True, slots=True)
class DatedSecrets:
    """The secrets of one file, the newest first."""

    entries: tuple[DatedSecret, ...]

    @classmethod
    def parse(cls, text: str) -> DatedSecrets:
        """What stands in `text`. Raises ValueError, whose message holds no secret."""
        entries = tuple(_entry(line.split()) for line in text.splitlines() if line.strip())
        if not entries:
            raise ValueError("is empty")
        return cls(entries)

    @property
    def newest(self) -> DatedSecret:
        """The one in use."""
        return self.entries[0]

    @property
    def version(self) -> int:
        """Which of two files is the later one: milliseconds of the newest secret, 0 when nobody noted it."""
        return version_of(self.newest.created)

    @property
    def created(self) -> datetime | None:
        """When the one in use was made; None when nobody noted it."""
        return self.newest.created

    @property
    def given(self) -> bool:
        """Whether the operator chose the one in use."""
        return self.newest.given

    @property
    def kid(self) -> None:
        """Lines have no ids."""
        return

    def valid(self, now: datetime) -> DatedSecrets:
        """Those that are good at `now`, the newest first; it always is."""
        return DatedSecrets((self.newest, *(item for item in self.entries[1:] if holds(item.ends, now))))

    def texts(self, now: datetime) -> tuple[str, ...]:
        """What is good at `now`, the newest first."""
        return tuple(item.text for item in self.valid(now).entries)

    def good_until(self, now: datetime) -> datetime | None:
        """Until when an older one is good that still is at `now`; None when there is none."""
        return max((item.ends for item in self.valid(now).entries if item.ends is not None), default=None)

    def dumps(self) -> str:
        """The file's text. It holds the secrets: write it with mode 0400 and nowhere else."""
        return "".join(f"{item.line()}\n" for item in self.entries)

    def rotated(self, text: str, grace: timedelta, *, given: bool = False) -> DatedSecrets:
        """`text` is the newest from now on, the one before good for `grace` more."""
        now = datetime.now(UTC)
        created = after(self.newest.created, now)
        old = [
            replace(item, ends=min(item.ends or now + grace, now + grace), given=False)
            for item in self.valid(now).entries
            if item.text != text
        ]
        kept = [item for item in old if holds(item.ends, now)]
        return DatedSecrets((DatedSecret(text, created, given=given), *kept))


def _entry(words: list[str]) -> DatedSecret:
    if _TEXT.fullmatch(words[0]) is None:
        raise ValueError("holds something else than visible ASCII characters")
    times: dict[str, datetime] = {}
    given = False
    for word in words[1:]:
        name, _, value = word.partition("=")
        if word == _GIVEN:
            given = True
        elif name in {"created", "ends"} and (found := moment(value)) is not None:
            times[name] = found
        else:
            raise ValueError("allowed behind a secret: created=TIME, ends=TIME, given")
    return DatedSecret(words[0], times.get("created"), times.get("ends"), given)
