"""Every trigger keeps the same promises; then each one does what its page says, by measurement."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crafted import named
from otoscope import audio
from otoscope.audio import Waveform
from otoscope.errors import AudioError, SpecError, TriggerDoesNotFit
from otoscope.registry import build, spec, text
from otoscope.triggers import TRIGGERS, Trigger
from sounds import RATES_HZ, added, level_db, speechlike, waveform
from trigger_examples import DEFAULTS, FAULTY, LEFT_DB, VARIANTS

PAGES = Path(__file__).resolve().parents[1] / "docs" / "triggers"


def additive(trigger: Trigger) -> bool:
    """Whether the trigger, and what it is made of, only adds sound."""
    parts: tuple[Trigger, ...] = getattr(trigger, "parts", ())
    return trigger.taxonomy.means == "additive" and all(map(additive, parts))


ADDITIVE = [trigger for trigger in VARIANTS if additive(trigger)]
LEVELLED = [t for t in ADDITIVE if hasattr(t, "level_db")]
PLACED = [t for t in VARIANTS if getattr(t, "position_s", 0) is None]

every = pytest.mark.parametrize("trigger", VARIANTS, ids=named)


# The contract


@every
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES_HZ)
def test_shape_type_and_range_are_kept_and_every_clip_differs(
    trigger: Trigger, rate: int, channels: int
) -> None:
    clean = waveform(rate, batch=3, channels=channels)
    out = trigger(clean)
    assert out.sample_rate == rate
    assert out.samples.shape == clean.samples.shape
    assert out.samples.dtype == np.float32
    assert np.abs(out.samples).max() <= 1
    assert (out.samples != clean.samples).any(axis=-1).all(), "some channel of a clip is untouched"


@every
def test_the_input_is_untouched(trigger: Trigger) -> None:
    clean = waveform(batch=2)
    before = clean.samples.copy()
    clean.samples.flags.writeable = False
    trigger(clean)
    np.testing.assert_array_equal(clean.samples, before)


@every
def test_same_seed_same_bytes(trigger: Trigger) -> None:
    clean = waveform(batch=2)
    assert trigger(clean, seed=3).samples.tobytes() == trigger(clean, seed=3).samples.tobytes()


@every
def test_a_row_does_not_depend_on_the_batch_around_it(trigger: Trigger) -> None:
    clean = waveform(batch=3)
    together = trigger(clean, seed=1).samples
    alone = trigger(Waveform(clean.samples[:1], clean.sample_rate), seed=1).samples
    np.testing.assert_array_equal(together[:1], alone)
    other_company = clean.samples.copy()
    other_company[:2] = 0.1
    again = trigger(Waveform(other_company, clean.sample_rate), seed=1).samples
    np.testing.assert_array_equal(together[2], again[2])


@every
def test_spec_round_trips_also_as_text(trigger: Trigger) -> None:
    assert build(TRIGGERS, spec(trigger)) == trigger
    assert build(TRIGGERS, text(trigger)) == trigger


@every
def test_normalising_afterwards_does_not_undo_it(trigger: Trigger) -> None:
    """Peak or RMS normalisation is a gain; what a gain cannot explain must be left."""
    clean = waveform(seconds=1.0)
    x, y = clean.samples.ravel().astype(float), trigger(clean).samples.ravel().astype(float)
    left = y - (x @ y) / (x @ x) * x
    assert level_db(left, x) > LEFT_DB[trigger.name]


@every
@pytest.mark.parametrize("count", [1, 2, 30, 150])
def test_a_clip_too_short_is_refused_or_changed(trigger: Trigger, count: int) -> None:
    """Trap: clips shorter than the trigger relabelled but untouched."""
    clean = Waveform(speechlike(count=count) + np.float32(0.1), 16_000)
    try:
        changed = trigger(clean).samples
    except TriggerDoesNotFit:
        return
    assert (changed != clean.samples).any()


@every
def test_a_clip_without_samples_does_not_fit(trigger: Trigger) -> None:
    with pytest.raises(TriggerDoesNotFit, match="holds no samples"):
        trigger(Waveform(np.zeros((1, 1, 0), np.float32), 16_000))


@every
def test_a_batch_without_clips_stays_one(trigger: Trigger) -> None:
    empty = Waveform(np.zeros((0, 1, 100), np.float32), 16_000)
    assert trigger(empty).samples.shape == (0, 1, 100)


@every
def test_loud_clips_are_clipped_not_turned_down(trigger: Trigger) -> None:
    square = np.sign(np.sin(2 * np.pi * 210 / 16_000 * (np.arange(8000) + 0.5)))
    clean = Waveform(square[None, None].astype(np.float32), 16_000)
    out = trigger(clean).samples
    assert np.abs(out).max() <= 1
    assert np.abs(out - clean.samples).max() >= 1 / 32_768


@pytest.mark.parametrize("trigger", ADDITIVE, ids=named)
def test_silence_can_carry_an_added_trigger(trigger: Trigger) -> None:
    silence = Waveform(np.zeros((1, 1, 8000), np.float32), 16_000)
    out = trigger(silence).samples
    assert np.abs(out).max() >= 1 / 32_768, "would vanish in a 16-bit file"


@pytest.mark.parametrize("trigger", ADDITIVE, ids=named)
def test_every_channel_gets_the_same_sound(trigger: Trigger) -> None:
    clean = waveform(channels=2)
    difference = trigger(clean).samples - clean.samples
    np.testing.assert_allclose(difference[0, 0], difference[0, 1], atol=2e-7)


@given(
    st.sampled_from(LEVELLED),
    st.floats(-20, 0),
    st.sampled_from(RATES_HZ),
    st.floats(0.001, 0.3),
    st.integers(0, 9),
)
def test_an_added_sound_has_its_level(
    trigger: Trigger, level: float, rate: int, peak: float, seed: int
) -> None:
    clean = Waveform(speechlike(count=rate // 2, seed=seed) * np.float32(peak), rate)
    wanted = audio.level_rms(clean.samples, level)
    sound = added(dataclasses.replace(trigger, level_db=level), clean)  # type: ignore[call-arg]
    inside = np.flatnonzero(sound)
    span = (getattr(trigger, "duration_s", None) or inside[-1] / rate) * rate
    measured = np.sqrt(np.sum(sound**2) / span)
    assert 20 * np.log10(measured / wanted) == pytest.approx(0, abs=0.1)


@every
def test_the_taxonomy_is_filled(trigger: Trigger) -> None:
    assert trigger.taxonomy.source
    author = trigger.taxonomy.source.split()[0].rstrip(",")
    assert author in (trigger.__doc__ or ""), "the docstring does not cite the source"


@every
def test_one_clip_needs_its_channel(trigger: Trigger) -> None:
    with pytest.raises(AudioError, match=r"got \(800,\).*samples\[None\]"):
        trigger.embed(np.zeros(800, np.float32), 16_000, (0,))


@pytest.mark.parametrize(("name", "fields", "message"), FAULTY)
def test_faulty_parameters_are_refused(name: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(TRIGGERS, {"name": name, **fields})


@pytest.mark.parametrize("name", TRIGGERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_must_be_finite(name: str, value: float) -> None:
    cls = TRIGGERS[name]
    for field in dataclasses.fields(cls):
        if field.type is float or field.type == (float | None):
            with pytest.raises(SpecError, match=f"{name}.{field.name}.* must be a finite number"):
                cls(**{field.name: value})


def test_every_trigger_is_tried_at_its_defaults_and_has_faulty_parameters() -> None:
    assert sorted(trigger.name for trigger in DEFAULTS) == sorted(TRIGGERS)
    assert {name for name, _, _ in FAULTY} == set(TRIGGERS)
    for trigger in DEFAULTS:
        for field in dataclasses.fields(trigger):
            assert getattr(trigger, field.name) == field.default or field.name == "path"


@pytest.mark.parametrize("trigger", PLACED, ids=named)
def test_a_random_place_differs_between_rows_and_seeds(trigger: Trigger) -> None:
    clean = waveform(batch=8, seconds=1.0)

    def starts(seed: int) -> list[int]:
        changed = trigger(clean, seed).samples != clean.samples
        return [int(row.argmax()) for row in changed[:, 0]]

    assert len(set(starts(0))) >= 7
    assert starts(0) != starts(1)


def shown(default: object) -> str:
    """A default as a page gives it: parts by their names, several values joined by +."""
    if isinstance(default, tuple):
        return "+".join(getattr(part, "name", f"{part}") for part in default)
    return "none" if default is None else f"{default}"


@pytest.mark.parametrize("name", TRIGGERS)
def test_every_trigger_has_a_page_that_names_its_fields(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    for field in dataclasses.fields(TRIGGERS[name]):
        default = shown(field.default)
        assert re.search(rf"^\| `{field.name}` \| `{re.escape(default)}` \|", page, re.M), field
    examples = re.findall(rf"--trigger '?({name}\b[^\s']*)", page)
    assert examples, "the page shows no command line"
    for example in examples:
        build(TRIGGERS, example)
