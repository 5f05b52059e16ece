"""The settings of a streaming host: `/etc/appliance/appliance.yml`, flat keys, no secrets.

Each field of `Settings` is one key of the file. The field's metadata is its manual (`help`) and its
check (`rule`); nothing else in the code knows a default or a limit. Secrets are not settings: they are
systemd credentials, see `appliance.secrets`.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args
from urllib.parse import urlsplit

import yaml

from appliance.errors import EX_CONFIG, OperatorError
from appliance.names import is_stream_name, shorten
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

SETTINGS_FILE: Final = Path("/etc/appliance/appliance.yml")
"""Where the role `control` writes the file and where every command looks for it."""


LAST_PORT: Final = 65_535
"""The highest TCP port."""

EncoderPreference = Literal["auto", "nvenc", "x264"]
"""Which encoder a host uses; auto finds out what works."""

ViewPolicyName = Literal["open", "token"]
"""Who may watch: everybody, or who has a signed token."""

Container = Literal["fmp4", "mpegts"]
"""What media segments are: fragmented MPEG-4, or MPEG-2 Transport Streams (RFC 8216, section 3)."""


CALLBACK_SECONDS: Final = 6.0
"""Longest time of all attempts at one question to the backend: nginx-rtmp waits ten seconds for a verdict,
and the stream's unit has to start in the rest (`appliance.control.lost`)."""


class _RefusedValueError(Exception):
    """A rule's verdict; it becomes an OperatorError that names the setting."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one setting's value is checked: `read` returns the typed value or refuses it."""

    allowed: str
    read: Callable[[object], object]


def _setting(default: Any, rule: Rule, text: str) -> Any:
    return field(default=default, metadata={"rule": rule, "help": text})


def _text(pattern: str, allowed: str) -> Rule:
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise _RefusedValueError
        return value

    return Rule(allowed, read)


def _url(scheme: str, path: str, allowed: str) -> Rule:
    # A host name or IPv4 address, or an IPv6 address in its brackets (RFC 3986, section 3.2.2).
    host = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
    compiled = re.compile(rf"{scheme}://{host}(:(?P<port>[0-9]{{1,5}}))?{path}")

    def read(value: object) -> str:
        match = compiled.fullmatch(value) if isinstance(value, str) else None
        if match is None or (match["port"] and not 1 <= int(match["port"]) <= LAST_PORT):
            raise _RefusedValueError
        return match[0]

    return Rule(allowed, read)


def _callback_url() -> Rule:
    secured = _url("https", r"(/[^\s?#]*)?", "")
    plain = _url("http", r"(/[^\s?#]*)?", "")

    def read(value: object) -> str:
        if value == "":
            return ""
        if isinstance(value, str) and value.startswith("http://"):
            url = str(plain.read(value))
            if not _is_near(urlsplit(url).hostname or ""):
                raise _RefusedValueError
        else:
            url = str(secured.read(value))
        return url.rstrip("/")

    return Rule(
        "an https:// URL without a query (http:// to localhost, a loopback or a private address), or empty",
        read,
    )


