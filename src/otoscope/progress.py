"""Progress: library code reports steps, a face decides whether to draw them.

``track`` is silent unless a face has installed a drawer with ``drawn``; a drawer shows a bar, with
an estimate of the time left, for work that lasts longer than two seconds.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Step = Callable[[], None]
Drawer = Callable[[str, int], AbstractContextManager[Step]]

LINE_EVERY_S = 60.0
"""In a log, long work says so often how far it is."""

_drawer: ContextVar[Drawer | None] = ContextVar("otoscope_progress_drawer", default=None)


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield the items, reporting each as one of ``total`` steps of ``what``."""
    drawer = _drawer.get()
    if drawer is None:
        yield from items
        return
    with drawer(what, total) as step:
        for item in items:
            yield item
            step()


@contextmanager
def drawn(drawer: Drawer) -> Iterator[None]:
    """Draw all progress made inside this block with ``drawer``."""
    token = _drawer.set(drawer)
    try:
        yield
    finally:
        _drawer.reset(token)


@contextmanager
def rich_bar(what: str, total: int, patience_s: float = 2.0) -> Iterator[Step]:
    """A terminal bar on standard error that appears once the work has lasted ``patience_s``.

    Where standard error is no terminal, a line each ``LINE_EVERY_S``.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what, total)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what, total=total)
    started = time.monotonic()
    shown = False

    def step() -> None:
        nonlocal shown
        bar.advance(task)
        if not shown and time.monotonic() - started > patience_s:
            bar.start()
            shown = True

    try:
        yield step
    finally:
        if shown:
            bar.stop()


def _lines(what: str, total: int) -> Step:
    """Says how far the work is, once every ``LINE_EVERY_S`` of it."""
    done, said = 0, time.monotonic()

    def step() -> None:
        nonlocal done, said
        done += 1
        if time.monotonic() - said >= LINE_EVERY_S:
            said = time.monotonic()
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return step
