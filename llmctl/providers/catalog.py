"""Which provider goes which way, where it lives and what its variables are called.

Names are litellm's, so that a model is written the same way here and there. Four routes:

* `openai`: speaks OpenAI's chat completions; asked over our wire, litellm is not imported
* `codec`:  litellm's provider configuration writes and reads the bodies, our wire sends them
* `sdk`:    `litellm.acompletion` does it all (signed requests, clouds' own log-ins, rare formats)
* `local`:  the embedded model
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from llmctl.core.errors import ConfigError

Route = Literal["openai", "codec", "sdk", "local"]


@dataclass(frozen=True, slots=True)
class House:
    """One provider. `keys` and `bases` are environment variables, first match wins.

    `base` is the default address without a trailing slash, None where there is none. `tail` is the
    path that every base of this house ends with: added where somebody left it out. `keyless` houses
    answer without a key. A model's name without `/` gets `prefix` before it is sent. `plainstream`
    houses refuse (or hang on) a stream that is asked for its usage by `stream_options`.
    """

    name: str
    route: Route
    base: str | None
    keys: tuple[str, ...]
    bases: tuple[str, ...]
    keyless: bool = False
    tail: str = ""
    prefix: str = ""
    plainstream: bool = False

    def wire_model(self, model: str) -> str:
        """The model's name (without provider) as the API of this house wants it."""
        return model if "/" in model or not self.prefix else self.prefix + model


