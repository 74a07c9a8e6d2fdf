"""litellm, loaded late and kept quiet: as a codec over our wire, or (`sdk` houses) making the call.

The only package that imports it, and only inside functions. As a codec it writes and reads bodies;
addresses, keys, time limits and the judgement of what came are ours.
"""

from llmctl.providers.litellm.codec import LitellmCodec
from llmctl.providers.litellm.errors import from_litellm
from llmctl.providers.litellm.loading import load
from llmctl.providers.litellm.sdk import LitellmSdk

__all__ = ["LitellmCodec", "LitellmSdk", "from_litellm", "load"]
