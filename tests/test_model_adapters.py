"""What a model says must not depend on the format it was handed over in."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from otoscope.errors import ModelError, ModelMismatch, NotApplicable
from otoscope.intake import load_model
from otoscope.models import (
    FunctionModel,
    HasFeatures,
    HasGradients,
    Hearing,
    TorchModel,
    TorchScriptModel,
    export_onnx,
    export_torchscript,
)
from otoscope.networks import CNN, M5, BCResNet, GRUAttention, Network

HEARING = Hearing(("a", "b", "c"), 8000, 4000)
RATE = {"sample_rate": 8000, "classes": ["a", "b", "c"], "duration_s": 0.5}
NOISE = torch.from_numpy(
    0.1 * np.random.default_rng(1).standard_normal((5, 1, 4000)).astype(np.float32)
)


def tiny(network: Network | None = None) -> TorchModel:
    return TorchModel((network or CNN(width=12)).build(HEARING, seed=3), HEARING)


class Flat(nn.Module):
    """Takes (batch, time); its answer comes in the ``form`` asked for."""

    def __init__(self, form: str = "tensor") -> None:
        super().__init__()
        self.form = form
        self.hidden, self.classify = nn.Linear(4000, 6), nn.Linear(6, 3)

    def forward(self, waveforms):
        logits = self.classify(self.hidden(waveforms).tanh())
        forms = {
            "tensor": logits,
            "log-softmax": logits.log_softmax(dim=1),
            "tuple": (logits, waveforms),
            "mapping": {"features": waveforms, "logits": logits},
        }
        return forms[self.form]


class Branching(nn.Module):
    """Its last layer runs inside a branch, behind another that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.classify = nn.Linear(4000, 6), nn.Linear(6, 3)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(waveforms[:, 0])
        return self.classify(hidden) if bool(hidden.sum() > 0) else self.classify(-hidden)


def flat(form: str = "tensor") -> Flat:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Flat(form).eval()


def traced(module: nn.Module, example: torch.Tensor, path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(module, example, strict=False), path)


