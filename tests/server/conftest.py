"""The server's own tests use its own fixtures."""

from .fixtures import *  # noqa: F403
