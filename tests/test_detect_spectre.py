"""SPECTRE: QUE scores, the robust majority and the leading form, each against another way."""

import numpy as np
import pytest
from scipy.linalg import expm

from otoscope import metrics
from otoscope.detect import DETECTORS, SpectralSignatures, Spectre
from otoscope.detect.data_spectre import leading_form, majority_of, que
from otoscope.errors import SpecError
from otoscope.registry import build
from toys import activations_with


def contaminated(seed: int = 0, share: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """200 rows in 6 dimensions, a share of them a tight cluster elsewhere; and which."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((200, 6)) * [1, 2, 3, 1, 2, 3]
    bad = np.arange(200) < 200 * share
    rows[bad] = 0.3 * rng.standard_normal((bad.sum(), 6)) + [4, -6, 0, 4, 0, 0]
    return rows, bad


def test_que_scores_match_their_definition() -> None:
    x = contaminated()[0]
    s = sum(np.outer(row, row) for row in x) / len(x)
    q = expm(4 * (s - np.eye(6)) / (np.linalg.norm(s, 2) - 1))
    expected = [row @ q @ row / np.trace(q) for row in x]
    assert que(x, 4.0) == pytest.approx(expected)


def test_que_lies_between_the_norm_and_one_direction() -> None:
    x = contaminated()[0]
    assert que(x, 0.0) == pytest.approx(np.square(x).sum(axis=1) / 6)
    leading = np.linalg.svd(x, full_matrices=False)[2][0]
    assert que(x, 1e6) == pytest.approx(np.square(x @ leading))


def test_que_of_rows_with_no_direction_in_excess_is_finite() -> None:
    assert np.isfinite(que(0.9 * np.eye(5), 4.0)).all()


def test_the_leading_form_is_the_main_direction_of_the_products() -> None:
    x = contaminated()[0]
    x = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    products = np.stack([np.kron(row, row) for row in x])
    size, axes = np.linalg.eigh(np.cov(products.T, bias=True))
    form = leading_form(x)
    assert np.linalg.norm(form) == pytest.approx(1.0)
    assert np.var(products @ form.ravel()) == pytest.approx(size[-1], rel=1e-3)
    assert abs(form.ravel() @ axes[:, -1]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_the_majority_leaves_the_foreign_rows_out(share: float) -> None:
    rows, bad = contaminated(share=share)
    kept = majority_of(rows, 0.55)
    assert kept.sum() == 110
    assert not bad[kept].any()


def test_clean_rows_keep_their_covariance_but_for_a_factor() -> None:
    rows = np.random.default_rng(0).standard_normal((4000, 4)) * [1, 2, 3, 4]
    kept = rows[majority_of(rows, 0.55)]
    ratio = kept.std(axis=0) / [1, 2, 3, 4]
    assert ratio.max() / ratio.min() < 1.2
    assert kept.mean(axis=0) == pytest.approx(np.zeros(4), abs=0.3)


def test_poison_is_found_that_the_covariance_of_its_class_hides() -> None:
    planted = activations_with(poison=24, per_class=160, distance=5)
    found, plain = Spectre().score(planted.view), SpectralSignatures().score(planted.view)
    assert found.clips is not None
    assert plain.clips is not None
    target = slice(480, 640)
    assert metrics.auroc(found.clips[target], planted.truth[target]) > 0.98
    assert metrics.auroc(plain.clips[target], planted.truth[target]) < 0.8
    assert found.classes.argmax() == 3


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("spectre:majority=0.4", r"majority must be in \[0.5, 1\), got 0.4"),
        ("spectre:alpha=-1", "alpha must be at least 0, got -1"),
        ("spectre:components=0", "components must be at least 1"),
    ],
)
def test_senseless_parameters_are_refused(broken: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(DETECTORS, broken)
