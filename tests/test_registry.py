"""Components by name: guesses, conversions, and components of a third party."""

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otoscope import registry
from otoscope.errors import SpecError
from otoscope.registry import Table, build, parse, spec


@dataclass(frozen=True)
class Bell:
    name: ClassVar[str] = "bell"

    pitch_hz: float = 440.0
    strokes: int = 1
    muffled: bool = False
    metal: Literal["bronze", "steel"] = "bronze"
    place_s: float | None = None
    gains_db: tuple[float, ...] = ()
    inscription: str = ""


@dataclass(frozen=True)
class Drum:
    name: ClassVar[str] = "drum"

    skin: str
    sticks: int


@dataclass(frozen=True)
class Gong:
    """What a third party brings; entry points below lead here."""

    name: ClassVar[str] = "gong"

    size_m: float = 1.0


NOT_A_COMPONENT = 5
SOUNDS: Table[Any] = Table("sound", "test.sounds", Bell, Drum)


def test_build_and_spec_are_inverse() -> None:
    bell = Bell(880.0, 3, True, "steel", 0.5, (1.0, -2.5), "ding")
    assert build(SOUNDS, spec(bell)) == bell
    assert spec(bell)["gains_db"] == [1.0, -2.5], "plain JSON has lists"


def test_text_form_converts_every_type() -> None:
    text = (
        "bell: pitch_hz=1e3, strokes=2, muffled=yes, metal=steel, place_s=0.5,"
        "gains_db=1+-2.5, inscription=ding"
    )
    assert build(SOUNDS, text) == Bell(1000.0, 2, True, "steel", 0.5, (1.0, -2.5), "ding")
    assert build(SOUNDS, "bell") == Bell()
    assert build(SOUNDS, "bell:place_s=none,muffled=False,gains_db=") == Bell()


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.booleans())
def test_text_form_keeps_numbers_exactly(pitch: float, strokes: int, muffled: bool) -> None:
    text = f"bell:pitch_hz={pitch},strokes={strokes},muffled={muffled}"
    assert build(SOUNDS, text) == Bell(pitch, strokes, muffled)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"pitch_hz": "high"}, "bell.pitch_hz: expected a number, got 'high'"),
    ({"pitch_hz": None}, "bell.pitch_hz: expected a number, got None"),
    ({"pitch_hz": True}, "bell.pitch_hz: expected a number, got True"),
    ({"pitch_hz": "nan"}, "bell.pitch_hz: expected a number, got 'nan'"),
    ({"pitch_hz": float("inf")}, "bell.pitch_hz: expected a number, got inf"),
    ({"strokes": 1.5}, "bell.strokes: expected a whole number, got 1.5"),
    ({"strokes": "1.5"}, "bell.strokes: expected a whole number, got '1.5'"),
    ({"strokes": float("inf")}, "bell.strokes: expected a whole number, got inf"),
    ({"muffled": "perhaps"}, "bell.muffled: expected true or false, got 'perhaps'"),
    ({"muffled": 2}, "bell.muffled: expected true or false, got 2"),
    ({"metal": "tin"}, "bell.metal: expected one of bronze, steel, got 'tin'"),
    ({"place_s": "here"}, "bell.place_s: expected a number, got 'here'"),
    ({"gains_db": 5}, "bell.gains_db: expected values joined by '+', or a list, got 5"),
    ({"gains_db": "1+x"}, "bell.gains_db: expected a number, got 'x'"),
    ({"inscription": None}, "bell.inscription: expected text, got None"),
    ({"pich_hz": 1}, "sound 'bell' has no parameter 'pich_hz'; did you mean 'pitch_hz'?; it has:"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_wrong_values_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        build(SOUNDS, {"name": "bell", **fields})


def test_whole_numbers_may_come_as_json_floats() -> None:
    assert build(SOUNDS, {"name": "bell", "strokes": 3.0}).strokes == 3
    assert build(SOUNDS, {"name": "bell", "inscription": 7}).inscription == "7"


def test_an_unknown_name_gets_a_guess() -> None:
    with pytest.raises(
        SpecError, match=r"no sound called 'bel'; did you mean 'bell'.*: bell, drum"
    ):
        build(SOUNDS, "bel")
    with pytest.raises(SpecError, match="no sound called 'xyz'; there are: bell, drum"):
        SOUNDS["xyz"]


def test_a_missing_value_is_named() -> None:
    with pytest.raises(SpecError, match="sound 'drum' needs a value for sticks: drum:sticks="):
        build(SOUNDS, "drum:skin=calf")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bell:pitch_hz", "expected key=value in 'bell:pitch_hz', got 'pitch_hz'"),
        ("bell:strokes=1,strokes=2", "strokes is given twice"),
    ],
)
def test_text_that_is_no_spec(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        parse(text)


@pytest.mark.parametrize("nameless", [{}, {"name": 5}])
def test_a_spec_needs_a_name(nameless: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="a sound spec needs a name"):
        build(SOUNDS, nameless)


def test_build_leaves_the_spec_as_it_is() -> None:
    wanted = {"name": "bell", "strokes": 2}
    build(SOUNDS, wanted)
    assert wanted == {"name": "bell", "strokes": 2}


def test_a_table_is_a_mapping_of_its_own_components() -> None:
    assert list(SOUNDS) == ["bell", "drum"]
    assert len(SOUNDS) == 2
    assert "bell" in SOUNDS
    assert "gong" not in SOUNDS


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{attribute}", "test.sounds")
        for name, attribute in [("gong", "Gong"), ("tam-tam", "Gong"), ("five", "NOT_A_COMPONENT")]
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))


@pytest.mark.usefixtures("third_party")
def test_a_third_party_component_is_found_and_guessed() -> None:
    gong = build(SOUNDS, "gong:size_m=2")
    assert type(gong).__name__ == "Gong"
    assert spec(gong) == {"name": "gong", "size_m": 2.0}
    with pytest.raises(SpecError, match="did you mean 'gong'"):
        build(SOUNDS, "gongg")


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("name", ["tam-tam", "five"])
def test_a_third_party_component_keeps_the_convention(name: str) -> None:
    with pytest.raises(SpecError, match=f"expected a frozen dataclass .* name is '{name}'"):
        build(SOUNDS, name)