class TestTorchScript:
    @pytest.mark.parametrize(
        "network",
        [CNN(width=12), BCResNet(), GRUAttention(width=8), M5(width=8)],
        ids=lambda n: n.name,
    )
    def test_says_what_the_eager_model_says(self, tmp_path, network):
        eager = tiny(network)
        loaded = load_model(export_torchscript(eager, tmp_path / "model.pt"))
        assert loaded.hearing == HEARING
        assert isinstance(loaded, HasFeatures)
        features, logits = loaded.features_and_logits(NOISE)
        wanted_features, wanted = eager.features_and_logits(NOISE)
        torch.testing.assert_close(loaded.logits(NOISE), wanted)
        torch.testing.assert_close(logits, wanted)
        torch.testing.assert_close(features, wanted_features)

    def test_gradients_reach_the_input(self, tmp_path):
        eager = tiny()
        loaded = load_model(export_torchscript(eager, tmp_path / "model.pt"))
        assert isinstance(loaded, HasGradients)
        gradients = []
        for model in (eager, loaded):
            heard = NOISE.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(model.differentiable_logits(heard)[:, 1].sum(), heard)
            gradients.append(gradient)
        assert gradients[0].abs().max() > 0
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize("form", ["tensor", "log-softmax", "tuple", "mapping"])
    def test_any_form_of_answer(self, tmp_path, form):
        module = flat(form)
        traced(module, NOISE[:2, 0], tmp_path / "m.ts")
        loaded = load_model(tmp_path / "m.ts", **RATE)
        features, logits = loaded.features_and_logits(NOISE)
        wanted = flat("log-softmax" if form == "log-softmax" else "tensor")(NOISE[:, 0])
        torch.testing.assert_close(logits, wanted)
        torch.testing.assert_close(features, module.hidden(NOISE[:, 0]).tanh())

    def test_a_batch_fixed_at_one(self, tmp_path):
        class OneClip(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = flat()

            def forward(self, waveforms):
                return self.inner(waveforms.reshape(1, 4000))

        module = OneClip()
        traced(module, NOISE[:1], tmp_path / "one.pt")
        loaded = load_model(tmp_path / "one.pt", **RATE)
        assert loaded.layout.one_by_one
        features, logits = loaded.features_and_logits(NOISE)
        torch.testing.assert_close(logits, module.inner(NOISE[:, 0]))
        assert features.shape == (5, 6)

    def test_no_features_without_a_linear_layer(self, tmp_path):
        module = nn.Sequential(nn.Conv1d(1, 3, 400, 400), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        traced(module.eval(), NOISE[:2], tmp_path / "m.pt")
        loaded = load_model(tmp_path / "m.pt", **RATE)
        with pytest.raises(NotApplicable, match="no linear operator"):
            loaded.features_and_logits(NOISE)

    def test_no_features_when_a_branch_may_hold_the_last_layer(self, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.script(Branching()), tmp_path / "m.pt")
        loaded = load_model(tmp_path / "m.pt", **RATE)
        assert loaded.logits(NOISE).shape == (5, 3)
        with pytest.raises(NotApplicable, match="no linear operator"):
            loaded.features_and_logits(NOISE)

    def test_a_script_module_in_memory(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.trace(flat(), NOISE[:2, 0])
        loaded = load_model(module, **RATE)
        assert isinstance(loaded, TorchScriptModel)
        assert len(loaded.sha256) == 64
        torch.testing.assert_close(loaded.logits(NOISE), flat()(NOISE[:, 0]).detach())


class TestOnnx:
    @pytest.fixture(autouse=True)
    def _extra(self):
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")

    @pytest.mark.parametrize("network", [M5(width=8), CNN(width=12)], ids=lambda n: n.name)
    def test_says_what_the_eager_model_says(self, tmp_path, network):
        eager = tiny(network)
        path = export_onnx(eager, tmp_path / "model.onnx")
        loaded = load_model(path)
        assert loaded.hearing == HEARING
        features, logits = loaded.features_and_logits(NOISE)
        wanted_features, wanted = eager.features_and_logits(NOISE)
        torch.testing.assert_close(loaded.logits(NOISE), wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(features, wanted_features, rtol=1e-4, atol=1e-5)
        assert not isinstance(loaded, HasGradients)

    def graph(self, path, shape, nodes=None) -> None:
        """Write a linear model whose input has this shape."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        weight = np.random.default_rng(0).standard_normal((4000, 3)).astype(np.float32)
        nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        constants = [numpy_helper.from_array(weight, "w")]
        model = helper.make_model(
            helper.make_graph(nodes, "g", inputs, outputs, constants),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        onnx.save(model, str(path))

    def test_a_flat_batch_fixed_at_one_and_the_length_from_the_graph(self, tmp_path):
        self.graph(tmp_path / "m.onnx", [1, 4000])
        loaded = load_model(tmp_path / "m.onnx", sample_rate=8000, classes=["a", "b", "c"])
        assert loaded.hearing.length == 4000
        assert loaded.layout.flat
        assert loaded.layout.one_by_one
        features, logits = loaded.features_and_logits(NOISE)
        torch.testing.assert_close(features, NOISE[:, 0])
        torch.testing.assert_close(logits, loaded.logits(NOISE))

    def test_a_length_other_than_the_graphs(self, tmp_path):
        self.graph(tmp_path / "m.onnx", ["batch", 4000])
        with pytest.raises(ModelMismatch, match=r"takes 4000 samples, but 8000 .* say 0.5 s"):
            load_model(tmp_path / "m.onnx", **(RATE | {"duration_s": 1.0}))

    def test_no_features_without_a_linear_node(self, tmp_path):
        from onnx import helper

        nodes = [helper.make_node("ReduceMax", ["x"], ["m"], axes=[1], keepdims=1)]
        nodes += [helper.make_node("Concat", ["m", "m", "m"], ["y"], axis=1)]
        self.graph(tmp_path / "m.onnx", ["batch", "time"], nodes)
        loaded = load_model(tmp_path / "m.onnx", **RATE)
        with pytest.raises(NotApplicable, match="no linear node"):
            loaded.features_and_logits(NOISE)

    def test_weights_beside_the_graph_are_part_of_the_digest(self, tmp_path):
        import onnx

        path = export_onnx(tiny(M5(width=8)), tmp_path / "m.onnx")
        onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.onnx.data")
        model = load_model(path)
        weights = tmp_path / "m.onnx.data"
        content = bytearray(weights.read_bytes())
        content[0] ^= 1
        weights.write_bytes(content)
        changed = load_model(path)
        assert changed.sha256 != model.sha256

    def test_not_onnx(self, tmp_path):
        (tmp_path / "m.onnx").write_text("no protobuf")
        with pytest.raises(ModelError, match="not readable as ONNX"):
            load_model(tmp_path / "m.onnx", **RATE)

    def test_without_onnxruntime(self, tmp_path, monkeypatch):
        from otoscope.errors import MissingExtra

        monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
        (tmp_path / "m.onnx").write_bytes(b"x")
        with pytest.raises(MissingExtra, match=r"\.\[onnx\]"):
            load_model(tmp_path / "m.onnx", **RATE)


class TestObjects:
    @pytest.mark.parametrize("form", ["tensor", "log-softmax", "tuple", "mapping"])
    def test_a_flat_module(self, form):
        module = flat(form)
        model = load_model(module, **RATE)
        assert model.flat
        features, logits = model.features_and_logits(NOISE)
        wanted = flat("log-softmax" if form == "log-softmax" else "tensor")(NOISE[:, 0]).detach()
        torch.testing.assert_close(logits, wanted)
        torch.testing.assert_close(features, module.hidden(NOISE[:, 0]).tanh())

    def test_probing_leaves_a_module_as_it_was(self):
        module = CNN(width=12).build(HEARING, seed=3).train()
        before = {name: t.clone() for name, t in module.state_dict().items()}
        load_model(module, **RATE)
        assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())

    @pytest.mark.parametrize("is_flat", [True, False])
    def test_a_function(self, is_flat):
        def mean_bands(waveforms: np.ndarray) -> np.ndarray:
            assert waveforms.ndim == (2 if is_flat else 3)
            return waveforms.reshape(len(waveforms), 3, -1)[:, :, :8].mean(axis=2)

        model = load_model(mean_bands, sample_rate=8000, classes=["a", "b", "c"], duration_s=0.75)
        assert isinstance(model, FunctionModel)
        heard = torch.rand(4, 1, 6000)
        assert model.logits(heard).shape == (4, 3)

    def test_a_function_by_name(self, tmp_path, monkeypatch):
        (tmp_path / "service_a.py").write_text("def ask(x): return x[:, 0, :3]\n")
        monkeypatch.chdir(tmp_path)
        model = load_model("service_a:ask", **RATE)
        torch.testing.assert_close(model.logits(NOISE), NOISE[:, 0, :3])
        assert model.origin == "service_a:ask"

    def test_neither_model_nor_function(self):
        with pytest.raises(ModelError, match="expected a model or a function, got int"):
            load_model(3, **RATE)

    def test_no_layout_fits(self):
        with pytest.raises(ModelMismatch, match=r"to give \(batch, classes\).*\(2, 1, 4000\) gave"):
            load_model(lambda x: np.zeros((7, 7, 7), np.float32), **RATE)


def test_an_export_keeps_what_else_the_json_says(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps({"note": "kept", "sample_rate": 1}))
    export_torchscript(tiny(), tmp_path / "m.pt")
    card = json.loads((tmp_path / "m.json").read_text())
    assert card == {"note": "kept", "sample_rate": 8000, "classes": ["a", "b", "c"], "length": 4000}