# A row: name, default base (- for none), then what differs from the usual: keys= and bases= (environment
# variables; <NAME>_API_KEY, <NAME>_BASE_URL and <NAME>_API_BASE otherwise), tail=, prefix=, keyless,
# plainstream.
# A line that starts with a blank goes on with the row above.
_OPENAI = """
openai https://api.openai.com/v1
ai21 https://api.ai21.com/studio/v1 plainstream
ai21_chat https://api.ai21.com/studio/v1 keys=AI21_API_KEY bases=AI21_API_BASE plainstream
aiml https://api.aimlapi.com/v1
amazon_nova https://api.nova.amazon.com/v1
cerebras https://api.cerebras.ai/v1 plainstream
codestral https://codestral.mistral.ai/v1 plainstream
cometapi https://api.cometapi.com/v1 keys=COMETAPI_KEY,COMETAPI_API_KEY
compactifai https://api.compactif.ai/v1
dashscope https://dashscope.aliyuncs.com/compatible-mode/v1
deepinfra https://api.deepinfra.com/v1/openai plainstream
deepseek https://api.deepseek.com/beta
edenai https://api.edenai.run/v3
empower https://app.empower.dev/api/v1
featherless_ai https://api.featherless.ai/v1 keys=FEATHERLESS_AI_API_KEY,FEATHERLESS_API_KEY
  bases=FEATHERLESS_API_BASE plainstream
fireworks_ai https://api.fireworks.ai/inference/v1
  keys=FIREWORKS_API_KEY,FIREWORKS_AI_API_KEY,FIREWORKSAI_API_KEY,FIREWORKS_AI_TOKEN
  bases=FIREWORKS_API_BASE prefix=accounts/fireworks/models/
friendliai https://api.friendli.ai/serverless/v1 keys=FRIENDLIAI_API_KEY,FRIENDLI_TOKEN
  bases=FRIENDLI_API_BASE
galadriel https://api.galadriel.com/v1
github https://models.inference.ai.azure.com
groq https://api.groq.com/openai/v1
hyperbolic https://api.hyperbolic.xyz/v1 plainstream
inception https://api.inceptionlabs.ai/v1
lambda_ai https://api.lambda.ai/v1 keys=LAMBDA_API_KEY bases=LAMBDA_API_BASE
maritalk https://chat.maritaca.ai/api
meta_llama https://api.llama.com/compat/v1 keys=LLAMA_API_KEY bases=LLAMA_API_BASE
minimax https://api.minimax.io/v1 tail=/v1
mistral https://api.mistral.ai/v1 tail=/v1 plainstream
modelscope https://api-inference.modelscope.cn/v1
moonshot https://api.moonshot.ai/v1
morph https://api.morphllm.com/v1 plainstream
nadir https://api.getnadir.com/v1 plainstream
nebius https://api.studio.nebius.ai/v1
novita https://api.novita.ai/v3/openai
nscale https://inference.api.nscale.com/v1 plainstream
nvidia_nim https://integrate.api.nvidia.com/v1 plainstream
openrouter https://openrouter.ai/api/v1 keys=OPENROUTER_API_KEY,OR_API_KEY
ovhcloud https://oai.endpoints.kepler.ai.cloud.ovh.net/v1
perplexity https://api.perplexity.ai keys=PERPLEXITYAI_API_KEY,PERPLEXITY_API_KEY plainstream
qwen_ai_platform https://dashscope.aliyuncs.com/compatible-mode/v1
  keys=QWEN_AI_PLATFORM_API_KEY,DASHSCOPE_API_KEY
qwencloud https://dashscope-intl.aliyuncs.com/compatible-mode/v1 keys=QWENCLOUD_API_KEY,DASHSCOPE_API_KEY
sambanova https://api.sambanova.ai/v1
tencent https://tokenhub-intl.tencentcloudmaas.com/v1
together_ai https://api.together.ai/v1
  keys=TOGETHER_API_KEY,TOGETHER_AI_API_KEY,TOGETHERAI_API_KEY,TOGETHER_AI_TOKEN
v0 https://api.v0.dev/v1 plainstream
vercel_ai_gateway https://ai-gateway.vercel.sh/v1 keys=VERCEL_AI_GATEWAY_API_KEY,VERCEL_OIDC_TOKEN
volcengine https://ark.cn-beijing.volces.com/api/v3 keys=VOLCENGINE_API_KEY,ARK_API_KEY
wandb https://api.inference.wandb.ai/v1
xai https://api.x.ai/v1
zai https://api.z.ai/api/paas/v4
abliteration https://api.abliteration.ai/v1
aihubmix https://aihubmix.com/v1
apertis https://api.stima.tech/v1 keys=STIMA_API_KEY
assemblyai https://llm-gateway.assemblyai.com/v1
charity_engine https://api.charityengine.services/remotejobs/v2/inference
chutes https://llm.chutes.ai/v1
cognition https://api.cognition.ai/v1
cortecs https://api.cortecs.ai/v1
crusoe https://managed-inference-api-proxy.crusoecloud.com/v1
darkbloom https://api.darkbloom.dev/v1
empiriolabs https://api.empiriolabs.ai/v1
gmi https://api.gmi-serving.com/v1
helicone https://ai-gateway.helicone.ai
libertai https://api.libertai.io/v1
llamagate https://api.llamagate.dev/v1
meta https://api.meta.ai/v1
nano-gpt https://nano-gpt.com/api/v1 keys=NANOGPT_API_KEY
neosantara https://api.neosantara.xyz/v1
parasail https://api.parasail.io/v1
pinstripes https://pinstripes.io/v1
poe https://api.poe.com/v1
prism https://api.prisminference.com/v1
publicai https://api.publicai.co/v1
reka https://api.reka.ai/v1
sail https://api.sailresearch.com/v1
scaleway https://api.scaleway.ai/v1 keys=SCW_SECRET_KEY
scx-ai https://api.scx.ai/v1 keys=SCX_API_KEY bases=SCX_API_BASE
synthetic https://api.synthetic.new/openai/v1
tensormesh https://serverless.tensormesh.ai/v1 keys=TENSORMESH_INFERENCE_API_KEY
  bases=TENSORMESH_SERVERLESS_BASE_URL
veniceai https://api.venice.ai/api/v1 keys=VENICE_AI_API_KEY
xiaomi_mimo https://api.xiaomimimo.com/v1
"""

# Servers of one's own: most need no key; without a default base the address has to be said.
_OWN = """
custom_openai - keyless
hosted_vllm - keyless
lemonade http://localhost:8000/api/v1 keyless
litellm_proxy - keyless
llamafile http://127.0.0.1:8080/v1 keyless
lm_studio - keyless
ollama http://localhost:11434/v1 bases=OLLAMA_HOST tail=/v1 keyless
ollama_chat http://localhost:11434/v1 keys=OLLAMA_API_KEY
  bases=OLLAMA_BASE_URL,OLLAMA_API_BASE,OLLAMA_HOST tail=/v1 keyless
openai_like - keyless
xinference http://127.0.0.1:9997/v1 keyless
"""

