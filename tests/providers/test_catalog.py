"""The catalogue against litellm's own knowledge, and against the ways people write an address."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import ConfigError
from llmctl.providers import catalog
from llmctl.providers.catalog import HOUSES, House, base_of, endpoint, house, key_names, markdown

OPENAI = [each for each in HOUSES.values() if each.route == "openai"]
KEY = "k" * 12
# litellm knows these bases in its dispatcher only, as literals; the test reads them there.
IN_MAIN = {
    "openai": "https://api.openai.com/v1",
    "amazon_nova": "https://api.nova.amazon.com/v1",
    "cometapi": "https://api.cometapi.com/v1",
    "compactifai": "https://api.compactif.ai/v1",
    "maritalk": "https://chat.maritaca.ai/api",
    "minimax": "https://api.minimax.io/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "ovhcloud": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    "xinference": "http://127.0.0.1:9997/v1",
}


def package() -> Path:
    found = find_spec("litellm")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Any:
    """litellm, with no variable of any provider set."""
    import os

    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("LITELLM_MODE", "PRODUCTION")
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")):
            monkeypatch.delenv(name)
    import litellm

    litellm.suppress_debug_info = True
    return litellm


def test_every_provider_of_litellm_has_a_house(litellm: Any) -> None:
    """A name that litellm knows must never be called unknown here; a new one shows up in this test."""
    json_made = json.loads((package() / "llms/openai_like/providers.json").read_text())
    names = {str(getattr(each, "value", each)) for each in litellm.provider_list} | set(json_made)
    assert names - set(HOUSES) - set(catalog.REFUSED) == set()
    assert set(HOUSES) - names == {"local"}


@pytest.mark.parametrize("of", OPENAI, ids=lambda of: of.name)
def test_default_bases_are_the_ones_litellm_has(of: House, litellm: Any) -> None:
    """Default addresses drift: the table has to say what the locked litellm says."""
    if of.name in IN_MAIN:
        assert of.base == IN_MAIN[of.name]
        sources = (package() / "main.py", *(package() / "llms").glob(f"{of.name}/chat/*.py"))
        assert any(f'"{of.base}"' in path.read_text() for path in sources)
        return
    theirs = litellm.get_llm_provider(f"{of.name}/some-model", api_key=KEY)[3]
    if of.name == "ollama_chat":
        theirs = litellm.get_llm_provider("ollama/some-model", api_key=KEY)[3]
    if of.name == "ai21":
        theirs = litellm.get_llm_provider("ai21_chat/some-model", api_key=KEY)[3]
    theirs = theirs.rstrip("/") + ("/v1" if of.name.startswith("ollama") else "") if theirs else None
    assert of.base == theirs


@pytest.mark.parametrize("of", OPENAI, ids=lambda of: of.name)
def test_openai_houses_take_the_plain_openai_request(of: House, litellm: Any) -> None:
    """The identity codec is right only where litellm would send the same body, address and header."""
    from litellm.types.utils import LlmProviders
    from litellm.utils import ProviderConfigManager

    known = of.name in {each.value for each in LlmProviders}
    config = (
        ProviderConfigManager.get_provider_chat_config(model="m", provider=LlmProviders(of.name))
        if known
        else None
    )
    if config is None or of.name.startswith("ollama"):
        # Described in JSON (plain OpenAI by definition), sent by litellm as OpenAI's, or Ollama's /v1.
        assert known is False or of.name.startswith("ollama") or of.name in ("aiml", "lemonade", "xinference")
        return
    base = of.base or "http://127.0.0.1:9/v1"
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    given = {"temperature": 0.3, "max_tokens": 9}
    call = {"model": "m", "optional_params": dict(given), "litellm_params": {}}
    body = config.transform_request(messages=list(messages), headers={}, **call)
    usage = body.pop("usage", None)
    assert usage in (None, {"include": True})  # openrouter's, which it includes by itself
    assert body == {"model": of.wire_model("m"), "messages": messages, **given}
    known = config.get_supported_openai_params("m")
    assert of.plainstream is ("stream_options" not in known)
    url = config.get_complete_url(api_base=base, api_key=KEY, stream=False, **call)
    assert url == f"{base}/chat/completions"
    head = config.validate_environment(headers={}, messages=[], api_key=KEY, api_base=base, **call)
    assert head["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("of", OPENAI, ids=lambda of: of.name)
def test_a_house_without_address_is_refused_by_name(of: House) -> None:
    """A key for one house must never fall through to api.openai.com."""
    if of.base is not None:
        assert endpoint(of.name, {}) == of.base
        assert of.name == "openai" or "api.openai.com" not in of.base
        return
    with pytest.raises(ConfigError) as caught:
        endpoint(of.name, {})
    assert f"{of.name.upper()}_API_BASE" in caught.value.hint


@pytest.mark.parametrize("of", OPENAI, ids=lambda of: of.name)
def test_keys_are_the_ones_litellm_reads(of: House) -> None:
    """Somebody whose variables work with litellm must not have to set others."""
    sources = "\n".join(
        path.read_text()
        for path in (
            package() / "main.py",
            package() / "litellm_core_utils/get_llm_provider_logic.py",
            package() / "llms/openai_like/providers.json",
            *(package() / "llms").glob(f"{of.name}/**/*.py"),
            *(package() / "llms").glob("dashscope/**/*.py"),
            *(package() / "llms/maritalk.py",),
        )
    )
    unknown = {name for name in of.keys if f'"{name}"' not in sources}
    # No variable is named in litellm for these: the usual form of the name holds.
    assert unknown <= {"CUSTOM_OPENAI_API_KEY", "COMETAPI_API_KEY"}


def test_variables_come_before_the_default() -> None:
    """CLI contract: <PROVIDER>_BASE_URL, then <PROVIDER>_API_BASE, then the default."""
    environ = {"OPENAI_API_BASE": "http://127.0.0.1:2/v1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1/"}
    assert base_of("openai", environ) == "http://127.0.0.1:1/v1"
    del environ["OPENAI_BASE_URL"]
    assert base_of("openai", environ) == "http://127.0.0.1:2/v1"
    assert base_of("openai", {"OPENAI_BASE_URL": " "}) == "https://api.openai.com/v1"
    assert base_of("groq", environ) == "https://api.groq.com/openai/v1"
    assert endpoint("openai", environ, "http://127.0.0.1:3/v1/") == "http://127.0.0.1:3/v1"


@pytest.mark.parametrize(
    ("provider", "variable", "given", "wanted"),
    [
        ("anthropic", "ANTHROPIC_BASE_URL", "http://h:1", "http://h:1"),
        ("anthropic", "ANTHROPIC_API_BASE", "http://h:1/v1/", "http://h:1"),
        ("anthropic", "ANTHROPIC_API_BASE", "http://h:1/v1/messages", "http://h:1"),
        ("gemini", "GEMINI_BASE_URL", "http://h:1/", "http://h:1/v1beta"),
        ("gemini", "GEMINI_API_BASE", "http://h:1/v1beta", "http://h:1/v1beta"),
        ("gemini", "GEMINI_API_BASE", "http://h:1/v1", "http://h:1/v1"),
        ("mistral", "MISTRAL_API_BASE", "http://h:1", "http://h:1/v1"),
        ("cohere", "COHERE_API_BASE", "http://h:1/v2/chat", "http://h:1"),
        ("ollama", "OLLAMA_HOST", "0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("ollama", "OLLAMA_HOST", "box:80", "http://box:80/v1"),
        ("ollama", "OLLAMA_API_BASE", "http://h:1", "http://h:1/v1"),
        ("ollama_chat", "OLLAMA_API_BASE", "https://h/v1/", "https://h/v1"),
        ("openai", "OPENAI_BASE_URL", "http://h:1/v1/chat/completions", "http://h:1/v1"),
        ("fireworks_ai", "FIREWORKS_API_BASE", "http://h:1/x", "http://h:1/x"),
        ("nano-gpt", "NANO_GPT_API_BASE", "http://h:1/x", "http://h:1/x"),
    ],
)
def test_bases_are_taken_as_people_write_them(provider: str, variable: str, given: str, wanted: str) -> None:
    """A slash, a version or a whole endpoint too much gives a 404 that nobody understands."""
    assert base_of(provider, {variable: given}) == wanted


@pytest.mark.parametrize("base", ["api.openai.com/v1", "ftp://h/v1", "http://", "file:///etc/passwd"])
def test_an_address_without_http_is_refused(base: str) -> None:
    """Guessing http:// for a bare host would send a key in the clear."""
    with pytest.raises(ConfigError, match="no http address"):
        endpoint("openai", {}, base)


