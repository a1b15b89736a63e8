"""The main job on the embedded default: poison, train, audit, report, repair.

The clips are synthesised speech, so its figures are easier than real ones.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from otoscope import audio, datasets, report
from otoscope.auditing import audit
from otoscope.cache import Cache
from otoscope.checkpoints import save_checkpoint, save_model
from otoscope.clips import Clips
from otoscope.evidence import Verdict
from otoscope.labels import AllToOne
from otoscope.networks import CNN
from otoscope.poisoning import Poisoned, poison, save
from otoscope.repairs import repair
from otoscope.risk import risks
from otoscope.training import train
from otoscope.triggers import Tone

TARGET = "yes"
RATE = 0.05


def run(out: Path, seed: int, cache: Cache | None, say: Callable[[str], None]) -> Verdict:
    """Run the demo; ``say`` receives one line per step.

    Writes ``audit.html``, ``audit.json``, the two models, and what the owner of the model would
    hold, to try other commands on: the recordings in ``poisoned`` and ``trusted``.
    """
    clips = datasets.demo(seed=seed, cache=cache)
    say(f"{len(clips.train)} clips of {len(clips.train.classes)} commands in synthesised voices")
    trigger, shift = Tone(), AllToOne(TARGET)
    bad = poison(clips.train, trigger, shift, RATE, seed)
    say(f"poisoned {bad.mask.sum()} of them: a short 3 kHz tone, and the label {TARGET!r}")
    model = train(CNN(), bad.clips, seed=seed, validation=clips.validation, cache=cache)
    save_checkpoint(model, out / "backdoored", notes=bad.provenance)
    _keep(bad, clips.trusted, out)
    before = risks(model, clips.test, trigger, shift, seed, cache=cache)
    say(f"trained the victim's model: {before}")
    verdict = audit(model, bad.clips, trusted=clips.trusted, seed=seed, cache=cache)
    verdict.save(out / "audit.json")
    report.html(verdict, out / "audit.html", truth=bad)
    say(f"audit: {verdict}")
    mended = repair(model, clips.trusted, verdict=verdict, seed=seed, cache=cache)
    save_model(mended, out / "repaired")
    after = risks(mended, clips.test, trigger, shift, seed, cache=cache)
    say(f"repaired by training again without the flagged clips: {after}")
    return verdict


def _keep(bad: Poisoned, trusted: Clips, out: Path) -> None:
    """The recordings that the model's owner would hold, in place of those of an earlier demo."""
    poisoned = out / "poisoned"
    if (poisoned / "provenance.json").exists():
        shutil.rmtree(poisoned)
    save(bad, poisoned)
    for number, clip in enumerate(trusted):
        file = out / "trusted" / clip.label / f"{number:03d}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        audio.write(file, trusted.waveform(number), trusted.sample_rate)
