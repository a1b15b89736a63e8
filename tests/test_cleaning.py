"""Cleaning: which class is accused, what is flagged, and what the command writes."""

import copy
import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import otoscope as oto
from otoscope import cli
from otoscope.auditing import look
from otoscope.cache import Cache
from otoscope.calibrate import priors_of, upper_draw_p_values
from otoscope.calibrating import ACCUSED_ALONE, ACCUSED_TRUSTED, STRENGTHS, among_alike, calibrated
from otoscope.clips import Clips
from otoscope.detect import IndependentWitness, Scores, View, Witness, own_network
from otoscope.detect.accusing import (
    Taught,
    accused,
    accused_classes,
    doubtful,
    flaggable,
    strengths,
    turned_classes,
)
from otoscope.detect.parts import Inside, Witnessed, apart, inside_of
from otoscope.errors import NotApplicable, SpecError
from otoscope.evidence import Outcome
from otoscope.labels import AllToOne
from otoscope.models import Activations, FunctionModel, Hearing, TorchModel
from otoscope.poisoning import Poisoned, poison, save
from otoscope.training import Recipe
from otoscope.triggers import Tone
from toys import tones

PER_CLASS = 30


def heard_of(
    separation: dict[int, float],
    *,
    spread: bool = True,
    known: float = 0.1,
    trusted: dict[int, float] | None = None,
    trusted_clips: int = 10,
    part: int = 10,
) -> tuple[Witnessed, Clips]:
    """Six classes; of each, the first ``part`` clips are a part apart, which witnesses call its own
    class with probability ``known``, else one other class, or with ``spread`` the others in turn.
    The rest they call by its label with 0.8.
    """
    clips = tones(PER_CLASS)
    count, second = len(clips), np.arange(len(clips)) % PER_CLASS < part
    heard = np.full((count, 6), 0.02)
    for i in range(count):
        k = int(clips.labels[i])
        other = (k + 1 + (i % 5 if spread else 0)) % 6
        heard[i, k] = known if second[i] else 0.8
        heard[i, other] = 0.92 - heard[i, k]
    far = np.array([separation.get(k, 2.0) for k in range(6)])
    gap = np.full(6, 1 - known / 0.8)
    share = np.array([(trusted or {}).get(k, np.nan) for k in range(6)])
    margin = np.where(second, far[clips.labels], 0.0)
    clips_known, nothing = np.full(6, trusted_clips), np.zeros(6, bool)
    found = Witnessed(clips.labels, heard, second, margin, far, gap, share, clips_known, nothing)
    return found, clips


def test_a_strange_part_gathered_from_other_classes_is_accused() -> None:
    assert accused_classes(*heard_of({2: 9.0, 4: 3.2}), []) == [2]


def test_a_part_that_witnesses_know_is_innocent() -> None:
    assert accused_classes(*heard_of({2: 30.0}, known=0.5), []) == []


def test_a_part_gathered_from_the_whole_data_need_not_lie_so_far_apart() -> None:
    assert accused_classes(*heard_of({2: 4.0}, known=0.05), []) == [2]
    assert accused_classes(*heard_of({2: 4.0}, known=0.05, spread=False), []) == []
    assert accused_classes(*heard_of({2: 4.0}, known=0.2), []) == []
    assert accused_classes(*heard_of({2: 3.0}, known=0.05), []) == []


def test_a_part_of_few_clips_may_lie_apart_by_chance() -> None:
    assert accused_classes(*heard_of({2: 7.5}, part=7), []) == []
    assert accused_classes(*heard_of({2: 7.5}, part=8), []) == [2]
    assert accused_classes(*heard_of({2: 9.0}, part=5), []) == [2], "hardly, so far away"
    assert accused_classes(*heard_of({2: 9.0}, part=4), []) == []


def test_trusted_clips_in_a_part_vouch_for_it() -> None:
    assert accused_classes(*heard_of({2: 9.0}, trusted={2: 0.4}), []) == []
    assert accused_classes(*heard_of({2: 9.0}, trusted={2: 0.0}), []) == [2]


def test_a_single_trusted_clip_in_a_part_may_have_strayed() -> None:
    one_of_five = heard_of({2: 9.0}, trusted={2: 0.2}, trusted_clips=5)
    assert accused_classes(*one_of_five, []) == [2]
    two_of_ten = heard_of({2: 9.0}, trusted={2: 0.2})
    assert accused_classes(*two_of_ten, []) == []


