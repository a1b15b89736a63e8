"""A stub of a language model service on loopback: it answers as it is told, in every dialect."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from otoscope.llm import SERVICES, Service
from otoscope.registry import build

PATIENCE_S = 60.0
"""For a busy machine; no test waits so long unless it fails."""

KEY = "sk-test-5d41402abc4b2a76b9719d911017c592"


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. ``late`` ones do not come before the client gives up, ``dripping`` ones come
    byte by byte, without haste."""

    body: str | bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    late: bool = False
    dripping: bool = False


@dataclass(frozen=True)
class Asked:
    """What a request brought."""

    path: str
    headers: dict[str, str]
    body: Any
    raw: str


class ModelServer:
    """Gives ``answers`` in turn, the last one for ever, and keeps what was ``asked``."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), list[Asked]()
        self.over = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.asked.append(Asked(self.path, headers, json.loads(raw), raw))
                answers = owner.answers
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer.late:
                    owner.over.wait(PATIENCE_S)
                with suppress(BrokenPipeError, ConnectionResetError):  # the client lost patience
                    self._give(answer)

            def _give(self, answer: Answer) -> None:
                body = answer.body.encode() if isinstance(answer.body, str) else answer.body
                self.send_response(answer.status)
                said = {"content-type": "application/json", "content-length": str(len(body))}
                for name, value in (said | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                step = 1 if answer.dripping else len(body) or 1
                for start in range(0, len(body), step):
                    self.wfile.write(body[start : start + step])
                    if answer.dripping and owner.over.wait(0.02):
                        return

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/base"

    def __enter__(self) -> "ModelServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def service(self, name: str, **fields: Any) -> Service:
        """The preset of this name, with this server as its address."""
        defaults = {"model": "m-1", "base_url": self.url, "timeout_s": PATIENCE_S}
        return build(SERVICES, {"name": name, **defaults, **fields})


@contextmanager
def serving(*answers: Answer) -> Iterator[ModelServer]:
    """A running server that gives these answers."""
    with ModelServer(*answers) as server:
        yield server


def said(dialect: str, text: str, **more: Any) -> Answer:
    """A well-formed answer with this text, and 11 tokens in and 7 out where the dialect tells.

    ``ending`` may be "stop", "length", "content_filter" or "refusal" (the model declined).
    """
    ending = more.get("ending", "stop")
    made: dict[str, Any]
    if dialect == "command":
        made = {"requestId": "r", "resource": "content", "data": [{"id": "txt_1", "text": text}]}
        return Answer(json.dumps(made), 201)
    if dialect == "chat":
        declined = ending == "refusal"
        made = {
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop" if declined else ending,
                    "message": {
                        "role": "assistant",
                        "content": None if declined else text,
                        "refusal": text if declined else None,
                    },
                }
            ],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        }
    else:
        part = {"type": "output_text", "text": text, "annotations": []}
        if ending == "refusal":
            part = {"type": "refusal", "refusal": text}
        why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(ending)
        made = {
            "object": "response",
            "status": "incomplete" if why else "completed",
            "incomplete_details": {"reason": why} if why else None,
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [part]},
            ],
            "usage": {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18},
        }
    return Answer(json.dumps(made))


def failed(status: int, message: str = "no", code: str | None = None, **headers: str) -> Answer:
    """An answer with an error's status."""
    told = {"error": {"message": message, "type": "error", "code": code}}
    return Answer(json.dumps(told), status, {k.replace("_", "-"): v for k, v in headers.items()})


EVERY = [(name, dialect) for name in SERVICES for dialect in SERVICES[name].dialects]
"""Every preset in every dialect that it speaks."""
