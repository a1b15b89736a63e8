"""A guard behind an address: recordings come by HTTP, what is thought of them goes back as JSON."""

import io
import socket
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

import soundfile

from otoscope import audio
from otoscope.errors import AudioError, MissingExtra, SpecError
from otoscope.guarding import Guard

if TYPE_CHECKING:
    from fastapi import FastAPI

LARGEST_BYTES = 20_000_000
LONGEST_S, MOST_SAMPLES = 600.0, 2 * 48_000 * 600
"""A compressed recording may be far longer than its bytes let expect."""


class Desk:
    """Answers for a guard: one recording at a time, and a count of what came."""

    def __init__(self, guard: Guard) -> None:
        self.guard, self.windows, self.alarms = guard, 0, 0
        self._turn = Lock()

    def judge(self, content: bytes) -> dict[str, Any]:
        """What is thought of each window of a recording, given as a file's bytes.

        Raises ``AudioError`` for what is no recording, or too long a one.
        """
        with self._turn:
            samples, rate = audio.read(_checked(content))
            judged = self.guard.judge(samples, rate)
            self.windows += len(judged)
            self.alarms += sum(one.alarm for one in judged)
        return {
            "alarm": any(one.alarm for one in judged),
            "windows": self.guard.told(judged),
        }

    def state(self) -> dict[str, Any]:
        """What is guarded, and how often it alarmed since the start."""
        guard, hearing = self.guard, self.guard.hearing
        return {
            "model_sha256": guard.model.sha256,
            "classes": hearing.classes,
            "sample_rate": hearing.sample_rate,
            "window_s": hearing.duration_s,
            "level": guard.level,
            "sees_inside": guard.sees_inside,
            "windows": self.windows,
            "alarms": self.alarms,
        }


def require_service() -> None:
    """Raise ``MissingExtra`` without the extra ``serve``."""
    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise MissingExtra(package, "serve", "a guard behind an address")


def application(guard: Guard) -> "FastAPI":
    """``POST /judge`` with a recording as the body, ``GET /state``.

    Raises ``MissingExtra`` without the extra ``serve``.
    """
    require_service()
    from fastapi import FastAPI, Request
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import JSONResponse

    desk, app = Desk(guard), FastAPI(title="otoscope guard")

    @app.post("/judge")
    async def judge(request: Request) -> JSONResponse:
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > LARGEST_BYTES:
                told = f"the recording has more than {LARGEST_BYTES} bytes; send it in parts"
                return JSONResponse({"error": told}, 413)
        try:
            return JSONResponse(await run_in_threadpool(desk.judge, bytes(content)))
        except AudioError as error:
            return JSONResponse({"error": str(error)}, 422)

    @app.get("/state")
    def state() -> dict[str, Any]:
        return desk.state()

    return app


def require_port(host: str, port: int) -> None:
    """Raise ``SpecError`` where nothing can be served: the port is taken, the host not ours."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise SpecError(f"--host {host} --port {port} cannot be used ({error.strerror})") from None


def serve(app: "FastAPI", host: str, port: int) -> None:
    """Serve until stopped. Raises ``MissingExtra`` without the extra ``serve``."""
    require_service()
    import uvicorn

    uvicorn.run(app, host=host, port=port)


def _checked(content: bytes) -> bytes:
    """The same bytes; raises ``AudioError`` for more than ``LONGEST_S`` or ``MOST_SAMPLES``."""
    try:
        told = soundfile.info(io.BytesIO(content))
    except soundfile.LibsndfileError:
        return content  # what is wrong with it, reading tells
    lasts_s = told.duration
    if told.frames * told.channels > MOST_SAMPLES:
        raise AudioError(
            f"holds {told.frames * told.channels} samples; send at most {MOST_SAMPLES} at once"
        )
    if lasts_s > LONGEST_S:
        raise AudioError(f"lasts {lasts_s:.0f} s; send at most {LONGEST_S:.0f} s at once")
    return content
