"""A stand-in for a provider of models: it says what to run, and when that was done, that it is.

The API is OpenAI's, as CLIs of several makers speak it:
https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import json
from typing import Any

from fakes.webserver import Line, Script, answer

# How the CLIs call the tool that runs a command, and its argument.
_TOOLS = {"exec_command": "cmd", "bash": "command"}
_USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


def wants(command: str, last_words: str) -> Script:
    """Return the answers of a model that wants one command run."""

    def script(line: Line) -> None:
        asked = json.loads(line.seen.body)
        offered = [tool.get("name") for tool in asked.get("tools", ())]
        tool = next((name for name in offered if name in _TOOLS), None)
        was_run = any(item.get("type") == "function_call_output" for item in asked["input"])
        if tool and not was_run:
            arguments = {_TOOLS[tool]: command, "description": "what the prompt says"}
            if tool != "bash":
                del arguments["description"]
            item = _call(tool, json.dumps(arguments))
        else:
            item = _message(last_words)
        answer(200, _stream(asked["model"], item), Content_Type="text/event-stream")(line)

    return script


def _call(tool: str, arguments: str) -> dict[str, Any]:
    names = {"id": "fc_1", "call_id": "call_1", "name": tool}
    return {"type": "function_call", "status": "completed", "arguments": arguments, **names}


def _message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    names = {"id": "msg_1", "role": "assistant", "status": "completed"}
    return {"type": "message", "content": content, **names}


def _stream(model: str, item: dict[str, Any]) -> bytes:
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": model}
    place = {"output_index": 0, "item_id": item["id"]}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": response}]
    if item["type"] == "message":
        begun, text = {**item, "content": []}, item["content"][0]["text"]
        events.append({"type": "response.output_item.added", **place, "item": begun})
        delta = {"content_index": 0, "delta": text, "logprobs": []}
        events.append({"type": "response.output_text.delta", **place, **delta})
    else:
        begun = {**item, "arguments": ""}
        events.append({"type": "response.output_item.added", **place, "item": begun})
    events.append({"type": "response.output_item.done", **place, "item": item})
    whole = {**response, "status": "completed", "output": [item], "usage": _USAGE}
    events.append({"type": "response.completed", "response": whole})
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )
