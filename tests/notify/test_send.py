"""Messages reach a real receiver once, signed, and no failure gets further than a sentence."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from llmctl.core.errors import ConfigError, ForbiddenAddress
from llmctl.notify import destination as sending
from llmctl.notify.destination import destination, send, shown
from llmctl.notify.message import Message

from .receiver import Receiver, receiving

HOSTILE = "<script>alert(1)</script> <@U1> \x1b[31m\u202e & [/x] 🙂"
MESSAGE = Message("m-1", "alert.firing", 1_700_000_000.0, "title", HOSTILE, {"value": 0.5})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between attempts are time, which tests may shorten."""
    monkeypatch.setattr(sending, "PAUSES_S", (0.01, 0.01, 0.01))


def plain(item: str, value: str = "") -> sending.Destination:
    return destination(item, lambda reference: value)


def sent(item: str, value: str = "", key: str | None = None, seconds: float = 10) -> str | None:
    return send(plain(item, value), MESSAGE, key, time.monotonic() + seconds)


@pytest.mark.parametrize("key", ["word", "whsec_" + base64.b64encode(b"raw key").decode()])
def test_the_signature_is_that_of_standard_webhooks(receiver: Receiver, key: str) -> None:
    """A receiver checks it with its library, from the three headers and the body alone."""
    assert sent(receiver.url, key=key) is None
    (heard,) = receiver.taken
    raw = b"raw key" if key.startswith("whsec_") else key.encode()
    stamp, id = heard.headers["webhook-timestamp"], heard.headers["webhook-id"]
    expected = hmac.new(raw, f"{id}.{stamp}.".encode() + heard.body, "sha256").digest()
    assert heard.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert abs(int(stamp) - time.time()) < 600
    assert id == json.loads(heard.body)["id"] == "m-1"


def test_without_a_key_nothing_pretends_to_be_signed(receiver: Receiver) -> None:
    """A signature by an empty key would be worse than none."""
    assert sent(receiver.url) is None
    assert "webhook-signature" not in receiver.taken[0].headers


def test_half_a_sign_in_a_name(receiver: Receiver) -> None:
    """JSON can say it, UTF-8 cannot."""
    message = Message("m", "alert.firing", 0.0, "t", "x \ud800", {"name": "\ud800"})
    assert send(plain(receiver.url), message, None, time.monotonic() + 10) is None
    assert json.loads(receiver.taken[0].body)["data"]["name"] == "\ud800"


@pytest.mark.parametrize("statuses", [[500, 503], [429, 408]])
def test_a_receiver_that_fails_is_tried_again(receiver: Receiver, statuses: list[int]) -> None:
    """Two failures in a row are weather; the message is the same each time."""
    receiver.statuses = list(statuses)
    assert sent(receiver.url) is None
    ids = {each.headers["webhook-id"] for each in [*receiver.refused, *receiver.taken]}
    assert (len(receiver.refused), len(receiver.taken), len(ids)) == (2, 1, 1)


def test_a_receiver_that_refuses_is_asked_once(receiver: Receiver) -> None:
    """404 stays 404."""
    receiver.statuses = [404, 200]
    assert sent(receiver.url) == "status 404"
    assert not receiver.taken


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """What is meant for one address goes to no other."""
    receiver.statuses, receiver.location = [307], receiver.url
    assert sent(receiver.url) == "status 307"
    assert not receiver.taken


def test_nobody_there_and_nobody_answering() -> None:
    """Both end in time, in a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        assert sent(f"http://127.0.0.1:{port}/", seconds=0.5) == "no answer in time"
        assert time.monotonic() - began < 5
    assert "refused" in (sent(f"http://127.0.0.1:{port}/") or "").lower()


def test_a_receiver_that_trickles() -> None:
    """A byte now and then is no answer either."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                for _ in range(100):
                    connection.send(b"H")
                    time.sleep(0.1)

        Thread(target=trickle, daemon=True).start()
        began = time.monotonic()
        assert sent(f"http://127.0.0.1:{server.getsockname()[1]}/", seconds=0.5) == "no answer in time"
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("slack+{url}", ""),
        ("env:SLACK_WEBHOOK", "{url}"),
        ("env:HOOK", "slack+{url}"),
        ("slack+env:X", "{url}"),
    ],
)
def test_slack_gets_its_own_form(receiver: Receiver, item: str, value: str) -> None:
    """Only `text`, its three signs written out: a model's name is no mention and no link."""
    assert sent(item.format(url=receiver.url), value.format(url=receiver.url)) is None
    body = json.loads(receiver.taken[0].body)
    assert list(body) == ["text"]
    assert body["text"].startswith("&lt;script&gt;alert(1)&lt;/script&gt; &lt;@U1&gt;")
    assert body["text"].isprintable()


def test_the_real_slack_is_known_by_its_host() -> None:
    """Nobody should have to say so."""
    assert plain("https://hooks.slack.com/services/T/B/x").kind == "slack"
    assert plain("https://example.com/hook").kind == "webhook"


def test_apprise_takes_what_is_no_web_address(receiver: Receiver) -> None:
    """By its own JSON scheme, so that a real receiver sees it."""
    assert sent(f"json://127.0.0.1:{receiver.port}/x") is None
    body = json.loads(receiver.taken[0].body)
    assert body["title"] == "title"
    assert "<script>" in body["message"]


def test_apprise_says_what_it_does_not_know(capfd: pytest.CaptureFixture[str]) -> None:
    """In our words: its own log would put the address on stderr."""
    assert "does not know" in (sent("nonsense://token-in-here") or "")
    assert capfd.readouterr().err == ""


def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that installs it is the remedy."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert "notify" in (sent("json://127.0.0.1/x") or "")


@pytest.mark.parametrize("item", ["nowhere", "https://", "http://[::1", ""])
def test_what_is_no_address(item: str) -> None:
    """A slip of the pen, told before anything is sent."""
    with pytest.raises(ConfigError, match="not an address"):
        plain(item)


def test_what_is_shown_holds_no_secret(tmp_path: Path) -> None:
    """The path of a webhook is its password."""
    assert shown("https://u:p@hooks.example/services/secret?token=x") == "https://hooks.example"
    assert shown("slack+env:HOOK") == "slack+env:HOOK"
    assert shown("tgram://token/chat") == "tgram://…"
    assert "secret" not in plain("env:HOOK", "https://hooks.example/secret").shown


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "https://metadata.google.internal/x",
        "json://169.254.169.254/x",
        "http://2852039166/",
        "slack+http://[::ffff:169.254.169.254]/",
        "http://hooks.example.com/x",
    ],
)
def test_where_nothing_may_go(address: str) -> None:
    """A cloud's metadata service in any spelling, and plain http beyond this machine."""
    with pytest.raises(ForbiddenAddress):
        plain("env:HOOK", address)


def test_plain_http_where_the_profile_allows_it() -> None:
    """A host of one's own network, by name."""
    assert destination("http://hooks.lan.net/", lambda _: "", ["hooks.lan.net"]).plain


def test_a_name_that_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged by where it leads, before a byte is sent."""
    places = [(2, 1, 6, "", ("169.254.169.254", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    assert "metadata" in (sent("https://innocent.example/hook") or "")