_CODEC = """
anthropic https://api.anthropic.com
cohere https://api.cohere.com keys=COHERE_API_KEY,CO_API_KEY
cohere_chat https://api.cohere.com keys=COHERE_API_KEY,CO_API_KEY bases=COHERE_BASE_URL,COHERE_API_BASE
gemini https://generativelanguage.googleapis.com/v1beta keys=GEMINI_API_KEY,GOOGLE_API_KEY
  bases=GOOGLE_GEMINI_BASE_URL tail=/v1beta
"""

# Clouds sign in with their own credentials (profiles, service accounts), which litellm finds.
_CLOUDS = """
bedrock bedrock_mantle gdc oci sagemaker sagemaker_chat sagemaker_nova sap vertex_ai vertex_ai_beta
"""

_SDK = """
azure - keys=AZURE_API_KEY,AZURE_OPENAI_API_KEY bases=AZURE_OPENAI_ENDPOINT
databricks - keys=DATABRICKS_API_KEY,DATABRICKS_TOKEN
datarobot - keys=DATAROBOT_API_TOKEN bases=DATAROBOT_ENDPOINT
gigachat - keys=GIGACHAT_API_KEY,GIGACHAT_CREDENTIALS
gradient_ai - bases=GRADIENT_AI_AGENT_ENDPOINT
huggingface - keys=HUGGINGFACE_API_KEY,HF_TOKEN
jina_ai - keys=JINA_AI_API_KEY,JINA_API_KEY,JINA_AI_TOKEN
replicate - keys=REPLICATE_API_KEY,REPLICATE_API_TOKEN
snowflake - keys=SNOWFLAKE_JWT
watsonx - keys=WATSONX_API_KEY,WX_API_KEY,WATSONX_APIKEY bases=WATSONX_URL,WX_URL
watsonx_text - keys=WATSONX_API_KEY,WX_API_KEY,WATSONX_APIKEY bases=WATSONX_API_BASE,WATSONX_URL,WX_URL
"""
_SDK_PLAIN = """
a2a a2a_agent aiohttp_openai anthropic_text auto_router aws_polly aws_textract azure_ai azure_speech
  azure_text
baseten black_forest_labs bytez clarifai cloudflare cursor custom deepgram docker_model_runner dotprompt
elevenlabs fal_ai heroku humanloop infinity langflow langfuse langgraph litellm_agent manus milvus mongodb
nlp_cloud nvidia_riva oobabooga petals pg_vector predibase ragflow recraft reducto runwayml s3_vectors sarvam
soniox stability strands_decider text-completion-codestral text-completion-inception text-completion-openai
topaz transcribe triton typesafe valkey vllm voyage
"""

REFUSED: Mapping[str, str] = {
    "chatgpt": "it signs in through a browser; use openai/… with a key",
    "github_copilot": "it signs in through a browser; use github/… with a key",
}
"""litellm's providers that cannot work unattended, and what to do instead."""


def _read(route: Route, row: str) -> House:
    name, base, *more = row.split()
    given = dict(each.partition("=")[::2] for each in more)
    own = name.upper().replace("-", "_")
    return House(
        name,
        route,
        None if base == "-" else base,
        tuple(given["keys"].split(",")) if "keys" in given else (f"{own}_API_KEY",),
        (f"{own}_BASE_URL", f"{own}_API_BASE", *filter(None, given.get("bases", "").split(","))),
        keyless="keyless" in given,
        tail=given.get("tail", ""),
        prefix=given.get("prefix", ""),
        plainstream="plainstream" in given,
    )


def _all() -> Iterator[House]:
    yield House("local", "local", None, (), (), keyless=True)
    tables: tuple[tuple[Route, str], ...] = (("openai", _OPENAI + _OWN), ("codec", _CODEC), ("sdk", _SDK))
    for route, table in tables:
        yield from (_read(route, row) for row in table.replace("\n ", " ").splitlines() if row)
    yield from (_read("sdk", f"{name} - keyless") for name in _CLOUDS.split())
    yield from (_read("sdk", f"{name} -") for name in _SDK_PLAIN.split())


