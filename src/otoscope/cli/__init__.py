"""The command line: parse, one library call, render, exit code. One file a command.

Exit codes: 0 no evidence (or done), 1 backdoored or suspicious, 2 usage, 3 inconclusive, 4 error
while scanning, 130 stopped by Ctrl-C. Nothing heavy is imported before a command runs.
"""

from otoscope.cli import (
    attack,
    audit,
    clean,
    demo,
    doctor,
    gallery,
    guard,
    plot,
    redteam,
    repair,
    risk,
    summarise,
    train,
    zoo,
)
from otoscope.cli.app import app, main

__all__ = [
    "app",
    "attack",
    "audit",
    "clean",
    "demo",
    "doctor",
    "gallery",
    "guard",
    "main",
    "plot",
    "redteam",
    "repair",
    "risk",
    "summarise",
    "train",
    "zoo",
]
