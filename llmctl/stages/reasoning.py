"""Chain of thought: the answer apart from the reasoning, also while it streams."""

from __future__ import annotations

from llmctl.core.model import Request, Response, Send, replace


def reasoning(next: Send) -> Send:
    """Only for requests that asked for steps; the listener hears the answer alone."""

    async def send(request: Request) -> Response:
        if not request.cot:
            return await next(request)
        from llmctl.prompts.reasoning import Withhold, apart

        if request.on_text is None:
            return apart(await next(request))
        listener = Withhold(request.on_text)
        response = await next(replace(request, on_text=listener))
        listener.finish()
        return apart(response)

    return send