def _is_near(host: str) -> bool:
    """Whether what is sent to `host` unencrypted stays in a network of one's own."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def _number(low: float, high: float, unit: str) -> Rule:
    def read(value: object) -> float:
        # A YAML `yes` is a bool, and a bool is an int to Python.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _RefusedValueError
        return float(value)

    return Rule(f"a number of {unit} from {low:g} to {high:g}", read)


def _integer(low: int, high: int) -> Rule:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _RefusedValueError
        return value

    return Rule(f"a whole number from {low} to {high}", read)


def _one_of(*choices: str) -> Rule:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _RefusedValueError
        return value

    return Rule("one of " + ", ".join(choices), read)


def _read_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise _RefusedValueError
    return value


def _read_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _RefusedValueError
    for item in value:
        if not isinstance(item, str) or not is_stream_name(item):
            raise _RefusedValueError
    return tuple(value)


_NAMES = Rule("a list of quoted stream names (letters, digits, _ and -, at most 64 characters)", _read_names)
_ENCODER = _one_of(*get_args(EncoderPreference))
_BOOL = Rule("true or false", _read_bool)
_PATH = _text(r"/[^\0\n]*", "an absolute path")
_HTTP = _url("http", r"(/[^\s?#]*)?", "an http:// URL without a query, its port from 1 to 65535")
_RTMP = _url("rtmp", r"/[A-Za-z0-9_-]+", "rtmp://HOST[:PORT]/APPLICATION, its port from 1 to 65535")
_CALLBACK_URL = _callback_url()
_LADDER = _text(r"[A-Za-z0-9][A-Za-z0-9_-]*", "the name of a file in /etc/appliance/ladders, without .yml")
_HOST = _text(r"[A-Za-z0-9.-]{0,255}", "a host name, or empty for the kernel's")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set on a streaming host. Times are seconds."""

    allowed_stream_keys: tuple[str, ...] = _setting(
        (),
        _NAMES,
        "Stream names that may be published without a key, while nobody registers them (simple mode).",
    )
    publish_failures: int = _setting(
        30,
        _integer(0, 10_000),
        "Refused publishes within a minute after which an address is banned; 0: never.",
    )
    publish_attempts: int = _setting(
        300,
        _integer(0, 100_000),
        "Publishes of one address within a minute beyond which none is looked at; 0: no bound.",
    )
    ban_seconds: float = _setting(
        300.0, _number(1, 86_400, "seconds"), "How long an address stays banned after that."
    )
    control_url: str = _setting(
        "http://127.0.0.1:8000", _HTTP, "Where this host's own programs reach the control service."
    )
    ingest_url: str = _setting("rtmp://127.0.0.1:1935/live", _RTMP, "Where the streams are read from.")
    stat_url: str = _setting("http://127.0.0.1:8081/stat", _HTTP, "Statistics (XML) of the ingest nginx.")
    ingest_control_socket: str = _setting(
        "/run/appliance-ingest/control.sock", _PATH, "Unix socket on which the ingest nginx drops publishers."
    )
    delivery_port: int = _setting(
        8080, _integer(1, LAST_PORT), "Port of HTTP delivery, for the addresses that commands print."
    )
    valkey_socket: str = _setting("/run/valkey/valkey.sock", _PATH, "Unix socket of Valkey.")
    media_root: str = _setting("/srv/hls", _PATH, "Directory (tmpfs) of playlists and segments.")
    ladder: str = _setting("default", _LADDER, "Ladder of renditions: /etc/appliance/ladders/NAME.yml.")
    encoder: EncoderPreference = _setting(  # noqa: RUF009 - a dataclasses.field, as the others are
        "auto",
        _ENCODER,
        "Video encoder; auto tries NVENC and takes it where a session opens. Nowhere yet on hosts that the "
        "playbooks made: no role brings the NVIDIA driver, or lets a stream's unit at the device.",
    )
    copy_source: Literal["auto", "never"] = _setting(
        "auto", _one_of("auto", "never"), "Whether a source that fits the top rung is copied, not encoded."
    )
    drop_slow_rungs: bool = _setting(
        True, _BOOL, "Whether the largest encoded rung is given up when encoding is slower than real time."
    )
    container: Container = _setting(  # noqa: RUF009 - a dataclasses.field, as the others are
        "fmp4",
        _one_of(*get_args(Container)),
        "Format of media segments. mpegts is for devices that know no fragmented MP4: each rung's segments "
        "hold the sound too, and there are no parts, as with low_latency: false.",
    )
    segment_seconds: float = _setting(2.0, _number(1, 10, "seconds"), "Length of a media segment.")
    low_latency: bool = _setting(
        True, _BOOL, "Whether playlists list parts of the newest segments, for players that can use them."
    )
    # 21 hundredths hold whole frames of every rate in use from 15 to 120 a second, and are filled by them to
    # 85 % at least, as parts have to be. Measured beside 26: 0.06 s less from encoder to screen.
    part_seconds: float = _setting(
        0.21, _number(0.1, 2, "seconds"), "Longest low-latency part (PART-TARGET)."
    )
    audio_only_variant: bool = _setting(
        True, _BOOL, "Whether viewers whose network is too slow for any picture are offered the sound alone."
    )
    # RFC 8216bis and Apple's authoring specification: a live playlist holds at least six segments. The
    # state holds all of them and is written with each: at 300 that takes 10 % of a core for four renditions.
    window_segments: int = _setting(10, _integer(6, 300), "Segments a live playlist lists.")
    grace_seconds: float = _setting(
        30.0, _number(0, 3600, "seconds"), "How long a stream waits for a publisher that left."
    )
    retain_seconds: float = _setting(
        60.0, _number(0, 86_400, "seconds"), "How long an ended stream's files stay for its last viewers."
    )
    encryption: Literal["aes-128", "none"] = _setting(
        "aes-128", _one_of("aes-128", "none"), "Encryption of segments; none is for debugging."
    )
    rotation_seconds: float = _setting(
        300.0, _number(10, 86_400, "seconds"), "Age at which a content key is replaced."
    )
    lease_seconds: float = _setting(
        30.0, _number(10, 600, "seconds"), "Life of a publish lease that nobody renews."
    )
    reconcile_seconds: float = _setting(
        3.0, _number(0.5, 60, "seconds"), "Pause between two comparisons of leases, units and /stat."
    )
    reader_wait_seconds: float = _setting(
        2.0, _number(0, 8, "seconds"), "Longest wait of a publish for the stream's own reader."
    )
    rtmp_play: bool = _setting(
        False, _BOOL, "Whether others than the stream's own reader may play over RTMP (unencrypted)."
    )
    view_policy: ViewPolicyName = _setting(  # noqa: RUF009 - a dataclasses.field, as the others are
        "open",
        _one_of(*get_args(ViewPolicyName)),
        "Who may watch: open is everybody, token is who has a signed view token (`appliance tokens issue`).",
    )
    view_needs_entitlement: bool = _setting(
        False,
        _BOOL,
        "Whether a view token has to name what was paid for (claim ent); without it the answer is 402.",
    )
    view_token_max_seconds: float = _setting(
        86_400.0, _number(60, 2_592_000, "seconds"), "How far ahead the end of a view token may be."
    )
    view_sessions_per_viewer: int = _setting(
        0,
        _integer(0, 1000),
        "How often one viewer may watch at once, on all hosts together; 0 is without a limit. A viewer who "
        "stopped counts for 30 s more. Without Valkey nobody is counted, or turned away for it.",
    )
    http_callback_url: str = _setting(
        "",
        _CALLBACK_URL,
        "Where the backend is asked (URL/auth/publish, URL/auth/play) and told (URL/events). Empty: none.",
    )
    callback_form: Literal["form", "json"] = _setting(
        "form", _one_of("form", "json"), "How questions to the backend are written; events are always JSON."
    )
    callback_seconds: float = _setting(
        2.0,
        _number(0.1, CALLBACK_SECONDS, "seconds"),
        "Time limit of one attempt to ask or tell the backend.",
    )
    callback_attempts: int = _setting(
        2, _integer(1, 10), "Attempts at one question, until the backend counts as silent."
    )
    callback_when_silent: Literal["refuse", "last-known"] = _setting(
        "refuse",
        _one_of("refuse", "last-known"),
        "Verdict when the backend is silent; last-known repeats its last one about the same stream.",
    )
    callback_last_known_seconds: float = _setting(
        3600.0, _number(1, 604_800, "seconds"), "How old a verdict may be that is repeated."
    )
    event_attempts: int = _setting(
        100, _integer(1, 10_000), "Attempts at telling the backend one event, until it becomes a dead letter."
    )
    event_retry_seconds: float = _setting(
        1.0,
        _number(0.05, 60, "seconds"),
        "Pause after the first failed attempt at an event; it doubles with each, up to 60 s.",
    )
    alert_min_kbps: int = _setting(
        0,
        _integer(0, 1_000_000),
        "Bitrate (kbit/s) of a publisher below which the backend is told. 0: never.",
    )
    alert_max_kbps: int = _setting(
        0,
        _integer(0, 1_000_000),
        "Bitrate (kbit/s) of a publisher above which the backend is told. 0: never.",
    )
    alert_min_fps: float = _setting(
        0.0, _number(0, 1000, "frames per second"), "Frame rate below which the backend is told. 0: never."
    )
    alert_max_keyframe_seconds: float = _setting(
        0.0, _number(0, 3600, "seconds"), "Keyframe interval above which the backend is told. 0: never."
    )
    alert_max_width: int = _setting(
        0, _integer(0, 16_384), "Width of a source above which the backend is told. 0: never."
    )
    alert_max_height: int = _setting(
        0, _integer(0, 16_384), "Height of a source above which the backend is told. 0: never."
    )
    node: str = _setting("", _HOST, "Name of this host in leases; empty takes the kernel's host name.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, source: str = "settings") -> Settings:
        """Checks `values` (keys = fields, values as YAML gives them) and returns the settings.

        Raises OperatorError (EX_CONFIG) naming `source`, the key, the value and what is allowed.
        """
        known = {item.name: item for item in fields(cls)}
        for key in values:
            if key not in known:
                raise _refusal(source, f"{key}: unknown setting", _did_you_mean(str(key), known))
        read: dict[str, Any] = {}
        for key, value in values.items():
            rule: Rule = known[key].metadata["rule"]
            try:
                read[key] = rule.read(value)
            except _RefusedValueError:
                seen = shorten(str(value))
                raise _refusal(source, f"{key}: {seen} is refused; allowed is {rule.allowed}") from None
        settings = cls(**read)
        if settings.container == "mpegts" and read.get("low_latency"):
            raise _refusal(
                source,
                "low_latency: True is refused together with container: mpegts, which has no parts; "
                "allowed is false, or leaving it out",
            )
        settings._check_together(source)
        return settings

    def _check_together(self, source: str) -> None:
        if self.part_seconds > self.segment_seconds:
            raise _refusal(
                source,
                f"part_seconds: {self.part_seconds:g} is refused; allowed is at most "
                f"segment_seconds ({self.segment_seconds:g})",
            )
        if self.rotation_seconds < self.segment_seconds:
            raise _refusal(
                source,
                f"rotation_seconds: {self.rotation_seconds:g} is refused; allowed is at least "
                f"segment_seconds ({self.segment_seconds:g})",
            )
        if self.callback_seconds * self.callback_attempts > CALLBACK_SECONDS:
            raise _refusal(
                source,
                f"callback_seconds: {self.callback_seconds:g} is refused; allowed is at most "
                f"{CALLBACK_SECONDS:g} together for all callback_attempts ({self.callback_attempts}), "
                "because nginx-rtmp waits ten seconds for a verdict",
            )
        if self.lease_seconds < 3 * self.reconcile_seconds:
            raise _refusal(
                source,
                f"lease_seconds: {self.lease_seconds:g} is refused; allowed is at least three times "
                f"reconcile_seconds ({self.reconcile_seconds:g}), so that one lost renewal ends no stream",
            )

    @classmethod
    def load(cls, path: Path = SETTINGS_FILE) -> Settings:
        """Reads and checks the YAML file `path`; an empty file gives the defaults.

        Raises OperatorError (EX_CONFIG) when it cannot be read, is no YAML mapping, repeats a
        key, or holds a value that its rule refuses.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise _refusal(str(path), f"cannot be read: {reason}") from None
        try:
            data = _UniqueKeyLoader(text).get_single_data()
        except yaml.YAMLError as error:
            raise _refusal(str(path), f"is not valid YAML: {' '.join(str(error).split())}") from None
        except ValueError as error:
            # PyYAML lets through what int() and date() say of a scalar that only looks like theirs.
            raise _refusal(str(path), f"holds a value that is none: {error}; quote it") from None
        except (AttributeError, KeyError):  # so it does for `!!timestamp x` and `!!bool x`
            raise _refusal(str(path), "holds a value that its !!tag does not fit") from None
        except RecursionError:
            raise _refusal(str(path), "is nested too deeply") from None
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise _refusal(str(path), "must be a mapping of settings, `key: value` on each line")
        return cls.from_mapping(data, source=str(path))


def describe() -> list[tuple[str, object, str, str]]:
    """Every setting as (name, default, allowed, help), in the file's order: for manuals and tests."""
    return [
        (item.name, item.default, item.metadata["rule"].allowed, item.metadata["help"])
        for item in fields(Settings)
    ]


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


def _did_you_mean(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else "known settings: " + ", ".join(known)


def _refusal(source: str, message: str, hint: str | None = None) -> OperatorError:
    return OperatorError(
        f"{source}: {message}",
        exit_code=EX_CONFIG,
        hint=hint or f"mend it, then try: {program()} control check-config {source}",
    )
