"""The loops that a batch is compared with: python -m bench.loops NAME ROWS.jsonl CONCURRENCY.

Each is what its library's own documentation shows for many prompts, reading the same rows and keeping
the answers' texts; none has a journal, a ledger or a cache.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path

MODEL = "gpt-4.1"
FOREIGN = {"codec": "anthropic/claude-sonnet-4-5", "sdk": "azure_ai/mistral-large"}
"""A model for each way through litellm: by its formats, and by its own call."""
Ask = Callable[[str], Awaitable[str]]


def body(prompt: str) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 100}


async def windowed(prompts: list[str], concurrency: int, ask: Ask) -> list[str]:
    """Workers that take the next prompt as soon as they are free."""
    answers: list[str] = []
    waiting = iter(prompts)

    async def work() -> None:
        for prompt in waiting:
            answers.append(await ask(prompt))  # noqa: PERF401 # the others append in between

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return answers


async def aiohttp(prompts: list[str], concurrency: int) -> list[str]:
    from aiohttp import ClientSession, TCPConnector

    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    async with ClientSession(connector=TCPConnector(limit=0), headers=headers) as session:

        async def ask(prompt: str) -> str:
            async with session.post(url, json=body(prompt)) as response:
                answer = await response.json()
                return str(answer["choices"][0]["message"]["content"])

        return await windowed(prompts, concurrency, ask)


async def litellm(prompts: list[str], concurrency: int, model: str = f"openai/{MODEL}") -> list[str]:
    import litellm as library

    gate = asyncio.Semaphore(concurrency)

    async def ask(prompt: str) -> str:
        async with gate:
            answer = await library.acompletion(**{**body(prompt), "model": model})
            return str(answer.choices[0].message.content)

    return list(await asyncio.gather(*map(ask, prompts)))


async def codec(prompts: list[str], concurrency: int) -> list[str]:
    return await litellm(prompts, concurrency, FOREIGN["codec"])


async def sdk(prompts: list[str], concurrency: int) -> list[str]:
    return await litellm(prompts, concurrency, FOREIGN["sdk"])


async def openai(prompts: list[str], concurrency: int) -> list[str]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI()

    async def ask(prompt: str) -> str:
        answer = await client.chat.completions.create(**body(prompt))  # type: ignore[call-overload]  # plain maps
        return str(answer.choices[0].message.content)

    return await windowed(prompts, concurrency, ask)


async def flexllm(prompts: list[str], concurrency: int) -> list[str]:
    from flexllm import LLMClient

    client = LLMClient(
        model=MODEL,
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        concurrency_limit=concurrency,
    )
    messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
    return [str(answer) for answer in await client.chat_completions_batch(messages, max_tokens=100)]


async def async_batch_llm(prompts: list[str], concurrency: int) -> list[str]:
    from async_batch_llm import llm, process_prompts

    batch = await process_prompts(
        llm(f"openai:{MODEL}", api_surface="chat_completions"), prompts, concurrency=concurrency
    )
    return [str(answer) for answer in batch.outputs()]


async def curator(prompts: list[str], concurrency: int) -> list[str]:
    """In a thread: it runs a loop of its own."""
    return await asyncio.to_thread(_curator, prompts, concurrency)


def _curator(prompts: list[str], concurrency: int) -> list[str]:
    found = find_spec("litellm")  # which brings the tokenizer that curator would fetch
    assert found is not None
    assert found.origin is not None
    tokenizers = Path(found.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(tokenizers))
    from bespokelabs import curator as library

    client = library.LLM(
        model_name=MODEL,
        backend="openai",
        generation_params={"max_tokens": 100},
        backend_params={
            "base_url": os.environ["OPENAI_BASE_URL"],
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": 10**7,
            "max_tokens_per_minute": 10**10,
        },
    )
    return [str(row["response"]) for row in client(prompts).dataset]


LOOPS = {
    "aiohttp": aiohttp,
    "litellm": litellm,
    "codec": codec,
    "sdk": sdk,
    "openai": openai,
    "flexllm": flexllm,
    "async-batch-llm": async_batch_llm,
    "curator": curator,
}


def main() -> None:
    name, rows, concurrency = sys.argv[1:]
    prompts = [
        json.loads(line)["prompt"] for line in Path(rows).read_text(encoding="utf-8").split("\n") if line
    ]
    answers = asyncio.run(LOOPS[name](prompts, int(concurrency)))
    if len(answers) != len(prompts):
        raise SystemExit(f"{name}: {len(answers)} of {len(prompts)} answered")


if __name__ == "__main__":
    main()
