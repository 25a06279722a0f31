"""Only plain paths below allowed prefixes, only public addresses or those that the connection names."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.catalog.outgoing import paths
from handrail.catalog.outgoing.addresses import parse_address, parse_networks, refusal
from handrail.catalog.outgoing.errors import InvalidRequest, NotAllowed
from runbooks.language import encodings

HOSTILE_PATHS = [
    "", "x", "//evil.example/x", "http://evil.example/", "/a//b", "/a/../b", "/a/..", "/./a", "/a/%2e%2e/b", "/%2E%2E",
    "/a/.%2e/b", "/a%2fb", "/a%5cb", "/a\\b", "/a%00b", "/a\x00b", "/a\r\nHost: x", "/a%0d%0aX: y", "/a b", "/a#b",
    "/a%", "/a%zz", "/%252e%252e/x", "/a%252fb", "/%25252e%25252e/", "/..;/admin", "/a/..;x=1/b", "/ä", "/%61dmin",
    "/a\tb", "/a\u2028b", "/a%7fb", "/\\evil.example", "/a@b/../c", "/{x}", "/a|b", "/a\"b", "/<a>",
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        paths.target_of(path, {})


@pytest.mark.parametrize("path", ["/a?x=\r\ny", "/a?x=a b", "/a?x=ä", "/a?x=%zz", "/a?x=#f"])
def test_a_query_that_is_not_encoded_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        paths.target_of(path, {})


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/", "/a/b.json", "/a;v=1/b", "/%C3%A4", "/a/100%25", "/a:b@c", "/..."]
)
def test_a_plain_path_is_sent_as_it_is(path: str) -> None:
    assert paths.target_of(path, {}) == path


@given(st.text(max_size=30))
def test_a_value_in_a_path_stays_one_segment_or_is_refused(value: str) -> None:
    target = "/weights/" + encodings.encode(encodings.URL_PATH, value, "/weights/") + "/eu-1"
    try:
        sent = paths.target_of(target, {})
    except InvalidRequest:
        return
    head, word, segment, tail = sent.split("/")
    assert (head, word, tail) == ("", "weights", "eu-1")
    assert unquote(segment) == value


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=4))
def test_query_values_cannot_add_parameters(query: dict[str, str]) -> None:
    target = paths.target_of("/x", query)
    assert target.isascii()
    assert target.count("&") == max(len(query) - 1, 0)
    assert not set(target) & set("# \r\n")


def test_a_prefix_allows_whole_segments_only() -> None:
    paths.check_allowed("/deploys", ["/deploys"])
    paths.check_allowed("/deploys/7", ["/deploys"])
    paths.check_allowed("/anything", [])
    for path in ("/deploys-of-others", "/Deploys", "/", "/x/deploys"):
        with pytest.raises(NotAllowed):
            paths.check_allowed(path, ["/deploys"])


HOSTILE_ADDRESSES = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "169.254.1.1", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "192.88.99.1", "198.18.0.1",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(parse_address(address), ()) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "172.32.0.1"])
def test_a_public_address_is_reached(address: str) -> None:
    assert refusal(parse_address(address), ()) is None


@given(st.ip_addresses())
def test_whatever_is_not_global_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert refusal(address, ()) is not None


def test_a_connection_reaches_the_networks_that_it_names() -> None:
    allowed = parse_networks(["10.1.2.0/24", "fd00::/8", "169.254.0.0/16"])
    assert refusal(parse_address("10.1.2.3"), allowed) is None
    assert refusal(parse_address("10.1.3.3"), allowed) == "private"
    assert refusal(parse_address("fd12::1"), allowed) is None
    assert refusal(parse_address("::ffff:10.1.2.3"), allowed) is not None


def test_a_metadata_service_must_be_named_alone() -> None:
    metadata = parse_address("169.254.169.254")
    assert refusal(metadata, parse_networks(["169.254.0.0/16"])) == "a cloud's metadata service"
    assert refusal(metadata, parse_networks(["169.254.169.254/32"])) is None
    assert refusal(parse_address("fd00:ec2::254"), parse_networks(["fd00::/8"])) is not None


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "10.0.0.1/8", "x", "", "127.0.0.1/33"]
)
def test_a_network_that_is_none_or_too_wide_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r"network|wide"):
        parse_networks([network])
