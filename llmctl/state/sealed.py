"""Texts encrypted at rest: AES-256-GCM under a key of the user's, each bound to the name it is kept under.

Without the key nobody can read an entry, change one, put one in another's place, or check whether a
certain question was asked: names are keyed hashes.
"""

from __future__ import annotations

import os
from _blake2 import blake2b
from base64 import b85decode, b85encode

from llmctl.core.errors import ConfigError, MissingExtra

SHORTEST = 32
"""Characters of a key: 24 random bytes in base64."""
NONCE = 12


class Seal:
    """Closes and opens texts. ConfigError where the key is too short, MissingExtra without the extra."""

    def __init__(self, key: str, reference: str) -> None:
        if len(key) < SHORTEST:
            raise ConfigError(
                f"the key of {reference} (cache.encrypt) has fewer than {SHORTEST} characters",
                hint="make one: openssl rand -base64 32",
            )
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise MissingExtra("cache.encrypt", "crypto") from None
        secret = blake2b(key.encode("utf-8"), digest_size=64, person=b"llmctl-cache").digest()
        self._cipher = AESGCM(secret[:32])
        self._names = secret[32:]

    def name(self, fingerprint: str) -> str:
        """What the entry of a request is called, out of the first half of its fingerprint."""
        return blake2b(fingerprint[:32].encode(), key=self._names, digest_size=32).hexdigest()

    def close(self, text: str, name: str) -> str:
        nonce = os.urandom(NONCE)
        return b85encode(nonce + self._cipher.encrypt(nonce, text.encode("utf-8"), name.encode())).decode()

    def open(self, sealed: str, name: str) -> str | None:
        """None where it was closed with another key, under another name, or changed since."""
        from cryptography.exceptions import InvalidTag

        try:
            data = b85decode(sealed)
            return self._cipher.decrypt(data[:NONCE], data[NONCE:], name.encode()).decode("utf-8")
        except (InvalidTag, ValueError):
            return None
