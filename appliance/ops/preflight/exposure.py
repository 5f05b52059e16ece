"""Who gets in: who may publish, who may watch, over which lines."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning
from appliance.ops.doctor.identity import self_signed

if TYPE_CHECKING:
    from appliance.ops.preflight.planned import Planned

_KNOWN_NAMES: Final = frozenset({
    "concert", "demo", "event", "example", "key", "live", "mystream", "obs", "stream", "stream1",
    "stream_key", "streamkey", "studio-2", "test", "test1", "test_stream",
})  # fmt: skip
"""Stream names that everybody tries: this project's own examples, and those of nginx-rtmp's tutorials."""

_EVERYBODY: Final = frozenset({"0.0.0.0/0", "::/0", "all"})


def stream_keys(planned: Planned) -> list[Finding]:
    """Who knows no key may not publish."""
    names = planned.items("control_allowed_stream_keys") if planned.is_origin else []
    known = [name for name in names if name.lower() in _KNOWN_NAMES]
    mend = (
        "take the names out of control_allowed_stream_keys (ALLOWED_STREAM_KEYS); on the host: "
        "appliance streams register NAME; appliance streams keys add NAME"
    )
    if known:
        seen = f"control_allowed_stream_keys has {', '.join(known)}"
        why = "whoever tries the names of the documentation publishes"
        return [critical("stream names that everybody knows may be published", seen, why, mend)]
    if names:
        seen = f"control_allowed_stream_keys has {len(names)} name{'s' if len(names) > 1 else ''}"
        why = "whoever learns a name publishes, and the name stands in every viewer's address"
        return [warning("streams may be published without a key", seen, why, mend)]
    return []


def viewers(planned: Planned) -> list[Finding]:
    """Somebody decides who may watch."""
    if not planned.is_origin or planned.settings.view_policy != "open" or planned.on("delivery_view_auth"):
        return []
    seen = "view_policy is open, and delivery asks nobody"
    why = "whoever has an address watches, and may pass it on"
    mend = "view_policy: token (or backend) in control_settings; meant so: preflight_accepted: [viewers]"
    return [warning("everybody may watch", seen, why, mend)]


def encryption(planned: Planned) -> list[Finding]:
    """Segments are encrypted."""
    if not planned.is_origin or planned.settings.encryption != "none":
        return []
    why = "segments are given to everybody, as they are taken for ciphertext"
    mend = "take encryption out of control_settings"
    return [critical("the media is not encrypted", "encryption is none; allowed is aes-128", why, mend)]


def rtmp(planned: Planned) -> list[Finding]:
    """Encoders do not send their keys in the clear over the internet."""
    port = planned.text("ingest_rtmp_port")
    address = _public(planned.address) if planned.is_origin else ""
    if not address:
        return []
    return [
        warning(
            "RTMP without TLS on a public address",
            f"{address} port {port}; ingest speaks no RTMPS",
            "whoever is on the line reads the stream keys and the pictures",
            "let encoders in through a private network or a VPN alone: take the port out of "
            "firewall_tcp_ports, and name their networks in firewall_extra_rules",
        )
    ]


def tls(planned: Planned) -> list[Finding]:
    """Viewers get HTTPS, with a certificate that they trust."""
    if not planned.is_origin:
        return []
    mend = "name a certificate of an authority: delivery_tls_certificate, delivery_tls_key"
    if not planned.on("delivery_tls"):
        why = "view tokens and API tokens can be read on the way, and pages with HTTPS play no stream"
        return [warning("viewers get no HTTPS", "delivery_tls is false", why, f"delivery_tls: true; {mend}")]
    if not planned.text("delivery_tls_certificate"):
        return [self_signed("delivery_tls_certificate is empty: the host makes one", mend)]
    return []


def operators(planned: Planned) -> list[Finding]:
    """What is for operators and programs is not for everybody."""
    findings = []
    for name, what in (
        ("delivery_operator_networks", "/stat, /metrics and /streams: addresses, streams, load"),
        ("delivery_api_networks", "/api/v1 is kept by its tokens alone"),
    ):
        wide = [network for network in planned.items(name) if network in _EVERYBODY]
        if planned.is_origin and wide:
            mend = f"name the networks of your operators in {name}"
            seen = f"{name} has {', '.join(wide)}"
            findings.append(warning("what is for operators is open to everybody", seen, what, mend))
    return findings


def backend(planned: Planned) -> list[Finding]:
    """The backend is asked over HTTPS."""
    url = planned.text("control_http_callback_url") if planned.is_origin else ""
    if not url.startswith("http://"):
        return []
    why = "whoever is on the line reads stream names, addresses and verdicts, or answers in its place"
    mend = "control_http_callback_url: https://…; a backend on the same host may stay as it is"
    host = url.removeprefix("http://").partition("/")[0]
    if host.partition(":")[0] in {"localhost", "127.0.0.1"} or host.startswith("[::1]"):
        return []
    return [warning("the backend is asked without TLS", f"http://{host}", why, mend)]


def names(planned: Planned) -> list[Finding]:
    """The host's name resolves."""
    address = planned.address
    if not address:
        return []
    try:
        socket.getaddrinfo(address, None)
    except OSError as error:
        seen = f"{address}: {error.strerror or error}"
        why = "neither Ansible nor encoders and viewers get there by it"
        mend = "enter it in the DNS, or give ansible_host an address"
        return [critical("the host's name does not resolve", seen, why, mend)]
    return []


def _public(name: str) -> str:
    """An address of `name` that everybody reaches; empty when there is none, or the name is not known."""
    if not name:
        return ""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(name, None)]
    except OSError:
        return ""  # the check `names` says it
    return next((one for one in found if ipaddress.ip_address(one.partition("%")[0]).is_global), "")
