"""Speech from espeak-ng, through the library that the package ``espeakng-loader`` ships.

espeak-ng keeps its state in process-wide variables, and what it says depends on what it said
before. It therefore runs in a process of its own, a new one for every list of utterances: same
list, same samples, whatever else this process does. Its licence is GPL-3 or later.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from otoscope.errors import AudioError, MissingExtra

SAMPLE_RATE = 22_050
ACCENTS = (
    "en",
    "en-us",
    "en-us-nyc",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
# Left out: robots and whispers; voices with breath (f2, f3, f5, Alicia, sandro, victor), whose
# noise espeak-ng seeds by the clock; Marco and RicishayMax, whose "up" sounds like "off".
VARIANTS = (
    "Alex", "Andrea", "Andy", "Annie", "AnxiousAndy", "Denis", "Diogo", "Gene", "Gene2",
    "Henrique", "Hugo", "Jacky", "Lee", "Mario", "Michael", "Mike", "Nguyen", "Reed",
    "RicishayMax2", "RicishayMax3", "Storm", "adam", "anika", "announcer", "antonio", "aunty",
    "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "edward2", "f1", "f4",
    "grandma", "grandpa", "gustave", "ian", "iven", "iven2", "iven3", "iven4", "john",
    "kaukovalta", "klatt", "klatt2", "klatt3", "klatt4", "klatt5", "klatt6", "linda", "m1",
    "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel", "mike2",
    "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "shelby", "steph", "steph2",
    "steph3", "travis", "zac",
)  # fmt: skip


@dataclass(frozen=True)
class Utterance:
    """What to say: ``rate`` in words a minute (80 to 450), ``pitch`` and its ``range`` 0 to 100."""

    voice: str
    text: str
    rate: int
    pitch: int
    range: int


def speak(utterances: Sequence[Utterance]) -> Iterator[np.ndarray]:
    """The sound of each utterance in turn: float32 shaped (time,) at ``SAMPLE_RATE``.

    Raises ``MissingExtra`` without ``espeakng-loader``, ``AudioError`` when espeak-ng stops early.
    """
    try:
        import espeakng_loader
    except ImportError:
        raise MissingExtra("espeakng-loader", "demo", "synthesising speech") from None
    program = Path(__file__).with_name("espeak_child.py")
    paths = [espeakng_loader.get_library_path(), espeakng_loader.get_data_path()]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(program), *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            # the child reads everything before it speaks, so neither side waits for the other
            with suppress(BrokenPipeError):  # a child that died at once is told about below
                child.stdin.write(json.dumps([astuple(u) for u in utterances]).encode())
                child.stdin.close()
            for utterance in utterances:
                count = int.from_bytes(child.stdout.read(4), "little")
                sound = child.stdout.read(2 * count)
                if count == 0 or len(sound) < 2 * count:
                    child.wait()
                    complaints.seek(0)
                    said = complaints.read().decode(errors="replace").strip()
                    raise AudioError(
                        f"espeak-ng did not say {utterance.text!r} as {utterance.voice!r}"
                        f" ({said or f'exit code {child.returncode}'})"
                    )
                yield np.frombuffer(sound, dtype="<i2").astype(np.float32) / 32768
        finally:
            child.kill()
