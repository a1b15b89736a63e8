"""Asking a language model: the red team's proposals and plain-language summaries, nothing else.

``SERVICES`` lists who can be asked; ``Client`` asks within ``Caps``. docs/llm.md says what leaves
the machine.
"""

from otoscope.llm.caps import Caps, Spent
from otoscope.llm.client import Client
from otoscope.llm.dialects import Prompt, Reply
from otoscope.llm.services import (
    ChatGPT,
    Claude,
    ErnieBot,
    Gemini,
    Jasper,
    Local,
    Perplexity,
    Service,
    YouChat,
)
from otoscope.registry import Table

SERVICES: Table[Service] = Table(
    "language model service",
    "otoscope.llms",
    ChatGPT,
    Gemini,
    Claude,
    Perplexity,
    ErnieBot,
    YouChat,
    Jasper,
    Local,
)

__all__ = [
    "SERVICES",
    "Caps",
    "ChatGPT",
    "Claude",
    "Client",
    "ErnieBot",
    "Gemini",
    "Jasper",
    "Local",
    "Perplexity",
    "Prompt",
    "Reply",
    "Service",
    "Spent",
    "YouChat",
]