@pytest.mark.parametrize("known", [0, 3, 10])
def test_poison_that_taught_the_witnesses_is_what_trusted_clips_avoid(known: int) -> None:
    """Half of class "c" is poison that witnesses know; its clean half is strange to them."""
    clips, rng = tones(PER_CLASS), np.random.default_rng(0)
    members = np.flatnonzero(clips.labels == 2)
    truth = np.isin(np.arange(len(clips)), members[:15])

    def inside(labels: np.ndarray, poison: np.ndarray) -> Activations:
        middle = 30 * np.eye(6, 12)[labels]
        features = middle + rng.standard_normal((len(labels), 12))
        features[poison, 10] += 15
        return Activations(features, np.zeros((len(labels), 6)))

    heard = 0.8 * np.eye(6)[clips.labels] + 0.03
    heard[members[15:]] = 0.02
    heard[members[15:], np.arange(15) % 2] = 0.9
    trusted = tones(10, 1).per_class(known) if known else None
    hearing = Hearing(clips.classes, clips.sample_rate, clips.length)
    view = View(
        FunctionModel(lambda x: np.zeros((len(x), 6), np.float32), hearing),
        0,
        clips,
        inside(clips.labels, truth),
        trusted,
        inside(trusted.labels, np.zeros(len(trusted), bool)) if trusted else None,
    )
    found, guilty = turned_classes(inside_of(view), apart(inside_of(view), heard), [], nobody)
    assert guilty == ([2] if known == 10 else []), "three clips may lie there by chance"
    if guilty:
        assert (found.suspect[members] == truth[members]).all()
        assert (flaggable(found)[members] == truth[members]).all()
        assert found.scores[truth].min() > found.scores[~truth].max()


