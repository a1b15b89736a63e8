"""Other libraries' chatter, silenced where it is known and nowhere else."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_jit_warnings() -> Iterator[None]:
    """Hide that ``torch.jit`` is deprecated: models in its format are still handed over."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield


@contextmanager
def quiet_logger(name: str) -> Iterator[None]:
    """Drop what one logger says inside this block."""
    logger = logging.getLogger(name)
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was
