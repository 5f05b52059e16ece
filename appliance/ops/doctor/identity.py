"""Who the host says it is: its name, and the names in its certificate."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

import psutil
from cryptography import x509

from appliance.health.finding import Finding, warning
from appliance.ops.doctor.configuration import certificate_file

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.ops.doctor.host import Host


async def names(host: Host) -> list[Finding]:
    """The host knows its own name."""
    del host
    name = socket.gethostname()
    if await asyncio.to_thread(_addresses, name):
        return []
    why = "programs wait for the DNS, and addresses that commands print lead nowhere"
    mend = f"enter it in the DNS, or in /etc/hosts: 127.0.1.1 {name}"
    return [warning("the host does not know its own name", f"{name} does not resolve", why, mend)]


async def tls(host: Host) -> list[Finding]:
    """The certificate is an authority's, and for a name that leads here."""
    path = certificate_file(host)
    if path is None:
        return []
    try:
        found = x509.load_pem_x509_certificate(await asyncio.to_thread(path.read_bytes))
    except (OSError, ValueError):
        return []  # the check `certificate` says it
    return await asyncio.to_thread(_look_at, found, host.names)


def _look_at(found: x509.Certificate, known: Collection[str]) -> list[Finding]:
    local = {one.address for each in psutil.net_if_addrs().values() for one in each}
    own = {socket.gethostname(), socket.getfqdn(), *known}
    addresses = local.union(*map(_addresses, known)) - {"127.0.0.1", "::1"}
    leads = {name: _addresses(name) for name in dns_names(found) if not name.startswith("*")}
    return judge_names(found, own, addresses, leads)


def judge_names(
    found: x509.Certificate,
    own: Collection[str],
    addresses: Collection[str],
    resolved: dict[str, frozenset[str]],
) -> list[Finding]:
    """What is wrong with whom a certificate is for.

    Parameters
    ----------
    own, addresses
        Names and addresses of the host.
    resolved
        Where each name of the certificate leads.
    """
    findings = []
    mend = "name a certificate of an authority: delivery_tls_certificate, delivery_tls_key"
    if found.issuer == found.subject:
        findings.append(self_signed("the file that the host has names itself as its issuer", mend))
    listed = [*dns_names(found), *_ip_names(found)]
    fits = any(_matches(name, host) for name in dns_names(found) for host in own)
    fits = fits or bool(set(_ip_names(found)) & set(addresses))
    fits = fits or any(places & set(addresses) for places in resolved.values())
    if not fits:
        seen = f"it is for {', '.join(listed) or 'no name at all'}; the host is {', '.join(sorted(own))}"
        why = "players refuse a certificate for another name than the one they asked"
        mend = "have one made for the name that viewers use; where a balancer is: preflight_accepted: [tls]"
        findings.append(warning("the certificate is for another name", seen, why, mend))
    return findings


def self_signed(seen: str, mend: str) -> Finding:
    """The certificate is one that nobody vouches for, or will be: the inventory tells it beforehand."""
    why = "browsers and apps refuse HTTPS until somebody trusts it by hand"
    return warning("the certificate is self-signed", seen, why, mend)


def dns_names(found: x509.Certificate) -> list[str]:
    """The names that a certificate is for (RFC 6125: the subject's common name counts no more)."""
    listed = _alternatives(found)
    return [] if listed is None else listed.get_values_for_type(x509.DNSName)


def _ip_names(found: x509.Certificate) -> list[str]:
    listed = _alternatives(found)
    return [] if listed is None else [str(one) for one in listed.get_values_for_type(x509.IPAddress)]


def _alternatives(found: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _matches(pattern: str, name: str) -> bool:
    """Whether a name of a certificate is for `name`; `*` is the first label alone (RFC 6125, 6.4.3)."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return "." in name and pattern[2:] == name.partition(".")[2]
    return pattern == name


def _addresses(name: str) -> frozenset[str]:
    """Where a name leads; an address leads to itself."""
    try:
        return frozenset({str(ipaddress.ip_address(name))})
    except ValueError:
        pass
    try:
        return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(name, None))
    except (OSError, UnicodeError):
        return frozenset()
