"""One SSH connection, by way of its jump hosts, to a host whose key is known."""

from __future__ import annotations

import contextlib
import getpass
import logging
import socket
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import paramiko

from appliance.ops.fleet.ssh_options import parse_jump
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from appliance.ops.fleet.ssh_options import Options, Way

_ALIVE_SECONDS: Final = 15

# paramiko logs what whoever answers sent, as it is, and whole tracebacks; where it has no handler Python's
# last resort writes them on standard error. What failed is in the exceptions.
_OF_PARAMIKO: Final = logging.getLogger("paramiko")
_OF_PARAMIKO.addHandler(logging.NullHandler())
_OF_PARAMIKO.propagate = False


class UnreachableError(Exception):
    """A host cannot be reached; the message says why, `mend` what to do.

    Both are fit for a terminal: whoever answers, and the inventory, may have chosen some of them.
    """

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(printable(reason))
        self.mend = printable(mend)


class _Refuse(paramiko.MissingHostKeyPolicy):
    """An unknown key is never accepted: whoever answers may be anybody."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Raises UnreachableError."""
        del client
        files = ", ".join(map(str, self._way.known_hosts)) or "no file of known hosts"
        shown = f"{key.get_name()} {key.fingerprint}"
        raise UnreachableError(
            f"its key is not known: {hostname} shows {shown}, which is not in {files}",
            "compare it with what the host itself says (ssh-keygen -lf /etc/ssh/ssh_host_*.pub), then: "
            f"ssh -p {self._way.port} {self._way.host}",
        )


class Connection:
    """A connection, open inside `with`.

    Parameters
    ----------
    way, options
        To the host, and what counts for its jump hosts as well.
    seconds
        Limit for each step: connecting, the handshake, logging in, of each host on the way.

    Raises UnreachableError.
    """

    def __init__(self, way: Way, options: Options, *, seconds: float) -> None:
        self._way = way
        self._options = options
        self._seconds = seconds
        self._open: list[paramiko.SSHClient | paramiko.ProxyCommand] = []

    def __enter__(self) -> Self:
        try:
            tunnel = self._tunnel()
            self.client = self._client(self._way, tunnel)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes it, and those to the jump hosts, the nearest last."""
        while self._open:
            with contextlib.suppress(Exception):  # it may be broken already
                self._open.pop().close()

    def _tunnel(self) -> paramiko.Channel | paramiko.ProxyCommand | None:
        """What the last jump host, or a ProxyCommand, gives as the way on."""
        way = self._way
        if way.proxy_command is not None:
            text = way.proxy_command.replace("%h", way.host).replace("%p", str(way.port))
            command = paramiko.ProxyCommand(text.replace("%r", way.user or getpass.getuser()))
            self._open.append(command)
            return command
        tunnel = None
        jumps = [self._jump(text) for text in way.jumps]
        for jump, following in pairwise([*jumps, way]):
            client = self._client(jump, tunnel)
            transport = client.get_transport()
            if transport is None:
                raise UnreachableError(f"jump host {jump.host} hung up", "try again")
            with _told(f"jump host {jump.host}: no way on to {following.host} port {following.port}", jump):
                tunnel = transport.open_channel(
                    "direct-tcpip", (following.host, following.port), ("127.0.0.1", 0), timeout=self._seconds
                )
        return tunnel

    def _jump(self, text: str) -> Way:
        try:
            user, host, port = parse_jump(text)
            return self._options.for_jumps.way(host, port=port, user=user)
        except (ValueError, OSError) as error:
            raise UnreachableError(str(error), "mend ProxyJump in the inventory or ssh_config") from None

    def _client(
        self, way: Way, tunnel: paramiko.Channel | paramiko.ProxyCommand | None
    ) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        self._open.append(client)
        for file in way.known_hosts:
            if file.is_file():
                with _told(f"{file} cannot be read", way):
                    client.load_host_keys(str(file))
        client.set_missing_host_key_policy(_Refuse(way))
        keys = [str(path) for path in way.identities if path.is_file()]
        with _told(f"{way.host} port {way.port}", way):
            client.connect(
                way.host,
                port=way.port,
                username=way.user or getpass.getuser(),
                key_filename=keys or None,  # type: ignore[arg-type] # a list is good, its documentation says
                allow_agent=not way.only_these,
                look_for_keys=not way.only_these,
                sock=tunnel,
                timeout=self._seconds,
                banner_timeout=self._seconds,
                auth_timeout=self._seconds,
                channel_timeout=self._seconds,
            )
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(_ALIVE_SECONDS)
        return client


@contextlib.contextmanager
def _told(what: str, way: Way) -> Iterator[None]:
    """Every failure of paramiko inside the block as UnreachableError."""
    user = way.user or getpass.getuser()
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise UnreachableError(
            f"{what}: it shows another key than the known one: {error.key.fingerprint} instead of "
            f"{error.expected_key.fingerprint}",
            "somebody may be in between, or the host was made anew; when you know which: "
            f"ssh-keygen -R {error.hostname}",
        ) from None
    except paramiko.PasswordRequiredException:
        mend = "hand it to an agent: ssh-add"
        raise UnreachableError(f"{what}: the private key wants a passphrase", mend) from None
    except paramiko.AuthenticationException as error:
        tried = ", ".join(str(path) for path in way.identities) or "those of the agent and of ~/.ssh"
        mend = f"let a key of yours in there: ssh-copy-id -p {way.port} {user}@{way.host}"
        reason = str(error).rstrip(".") or "refused"
        raise UnreachableError(f"{what}: {user} is not let in ({reason}); keys: {tried}", mend) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise UnreachableError(f"{what}: {_reason(error)}", _mend(way)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | socket.timeout):
        return "no answer in time"
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return "; ".join(dict.fromkeys(_reason(one) for one in error.errors.values()))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _mend(way: Way) -> str:
    return f"is it on, and does SSH get through? ssh -v -p {way.port} {way.host}"
