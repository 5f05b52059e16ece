"""The settings of a streaming host: `/etc/appliance/appliance.yml`, flat keys, no secrets.

Each field of `Settings` is one key of the file. The field's metadata is its manual (`help`) and its
check (`rule`, from `appliance.setting_rules`); nothing else in the code knows a default or a limit. What two
of them must not say together stands in `appliance.settings_together`. Secrets are not settings: they are
systemd credentials, see `appliance.secrets`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from appliance.names import shorten
from appliance.setting_rules import (
    BOOL,
    CALLBACK_URL,
    DELIVERY_URL,
    HOST,
    HTTP,
    LADDER,
    LAST_PORT,
    NAMES,
    PATH,
    RTMP,
    SOURCE,
    RefusedValueError,
    Rule,
    integer,
    number,
    one_of,
)
from appliance.settings_file import read_mapping, refusal
from appliance.settings_together import QUESTION_SECONDS, contradiction

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_GRACE_SECONDS: Final = 7_776_000
"""How long a webhook secret of before may go on: 90 days."""

SETTINGS_FILE: Final = Path("/etc/appliance/appliance.yml")
"""Where the role `control` writes the file and where every command looks for it."""

EncoderPreference = Literal["auto", "nvenc", "x264"]
"""Which encoder a host uses; auto finds out what works."""

ViewPolicyName = Literal["open", "token", "backend"]
"""Who may watch: everybody, who has a signed token, or whom the backend lets in."""

Container = Literal["fmp4", "mpegts"]
"""What media segments are: fragmented MPEG-4, or MPEG-2 Transport Streams (RFC 8216, section 3)."""


def _setting(default: Any, rule: Rule, text: str) -> Any:
    return field(default=default, metadata={"rule": rule, "help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set on a streaming host. Times are seconds."""

    allowed_stream_keys: tuple[str, ...] = _setting(
        (),
        NAMES,
        "Stream names that may be published without a key, while nobody registers them (simple mode).",
    )
    publish_failures: int = _setting(
        30,
        integer(0, 10_000),
        "Refused publishes within a minute after which an address is banned; 0: never.",
    )
    publish_attempts: int = _setting(
        300,
        integer(0, 100_000),
        "Publishes of one address within a minute beyond which none is looked at; 0: no bound.",
    )
    ban_seconds: float = _setting(
        300.0, number(1, 86_400, "seconds"), "How long an address stays banned after that."
    )
    control_url: str = _setting(
        "http://127.0.0.1:8000", HTTP, "Where this host's own programs reach the control service."
    )
    ingest_url: str = _setting("rtmp://127.0.0.1:1935/live", RTMP, "Where the streams are read from.")
    stat_url: str = _setting("http://127.0.0.1:8081/stat", HTTP, "Statistics (XML) of the ingest nginx.")
    ingest_control_socket: str = _setting(
        "/run/appliance-ingest/control.sock", PATH, "Unix socket on which the ingest nginx drops publishers."
    )
    delivery_port: int = _setting(
        8080, integer(1, LAST_PORT), "Port of HTTP delivery, which the host's own programs look at."
    )
    delivery_url: str = _setting(
        "", DELIVERY_URL, "Where viewers reach this host, for the addresses that commands print."
    )
    delivery_tls_port: int = _setting(
        0, integer(0, LAST_PORT), "Port of HTTPS delivery, whose certificate /metrics tells of; 0: none."
    )
    delivery_proxy_protocol: bool = _setting(
        False, BOOL, "Whether who connects to delivery begins with the PROXY protocol."
    )
    valkey_socket: str = _setting("/run/valkey/valkey.sock", PATH, "Unix socket of Valkey.")
    media_root: str = _setting("/srv/hls", PATH, "Directory (tmpfs) of playlists and segments.")
    ladder: str = _setting("default", LADDER, "Ladder of renditions: /etc/appliance/ladders/NAME.yml.")
    encoder: EncoderPreference = _setting(  # noqa: RUF009 - a dataclasses.field, as the others are
        "auto",
        one_of(*get_args(EncoderPreference)),
        "Video encoder; auto tries NVENC and takes it where it encodes a picture, else x264. With nvenc no "
        "stream is encoded on a host whose NVENC does not work. The role nvidia brings the driver.",
    )
    copy_source: Literal["auto", "never"] = _setting(
        "auto", one_of("auto", "never"), "Whether a source that fits the top rung is copied, not encoded."
    )
    drop_slow_rungs: bool = _setting(
        True, BOOL, "Whether the largest encoded rung is given up when encoding is slower than real time."
    )
    admission: Literal["measured", "off"] = _setting(
        "measured",
        one_of("measured", "off"),
        "Whether a publish is refused (503) whose stream would not be encoded in real time beside those that "
        "run, as `appliance cpu probe` and `appliance gpu probe` have measured. off, and measured before "
        "anything was: everybody is let in, and a host that is too slow gives up rungs.",
    )
    admission_source: str = _setting(
        "1920x1080@30",
        SOURCE,
        "What a stream counts as, every rung of its ladder encoded, until its process says what it runs: the "
        "largest source that publishers send. Limits that a stream is registered with stand for their part.",
    )
    admission_headroom: float = _setting(
        0.2,
        number(0, 0.9, "parts of one"),
        "Share of the measured capacity that is given to no stream: for packaging and delivery, and for "
        "pictures that are dearer than the probe's.",
    )
    capacity_file: str = _setting(
        "/var/lib/appliance/capacity.json", PATH, "What this host carries, as the probes have measured it."
    )
    container: Container = _setting(  # noqa: RUF009 - a dataclasses.field, as the others are
        "fmp4",
        one_of(*get_args(Container)),
        "Format of media segments. mpegts is for devices that know no fragmented MP4: each rung's segments "
        "hold the sound too, and there are no parts, as with low_latency: false.",
    )
    segment_seconds: float = _setting(2.0, number(1, 10, "seconds"), "Length of a media segment.")
    low_latency: bool = _setting(
        True, BOOL, "Whether playlists list parts of the newest segments, for players that can use them."
    )
    # 21 hundredths hold whole frames of every rate in use from 15 to 120 a second, and are filled by them to
    # 85 % at least, as parts have to be. Measured beside 26: 0.06 s less from encoder to screen.
    part_seconds: float = _setting(0.21, number(0.1, 2, "seconds"), "Longest low-latency part (PART-TARGET).")
    audio_only_variant: bool = _setting(
        True, BOOL, "Whether viewers whose network is too slow for any picture are offered the sound alone."
    )
    # RFC 8216bis and Apple's authoring specification: a live playlist holds at least six segments. It is
    # written anew with each part: packaging with 300 costs twice what it does with 10.
    window_segments: int = _setting(10, integer(6, 300), "Segments a live playlist lists.")
    grace_seconds: float = _setting(
        30.0, number(0, 3600, "seconds"), "How long a stream waits for a publisher that left."
    )
    retain_seconds: float = _setting(
        60.0, number(0, 86_400, "seconds"), "How long an ended stream's files stay for its last viewers."
    )
    encryption: Literal["aes-128", "none"] = _setting(
        "aes-128", one_of("aes-128", "none"), "Encryption of segments; none is for debugging."
    )
    rotation_seconds: float = _setting(
        300.0, number(10, 86_400, "seconds"), "Age at which a content key is replaced."
    )
    lease_seconds: float = _setting(
        30.0, number(10, 600, "seconds"), "Life of a publish lease that nobody renews."
    )
    reconcile_seconds: float = _setting(
        3.0, number(0.5, 60, "seconds"), "Pause between two comparisons of leases, units and /stat."
    )
    reader_wait_seconds: float = _setting(
        2.0, number(0, 8, "seconds"), "Longest wait of a publish for the stream's own reader."
    )
    rtmp_play: bool = _setting(
        False,
        BOOL,
        "Whether others than the stream's own reader may play over RTMP (unencrypted), "
        "where neither a token nor an entitlement is needed to watch.",
    )
    view_policy: ViewPolicyName = _setting(  # noqa: RUF009 - a dataclasses.field, as the others are
        "open",
        one_of(*get_args(ViewPolicyName)),
        "Who may watch a stream that was registered without --view: open is everybody, token who has a "
        "signed view token (`appliance tokens issue`), backend whom the backend lets in.",
    )
    delivery_view_auth: bool = _setting(
        False,
        BOOL,
        "Whether delivery asks this service who may watch; only then may single streams be other than open.",
    )
    view_needs_entitlement: bool = _setting(
        False,
        BOOL,
        "Whether a view token has to name what was paid for (claim ent); without it the answer is 402.",
    )
    view_token_max_seconds: float = _setting(
        86_400.0, number(60, 2_592_000, "seconds"), "How far ahead the end of a view token may be."
    )
    view_sessions_per_viewer: int = _setting(
        0,
        integer(0, 1000),
        "How often one viewer may watch at once, on all hosts together; 0 is without a limit. A viewer who "
        "stopped counts for 30 s more. Without Valkey nobody is counted, or turned away for it. The backend "
        "may answer another number (max_sessions).",
    )
    http_callback_url: str = _setting(
        "",
        CALLBACK_URL,
        "Where the backend is asked (URL/auth/publish, URL/auth/play) and told (URL/events). Empty: none.",
    )
    callback_form: Literal["form", "json"] = _setting(
        "form", one_of("form", "json"), "How questions to the backend are written; events are always JSON."
    )
    callback_seconds: float = _setting(
        2.0,
        number(0.1, QUESTION_SECONDS, "seconds"),
        "Time limit of one attempt to ask or tell the backend.",
    )
    callback_attempts: int = _setting(
        2, integer(1, 10), "Attempts at one question, until the backend counts as silent."
    )
    callback_when_silent: Literal["refuse", "last-known"] = _setting(
        "refuse",
        one_of("refuse", "last-known"),
        "Verdict when the backend is silent; last-known repeats its last one: about the stream to a "
        "publisher, the address to an RTMP player, the session, page and entitlement to a viewer.",
    )
    callback_last_known_seconds: float = _setting(
        3600.0, number(1, 604_800, "seconds"), "How old a verdict may be that is repeated."
    )
    # Added to what delivery remembers: so long does a viewer watch on whom the backend would refuse.
    callback_view_seconds: float = _setting(
        15.0,
        number(1, 3600, "seconds"),
        "How long the backend's yes to a viewer holds, where the view policy is backend.",
    )
    event_attempts: int = _setting(
        100, integer(1, 10_000), "Attempts at telling the backend one event, until it becomes a dead letter."
    )
    event_retry_seconds: float = _setting(
        1.0,
        number(0.05, 60, "seconds"),
        "Pause after the first failed attempt at an event; it doubles with each, up to 60 s.",
    )
    webhook_secret_grace_seconds: float = _setting(
        604_800.0,
        number(0, LONGEST_GRACE_SECONDS, "seconds"),
        "How long requests to the backend are signed with the webhook secret of before, beside the new one.",
    )
    internal_secret_grace_seconds: float = _setting(
        3600.0,
        number(60, 86_400, "seconds"),
        "How long a replaced secret between this host's own parts is good. The keys of view tokens are good "
        "for view_token_max_seconds, so that no token ends early.",
    )
    alert_min_kbps: int = _setting(
        0,
        integer(0, 1_000_000),
        "Bitrate (kbit/s) of a publisher below which the backend is told. 0: never.",
    )
    alert_max_kbps: int = _setting(
        0,
        integer(0, 1_000_000),
        "Bitrate (kbit/s) of a publisher above which the backend is told. 0: never.",
    )
    alert_min_fps: float = _setting(
        0.0, number(0, 1000, "frames per second"), "Frame rate below which the backend is told. 0: never."
    )
    alert_max_keyframe_seconds: float = _setting(
        0.0, number(0, 3600, "seconds"), "Keyframe interval above which the backend is told. 0: never."
    )
    alert_max_width: int = _setting(
        0, integer(0, 16_384), "Width of a source above which the backend is told. 0: never."
    )
    alert_max_height: int = _setting(
        0, integer(0, 16_384), "Height of a source above which the backend is told. 0: never."
    )
    dashboard: bool = _setting(
        True, BOOL, "Whether this service answers for the dashboard, and tells the other hosts of this one."
    )
    dashboard_idle_seconds: float = _setting(
        3600.0,
        number(60, 604_800, "seconds"),
        "How long an operator who does nothing on the dashboard stays signed in; it shows news by itself.",
    )
    dashboard_session_seconds: float = _setting(
        43_200.0, number(60, 2_592_000, "seconds"), "How long an operator stays signed in at most."
    )
    node: str = _setting("", HOST, "Name of this host in leases; empty takes the kernel's host name.")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, source: str = "settings") -> Settings:
        """Checks `values` (keys = fields, values as YAML gives them) and returns the settings.

        Raises OperatorError (EX_CONFIG) naming `source`, the key, the value and what is allowed.
        """
        known = {item.name: item for item in fields(cls)}
        for key in values:
            if key not in known:
                raise refusal(source, f"{key}: unknown setting", _did_you_mean(str(key), known))
        read: dict[str, Any] = {}
        for key, value in values.items():
            rule: Rule = known[key].metadata["rule"]
            try:
                read[key] = rule.read(value)
            except RefusedValueError:
                seen = shorten(str(value))
                raise refusal(source, f"{key}: {seen} is refused; allowed is {rule.allowed}") from None
        settings = cls(**read)
        if (text := contradiction(settings, given=read)) is not None:
            raise refusal(source, text)
        return settings

    @classmethod
    def load(cls, path: Path = SETTINGS_FILE) -> Settings:
        """Reads and checks the YAML file `path`; an empty file gives the defaults.

        Raises OperatorError (EX_CONFIG) when it cannot be read, is no YAML mapping, repeats a
        key, or holds a value that its rule refuses.
        """
        settings = cls.from_mapping(read_mapping(path), source=str(path))
        # Here alone: what an inventory sets of the settings does not have the backend's address.
        if settings.view_policy == "backend" and not settings.http_callback_url:
            raise refusal(
                str(path),
                "view_policy: backend is refused, as there is none to be asked; allowed: open, token, or an "
                "http_callback_url beside it",
            )
        return settings


def describe() -> list[tuple[str, object, str, str]]:
    """Every setting as (name, default, allowed, help), in the file's order: for manuals and tests."""
    return [
        (item.name, item.default, item.metadata["rule"].allowed, item.metadata["help"])
        for item in fields(Settings)
    ]


def _did_you_mean(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else "known settings: " + ", ".join(known)
