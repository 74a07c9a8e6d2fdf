"""Imports litellm without its side effects."""

from __future__ import annotations

from functools import cache
from typing import Any

LISTENERS = (
    "callbacks", "input_callback", "success_callback", "failure_callback", "service_callback",
    "_async_input_callback", "_async_success_callback", "_async_failure_callback",
)  # fmt: skip
"""Lists of litellm's: whoever stands in one is told of every call."""


def hush(litellm: Any) -> None:
    """Keeps texts from litellm's listeners, where another part of the process has registered any.

    Without one it is off: litellm would copy every answer, for a third of a call's time, to blacken the copy.
    """
    litellm.turn_off_message_logging = any(getattr(litellm, name, None) for name in LISTENERS)


@cache
def load() -> Any:
    """The package, imported once: no network, no `.env`, no words on the console, no callbacks.

    The collector is off while it imports and what it made is frozen: a quarter less CPU.
    """
    import gc
    import os
    import warnings

    os.environ.update(
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS="True",
        LITELLM_LOCAL_BLOG_POSTS="True",
        LITELLM_MODE="PRODUCTION",
    )
    os.environ.pop("USE_LITELLM_PROXY", None)  # would send every call to another address
    warnings.filterwarnings("ignore", module=r"(pydantic|litellm)(\.|\Z)")
    collecting = gc.isenabled()
    gc.disable()
    try:
        import litellm
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.set_verbose = False
    litellm.drop_params = False
    litellm.modify_params = False
    hush(litellm)
    from llmctl.providers.foreign import adopt

    adopt()
    return litellm
