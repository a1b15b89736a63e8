"""Witnesses and parts: on made-up statements, on toy clips, and what a listener is taught."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

import otoscope as oto
from otoscope import metrics, sampling, spill
from otoscope.auditing import look
from otoscope.batches import Batch
from otoscope.clips import Clips
from otoscope.detect import View, Witness, data_witness
from otoscope.detect.listening import Varied, agreeing, heard_across, taught_by
from otoscope.detect.parts import Inside, Witnessed, apart, inside_of
from otoscope.errors import NotApplicable, SpecError
from otoscope.labels import AllToOne
from otoscope.poisoning import Poisoned, poison
from otoscope.training import Recipe
from otoscope.triggers import Tone
from toys import activations_with, tones


def made_up(
    strange: int, away: int, *, distance: float = 12.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Activations of unit spread, labels, and what witnesses say of four classes of 80 clips.

    The first ``away`` clips of class 1 lie ``distance`` apart; to witnesses the first ``strange``
    ones sound like the other classes. The last value tells which clips are both.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 80)
    activations = rng.standard_normal((320, 40)) + 20 * np.eye(4, 40)[labels]
    activations[80 : 80 + away, 9] += distance
    called = labels.copy()
    called[80 : 80 + strange] = np.array([0, 2, 3])[np.arange(strange) % 3]
    heard = 0.9 * np.eye(4)[called] + 0.025
    truth = np.zeros(320, bool)
    truth[80 : 80 + min(strange, away)] = True
    return activations, labels, heard, truth


def found_in(
    activations: np.ndarray,
    labels: np.ndarray,
    heard: np.ndarray,
    known: np.ndarray | None = None,
    known_labels: np.ndarray | None = None,
) -> Witnessed:
    nobody = np.zeros((0, activations.shape[1])), np.zeros(0, np.int64)
    others = nobody if known is None else (known, known_labels)
    plain = np.eye(activations.shape[1])
    return apart(Inside(activations, labels, *others, plain), heard)  # type: ignore[arg-type]


def test_clips_that_are_strange_and_lie_apart_are_a_part() -> None:
    activations, labels, heard, truth = made_up(strange=10, away=10)
    found = found_in(activations, labels, heard)
    assert (found.suspect == truth).all()
    # ten clips' mean leaves a tilt of sqrt(39 / 10) beside the 12 along the true direction
    assert found.separation[1] == pytest.approx(12 * 12 / np.hypot(12, np.sqrt(3.9)), rel=0.15)
    assert found.separation[[0, 2, 3]].tolist() == [0, 0, 0]
    assert metrics.auroc(found.scores, truth) == 1.0


def test_a_part_gathers_its_clips_from_the_strange_ones_among_them() -> None:
    activations, labels, heard, _ = made_up(strange=6, away=12)
    found = found_in(activations, labels, heard)
    assert found.suspect[80:92].all()
    assert found.suspect.sum() == 12


def test_strange_clips_that_lie_with_their_class_do_not_separate() -> None:
    separations = [
        found_in(*made_up(strange=12, away=0, seed=seed)[:3]).separation[1] for seed in range(10)
    ]
    assert max(separations) < 5


def test_a_nuisance_that_witnesses_see_through_is_no_part() -> None:
    activations, labels, heard, _ = made_up(strange=0, away=12)
    found = found_in(activations, labels, heard)
    assert not found.suspect.any()
    assert found.separation.max() == 0


def test_a_part_that_is_not_strange_is_there_when_asked_for() -> None:
    activations, labels, heard, _ = made_up(strange=0, away=12)
    inside = Inside(activations, labels, np.zeros((0, 40)), np.zeros(0, np.int64), np.eye(40))
    found = apart(inside, heard)
    cut = apart(inside, heard, np.isin(np.arange(320), np.arange(80, 90)))
    assert (cut.suspect == (activations[:, 9] > 6) & (labels == 1)).all()
    taken = found.taking(cut, [1])
    assert (taken.suspect == cut.suspect).all()
    assert taken.gap.tolist() == [0, 1, 0, 0]
    assert metrics.auroc(taken.scores, cut.suspect) == 1.0


@pytest.mark.parametrize(
    ("recognised", "gap"), [(1.0, 1 - 0.025 / 0.925), (0.6, 1 - 0.025 / 0.925), (0.2, 0.18 / 0.815)]
)
def test_recognition_lost_counts_by_what_is_known_of_the_class(
    recognised: float, gap: float
) -> None:
    activations, labels, heard, truth = made_up(strange=10, away=10)
    heard[labels == 1, 1] *= recognised  # of a class that is hard to know
    found = found_in(activations, labels, heard)
    assert found.gap[1] == pytest.approx(gap)
    assert (found.suspect & (labels == 1) == truth).all()


def test_no_suspect_counts_in_the_direction_it_is_measured_along() -> None:
    # three clips in 400 dimensions: each would lie sqrt(400 / 3) along a direction it made itself
    rng = np.random.default_rng(1)
    activations, labels = rng.standard_normal((60, 400)), np.zeros(60, np.int64)
    heard = np.tile([0.9, 0.1], (60, 1))
    heard[:3] = [0.1, 0.9]
    assert found_in(activations, labels, heard).separation[0] < 5


def test_trusted_clips_are_placed_on_the_line() -> None:
    activations, labels, heard, _ = made_up(strange=10, away=10)
    known = np.vstack([activations[80:84], activations[100:106]])
    found = found_in(activations, labels, heard, known, np.ones(10, np.int64))
    assert found.trusted[1] == pytest.approx(0.4)
    assert np.isnan(found.trusted[[0, 2, 3]]).all()


def test_those_who_agree_leave_out_the_least_certain() -> None:
    heard = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8]])
    labels = np.array([0, 0, 0, 0, 0, 1])
    assert agreeing(heard, labels, 1.0).tolist() == [True, True, True, True, False, True]
    assert agreeing(heard, labels, 0.7).tolist() == [True, False, True, True, False, True]


@pytest.fixture(scope="module")
def bad() -> Poisoned:
    return poison(tones(40), Tone(frequency_hz=2500, level_db=0), AllToOne("b"), 0.1, seed=0)


@pytest.fixture(scope="module")
def view(bad: Poisoned) -> View:
    model = oto.train(oto.networks.CNN(), bad.clips, seed=0, recipe=Recipe(epochs=10, batch_size=8))
    return look(model, bad.clips, trusted=tones(6, seed=5))


QUICK = Witness(per_class=10, agreed_per_class=12, steps_per_class=8)


def test_a_listener_hears_through_the_trigger(bad: Poisoned) -> None:
    heard = taught_by(tones(8, seed=5), bad.clips, steps=60, seed=0, cache=None)
    content = [bad.clips.classes.index(clip.path[0]) for clip in bad.clips.items]
    assert heard.sum(axis=1) == pytest.approx(1)
    assert (heard.argmax(axis=1) == content)[bad.mask].mean() > 0.6


@pytest.mark.parametrize("with_trusted", [True, False])
def test_poison_is_strange_to_witnesses(bad: Poisoned, view: View, with_trusted: bool) -> None:
    some = view if with_trusted else replace(view, trusted=None, trusted_seen=None)
    scores = QUICK.score(some)
    assert scores.clips is not None
    assert metrics.auroc(scores.clips, bad.mask) > 0.9
    assert (scores.classes >= 0).all()
    assert scores.classes[[0, 2, 3, 4, 5]].max() <= scores.classes[1]
    again = QUICK.score(some)
    assert np.array_equal(scores.clips, again.clips)  # type: ignore[arg-type]


def test_nobody_judges_a_clip_it_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    from otoscope.detect import listening

    met: list[tuple[set[str], set[str]]] = []

    def spy(teachers: Clips, clips: Clips, **_: object) -> np.ndarray:
        met.append(({c.path for c in teachers.items}, {c.path for c in clips.items}))
        return np.full((len(clips), 6), 1 / 6)

    monkeypatch.setattr(listening, "taught_by", spy)
    clips = tones(20)
    eligible = np.arange(len(clips)) % 4 > 0
    heard_across(
        clips, eligible, per_class=5, steps=1, seed=0, trusted=tones(2, seed=9), cache=None
    )
    allowed = {c.path for c, good in zip(clips.items, eligible, strict=True) if good}
    for teachers, judged in met:
        assert not teachers & judged
        taught = {path for path in teachers if path in {c.path for c in clips.items}}
        assert taught <= allowed
        count = Counter(path[0] for path in taught)
        assert max(count.values()) == 5
        assert len(teachers - taught) == 12
    assert met[0][1] | met[1][1] == {c.path for c in clips.items}


@pytest.mark.parametrize("with_trusted", [True, False])
def test_poison_that_passes_for_its_class_teaches_nobody(
    bad: Poisoned, view: View, monkeypatch: pytest.MonkeyPatch, with_trusted: bool
) -> None:
    taught: list[np.ndarray] = []
    passing = np.flatnonzero(bad.mask)[::4]
    content = np.array([bad.clips.classes.index(clip.path[0]) for clip in bad.clips.items])
    content[passing] = bad.clips.labels[passing]
    said = 0.9 * np.eye(6)[content] + 0.1 / 6

    def spy(clips: Clips, eligible: np.ndarray, **_: object) -> np.ndarray:
        taught.append(eligible)
        return said

    monkeypatch.setattr(data_witness, "heard_across", spy)
    monkeypatch.setattr(data_witness, "taught_by", lambda *_, **__: said)
    some = view if with_trusted else replace(view, trusted=None, trusted_seen=None)
    found = replace(QUICK, sure=1.0).testimony(some)
    assert found.suspect[passing].mean() > 0.7, "with those that do not pass"
    assert not taught[-1][bad.mask & found.suspect].any()
    assert taught[-1][~bad.mask].mean() > 0.95


def test_waveforms_are_varied_by_filter_gap_and_noise_and_never_in_place() -> None:
    rng = np.random.default_rng(0)
    waves = torch.from_numpy(0.1 * rng.standard_normal((200, 1, 8000)).astype(np.float32))
    before = waves.clone()
    varied = Varied()._varied_sound(waves, np.random.default_rng(0))
    assert torch.equal(waves, before)
    assert varied.shape == waves.shape
    power = torch.fft.rfft(varied).abs().square() / torch.fft.rfft(waves).abs().square()
    octaves = [
        power[:, 0, low : 2 * low].median(dim=1).values.log() for low in (250, 500, 1000, 2000)
    ]
    tilt = torch.stack(octaves)
    assert 0.4 < float(tilt.std(dim=0).median()) < 1.6
    silent = (varied[:, 0].abs() < 1e-6).float().mean(dim=1)
    assert 0.2 < float((silent > 0.005).float().mean()) < 0.5  # a gap in half, noise in 3 of 10
    assert float(silent.max()) <= 0.2
    still = Varied(equaliser=0.0, widest_band=0, widest_gap=0)._varied_sound(waves, rng)
    assert (still - waves).abs().median() < 0.01


def test_clips_are_varied_in_level_by_band_and_never_in_place() -> None:
    planes = torch.zeros(8, 1, 40, 50)
    varied = Varied()._varied(planes, np.random.default_rng(0))
    assert (planes == 0).all()
    assert varied.shape == planes.shape
    assert torch.isfinite(varied).all()
    assert (varied.std(dim=(1, 2, 3)) > 0).all()


def test_a_batch_leaves_gradients_and_follows_its_generator() -> None:
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(200, 3))
    batch = Batch(torch.randn(6, 1, 10, 20), torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(6))
    losses = []
    for _ in range(2):
        body.zero_grad()
        losses.append(Varied().gradients(body, batch, np.random.default_rng(3)).item())
        assert all(p.grad is not None for p in body.parameters())
    assert losses[0] == losses[1]


def test_without_features_it_is_not_applicable() -> None:
    planted = activations_with(poison=0).view
    assert planted.seen is not None
    blind = View(planted.model, 0, planted.clips, type(planted.seen)(None, planted.seen.logits))
    with pytest.raises(NotApplicable, match="last linear layer"):
        Witness().score(blind)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"per_class": 2}, "per_class must be at least 5"),
        ({"agreed_per_class": 2}, "agreed_per_class must be at least 5"),
        ({"sure": 0.0}, "sure must lie in"),
        ({"steps_per_class": 0}, "steps_per_class must be at least 1"),
    ],
)
def test_faulty_fields_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Witness(**fields)  # type: ignore[arg-type]


def test_witnesses_start_and_end_alike_from_a_spilled_forward_pass(
    bad: Poisoned, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(view, trusted=None, trusted_seen=None)
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 5000)
    spilled = look(view.model, bad.clips)
    assert spilled.seen is not None
    assert isinstance(spilled.seen.features, np.memmap)
    assert (data_witness._vouched(plain) == data_witness._vouched(spilled)).all()
    rows = np.array([3, 100, 239])
    one, other = (inside_of(some).whitened(rows) for some in (plain, spilled))
    assert np.array_equal(one, other)


def test_of_many_clips_only_some_are_vouched_for(
    bad: Poisoned, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = replace(view, trusted=None, trusted_seen=None)
    whole = data_witness._vouched(some)
    monkeypatch.setattr(data_witness, "VOUCHED", 150)
    monkeypatch.setattr(sampling, "LEAST_OF_CLASS", 10)
    drawn = data_witness._vouched(some)
    assert drawn.sum() <= 152 < whole.sum()
    assert len(np.unique(bad.clips.labels[drawn])) == 6
