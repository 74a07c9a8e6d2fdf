"""Where nothing may be sent, in every spelling."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.core.addresses import host_of, ip_of, is_loopback, is_of, refuse_address, shown
from llmctl.core.errors import ConfigError

METADATA = [
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.169.254:8080",
    "user:word@169.254.169.254",
    "example.com@169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "0000251.254.169.254",
    "169.16689662",
    "169.254.43518",
    "0xa9.254.0251.254",
    "%31%36%39.254.169.254",
    "１６９.254.169.254",
    "①⑥⑨.254.169.254",
    "169。254。169。254",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fe80::a9fe:a9fe%25eth0]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "metadata.google.internal",
    "Metadata.Google.Internal.",
    "metadata",
    "metadata.goog",
    "instance-data",
]
LOOPBACK = [
    "127.0.0.1:8000",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "[::1]:1",
    "127.1",
    "2130706433",
    "0.0.0.0:1",
]


@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS"])
@pytest.mark.parametrize("host", METADATA)
def test_a_metadata_address_is_refused_in_every_spelling(host: str, scheme: str) -> None:
    """It hands the machine's own keys to whoever asks, and a profile may come with a cloned folder."""
    with pytest.raises(ConfigError, match="metadata"):
        refuse_address(f"{scheme}://{host}/latest/meta-data/", plain_http=(host,))


@pytest.mark.parametrize("host", LOOPBACK)
def test_plain_http_is_fine_on_this_machine(host: str) -> None:
    """Models on one's own machine speak http, and nothing leaves it."""
    refuse_address(f"http://{host}/v1")


@pytest.mark.parametrize(
    "host", ["example.com", "10.0.0.1", "192.168.1.7:8000", "[2001:db8::1]", "127.0.0.1.evil.com"]
)
def test_plain_http_elsewhere_needs_a_word(host: str) -> None:
    """Key and text would pass every router in the open."""
    with pytest.raises(ConfigError, match="in the open") as caught:
        refuse_address(f"http://{host}/v1")
    name = host_of(f"http://{host}")
    assert f"plain_http: [{name}]" in caught.value.hint
    refuse_address(f"http://{host}/v1", plain_http=(name,))
    refuse_address(f"https://{host}/v1")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}"]))
def test_numbers_are_read_as_the_system_reads_them(number: int, form: str) -> None:
    """A spelling that the system knows and the check does not is a way around it."""
    host = form.format(number)
    theirs = socket.inet_aton(host)
    ours = ip_of(host)
    assert ours is not None and ours.packed == theirs


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=5),
    st.lists(st.sampled_from(["{}", "0x{:x}", "0{:o}"]), min_size=5),
)
def test_parts_are_read_as_the_system_reads_them(parts: list[int], forms: list[str]) -> None:
    """One to four parts, each in its own base, the last one filling the rest."""
    host = ".".join(form.format(part) for form, part in zip(forms, parts, strict=False))
    try:
        theirs = struct.unpack("!I", socket.inet_aton(host))[0]
    except OSError:
        theirs = None
    ours = ip_of(host)
    assert (None if ours is None else int(ours)) == theirs


@pytest.mark.parametrize("port", ["99999", "http", "-1"])
def test_a_port_that_is_none(port: str) -> None:
    """It is told where it is written, not by whoever connects; in other addresses it may be a word."""
    with pytest.raises(ConfigError, match=r"h\.example: the address names no port"):
        refuse_address(f"https://me:word@h.example:{port}/v1")
    refuse_address("tgram://123456789:not-a-port/lead")


def test_names_that_only_look_like_it_pass() -> None:
    """A provider may be called as it likes."""
    for host in (
        "metadata.example.com",
        "169.254.169.254.example.com",
        "169-254-169-254.example.com",
        "api.openai.com",
    ):
        refuse_address(f"https://{host}/v1")


def test_beside_and_below() -> None:
    """A provider's key may go to its other regions, not to whoever has a similar name."""
    assert is_of("api.openai.com", "api.openai.com")
    assert is_of("eu.api.openai.com", "api.openai.com")
    assert is_of("eu.openai.com", "api.openai.com")
    assert not is_of("api.openai.com.evil.example", "api.openai.com")
    assert not is_of("evilopenai.com", "api.openai.com")
    assert not is_loopback("localhost.evil.com")


def test_an_address_is_shown_without_its_password() -> None:
    """It is in a message that somebody pastes somewhere."""
    assert shown("https://me:word@h.example:1/v1?key=x") == "https://h.example:1/v1"
