"""The attacker's action space: every tuple of bins is a poisoning that can be carried out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otoscope.catalogue import CATALOGUE
from otoscope.errors import SpecError
from otoscope.labels import AllToOne, CleanLabel
from otoscope.poisoning import Attack, poison_all
from otoscope.redteam.families import FAMILIES, OpenEnded, Room
from otoscope.redteam.space import FAMILY, HIDING, RATES, Plan, Space
from otoscope.registry import build, spec
from otoscope.triggers import TRIGGERS, Composite, CraftedTrigger, Tone
from sounds import clips_of

CLASSES = "abcdefghijkl"
CLIPS = clips_of(CLASSES * 20, seconds=1.0, rate=16_000)
SPACE = Space.of(CLIPS, seed=0)
HIDING_SPACE = Space.of(CLIPS, seed=0, hides=True)

bins = st.tuples(*(st.integers(-3, size + 3) for size in SPACE.sizes))


@given(bins)
def test_clamped_bins_are_in_range_and_stay(some: tuple[int, ...]) -> None:
    once = SPACE.clamp(some)
    assert all(0 <= b < size for b, size in zip(once, SPACE.sizes, strict=True))
    assert SPACE.clamp(once) == once


@given(bins)
def test_decode_and_encode_are_inverse(some: tuple[int, ...]) -> None:
    plan = SPACE.decode(some)
    assert SPACE.encode(plan) == SPACE.clamp(some)
    assert build(TRIGGERS, spec(plan.attack.trigger)) == plan.attack.trigger


@given(bins, bins)
def test_distance_tells_plans_apart(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert SPACE.distance(a, a) == 0
    assert SPACE.distance(a, b) == SPACE.distance(b, a)
    assert 0 <= SPACE.distance(a, b) <= 1
    assert (SPACE.distance(a, b) == 0) == (SPACE.clamp(a) == SPACE.clamp(b))


@given(bins, st.integers(-1, len(HIDING)))
def test_an_attacker_who_trains_has_one_more_axis(some: tuple[int, ...], hiding: int) -> None:
    longer = (*some[: FAMILY + 1], hiding, *some[FAMILY + 1 :])
    plan, usual = HIDING_SPACE.decode(longer), SPACE.decode(some)
    assert plan.hiding == HIDING[min(max(hiding, 0), len(HIDING) - 1)]
    assert replace(plan, hiding=0.0) == usual
    assert HIDING_SPACE.encode(plan) == HIDING_SPACE.clamp(longer)
    assert {"hiding": 0.0} | HIDING_SPACE.told(longer) == usual.told | {"hiding": plan.hiding}


def test_hiding_is_an_axis_like_the_others() -> None:
    assert len(HIDING_SPACE.sizes) == len(SPACE.sizes) + 1
    assert HIDING_SPACE.grid()["hiding"] == list(HIDING)
    assert "hiding" not in SPACE.grid()
    one = HIDING_SPACE.draw(np.random.default_rng(0))
    other = (*one[: FAMILY + 1], (one[FAMILY + 1] + 1) % len(HIDING), *one[FAMILY + 2 :])
    assert 0 < HIDING_SPACE.distance(one, other) < 0.2
    assert HIDING_SPACE.stride(one, FAMILY + 1) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_poisons(family: str) -> None:
    space = Space.of(CLIPS, seed=1, families=[family])
    rng = np.random.default_rng(0)
    for _ in range(3):
        attack = space.decode(space.draw(rng)).attack
        assert attack.trigger.name == family
        bad = poison_all(CLIPS, [attack], 0)
        assert bad.mask.sum() >= 1


def test_the_rate_is_what_the_label_shift_leaves_room_for() -> None:
    highest = len(RATES) - 1
    clean = list(SPACE.clamp((highest, 2, 3, 0, 0, *[0] * 18)))
    attack = SPACE.decode(clean).attack
    assert isinstance(attack.shift, CleanLabel)
    assert attack.rate == max(r for r in RATES if r <= 0.9 / 12)
    assert SPACE.clamp((highest, 0, 3, 0, 0, *[0] * 18))[0] == highest
    tiny = Space.of(clips_of("abcdef" * 5, rate=8_000), seed=0)
    assert round(tiny.decode([0] * len(tiny.sizes)).attack.rate * 30) == 1


def test_a_slot_shares_its_bins_among_the_values() -> None:
    families = list(SPACE.families)
    style = FAMILIES["style"].parameters[0].values
    at = [0, 0, 0, 0, families.index("style"), *[0] * 18]
    found = []
    for slot in range(12):
        at[5] = slot
        found.append(spec(SPACE.decode(at).attack.trigger)["style"])
    assert found == [style[slot // 2] for slot in range(12)]


def test_the_open_ended_family_reaches_other_sounds_than_the_catalogue() -> None:
    family, room = OpenEnded(), Room(8000.0, 1.0)
    two = Composite(
        event_hz=(720.0, 3520.0),
        event_octaves=(0.5, 0.0),
        event_spread_hz=(0.0, 800.0),
        event_start_s=(0.0, 0.6),
        event_duration_s=(0.2, 0.3),
        event_level_db=(-30.0, -24.0),
        filter_hz=(1440.0,),
        filter_gain_db=(-6.0,),
        filter_octaves=(0.5,),
        modulation_hz=(8.0,),
        modulation_depth=(0.2,),
    )
    assert family.trigger(family.indices(two, room), room) == two
    silent = family.canonical((0,) * len(family.parameters))
    assert len(family.trigger(silent, room).event_hz) == 1, "never nothing at all"  # type: ignore[attr-defined]


def test_glides_stay_below_half_the_sample_rate() -> None:
    space = Space.of(CLIPS, seed=0, families=["composite"])
    steep = space.decode((0, 0, 0, 0, 0, 11, 11, 0, 0, 0, 11, *[0] * 12)).attack.trigger
    assert isinstance(steep, Composite)
    assert steep.event_hz[0] * 2 ** steep.event_octaves[0] < 8000


def test_what_can_be_searched_needs_no_model_to_make_it() -> None:
    crafted = {name for name in TRIGGERS if issubclass(TRIGGERS[name], CraftedTrigger)}
    assert not crafted & set(FAMILIES)


def test_the_catalogue_lies_in_the_space_where_it_can() -> None:
    found = {entry.name: SPACE.published(entry) for entry in CATALOGUE}
    told = found["tone burst"]
    assert told is not None
    tone = SPACE.decode(told).attack
    assert (tone.trigger.name, tone.rate, tone.shift) == ("tone", 0.05, AllToOne("b"))
    assert found["TaCT"] is not None
    assert SPACE.decode(found["TaCT"]).attack.cover_rate == pytest.approx(0.02)
    assert found["clean label, hardest clips"] is not None
    assert SPACE.decode(found["clean label, hardest clips"]).selection == "hardest"
    assert found["fine-tuned trojan"] is None, "it attacks training"
    assert found["neuron trigger (TrojanNN)"] is None, "it is crafted against a model"
    assert sum(bins is not None for bins in found.values()) >= 40


def test_the_grid_tells_what_bins_mean() -> None:
    grid = SPACE.grid()
    assert grid["slots"]["tone"]["frequency_hz"][0] == 320.0
    assert set(grid["slots"]) == set(SPACE.families)
    assert grid["shift"][0] == {"name": "all-to-one", "target": "b"}


@pytest.mark.parametrize(
    "junk",
    [(1, 2), (0.5,) * 23, (True,) * 23, ("1",) * 23],
    ids=["short", "floats", "bools", "text"],
)
def test_what_is_no_tuple_of_bins_is_refused(junk: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match="expected 23 whole numbers, got"):
        SPACE.clamp(junk)


def test_unknown_families_and_foreign_plans_are_refused() -> None:
    with pytest.raises(SpecError, match="no trigger family 'tome'; did you mean 'tone'"):
        Space.of(CLIPS, seed=0, families=["tome"])
    with pytest.raises(SpecError, match="at least one trigger family"):
        Space.of(CLIPS, seed=0, families=[])
    plan = Plan(Attack(Tone(), AllToOne("b"), 0.05))
    with pytest.raises(SpecError, match="has no trigger 'tone'"):
        Space.of(CLIPS, seed=0, families=["noise"]).encode(plan)
