"""How a host is reached, as OpenSSH would: options of its command line, and ssh_config(5).

Only what leads to a host is read. Whether an unknown host key is accepted is not: it never is.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import paramiko

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONFIGS: Final = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
_KNOWN_HOSTS: Final = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_SHORT: Final = {"-J": "proxyjump", "-i": "identityfile", "-p": "port", "-l": "user", "-F": "config"}
_OF_ONE_HOST: Final = frozenset(("hostname", "port", "user"))
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Options:
    """What the options say; names in small letters, as paramiko has them of ssh_config(5).

    `identities` are files of private keys; `config`: whether ssh_config(5) counts, and which file.
    """

    values: dict[str, str] = field(default_factory=dict)
    identities: tuple[str, ...] = ()
    config: str | None = None

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Options:
        """What command lines such as `ansible_ssh_common_args` say; the first value counts (ssh_config(5)).

        Raises ValueError when a line is none.
        """
        values: dict[str, str] = {}
        identities: list[str] = []
        words = iter([word for text in texts for word in shlex.split(text)])
        for word in words:
            name, value = _option(word, words)
            if name == "identityfile":
                identities.append(value)
            elif name:
                values.setdefault(name, value)
        config = values.pop("config", None)
        return cls(values, tuple(identities), config)

    @property
    def for_jumps(self) -> Options:
        """What of it counts for jump hosts: who and where the last host is, it does not say of them."""
        values = {name: value for name, value in self.values.items() if name not in _OF_ONE_HOST}
        return Options(values, self.identities, self.config)

    @property
    def configuration(self) -> paramiko.SSHConfig:
        """ssh_config(5), of the user and the system, or of `-F`. Raises ValueError, OSError."""
        found = paramiko.SSHConfig()
        files = _CONFIGS if self.config is None else (Path(self.config),)
        if self.config == _NONE:
            return found
        for path in (each.expanduser() for each in files):
            if path.is_file():
                try:
                    found.parse(StringIO(path.read_text(encoding="utf-8")))
                except paramiko.ConfigParseError as error:
                    raise ValueError(f"{path}: {error}") from None
        return found

    def way(self, host: str, *, port: int | None = None, user: str | None = None) -> Way:
        """The way to `host`; a given `port` and `user` count before the options. Raises ValueError."""
        known = self.configuration.lookup(host)
        values = {name: value for name, value in known.items() if isinstance(value, str)} | self.values
        listed: list[str] = list(known.get("identityfile", ()))
        identities = self.identities or tuple(listed)
        jumps = values.get("proxyjump", _NONE)
        command = values.get("proxycommand", _NONE)
        known_hosts = (values.get("userknownhostsfile"), values.get("globalknownhostsfile"))
        return Way(
            host=values.get("hostname", host),
            port=port or int(values.get("port", "22")),
            user=user or values.get("user"),
            identities=tuple(_path(each) for each in identities),
            only_these=values.get("identitiesonly", "no").lower() == "yes",
            known_hosts=tuple(
                _path(file)
                for text, usual in zip(known_hosts, _KNOWN_HOSTS, strict=True)
                for file in (_words(text) if text is not None else [usual])
            ),
            jumps=() if jumps.lower() == _NONE else tuple(each.strip() for each in jumps.split(",")),
            proxy_command=None if command.lower() == _NONE else command,
        )


@dataclass(frozen=True, slots=True)
class Way:
    """How one host is reached. `jumps`: [USER@]HOST[:PORT], the first one first."""

    host: str
    port: int
    user: str | None
    identities: tuple[Path, ...]
    only_these: bool
    known_hosts: tuple[Path, ...]
    jumps: tuple[str, ...]
    proxy_command: str | None


def parse_jump(text: str) -> tuple[str | None, str, int | None]:
    """User, host and port of one jump (ssh(1), -J). Raises ValueError."""
    user, _, place = text.removeprefix("ssh://").rpartition("@")
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    if not host or (port and not port.isdigit()):
        raise ValueError(f"{text!r} is no jump host; allowed is [USER@]HOST[:PORT]")
    return user or None, host, int(port) if port else None


def _option(word: str, rest: Iterable[str]) -> tuple[str, str]:
    """Name and value of the option that `word` begins; an empty name for one that leads nowhere."""
    words = iter(rest)
    if word.startswith("-o"):
        text = word[2:] or next(words, "")
        name, _, value = text.replace("=", " ", 1).strip().partition(" ")
        # A list of files is split where it is used, by its quotes.
        listed = name.lower().endswith("knownhostsfile")
        return name.lower(), value.strip() if listed else _unquoted(value.strip())
    if word[:2] in _SHORT:
        return _SHORT[word[:2]], word[2:] or next(words, "")
    return "", ""


def _unquoted(value: str) -> str:
    """A value of ssh_config(5) without its quotes."""
    if len(value) > 1 and value[0] == value[-1] == '"' and '"' not in value[1:-1].replace('\\"', ""):
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return value


def _words(text: str) -> list[str]:
    """The words of a list, with quotes around those with blanks; `none` is an empty one."""
    return [] if text.lower() == _NONE else shlex.split(text)


def _path(text: str) -> Path:
    """A path as ssh reads it: `~` is the home, `%%` a percent sign."""
    return Path(text.replace("%%", "%")).expanduser()
