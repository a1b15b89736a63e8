"""What every detector that reads inner layers or sounds must keep to, beside its own tests."""

from dataclasses import replace

import numpy as np
import pytest

from otoscope.detect import (
    Beatrix,
    ConfidentLearning,
    Detector,
    Neighbours,
    Scan,
    Spectre,
    SubsetScanning,
    View,
)
from otoscope.errors import NotApplicable
from otoscope.models import Activations
from toys import planes_with

ON_LAYERS = [Beatrix(), SubsetScanning(), Neighbours()]
ALL = [*ON_LAYERS, Scan(), Spectre(), ConfidentLearning()]


def reordered(view: View, order: np.ndarray) -> View:
    assert view.clips is not None
    assert view.seen is not None
    assert view.seen.features is not None
    seen = Activations(
        view.seen.features[order],
        view.seen.logits[order],
        tuple(layer[order] for layer in view.seen.layers),
        tuple(plane[order] for plane in view.seen.planes),
    )
    return replace(view, clips=view.clips.subset(order), seen=seen)


@pytest.mark.parametrize("detector", ON_LAYERS, ids=lambda d: d.name)
def test_scores_keep_the_order_of_the_clips(detector: Detector) -> None:
    view = planes_with(poison=10, per_class=30).view
    order = np.random.default_rng(0).permutation(240)
    before, after = detector.score(view), detector.score(reordered(view, order))
    assert before.clips is not None
    assert after.clips == pytest.approx(before.clips[order], abs=1e-6)


@pytest.mark.parametrize("detector", ALL, ids=lambda d: d.name)
class TestOnPlanes:
    def test_same_seed_same_scores_and_input_untouched(self, detector: Detector) -> None:
        view = planes_with(poison=5, per_class=25).view
        assert view.seen is not None
        assert view.seen.features is not None
        before = [a.copy() for a in (view.seen.features, *view.seen.layers, *view.seen.planes)]
        one, two = detector.score(view), detector.score(view)
        assert np.array_equal(one.classes, two.classes)
        assert np.array_equal(one.clips, two.clips)  # type: ignore[arg-type]
        after = [view.seen.features, *view.seen.layers, *view.seen.planes]
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        assert one.forward_passes == 0

    def test_too_few_clips_are_not_applicable(self, detector: Detector) -> None:
        with pytest.raises(NotApplicable, match="only 0 classes have 20 clips"):
            detector.score(planes_with(poison=0, per_class=3).view)

    def test_answers_that_are_all_alike_do_not_break_it(self, detector: Detector) -> None:
        view = planes_with(poison=0, per_class=20).view
        assert view.seen is not None
        flat = Activations(
            np.ones((160, 8), np.float32),
            np.ones((160, 8), np.float32),
            (np.ones((160, 24), np.float32),),
            (np.ones((160, 6, 4), np.float32),),
        )
        found = detector.score(replace(view, seen=flat))
        assert found.clips is not None
        assert np.isfinite(found.clips).all()
        assert not np.isinf(found.classes).any()
