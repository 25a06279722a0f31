"""Which addresses may be reached: public ones, and what the connection names itself. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google, Azure, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "fd00:ec2::254",  # AWS over IPv6
        "fd00:ec2::23",  # AWS EKS pod identity over IPv6
        "100.100.100.200",  # Alibaba Cloud
        "192.0.0.192",  # Oracle Cloud, classic
        "168.63.129.16",  # Azure's wire server: a public address that only virtual machines can reach
    )
)
"""Addresses that hand out credentials: a connection must name each of them alone (``/32``, ``/128``)."""

_REFUSED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared (carrier-grade NAT)"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.88.99.0/24", "reserved (6to4 relay)"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "reserved (benchmarks)"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "this host"),
    ("::1/128", "loopback"),
    ("::/96", "an IPv4 address inside of IPv6"),
    ("::ffff:0:0/96", "an IPv4 address inside of IPv6"),
    ("::ffff:0:0:0/96", "an IPv4 address inside of IPv6"),
    ("64:ff9b::/96", "an IPv4 address inside of IPv6 (NAT64)"),
    ("64:ff9b:1::/48", "an IPv4 address inside of IPv6 (NAT64)"),
    ("2001::/32", "an IPv4 address inside of IPv6 (Teredo)"),
    ("2002::/16", "an IPv4 address inside of IPv6 (6to4)"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private (site-local)"),
    ("ff00::/8", "multicast"),
)
REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(text), reason) for text, reason in _REFUSED
)
"""What is refused unless the connection names it: IANA's special-purpose registries, in our words."""

WIDEST = {4: 8, 6: 7}
"""The shortest prefix that ``allowed_networks`` may have: nobody allows everything by accident."""


def parse_address(text: str) -> Address:
    """An address as a resolver gives it; a zone such as ``%eth0`` says nothing about what it is."""
    return ipaddress.ip_address(text.partition("%")[0])


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of a connection. ValueError, with a message for its author, on the first bad one."""
    networks: list[Network] = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(
                f"{text!r} is not a network: {error}. Write it like 10.1.2.0/24 or fd00::/64."
            ) from None
        if network.prefixlen < WIDEST[network.version]:
            raise ValueError(f"{text!r} is too wide: allow at most a /{WIDEST[network.version]}.")
        networks.append(network)
    return tuple(networks)


def refusal(address: Address, allowed: Iterable[Network]) -> str | None:
    """Why the address may not be reached, in words; None when it may."""
    for network in allowed:
        if address.version == network.version and address in network:
            if address in METADATA and network.num_addresses > 1:
                continue
            return None
    if address in METADATA:
        return "a cloud's metadata service"
    for refused, reason in REFUSED:
        if address.version == refused.version and address in refused:
            return reason
    return None if address.is_global else "reserved"
