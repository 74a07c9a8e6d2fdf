"""Where nothing may be sent: a cloud's metadata service, and plain http beyond this machine.

A metadata service hands out the machine's own keys to whoever asks it, so no spelling of its address
passes: decimal, hexadecimal, octal, short, IPv6 around IPv4, with a dot behind, percent-encoded, in
other digits, or a name that leads there (looked at when it is resolved).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING

from llmctl.core.errors import ConfigError, ForbiddenAddress

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
    from urllib.parse import SplitResult

    Address = IPv4Address | IPv6Address

_NETWORKS = (
    "169.254.0.0/16",  # link-local: AWS, Azure, Google, Oracle, IBM, OpenStack, DigitalOcean, Tencent
    "fe80::/10",
    "100.100.100.200/32",  # Alibaba
    "192.0.0.192/32",  # Oracle
    "168.63.129.16/32",  # Azure's wire server
    "fd00:ec2::/32",  # AWS
    "fd20:ce::/32",  # Google
    "fd00:42::/32",  # Scaleway
)
_NAMES = frozenset((
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
    "metadata.tencentyun.com", "metadata.platformequinix.com", "metadata.packet.net", "rancher-metadata",
))  # fmt: skip
_UNRESOLVABLE = ("invalid", "test", "example")
"""Reserved (RFC 6761): no public DNS answers for them."""


def host_of(url: str) -> str:
    """The host of a URL in its plain form: lower case, without brackets, zone, user, port or last dot."""
    import unicodedata
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(url.strip().replace("\\", "/"))
        host = parts.hostname or ""
    except ValueError:  # a bracket too many
        raise ConfigError("an address that cannot be read", hint="write https://HOST/…") from None
    if parts.scheme in ("http", "https"):  # of other services it may be a password that stands there
        _port(parts, host)
    host = unicodedata.normalize("NFKC", unquote(host)).replace("。", ".")
    return host.partition("%")[0].strip("[] \t").rstrip(".").lower()


def _port(parts: SplitResult, host: str) -> None:
    """ConfigError where there is no such port: nobody would find it out but whoever connects."""
    try:
        _ = parts.port
    except ValueError:
        raise ConfigError(
            f"{host}: the address names no port that there is", hint="ports are 1 to 65535"
        ) from None


def refuse_address(url: str, plain_http: Collection[str] = ()) -> None:
    """ForbiddenAddress where `url` may not be asked; http:// may lead to loopback and `plain_http` alone.

    A name's own addresses are judged later, by `refuse_resolved`.
    """
    host = host_of(url)
    if host in _NAMES or is_metadata(host):
        raise ForbiddenAddress(
            f"{shown(url)} is a cloud's metadata address, which hands out this machine's keys",
            hint="no request goes there; write the provider's address",
        )
    if url.strip().lower().startswith("http:") and not may_be_plain(host, plain_http):
        raise unencrypted(host)


def refuse_resolved(host: str, addresses: Collection[str], *, plain: bool = False) -> None:
    """ForbiddenAddress where a name leads to a metadata address, or with `plain` off this machine."""
    if any(map(is_metadata, addresses)):
        raise ForbiddenAddress(
            f"{host} leads to a cloud's metadata address, which hands out this machine's keys",
            hint="no request goes there; look at api_base and the DNS",
        )
    if plain and not all(map(is_loopback, addresses)):
        raise unencrypted(host)


def unencrypted(host: str) -> ForbiddenAddress:
    return ForbiddenAddress(
        f"http:// to {host} would send key and text in the open",
        hint=f"write https://, or allow it in the profile: plain_http: [{host}]",
    )


def may_be_plain(host: str, plain_http: Collection[str]) -> bool:
    """Whether http:// to the host may be tried; names that only this network knows are judged resolved."""
    if is_loopback(host) or host in {name.strip("[]").lower() for name in plain_http}:
        return True
    return ip_of(host) is None and ("." not in host or host.rpartition(".")[2] in _UNRESOLVABLE)


def is_loopback(host: str) -> bool:
    """This machine: localhost and its subdomains, 127.0.0.0/8, ::1, and 0.0.0.0, which leads there."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = ip_of(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def is_of(host: str, home: str) -> bool:
    """Whether the host is a provider's usual one or one beside or below it, as eu.api.openai.com is."""
    around = home.removeprefix("api.")
    return host == around or host.endswith("." + around)


def is_metadata(host: str) -> bool:
    """Whether a host, written as an address, is a metadata service's (or any link-local one)."""
    address = ip_of(host)
    return address is not None and any(address in network for network in _networks(address.version))


@cache
def _networks(version: int) -> tuple[IPv4Network | IPv6Network, ...]:
    from ipaddress import ip_network

    return tuple(network for network in map(ip_network, _NETWORKS) if network.version == version)


def ip_of(host: str) -> Address | None:
    """The address that a host is, in any spelling that a resolver takes; None for a name.

    IPv6 that wraps an IPv4 address (mapped, compatible, 6to4, NAT64) is that IPv4 address.
    """
    if ":" not in host:
        return _v4(host)
    from ipaddress import IPv4Address, IPv6Address

    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return None
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and int(address) >> 32 in (0, 0x0064FF9B << 64) and int(address) > 1:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


_PART = re.compile(r"0x[0-9a-f]{0,16}|[0-9]{1,32}")


def _v4(host: str) -> IPv4Address | None:
    """As inet_aton(3) reads it: one to four parts, decimal, 0x… or 0…, the last one fills the rest."""
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_PART.fullmatch, parts)):
        return None
    from ipaddress import IPv4Address

    try:
        *first, last = (int(part, _base(part)) if part != "0x" else 0 for part in parts)
    except ValueError:  # 08 is no octal number
        return None
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return IPv4Address(last + sum(number << 8 * (3 - n) for n, number in enumerate(first)))


def _base(part: str) -> int:
    return 16 if part.startswith("0x") else 8 if part.startswith("0") and len(part) > 1 else 10


def shown(url: str) -> str:
    """The address as messages may show it: without user, password and query."""
    from urllib.parse import urlsplit

    parts = urlsplit(url.strip())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
