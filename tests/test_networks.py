"""Reference networks: the contract of every entry, and the front end against an oracle."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from otoscope.errors import SpecError
from otoscope.models import Hearing, TorchModel
from otoscope.networks import NETWORKS, Network
from otoscope.networks.log_mel import FLOOR, LogMel, mel_filters
from otoscope.registry import build, spec

GOLDEN = np.load(Path(__file__).parent / "golden" / "mel_filters.npz")
HEARING = Hearing(("a", "b", "c"), 16000, 16000)


@pytest.fixture(params=sorted(NETWORKS), scope="module")
def network(request: pytest.FixtureRequest) -> Network:
    return NETWORKS[request.param]()


def test_mel_filters_match_librosa() -> None:
    assert np.abs(mel_filters(16000, 512, 40) - GOLDEN["filters_16k"]).max() < 1e-8


def test_log_mel_matches_librosa() -> None:
    front_end = LogMel(8000, bands=24)
    log_power = front_end(torch.from_numpy(GOLDEN["samples"])[None, None])[0, 0]
    expected = np.log(GOLDEN["power"] + FLOOR)
    assert log_power.shape == expected.shape
    assert np.abs(log_power.numpy() - expected).max() < 1e-4


def test_spec_round_trips(network: Network) -> None:
    assert build(NETWORKS, spec(network)) == network


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("cnn:bands=0", "cnn.bands must be 1 or more, got 0"),
        ("cnn:width=5", "cnn.width must be 6 or more, got 5"),
        ("large-cnn:bands=4", "large-cnn.bands must be 8 or more, got 4"),
        ("bc-resnet:bands=60", "bc-resnet.bands must be a multiple of 40, got 60"),
        ("m5:width=0", "m5.width must be 1 or more"),
        ("gru-attention:width=-2", "gru-attention.width must be 1 or more"),
        ("ds-cnn:dropout=1", r"ds-cnn.dropout must lie in \[0, 1\), got 1"),
    ],
)
def test_a_network_of_no_size_is_refused(wrong: str, told: str) -> None:
    """Trap: these were errors of torch, which named neither network nor parameter."""
    with pytest.raises(SpecError, match=told):
        build(NETWORKS, wrong)


def test_the_least_network_works(network: Network) -> None:
    least = {f.name: network.least.get(f.name, 1) for f in fields(network) if f.name != "dropout"}
    answers = replace(network, **least).build(HEARING).eval()(torch.zeros(2, 1, 16000))
    assert answers.shape == (2, 3)


def test_waveform_in_logits_out(network: Network) -> None:
    listener = network.build(HEARING, seed=1).eval()
    with torch.no_grad():
        assert listener(torch.zeros(2, 1, 16000)).shape == (2, 3)


def test_the_seed_decides_the_weights(network: Network) -> None:
    one, same, other = (network.build(HEARING, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_building_leaves_the_global_generator_alone(network: Network) -> None:
    before = torch.random.get_rng_state()
    network.build(HEARING, seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_features_are_what_the_last_linear_layer_reads(network: Network) -> None:
    model = TorchModel(network.build(HEARING, seed=2), HEARING)
    features, logits = model.features_and_logits(torch.rand(4, 1, 16000) - 0.5)
    last = model.module.body.classify
    assert torch.allclose(last(features), logits, atol=1e-5)


def test_a_front_end_hears_a_tone_near_nyquist() -> None:
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 7800 * time)[None, None]
    assert LogMel(16000)(tone)[0, 0].mean(dim=1).argmax() == 39
