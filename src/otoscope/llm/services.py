"""The services that a language model can be asked through, each with its address and its key.

A service is a frozen dataclass of the table ``otoscope.llm.SERVICES``, so that
``gemini:model=NAME,base_url=URL`` names one. The key is read from the environment variable that the
class names, never from a spec. No model name and no price is shipped: both go out of date.
"""

import ipaddress
from dataclasses import dataclass
from typing import ClassVar, Literal, final
from urllib.parse import urlsplit

from otoscope.registry import Checked

Dialect = Literal["chat", "responses", "command"]


@dataclass(frozen=True)
class Service(Checked):
    """A service, and how it is asked.

    ``model`` is the service's own name for it. ``base_url`` and ``dialect`` replace the service's
    own. ``reply_tokens`` is the most that a reply may cost, and for a model that thinks first its
    thoughts count. One attempt may last ``timeout_s``; time-outs, rate limits and failures of the
    service are tried ``attempts`` times in all.
    """

    title: ClassVar[str]
    home: ClassVar[str]
    key_variable: ClassVar[str]
    dialects: ClassVar[tuple[Dialect, ...]] = ("chat",)
    needs_model: ClassVar[bool] = True
    needs_key: ClassVar[bool] = True
    takes_schema: ClassVar[bool] = False
    limit_field: ClassVar[str] = "max_tokens"

    model: str = ""
    base_url: str | None = None
    dialect: Dialect | None = None
    reply_tokens: int = 2000
    timeout_s: float = 60.0
    attempts: int = 4

    @property
    def url(self) -> str:
        """The base URL in use, without a closing slash."""
        return (self.base_url or self.home).rstrip("/")

    @property
    def spoken(self) -> Dialect:
        """The dialect in use."""
        return self.dialect or self.dialects[0]

    @property
    def remote(self) -> bool:
        """Whether what is sent leaves this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"

    @final
    def _check_kind(self) -> None:
        self._require(
            bool(self.model) or not self.needs_model,
            f"model must name one of its models, got ''; write {self.name}:model=NAME",
        )
        parts = urlsplit(self.url)
        self._require(
            parts.scheme in ("http", "https") and bool(parts.hostname),
            f"base_url must be an http or https address, got {self.url!r}",
        )
        self._require(
            parts.username is None and not parts.query and not parts.fragment,
            f"base_url must hold no user name, query or fragment, got {parts.hostname!r} with one",
        )
        self._require(
            self.spoken in self.dialects,
            f"dialect must be one of {', '.join(self.dialects)}, got {self.spoken!r}",
        )
        for field in ("reply_tokens", "timeout_s", "attempts"):
            value = getattr(self, field)
            self._require(value > 0, f"{field} must be above 0, got {value}")


@final
@dataclass(frozen=True)
class ChatGPT(Service):
    """OpenAI's models, which the founding text calls ChatGPT."""

    name: ClassVar[str] = "chatgpt"
    title: ClassVar[str] = "ChatGPT (OpenAI)"
    home: ClassVar[str] = "https://api.openai.com/v1"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    dialects: ClassVar[tuple[Dialect, ...]] = ("chat", "responses")
    takes_schema: ClassVar[bool] = True
    limit_field: ClassVar[str] = "max_completion_tokens"


@final
@dataclass(frozen=True)
class Gemini(Service):
    """Google's models, the successors of LaMDA, through its OpenAI-compatible endpoint."""

    name: ClassVar[str] = "gemini"
    title: ClassVar[str] = "Gemini (Google), once LaMDA"
    home: ClassVar[str] = "https://generativelanguage.googleapis.com/v1beta/openai"
    key_variable: ClassVar[str] = "GEMINI_API_KEY"
    takes_schema: ClassVar[bool] = True


@final
@dataclass(frozen=True)
class Claude(Service):
    """Anthropic's models through its OpenAI compatibility layer, which ignores a JSON schema."""

    name: ClassVar[str] = "claude"
    title: ClassVar[str] = "Claude (Anthropic)"
    home: ClassVar[str] = "https://api.anthropic.com/v1"
    key_variable: ClassVar[str] = "ANTHROPIC_API_KEY"


@final
@dataclass(frozen=True)
class Perplexity(Service):
    """Perplexity's agent endpoint, under its alias that speaks the responses dialect."""

    name: ClassVar[str] = "perplexity"
    title: ClassVar[str] = "Perplexity"
    home: ClassVar[str] = "https://api.perplexity.ai/v1"
    key_variable: ClassVar[str] = "PERPLEXITY_API_KEY"
    dialects: ClassVar[tuple[Dialect, ...]] = ("responses",)


@final
@dataclass(frozen=True)
class ErnieBot(Service):
    """Baidu's models through version 2 of Qianfan."""

    name: ClassVar[str] = "ernie-bot"
    title: ClassVar[str] = "Ernie Bot (Baidu Qianfan)"
    home: ClassVar[str] = "https://qianfan.baidubce.com/v2"
    key_variable: ClassVar[str] = "QIANFAN_API_KEY"


@final
@dataclass(frozen=True)
class YouChat(Service):
    """You.com's inference router."""

    name: ClassVar[str] = "youchat"
    title: ClassVar[str] = "YouChat (You.com)"
    home: ClassVar[str] = "https://api.you.com/v1"
    key_variable: ClassVar[str] = "YDC_API_KEY"


@final
@dataclass(frozen=True)
class Jasper(Service):
    """Jasper's command endpoint; it chooses the model itself and reports no tokens."""

    name: ClassVar[str] = "jasper"
    title: ClassVar[str] = "Jasper"
    home: ClassVar[str] = "https://api.jasper.ai/v1"
    key_variable: ClassVar[str] = "JASPER_API_KEY"
    dialects: ClassVar[tuple[Dialect, ...]] = ("command",)
    needs_model: ClassVar[bool] = False


@final
@dataclass(frozen=True)
class Local(Service):
    """Any server that speaks an OpenAI dialect, such as llama.cpp, Ollama or vLLM."""

    name: ClassVar[str] = "local"
    title: ClassVar[str] = "a server of your own"
    home: ClassVar[str] = "http://127.0.0.1:8080/v1"
    key_variable: ClassVar[str] = "OTOSCOPE_LLM_KEY"
    dialects: ClassVar[tuple[Dialect, ...]] = ("chat", "responses")
    needs_model: ClassVar[bool] = False
    needs_key: ClassVar[bool] = False
    takes_schema: ClassVar[bool] = True
