"""Whom an address stands for: of IPv6 the network of 64 bits, as that is what one subscriber has."""

from __future__ import annotations

import ipaddress


def subject(address: str) -> str | None:
    """Returns who is counted for what `address` does; None for this host, and for what is no address."""
    try:
        read = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return None
    if read.is_loopback:
        return None
    if read.version == 4:
        return str(read.network_address)
    mapped = ipaddress.IPv6Address(read.network_address).ipv4_mapped
    return str(mapped) if mapped else str(read.supernet(new_prefix=min(64, read.prefixlen)))
