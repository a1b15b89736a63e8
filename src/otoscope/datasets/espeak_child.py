"""The program that speaks: run by ``espeak.py`` in a process of its own, never imported.

Arguments: the espeak-ng library and its data folder. Standard input: a JSON list of
[voice, text, rate, pitch, range]. Standard output, for each in turn: its number of samples as a
4-byte little-endian integer, then the samples, 16-bit, little-endian, mono, 22050 Hz.
"""

import ctypes
import json
import os
import sys
from typing import Any

SAMPLE_RATE = 22_050
SYNCHRONOUS, DO_NOT_EXIT = 2, 0x8000
RATE, PITCH, RANGE = 1, 3, 4
POSITION_CHARACTER, UTF8 = 1, 1


def main(library: str, data: str) -> None:
    os.chdir(data)  # espeak-ng cuts the name of its data folder at 160 bytes; "." is short
    espeak = ctypes.CDLL(library)
    if espeak.espeak_Initialize(SYNCHRONOUS, 0, b".", DO_NOT_EXIT) != SAMPLE_RATE:
        sys.exit(f"espeak-ng cannot read its data in {data}")
    spoken: list[bytes] = []

    def hear(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            spoken.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(hear)
    espeak.espeak_SetSynthCallback(callback)
    for voice, text, rate, pitch, pitch_range in json.load(sys.stdin):
        spoken.clear()
        if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
            sys.exit(f"espeak-ng has no voice {voice!r}")
        for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
            espeak.espeak_SetParameter(parameter, value, 0)
        said = text.encode()
        espeak.espeak_Synth(
            said, ctypes.c_size_t(len(said) + 1), 0, POSITION_CHARACTER, 0, UTF8, None, None
        )
        sound = b"".join(spoken)
        sys.stdout.buffer.write((len(sound) // 2).to_bytes(4, "little") + sound)


if __name__ == "__main__":
    main(*sys.argv[1:])
