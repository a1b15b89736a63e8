"""Label shifts: who may be poisoned, what a poisoned clip is called, what counts as success."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otoscope.errors import SpecError
from otoscope.labels import (
    ANY_OTHER,
    LABEL_SHIFTS,
    AllToAll,
    AllToOne,
    AnyMember,
    CleanLabel,
    DirtyFlip,
    LabelShift,
    SourceSpecific,
    Untargeted,
)
from otoscope.registry import build, spec

CLASSES = ("down", "left", "no", "yes")
SHIFTS: list[LabelShift] = [
    AllToOne("yes"),
    AllToAll(),
    AllToAll(offset=-1),
    AllToAll(offset=6),
    SourceSpecific("no", "yes"),
    CleanLabel("left"),
    DirtyFlip("no"),
    DirtyFlip("no", flip_probability=0.3),
    Untargeted(),
    AnyMember(("left", "no")),
]
every = pytest.mark.parametrize("shift", SHIFTS, ids=repr)
labels_of_clips = st.lists(st.integers(0, 3), max_size=30).map(lambda x: np.array(x, dtype=int))


def relabelled(shift: LabelShift, labels: np.ndarray) -> np.ndarray:
    return shift.relabel(labels, CLASSES, np.random.default_rng(0))


def test_every_shift_is_tested() -> None:
    assert {type(shift) for shift in SHIFTS} == set(LABEL_SHIFTS.values())


@every
@given(labels=labels_of_clips)
def test_answers_are_labels_and_masks_and_the_input_is_untouched(
    shift: LabelShift, labels: np.ndarray
) -> None:
    before = labels.copy()
    for answer, least in ((shift.goal(labels, CLASSES), ANY_OTHER), (relabelled(shift, labels), 0)):
        assert answer.shape == labels.shape
        assert np.issubdtype(answer.dtype, np.integer)
        assert set(answer.tolist()) <= set(range(least, 4))
        assert answer is not labels
    for mask in (
        shift.eligible(labels, CLASSES),
        shift.attackable(labels, CLASSES),
        shift.coverable(labels, CLASSES),
        shift.achieved(labels, labels, CLASSES),
    ):
        assert mask.shape == labels.shape
        assert mask.dtype == bool
    np.testing.assert_array_equal(labels, before)


@every
@given(labels=labels_of_clips)
def test_a_clip_in_its_goal_class_is_never_attackable(
    shift: LabelShift, labels: np.ndarray
) -> None:
    """Trap: the target class left in the success rate."""
    already = shift.goal(labels, CLASSES) == labels
    assert not (shift.attackable(labels, CLASSES) & already).any()
    assert (shift.attackable(labels, CLASSES) | already).all()


@every
@given(labels=labels_of_clips)
def test_an_eligible_clip_is_relabelled_as_its_goal(shift: LabelShift, labels: np.ndarray) -> None:
    if isinstance(shift, DirtyFlip | Untargeted | AnyMember):
        return  # random: each has a test of its own
    may = shift.eligible(labels, CLASSES)
    goal, new = shift.goal(labels, CLASSES), relabelled(shift, labels)
    np.testing.assert_array_equal(new[may], goal[may])
    assert (new[may] == labels[may]).all() == (isinstance(shift, CleanLabel) or not may.any())


@every
@given(labels=labels_of_clips)
def test_the_attacker_succeeds_with_the_goal_and_not_with_the_truth(
    shift: LabelShift, labels: np.ndarray
) -> None:
    may = shift.attackable(labels, CLASSES)
    assert not (shift.achieved(labels, labels, CLASSES) & may).any()
    goal = shift.goal(labels, CLASSES)
    reached = np.where(goal == ANY_OTHER, (labels + 1) % 4, goal)
    assert shift.achieved(reached, labels, CLASSES).all()


@every
@given(labels=labels_of_clips)
def test_a_cover_clip_never_contradicts_the_attack(shift: LabelShift, labels: np.ndarray) -> None:
    if isinstance(shift, SourceSpecific):
        both = shift.coverable(labels, CLASSES) & shift.eligible(labels, CLASSES)
        assert not both.any()


@every
def test_spec_round_trips(shift: LabelShift) -> None:
    assert build(LABEL_SHIFTS, spec(shift)) == shift


def test_all_to_one() -> None:
    labels = np.array([0, 3, 1, 2])
    assert AllToOne("yes").goal(labels, CLASSES).tolist() == [3, 3, 3, 3]
    assert AllToOne("yes").eligible(labels, CLASSES).tolist() == [True, False, True, True]


def test_all_to_all_wraps_around() -> None:
    labels = np.array([0, 1, 2, 3])
    assert AllToAll().goal(labels, CLASSES).tolist() == [1, 2, 3, 0]
    assert AllToAll(offset=-1).goal(labels, CLASSES).tolist() == [3, 0, 1, 2]
    assert AllToAll().attackable(labels, CLASSES).all()


@pytest.mark.parametrize("offset", [0, 4, -8])
def test_all_to_all_that_moves_nothing_is_refused(offset: int) -> None:
    with pytest.raises(SpecError, match=f"offset {offset} moves nothing among 4 classes"):
        AllToAll(offset).goal(np.array([0, 1]), CLASSES)


def test_source_specific_leaves_other_classes_alone() -> None:
    shift, labels = SourceSpecific("no", "yes"), np.array([0, 2, 3, 2])
    assert shift.goal(labels, CLASSES).tolist() == [0, 3, 3, 3]
    assert shift.eligible(labels, CLASSES).tolist() == [False, True, False, True]
    assert shift.attackable(labels, CLASSES).tolist() == [False, True, False, True]


def test_source_specific_needs_two_classes() -> None:
    with pytest.raises(SpecError, match="needs a source other than its target"):
        SourceSpecific("no", "no")


def test_clean_label_keeps_labels_and_poisons_the_target_alone() -> None:
    shift, labels = CleanLabel("left"), np.array([1, 0, 1, 3])
    assert relabelled(shift, labels).tolist() == labels.tolist()
    assert shift.eligible(labels, CLASSES).tolist() == [True, False, True, False]
    assert shift.attackable(labels, CLASSES).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    "shift",
    [
        AllToOne("yess"),
        SourceSpecific("yess", "no"),
        SourceSpecific("no", "yess"),
        CleanLabel("yess"),
    ],
    ids=repr,
)
def test_an_unknown_class_gets_a_guess(shift: LabelShift) -> None:
    with pytest.raises(SpecError, match=r"no class 'yess'; did you mean 'yes'.* there are: down"):
        shift.eligible(np.array([0, 1]), CLASSES)


def test_untargeted_is_never_the_truth_and_any_wrong_class_serves() -> None:
    labels = np.repeat(np.arange(4), 100)
    new = relabelled(Untargeted(), labels)
    assert (new != labels).all()
    assert {(int(a), int(b)) for a, b in zip(labels, new, strict=True)} == {
        (a, b) for a in range(4) for b in range(4) if a != b
    }
    assert Untargeted().attackable(labels, CLASSES).all()
    assert Untargeted().achieved(new, labels, CLASSES).all()


def test_dirty_flip_flips_with_its_probability() -> None:
    labels = np.repeat(np.arange(4), 500)
    new = relabelled(DirtyFlip("no", flip_probability=0.3), labels)
    moved = new != labels
    assert (new[moved] == 2).all()
    assert moved[labels != 2].mean() == pytest.approx(0.3, abs=0.04)
    assert DirtyFlip("no").eligible(labels, CLASSES).all(), "label-on-label"


@pytest.mark.parametrize("probability", [0, -1, 1.5])
def test_dirty_flip_needs_a_probability(probability: float) -> None:
    with pytest.raises(SpecError, match="flip_probability must lie above 0"):
        DirtyFlip("no", flip_probability=probability)


def test_any_member_moves_others_to_all_members() -> None:
    shift, labels = AnyMember(("left", "no")), np.repeat(np.arange(4), 50)
    assert shift.attackable(labels, CLASSES).tolist() == (~np.isin(labels, [1, 2])).tolist()
    new = relabelled(shift, labels)
    assert set(new[labels == 0].tolist()) == {1, 2}
    assert shift.achieved(new, labels, CLASSES).all()
    assert not shift.achieved(labels, labels, CLASSES)[labels == 0].any()


def test_any_member_needs_one() -> None:
    with pytest.raises(SpecError, match="at least one member"):
        AnyMember(())