HOUSES: Mapping[str, House] = {each.name: each for each in _all()}


def house(provider: str) -> House:
    """The house of that name; ConfigError with the nearest name where there is none."""
    found = HOUSES.get(provider)
    if found is not None:
        return found
    if provider in REFUSED:
        raise ConfigError(f"provider {provider!r} cannot be used here", hint=REFUSED[provider])
    from difflib import get_close_matches

    near = get_close_matches(provider, HOUSES, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else "models are written provider/model"
    raise ConfigError(f"unknown provider {provider!r}", hint=hint)


def key_names(provider: str) -> tuple[str, ...]:
    """The environment variables that may hold the provider's key, in order."""
    return house(provider).keys


def base_of(provider: str, environ: Mapping[str, str]) -> str | None:
    """The provider's address: its variables in order, else its default, else None."""
    found = house(provider)
    given = next((environ[name].strip() for name in found.bases if environ.get(name, "").strip()), None)
    return normal_base(found, given) if given else found.base


def endpoint(provider: str, environ: Mapping[str, str], given: str | None = None) -> str | None:
    """Where requests go: `given` (a profile's `api_base`), else as `base_of`.

    None only for houses that litellm or the embedded model finds by itself. Others without an
    address raise ConfigError: no request, and no key, ever falls through to another house.
    """
    found = house(provider)
    base = normal_base(found, given) if given else base_of(provider, environ)
    if base is None and found.route in ("openai", "codec"):
        hint = f"set {found.bases[1]}, or api_base in the profile"
        raise ConfigError(f"provider {provider!r} has no default address", hint=hint)
    return base


_ENDPOINT = re.compile(r"/(chat/completions|v1/messages|v2/chat)\Z")


def normal_base(of: House, base: str) -> str:
    """A base as people write it, made one that paths are added to: no slash or endpoint at its end.

    ConfigError where it is no http address.
    """
    base = base.strip()
    if of.name in ("ollama", "ollama_chat"):
        base = _dialled(base)
    if not re.match(r"https?://[^/]", base):
        raise ConfigError(
            f"the address of {of.name!r} is no http address: {base!r}", hint="write https://HOST/…"
        )
    base = _ENDPOINT.sub("", base.rstrip("/"))
    if of.route == "codec" and not of.tail:
        base = re.sub(r"/v[12]\Z", "", base)
    if of.tail and not re.search(r"/v\d\w*(/openai)?\Z", base):
        base += of.tail
    return base


def _dialled(base: str) -> str:
    """OLLAMA_HOST says where the server listens, with scheme and port optional: where to call it."""
    scheme, _, rest = base.rpartition("://")
    host, slash, path = rest.partition("/")
    host = re.sub(r"\A(0\.0\.0\.0|\[::\])(?=:|\Z)", "127.0.0.1", host)
    if scheme != "https" and not re.search(r":\d+\Z", host):
        host += ":11434"
    return f"{scheme or 'http'}://{host}{slash}{path}"


TITLES: Mapping[Route, str] = {
    "openai": "OpenAI's format, over our own wire",
    "codec": "litellm's formats, over our own wire",
    "sdk": "litellm does it all",
    "local": "the embedded model",
}


def markdown(houses: Iterable[House] | None = None) -> str:
    """The catalogue as Markdown tables, a section a route: the generated part of docs/providers.md."""
    rows = sorted(houses if houses is not None else HOUSES.values(), key=lambda each: each.name)
    parts = []
    for route, title in TITLES.items():
        of_route = [each for each in rows if each.route == route]
        if not of_route:
            continue
        parts.append(f"### `{route}`: {title}\n")
        parts.append("| provider | default base | key | base variables |\n|---|---|---|---|")
        parts += [_row(each) for each in of_route]
        parts.append("")
    return "\n".join(parts)


def _row(of: House) -> str:
    keys = ", ".join(f"`{name}`" for name in of.keys) or "none"
    if of.keyless and of.keys:
        keys += " (optional)"
    bases = ", ".join(f"`{name}`" for name in of.bases) or "none"
    base = of.base or ("none: has to be set" if of.route in ("openai", "codec") else "found by litellm")
    return f"| `{of.name}` | {'inside llmctl' if of.route == 'local' else base} | {keys} | {bases} |"
