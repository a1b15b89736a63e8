"""What all commands share: the application, common options, errors as exit codes."""

import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from otoscope.errors import OtoscopeError, SpecError, VerdictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otoscope.cache import Cache
    from otoscope.clips import Clips
    from otoscope.manifests import Skipped
    from otoscope.models import AudioModel

USAGE, ERROR, STOPPED = 2, 4, 130

TOLD = 5
"""So many skipped recordings are named."""


class _Stopped(Exception):
    """Ctrl-C, taken before typer turns it into a bare "Aborted", or nobody reads on."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Stopped from None
        except BrokenPipeError:  # typer would end with 1, which reads as a finding
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush
            raise _Stopped from None


app = typer.Typer(
    name="otoscope",
    cls=_Commands,
    help="Find backdoors in audio models: in the data, in the model, with a calibrated verdict.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class FitRule(StrEnum):
    """How recordings get one length; see ``Clips.load``."""

    pad = "pad"
    crop = "crop"
    windows = "windows"


Seed = Annotated[int, typer.Option(help="Decides everything that is random.", min=0, max=2**32 - 1)]
Data = Annotated[
    Path,
    typer.Argument(
        exists=True, help="Folder per class, Google Speech Commands, CSV or JSONL manifest."
    ),
]
Split = Annotated[
    str | None, typer.Option(help="Use only the rows of this split (column 'split').")
]
Duration = Annotated[
    float | None, typer.Option(help="Seconds per clip; default: from the model or the clips.")
]
Fit = Annotated[
    FitRule, typer.Option(help="Longer recordings: keep the middle, cut into windows, or pad all.")
]
Factory = Annotated[
    str | None, typer.Option(help="For a state dict: module:function that builds the network.")
]
SampleRate = Annotated[int | None, typer.Option(help="The model's rate in Hz.")]
ClassNames = Annotated[
    Path | None,
    typer.Option("--classes", exists=True, help="File with one class name a line, in logit order."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache.")]


def window_s(fit: FitRule, duration: float | None, model: "AudioModel") -> float | None:
    """How long the windows are that recordings are cut into again once the model is known: as long
    as it hears. None where they stay as they were loaded."""
    return model.hearing.duration_s if fit is FitRule.windows and duration is None else None


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    from otoscope.progress import drawn, rich_bar

    try:
        with drawn(rich_bar):
            app()
    except (SpecError, VerdictError) as error:
        fail(str(error), USAGE)
    except OtoscopeError as error:
        fail(str(error), ERROR)
    except (_Stopped, KeyboardInterrupt):
        fail("stopped; nothing is half-written, and a second run goes on from the cache", STOPPED)
    except OSError as error:
        fail(f"{error.filename or 'a file'}: {error.strerror or error}", ERROR)
    except Exception:  # 1 would read as a finding
        traceback.print_exc()
        fail("this is a mistake of otoscope's; please report it with the lines above", ERROR)


def fail(message: str, code: int) -> None:
    typer.echo("\n".join(map(plain, f"otoscope: {message}".splitlines())), err=True)
    sys.exit(code)


def open_cache(off: bool) -> "Cache | None":
    from otoscope.cache import Cache

    return None if off else Cache.default()


def tell_skipped(*read: "Clips | None") -> None:
    """Say which recordings of data sets were left out."""
    tell_left_out([one for clips in read if clips is not None for one in clips.skipped])


def tell_left_out(skipped: "Sequence[Skipped]") -> None:
    """Say how many recordings were left out, and the first few reasons."""
    if not skipped:
        return
    typer.echo(f"skipped {len(skipped)} recording{'s' * (len(skipped) > 1)}:", err=True)
    for one in skipped[:TOLD]:
        typer.echo(f"  {plain(one.path)}: {plain(one.reason)}", err=True)
    if len(skipped) > TOLD:
        typer.echo(f"  and {len(skipped) - TOLD} more", err=True)


def plain(text: str) -> str:
    """A stranger's words without what a terminal would obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def check_device(name: str) -> None:
    """Raise ``SpecError`` for a device that torch has not here."""
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise SpecError(f"--device {name} cannot be used here ({reason}); try cpu") from None