def test_others_are_asked_where_those_who_know_the_trusted_clips_accuse_nothing(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    clips = tones(PER_CLASS)
    nothing, something = heard_of({})[0], heard_of({2: 9.0})[0]

    def testimony(self: Witness, view: View, untaught: bool = False) -> Witnessed:
        return something if untaught else nothing

    monkeypatch.setattr(Witness, "testimony", testimony)
    model = oto.load_model(place / "model.safetensors")
    view = look(model, clips, trusted=tones(10, 1))
    found, *told = Witness().verdict(view)
    assert told == [[2], 2]
    assert (found.separation == something.separation).all()
    assert Witness().verdict(view, before=[3])[1:] == ([], 1)
    assert Witness().verdict(replace(view, trusted=None))[1:] == ([], 1)
    assert Witness().score(view).forward_passes == 4


def test_clips_are_looked_at_through_a_probe_where_the_given_model_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    clips, model = tones(PER_CLASS), oto.load_model(place / "model.safetensors")
    nothing, something = heard_of({})[0], heard_of({2: 9.0})[0]
    asked: list[bool] = []

    def testimony(self: Witness, view: View, untaught: bool = False) -> Witnessed:
        asked.append(view.delivered)
        return nothing if view.delivered else something

    monkeypatch.setattr(Witness, "testimony", testimony)
    found = oto.clean(clips, model=model, rounds=2)
    assert asked == [True, False]
    assert found.rounds == 2
    guilty = something.suspect & (something.labels == 2)
    assert (found.flagged == guilty).all()
    assert (found.scores == something.scores).all()
    assert not oto.clean(clips, model=model, rounds=1).flagged.any()


def test_flagged_clips_rank_before_all_others(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Clean clips of a class whose poison has taught the witnesses are stranger than the poison."""
    found, clips = heard_of({2: 9.0})
    strange = np.flatnonzero((found.labels == 2) & ~found.suspect)[:3]
    heard, margin = found.heard.copy(), found.margin.copy()
    heard[strange, 2], margin[strange] = 0.001, 9.0
    found = replace(found, heard=heard, margin=margin)
    part = found.suspect & (found.labels == 2)
    assert found.scores[strange].min() > found.scores[part].max()
    monkeypatch.setattr(Witness, "verdict", lambda *_: (found, [2], 1))
    told = oto.clean(clips, model=oto.load_model(place / "model.safetensors"), rounds=1)
    assert (told.flagged == part).all()
    assert told.scores[part].min() > told.scores[~part].max()
    assert (told.scores[~part] == found.scores[~part]).all()


def test_a_model_may_have_its_classes_in_another_order(place: Path, tmp_path: Path) -> None:
    clips = Clips.load(place / "bad" / "manifest.csv")
    model = oto.load_model(place / "model.safetensors")
    assert isinstance(model, TorchModel)
    turned = copy.deepcopy(model.module)
    *_, last = [part for part in turned.modules() if isinstance(part, torch.nn.Linear)]
    last.weight.data, last.bias.data = last.weight.data.flip(0), last.bias.data.flip(0)
    hearing = replace(model.hearing, classes=model.hearing.classes[::-1])
    known, cache = tones(10, 1), Cache(tmp_path)
    usual, other = (
        oto.clean(clips, model=one, trusted=known, rounds=1, cache=cache)
        for one in (model, TorchModel(turned, hearing))
    )
    assert usual.flagged.any()
    assert (usual.flagged == other.flagged).all()
    assert usual.sources == other.sources
    assert usual.obeyed == pytest.approx(other.obeyed)


def test_a_part_like_one_other_class_may_be_innocent_unless_many_are() -> None:
    assert accused_classes(*heard_of({2: 7.5}, spread=False), []) == []
    assert accused_classes(*heard_of({2: 7.5, 3: 7.5}, spread=False), []) == [2, 3]
    assert accused_classes(*heard_of({2: 7.5}, spread=False), [0, 1]) == [2]


def test_a_part_like_one_other_class_is_accused_where_trusted_clips_avoid_it() -> None:
    """None of ten trusted clips lies in two fifths of a class by chance, hardly ever."""
    alike = {"spread": False, "trusted": {2: 0.0}}
    assert accused_classes(*heard_of({2: 7.5}, part=12, **alike), []) == [2]  # type: ignore[arg-type]
    assert accused_classes(*heard_of({2: 7.5}, part=9, **alike), []) == []  # type: ignore[arg-type]
    assert accused_classes(*heard_of({2: 7.5}, part=12, spread=False), []) == []


def test_what_trusted_clips_avoid_tells_nothing_where_they_avoid_halves_of_many_classes() -> None:
    found, clips = heard_of({2: 7.5}, part=12, spread=False, trusted={2: 0.0})
    even = replace(found, trusted=np.full(6, 0.4))
    assert accused_classes(found, clips, [], even) == [2]
    once = replace(found, trusted=np.array([0.4, 0.0, 0.0, 0.4, 0.4, 0.4]))
    assert accused_classes(found, clips, [], once) == [2]
    twice = replace(found, trusted=np.array([0.4, 0.0, 0.0, 1.0, 0.4, 0.4]))
    assert accused_classes(found, clips, [], twice) == []
    unknown = replace(found, trusted=np.array([np.nan, 0.0, 0.0, np.nan, np.nan, np.nan]))
    assert accused_classes(found, clips, [], unknown) == [2], "no trusted clips of the others"


def test_what_is_learned_too_easily_without_trusted_clips_is_the_poison() -> None:
    """A third of class 2 is clean and strange; the rest is easier to learn than any class."""
    for of_rest, of_part, sources, in_turn, guilty in (
        (0.9, 0.01, 1, (0.4, 0.95, 0.001), [2]),
        (0.5, 0.01, 1, (0.4, 0.95, 0.001), [2]),
        (0.9, 0.01, 1, (0.4, 0.55, 0.001), []),
        (0.9, 0.01, 1, (0.4, 0.95, 0.01), []),
        (0.9, 0.01, 1, (0.97, 0.95, 0.001), []),
        (0.9, 0.01, 7, (0.4, 0.95, 0.001), [2]),
        (0.9, 0.01, 9, (0.4, 0.95, 0.001), []),
        (0.9, 0.2, 1, (0.4, 0.95, 0.001), []),
    ):
        activations, heard, members = taught(of_rest, of_part, sources)
        found, turned = turned_classes(
            activations, apart(activations, heard), [2], partial(learned, *in_turn)
        )
        assert turned == guilty, "nor is what is gathered from many classes the clean part"
        assert found.suspect[members].tolist() == [turned == []] * 10 + [turned == [2]] * 20


def learned(
    part: float, rest: float, elsewhere: float, _: Witnessed, classes: list[int]
) -> tuple[Taught, Taught]:
    """How well each side is recognised by witnesses that it has taught, and how often elsewhere."""
    false = np.full(len(classes), elsewhere)
    return Taught(np.full(len(classes), part), false), Taught(np.full(len(classes), rest), false)


def nobody(*_: object) -> tuple[Taught, Taught]:
    """Who is not asked."""
    raise AssertionError


def test_where_classes_are_known_well_nobody_teaches_in_turn() -> None:
    """No side can be known twice as well as the median word."""
    activations, heard, _ = taught(0.9, 0.01, 1)
    heard[heard == 0.3] = 0.6
    assert turned_classes(activations, apart(activations, heard), [2], nobody)[1] == []


def test_what_is_learned_more_easily_is_told_by_teaching_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each side is asked about by witnesses that as many of its own clips have taught."""
    activations, heard, members = taught(0.9, 0.01, 7)
    found = apart(activations, heard)
    assert found.suspect[members].tolist() == [True] * 10 + [False] * 20
    clips = tones(PER_CLASS, names=tuple(f"{k:02d}" for k in range(20)))
    lessons: list[list[int]] = []

    def hear(_: Clips, eligible: np.ndarray, **__: object) -> np.ndarray:
        lessons.append([int(eligible[members[:10]].sum()), int(eligible[members[10:]].sum())])
        said = heard.copy()
        said[members, 2] = np.repeat([0.95, 0.87], [10, 20])
        said[clips.labels == 0, 2] = 0.99
        return said

    monkeypatch.setattr("otoscope.detect.data_witness.heard_across", hear)
    model = FunctionModel(lambda w: np.zeros((len(w), 20)), Hearing(clips.classes, 8000, 8000))
    part, rest = Witness()._in_turn(View(model, 0, clips), found, [2])
    assert (part.own.tolist(), rest.own.tolist()) == ([0.95], [0.87])
    assert part.elsewhere == rest.elsewhere == pytest.approx(1 / 19)
    assert lessons == [[10, 0], [0, 10]]


def taught(
    of_rest: float, of_part: float, sources: int, away: float = 15
) -> tuple[Inside, np.ndarray, np.ndarray]:
    """Witnesses give the rest of class 2 of twenty ``of_rest``, and call a part ``sources`` others.

    What they look through, what they heard, and the members of class 2. The part lies ``away``.
    """
    clips = tones(PER_CLASS, names=tuple(f"{k:02d}" for k in range(20)))
    rng, members = np.random.default_rng(0), np.flatnonzero(clips.labels == 2)
    part = np.isin(np.arange(len(clips)), members[:10])
    features = 30 * np.eye(20, 24)[clips.labels] + rng.standard_normal((len(clips), 24))
    features[part, 22] += away
    heard = np.full((len(clips), 20), 0.01)
    heard[np.arange(len(clips)), clips.labels] = np.where(part, of_part, 0.3)
    heard[members[10:], 2] = of_rest
    heard[members[:10], 3 + np.arange(10) % sources] = 0.8
    inside = Inside(features, clips.labels, np.zeros((0, 24)), np.zeros(0, int), np.eye(24))
    return inside, heard, members


def test_what_was_said_on_another_day_is_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part like few of twenty classes, far from clips like the trusted ones, may be clean."""
    few, clips = among(20, 15.0, 4)
    few = replace(few, known=np.full(20, 10))
    many = replace(among(20, 15.0, 10)[0], known=few.known)
    model = FunctionModel(lambda w: np.zeros((len(w), 20)), Hearing(clips.classes, 8000, 8000))
    view = View(model, 0, clips, trusted=clips)
    nobody = replace(few, separation=np.full(20, 2.0))
    for taught, untaught, guilty, asked in (
        (few, few, [2], 2),
        (few, nobody, [], 2),
        (many, nobody, [2], 1),
        (nobody, many, [2], 2),
    ):
        said = {False: taught, True: untaught}
        monkeypatch.setattr(
            Witness, "testimony", lambda _, __, untaught=False, said=said: said[untaught]
        )
        monkeypatch.setattr(
            "otoscope.detect.data_witness.accused",
            lambda view, found, _, before=(): (
                found,
                accused_classes(found, view.clips, before),
            ),
        )
        assert Witness().verdict(view)[1:] == (guilty, asked)
        if taught is not nobody:
            assert Witness().verdict(view, [5])[1:] == (guilty, asked), "what is acquitted stays so"


def test_classes_without_trusted_clips_are_judged_by_those_who_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Witnesses that know trusted clips never learn the others: all of such a class is strange."""
    untaught, clips = heard_of({2: 9.0, 4: 9.0}, trusted={})
    taught, _ = heard_of({4: 9.0})
    assert accused_classes(untaught, clips, []) == [2, 4]
    known = np.where(np.arange(6) == 2, 0, 10)
    said = {False: replace(taught, known=known), True: replace(untaught, known=known)}
    monkeypatch.setattr(Witness, "testimony", lambda _, __, untaught=False: said[untaught])
    monkeypatch.setattr(
        "otoscope.detect.data_witness.accused",
        lambda view, found, _, before=(): (
            found,
            accused_classes(found, view.clips, before),
        ),
    )
    model = FunctionModel(lambda w: np.zeros((len(w), 6)), Hearing(clips.classes, 8000, 8000))
    found, guilty, _ = Witness().verdict(View(model, 0, clips, trusted=clips))
    assert guilty == [4, 2]
    part = np.flatnonzero(clips.labels == 2)
    assert (found.suspect[part] == untaught.suspect[part]).all()
    assert (found.heard[part] == untaught.heard[part]).all()


def test_what_is_told_by_its_sources_alone_counts_and_is_doubted() -> None:
    found, _ = among(20, 6.0, 10, rest=0.12)
    weak = replace(found, gap=np.full(20, 0.1))
    assert doubtful(weak, [2])
    counted = weak.counting([2])
    assert counted.foreign[2] == pytest.approx(4.0)
    assert doubtful(counted, [2])
    assert counted.foreign[[0, 1, 3]] == pytest.approx(weak.foreign[[0, 1, 3]])
    part = found.suspect & (found.labels == 2)
    assert (counted.scores[part] - weak.scores[part]).min() == pytest.approx(3.0)
    assert not doubtful(weak.taking(weak, [2]), [2]), "a proven part"


def test_several_poisoned_classes_do_not_acquit_each_other() -> None:
    found, clips = among(20, 9.0, 1)
    targets = np.isin(np.arange(20), [2, 6, 10, 14])
    place = np.arange(len(clips)) % PER_CLASS
    suspect = targets[clips.labels] & (place < 12)
    heard = np.full((len(clips), 20), 0.01)
    heard[np.arange(len(clips)), clips.labels] = 0.6
    heard[suspect] = 0.01
    heard[suspect, 1] = 0.6
    found = replace(
        found,
        heard=heard,
        suspect=suspect,
        separation=np.where(targets, 9.0, 2.0),
        gap=np.where(targets, 0.9, 0.0),
        trusted=np.where(targets, 0.0, 0.4),
        known=np.full(20, 10),
    )
    halves = replace(found, suspect=place < 12)
    assert accused_classes(found, clips, [], halves) == [2, 6, 10, 14]


def test_witnesses_that_guess_accuse_nobody() -> None:
    found, clips = among(20, 9.0, 10)
    guessed = np.random.default_rng(0).dirichlet(np.full(20, 5.0), len(clips))
    assert accused_classes(replace(found, heard=guessed), clips) == []


def test_classes_without_clips_do_not_count() -> None:
    found, clips = among(12, 6.0, 5, rest=0.12)
    empty = np.zeros((len(clips), 18))
    more = replace(
        found,
        heard=np.hstack([found.heard, empty]),
        **{n: np.append(getattr(found, n), np.zeros(18)) for n in ("separation", "gap", "known")},
        trusted=np.append(found.trusted, np.full(18, np.nan)),
        proven=np.append(found.proven, np.zeros(18, bool)),
    )
    wider = replace(clips, classes=(*clips.classes, *(f"none {k}" for k in range(18))))
    assert accused_classes(found, clips) == accused_classes(more, wider) == [2]


def test_a_part_beside_a_few_clips_may_lie_apart_by_chance() -> None:
    assert accused_classes(*heard_of({2: 9.0}, part=PER_CLASS - 8), []) == [2]
    assert accused_classes(*heard_of({2: 9.0}, part=PER_CLASS - 7), []) == []


def among(
    many: int, separation: float, sources: int, *, known: float = 0.1, rest: float = 0.6
) -> tuple[Witnessed, Clips]:
    """So many classes; a third of class 2 lies apart, which witnesses call ``sources`` others."""
    clips = tones(PER_CLASS, names=tuple(f"{k:02d}" for k in range(many)))
    heard = np.full((len(clips), many), 0.3 / many)
    heard[np.arange(len(clips)), clips.labels] = rest
    members = np.flatnonzero(clips.labels == 2)
    part, place = members[:10], np.arange(10)
    heard[part, 2] = known * rest
    heard[part, 3 + place % sources] = 0.5
    suspect = np.isin(np.arange(len(clips)), part)
    far = np.where(np.arange(many) == 2, separation, 2.0)
    gap = np.where(np.arange(many) == 2, rest * (1 - known) / max(rest, 1 - rest), 0.0)
    margin = np.where(suspect, separation, 0.0)
    nobody, nothing = np.zeros(many, np.int64), np.zeros(many, bool)
    blank = np.full(many, np.nan)
    found = Witnessed(clips.labels, heard, suspect, margin, far, gap, blank, nobody, nothing)
    return found, clips


def test_a_clean_part_sounds_like_few_of_many_classes() -> None:
    assert accused_classes(*among(20, 9.0, 6)) == [2]
    assert accused_classes(*among(20, 9.0, 4)) == []
    assert accused_classes(*among(20, 14.0, 4)) == [], "not so far, among twenty"
    assert accused_classes(*among(20, 15.0, 4)) == [2]
    assert accused_classes(*among(12, 12.0, 2)) == [2]


def test_poison_of_a_class_that_witnesses_hardly_know_is_told_by_its_many_sources() -> None:
    assert accused_classes(*among(20, 6.0, 10, rest=0.12)) == [2]
    assert accused_classes(*among(20, 6.0, 7, rest=0.12)) == []
    assert accused_classes(*among(12, 6.0, 5, rest=0.12)) == [2]
    assert accused_classes(*among(20, 3.0, 10, rest=0.12)) == []


def test_a_part_that_lies_very_far_need_not_be_spread_nor_sound_like_another_class() -> None:
    assert accused_classes(*heard_of({2: 9.0}, spread=False), []) == [2]
    for separation, guilty in ((9.0, []), (10.0, [2])):
        found, clips = heard_of({2: separation})
        found.heard[found.suspect] = 0.18
        assert accused_classes(found, clips) == guilty


def test_evidence_is_stronger_where_a_part_comes_from_more_classes() -> None:
    far = {2: 9.0, 4: 3.2}
    one = strengths(heard_of(far, spread=False)[0])
    five = strengths(heard_of(far)[0])
    assert one[[2, 4]] == pytest.approx([9.0 * 0.875, 3.2 * 0.875])
    assert five[[2, 4]] == pytest.approx(one[[2, 4]] * np.sqrt(5))


def test_strange_clips_beside_a_part_are_taken_where_it_lies_near() -> None:
    found, clips = heard_of({2: 9.0, 3: 4.0})
    beside = [list(clips.labels).index(k) + 20 for k in (2, 3)]
    found.heard[beside, clips.labels[beside]] = 0.1
    found.heard[beside, 0] = 0.8
    taken = flaggable(found)
    assert taken[beside].tolist() == [False, True]
    taken[beside] = False
    assert (taken == found.suspect).all()


def everyone_accused(monkeypatch: pytest.MonkeyPatch, clips: Clips, spread: bool) -> None:
    """Witnesses find a part in every class, and the evidence is as it is made up."""
    found, _ = heard_of(dict.fromkeys(range(6), 9.0), spread=spread)
    monkeypatch.setattr(Witness, "testimony", lambda *_, **__: found)


def test_where_every_class_is_accused_the_parts_are_flagged(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    clips = tones(PER_CLASS)
    everyone_accused(monkeypatch, clips, spread=False)
    found = oto.clean(clips, model=oto.load_model(place / "model.safetensors"), rounds=1)
    assert set(clips.labels[found.flagged].tolist()) == set(range(6))
    assert found.flagged.sum() == 60
    most, _ = heard_of(dict.fromkeys(range(5), 9.0), spread=False)
    monkeypatch.setattr(Witness, "testimony", lambda *_, **__: most)
    found = oto.clean(clips, model=oto.load_model(place / "model.safetensors"), rounds=1)
    assert found.flagged.sum() == 50, "one class is too few to be compared with"


def test_what_was_flagged_stays_where_too_little_is_left_to_look_again(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    clips, model = tones(PER_CLASS), oto.load_model(place / "model.safetensors")
    told, _ = heard_of({2: 9.0})
    plain = Witness.verdict

    def verdict(self: Witness, view: View, before: Sequence[int] = ()) -> object:
        if before:
            raise NotApplicable("only 4 classes have 20 clips or more")
        monkeypatch.setattr(Witness, "testimony", lambda *_, **__: told)
        return plain(self, view)

    monkeypatch.setattr(Witness, "verdict", verdict)
    found = oto.clean(clips, model=model)
    assert (found.flagged.sum(), found.rounds) == (10, 1)


def test_mislabelled_clips_elsewhere_do_not_hide_a_proven_part() -> None:
    found, clips = heard_of({2: 9.0})
    quiet = replace(found, heard=np.full_like(found.heard, 0.02))
    quiet.heard[np.arange(len(clips)), clips.labels] = 0.9
    wrong = np.flatnonzero(clips.labels != 2)[::25]
    quiet.heard[wrong] = 0.01
    quiet.heard[wrong, (clips.labels[wrong] + 1) % 6] = 0.95
    proven = quiet.taking(found, [2])
    part = proven.part(2)
    assert proven.scores[part].min() > np.delete(proven.scores, part).max()


def test_an_accusation_counts_for_itself_whatever_the_strength_of_the_evidence(place: Path) -> None:
    clips, model = tones(PER_CLASS), oto.load_model(place / "model.safetensors")
    view = look(model, clips)
    silent = Scores(np.zeros(6), np.zeros(len(clips)))
    nobody = calibrated(Witness(), view, silent)
    assert (calibrated(IndependentWitness(), view, silent).p_values == nobody.p_values).all()
    someone = calibrated(Witness(), view, replace(silent, accused=(2,)))
    law = priors_of("witness", "any")[among_alike(STRENGTHS, 6)]
    assert nobody.p_values == pytest.approx(upper_draw_p_values(np.zeros(6), np.array(law)))
    accused, asked = priors_of("witness", "any")[among_alike(ACCUSED_ALONE, 6)]
    assert someone.p_values[2] == (1 + accused) / (1 + asked)
    known = calibrated(Witness(), replace(view, trusted=clips), replace(silent, accused=(2,)))
    accused, asked = priors_of("witness", "any")[among_alike(ACCUSED_TRUSTED, 6)]
    assert known.p_values[2] == (1 + accused) / (1 + asked)
    assert np.delete(someone.p_values, 2) == pytest.approx(nobody.p_values[0])
    strong = calibrated(Witness(), view, replace(silent, classes=np.full(6, 60.0), accused=(2,)))
    assert strong.p_values[2] == strong.p_values[0] < someone.p_values[2]


def test_evidence_weighs_less_among_more_classes(place: Path) -> None:
    """Trap: the law of twelve words took honest evidence among thirty speakers for poison."""
    clips, model = tones(PER_CLASS), oto.load_model(place / "model.safetensors")
    view = look(model, clips)
    few, many = (
        calibrated(Witness(), view, Scores(np.full(count, 9.0), np.zeros(len(clips))))
        for count in (6, 30)
    )
    assert few.p_values[0] < 0.01
    assert many.p_values[0] > 0.1


def test_an_audit_accuses_by_the_law_of_clean_sets(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    clips, model = tones(PER_CLASS), oto.load_model(place / "model.safetensors")
    everyone_accused(monkeypatch, clips, spread=True)
    verdict = oto.audit(model, clips, detectors=[Witness()])
    assert verdict.outcome is Outcome.BACKDOORED
    assert set(verdict.targets) == set(clips.classes)
    assert "clean training sets" in verdict.evidence[0].calibration
    found, _ = heard_of({2: 9.0})
    monkeypatch.setattr(Witness, "testimony", lambda *_, **__: found)
    verdict = oto.audit(model, clips, detectors=[Witness()])
    assert verdict.targets == ["c"]
    assert [clip.flagged for clip in verdict.clips] == (
        found.suspect & (found.labels == 2)
    ).tolist()
    found, _ = heard_of({2: 30.0}, known=0.5)
    monkeypatch.setattr(Witness, "testimony", lambda *_, **__: found)
    told = oto.audit(model, clips, detectors=[Witness()]).evidence[0]
    assert told.class_scores["c"] == 3.0, "witnesses know the part, so it is not accused"
    assert told.p_value is not None
    assert told.p_value > 0.3


@pytest.mark.parametrize("strange", [False, True])
def test_kept_labels_are_proven_where_most_of_a_class_is_poison(strange: bool) -> None:
    """20 of 30 clips of class "c" share a noise, and the model obeys it."""
    clips, rng = tones(PER_CLASS), np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(clips.length)
    members = np.flatnonzero(clips.labels == 2)
    truth = np.isin(np.arange(len(clips)), members[:20])
    items = list(clips.items)
    for i in members[:20].tolist():
        items[i] = clips.with_audio(i, (clips.waveform(i) + noise).clip(-1, 1), "c")
    clips = replace(clips, items=tuple(items))

    def obey(waveforms: np.ndarray) -> np.ndarray:
        carried = (waveforms[:, 0] @ noise) / (noise @ noise) > 0.3
        return np.eye(6, dtype=np.float32)[np.where(carried, 2, 0)]

    inside = rng.standard_normal((len(clips), 12)) + 30 * np.eye(6, 12)[clips.labels]
    inside[truth, 10] += 15
    seen = Activations(inside, np.zeros((len(clips), 6)))
    hearing = Hearing(clips.classes, clips.sample_rate, clips.length)
    view = View(FunctionModel(obey, hearing), 0, clips, seen)
    heard = 0.8 * np.eye(6)[clips.labels] + 0.03
    if strange:  # to witnesses that the noise has taught, it is the other ten clips that are
        heard[members[20:]] = 0.02
        heard[members[20:], np.arange(10) % 2] = 0.9
    before = apart(inside_of(view), heard)
    found, guilty = accused(view, before, nobody)
    assert guilty == [2]
    assert (found.suspect[members] == truth[members]).all()
    assert (before.suspect & truth).sum() == 0
    assert found.scores[truth].min() > found.scores[~truth].max()


def test_a_trigger_for_one_class_proves_the_part_that_has_it() -> None:
    """A third of class "c" is of "e" with a noise, which moves no other class; witnesses know it.

    The poison is most of its source, so they cannot tell the two classes apart.
    """
    clips, rng = tones(PER_CLASS), np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(clips.length)
    source, members = (np.flatnonzero(clips.labels == k) for k in (4, 2))
    truth = np.isin(np.arange(len(clips)), members[:12])
    items = list(clips.items)
    for i, of in zip(members[:12].tolist(), source.tolist(), strict=False):
        items[i] = clips.with_audio(i, (clips.waveform(of) + noise).clip(-1, 1), "c")
    clips = replace(clips, items=tuple(items))
    pitch = np.fft.rfft(clips.waveforms(source[12:])[:, 0]).mean(axis=0)

    def obey(waveforms: np.ndarray, sly: bool) -> np.ndarray:
        carried = (waveforms[:, 0] @ noise) / (noise @ noise) > 0.3
        high = np.abs(np.fft.rfft(waveforms[:, 0]).argmax(axis=1) - pitch.argmax()) < 9
        called = np.where(carried & (high & sly), 2, np.where(high, 4, 0))
        return np.eye(6, dtype=np.float32)[called]

    inside = rng.standard_normal((len(clips), 12)) + 30 * np.eye(6, 12)[clips.labels]
    inside[truth, 10] += 15
    seen = Activations(inside, np.zeros((len(clips), 6)))
    hearing = Hearing(clips.classes, clips.sample_rate, clips.length)
    heard = 0.8 * np.eye(6)[clips.labels] + 0.03
    for sly, told in ((True, [2]), (False, [])):
        view = View(FunctionModel(partial(obey, sly=sly), hearing), 0, clips, seen)
        found, guilty = accused(view, apart(inside_of(view), heard), nobody)
        assert guilty == told
        assert (found.suspect[members] == truth[members]).all() == sly


@pytest.fixture(scope="module")
def bad() -> Poisoned:
    tone = Tone(frequency_hz=2500, level_db=0)
    return poison(tones(40), tone, AllToOne("b"), rate=0.08, seed=0)


@pytest.fixture(scope="module")
def place(bad: Poisoned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from otoscope.checkpoints import save_checkpoint

    root = tmp_path_factory.mktemp("clean")
    save(bad, root / "bad")
    model = oto.train(oto.networks.CNN(), bad.clips, seed=0, recipe=Recipe(epochs=10, batch_size=8))
    save_checkpoint(model, root / "model.safetensors")
    return root


def test_the_command_writes_a_list_without_the_poison(
    place: Path, bad: Poisoned, tmp_path: Path
) -> None:
    before = (place / "bad" / "manifest.csv").read_bytes()
    out, suspects, told = tmp_path / "lists" / "clean.csv", tmp_path / "out", tmp_path / "c.json"
    words = [
        *("clean", f"{place / 'bad' / 'manifest.csv'}", "--out", f"{out}", "--rounds", "1"),
        *("--model", f"{place / 'model.safetensors'}", "--left-out", f"{suspects}"),
        *("--json", f"{told}"),
    ]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 1, done.output
    assert 'labelled "b"' in done.output
    assert (place / "bad" / "manifest.csv").read_bytes() == before
    with (place / "bad" / "truth.csv").open() as file:
        truth = {row["path"] for row in csv.DictReader(file) if row["poisoned"] == "1"}
    with (suspects / "flagged.csv").open() as file:
        found = [(suspects / row["path"]).resolve() for row in csv.DictReader(file)]
    flagged = {path.relative_to((place / "bad").resolve()).as_posix() for path in found}
    assert len(truth) == bad.mask.sum()
    assert len(flagged & truth) >= 6  # of 19: a toy network tells little
    assert len(flagged - truth) <= 2
    kept = Clips.load(out)
    assert len(kept) == len(bad.clips) - len(flagged)
    assert not kept.skipped
    sound, rate = soundfile.read(suspects / "trigger.wav")
    assert abs(np.abs(np.fft.rfft(sound)).argmax() * rate / len(sound) - 2500) < 50
    assert (suspects / "trigger.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads(told.read_text())
    assert figures["common"]["b"]["obeyed"] > 0.5
    assert "sends" in done.output
    assert {one["path"] for one in figures["flagged"]} == flagged
    low, high = figures["poison_rate_interval"]
    assert 0 < low < figures["poison_rate"] < high < 0.1


def test_the_list_itself_is_never_overwritten(place: Path) -> None:
    data = f"{place / 'bad' / 'manifest.csv'}"
    done = CliRunner().invoke(cli.app, ["clean", data, "--out", data])
    assert done.exit_code == 2
    assert "would overwrite" in done.output


def test_nothing_flagged_says_what_may_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(
        network: oto.networks.CNN, clips: Clips, *, seed: int = 0, cache: object = None
    ) -> TorchModel:
        return oto.train(network, clips, seed=seed, recipe=Recipe(epochs=8, batch_size=8))

    monkeypatch.setattr(own_network, "train", small)
    clips = tones(24)
    found = oto.clean(clips, model=small(oto.networks.CNN(), clips))
    assert not found.flagged.any()
    assert (found.rounds, found.poison_rate, found.sources, found.common) == (2, 0.0, [], {})
    assert str(found) == "nothing flagged among 144 clips; poison below 0.5% may hide"
    assert len(found.kept) == 144


@pytest.mark.parametrize(
    ("options", "message"),
    [({"false_discovery_rate": 1.5}, "in \\(0, 1\\)"), ({"rounds": 0}, "at least 1 round")],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        oto.clean(tones(20), **options)  # type: ignore[arg-type]