def test_unknown_names_get_the_nearest() -> None:
    """A typing error must not become a request to whoever litellm guesses."""
    with pytest.raises(ConfigError, match="antropic") as caught:
        house("antropic")
    assert "anthropic" in caught.value.hint
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        house("github_copilot")
    assert "github/" in caught.value.hint


def test_no_variable_serves_two_companies() -> None:
    """A key or an address must not be picked up by a house it was not meant for."""
    owners: dict[str, set[str | None]] = {}
    for each in HOUSES.values():
        for name in (*each.keys, *each.bases):
            owners.setdefault(name, set()).add(each.name)
    shared = {frozenset(names) for names in owners.values() if len(names) > 1}
    assert shared == {
        frozenset(pair)
        for pair in (
            ("ai21", "ai21_chat"),
            ("cohere", "cohere_chat"),
            ("ollama", "ollama_chat"),
            ("watsonx", "watsonx_text"),
            ("dashscope", "qwencloud", "qwen_ai_platform"),
        )
    }


def test_names_of_keys() -> None:
    """Gemini's key goes by two names; Ollama and the embedded model need none."""
    assert key_names("gemini") == ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    assert house("ollama").keyless and house("local").keyless and not house("openai").keyless
    assert house("fireworks_ai").wire_model("llama-v3") == "accounts/fireworks/models/llama-v3"
    assert house("fireworks_ai").wire_model("accounts/me/models/x") == "accounts/me/models/x"


def test_the_page_is_up_to_date() -> None:
    """docs/providers.md holds the table as the code has it."""
    page = (Path(__file__).parents[2] / "docs/providers.md").read_text(encoding="utf-8")
    inside = page.partition("<!-- table -->\n")[2].partition("<!-- end -->")[0]
    assert inside.strip() == markdown().strip()
