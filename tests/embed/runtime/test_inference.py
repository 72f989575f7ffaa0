"""Both engines reproduce a network's vectors, folded or not, for any batch, and no telemetry is sent."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

from kitlib.embed.backbone import build_network, load_backbone
from kitlib.embed.runtime import inference as module
from kitlib.embed.runtime.inference import TorchInference, folded, inference
from kitlib.embed.slices import normalised
from kitlib.embed.volumes import volume_input
from kitlib.machine import retire_workers
from tests.embed.builders import needs_openvino

SLICES, VOLUMES = (64, 64), (24, 64, 64)
needs_cpu = pytest.mark.skipif(module.device().type != "cpu", reason="a GPU is what embeds here")


@pytest.fixture(params=["torch", pytest.param("openvino", marks=[needs_openvino, needs_cpu])])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(module, "silent_openvino", lambda: None)
    return request.param


def images(count: int, *shape: int) -> np.ndarray:
    """Smooth grey images (count, *shape) with black around them."""
    rng, flat = np.random.default_rng(0), (count * int(np.prod(shape[:-2])), 6, 6)
    coarse = np.pad(rng.integers(0, 256, flat, dtype=np.uint8), ((0, 0), (1, 1), (1, 1)))
    return np.stack([cv2.resize(one, shape[:-3:-1]) for one in coarse]).reshape(count, *shape)


def network_of(name: str) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_network(name)[0].eval()


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_efficientnet", "torchvision/mobilenet_v3_small"]
)
def test_an_engine_gives_what_the_network_gives(name: str, engine: str) -> None:
    network, slices = network_of(name), images(5, *(160, 160) if name == "test_vit" else SLICES)
    infer = inference(network, normalised, slices.shape[1:])
    with torch.inference_mode():
        expected = network(normalised(torch.from_numpy(slices))).numpy()
    assert infer.engine == engine
    assert (infer(slices).shape, infer(slices).dtype) == (expected.shape, np.float32)
    assert cosines(infer(slices), expected).min() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("name", ["medicalnet_resnet10", "medicalnet_resnet18"])  # two kinds of shortcuts
def test_volumes_too(name: str, engine: str) -> None:
    pytest.importorskip("monai")
    network, volumes = network_of(name), images(3, *VOLUMES)
    infer = inference(network, volume_input, VOLUMES)
    with torch.inference_mode():
        expected = network(volume_input(torch.from_numpy(volumes))).numpy()
    assert infer.engine == engine
    assert infer(volumes).shape == expected.shape
    assert cosines(infer(volumes), expected).min() > 0.999


def test_full_precision_where_no_half_is_fast(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "half_precision", lambda: None)
    network, slices = network_of("test_resnet"), images(2, *SLICES)
    with torch.inference_mode():
        expected = network(normalised(torch.from_numpy(slices))).numpy()
    infer = inference(network, normalised, SLICES)
    assert infer.engine == engine
    assert infer(slices) == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.slow
@needs_openvino
@needs_cpu
def test_the_shipped_weights_give_the_same_vectors_on_both_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = load_backbone("resnet10t", weights="shipped")
    with monkeypatch.context() as patch:
        patch.setattr(module, "silent_openvino", lambda: None)
        plain = load_backbone("resnet10t", weights="shipped")
    assert (compiled.engine, plain.engine) == ("openvino", "torch")
    slices = images(6, *compiled.input_shape)
    assert cosines(compiled.embed(slices), plain.embed(slices)).min() > 0.999


@needs_openvino
@needs_cpu
def test_a_vector_is_the_same_in_any_batch_and_at_any_time() -> None:
    slices = images(7, *SLICES)
    before = slices.copy()
    infer = inference(network_of("test_resnet"), normalised, SLICES)
    many = infer(slices)
    assert np.array_equal(many, np.concatenate([infer(slices[[row]]) for row in range(7)]))
    assert np.array_equal(many, infer(slices[::-1])[::-1])
    assert np.array_equal(slices, before)


class Branching(torch.nn.Module):
    def forward(self, read: torch.Tensor) -> torch.Tensor:
        return read.mean((2, 3)) if read.sum() > 0 else -read.mean((2, 3))


@needs_openvino
@needs_cpu
def test_what_openvino_cannot_run_torch_runs_and_says_so() -> None:
    with pytest.warns(RuntimeWarning, match="OpenVINO cannot run this network"):
        infer = inference(Branching(), normalised, SLICES)
    assert isinstance(infer, TorchInference)
    assert infer(images(3, *SLICES)).shape == (3, 3)


def test_torch_runs_a_few_inputs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    infer = TorchInference(network_of("test_resnet"), normalised, SLICES)
    slices = images(9, *SLICES)
    expected = infer(slices)
    monkeypatch.setattr(infer, "at_once", 2)
    assert cosines(infer(slices), expected).min() > 0.999


@pytest.mark.parametrize("name", ["test_resnet", "resnet10t", "torchvision/mobilenet_v3_small"])
def test_folding_changes_nothing_but_the_time(name: str) -> None:
    network = build_network(name)[0].eval()
    for norm in network.modules():  # as after training: batch statistics that matter
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    lean, images = folded(network), torch.rand(2, 3, 64, 64)
    assert sum(isinstance(one, torch.nn.BatchNorm2d) for one in lean.modules()) == 0
    with torch.inference_mode():
        expected = network(images)
        assert torch.allclose(lean(images), expected, atol=1e-4 * float(expected.abs().max()))


class Guarded(torch.nn.Module):
    def __init__(self, *modules: torch.nn.Module) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(*modules)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images) if images.sum() > 0 else -images


def test_a_network_that_fx_cannot_follow_is_copied_as_it_is_and_said_to_be_slower() -> None:
    network = Guarded(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    with pytest.warns(RuntimeWarning, match="runs slower: TraceError"):
        lean = folded(network)
    assert type(lean) is Guarded
    assert lean is not network


def test_where_there_is_nothing_to_fold_nothing_is_said() -> None:
    network = Guarded(torch.nn.Conv2d(3, 4, 1))
    lean = folded(network)  # warnings are errors here
    assert type(lean) is Guarded
    assert lean is not network


def embedded(slices: np.ndarray) -> tuple[np.ndarray, str]:
    infer = inference(network_of("test_resnet"), normalised, SLICES)
    return infer(slices), infer.engine


def test_tests_send_nothing_either() -> None:
    """Nothing may load the telemetry before the kit disables it; it would add seconds to each conversion."""
    assert sys.modules.get("openvino_telemetry") is None


SEND_NOTHING = """
import socket, sys
from pathlib import Path
def refuse(*_): raise SystemExit("something was to be sent")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from kitlib.embed.backbone import load_backbone
assert load_backbone("test_resnet", weights="random", input_px=32).engine == "openvino"
try:
    import nncf
except ImportError:
    pass
else:
    from kitlib.embed.runtime import quantise
    quantise.SCALED_ON, quantise.JUDGED_ON, quantise.cores = range(1), range(1, 2), lambda: 1
    file = Path.home() / "eight.safetensors"
    quantise.quantise(file, "test_resnet", weights="random", input_px=32, size="smoke")
    assert load_backbone("test_resnet", weights=str(file)).engine == "openvino int8"
assert sys.modules["openvino_telemetry"] is None
assert not any(name.startswith("openvino_telemetry.") for name in sys.modules)
assert not (Path.home() / "intel").exists()
"""


@pytest.mark.slow
def test_another_process_sends_nothing_writes_nothing_and_agrees_after_openmp_has_run(tmp_path: Path) -> None:
    torch.rand(300, 300) @ torch.rand(300, 300)
    slices = images(3, *SLICES)
    here, engine = embedded(slices)
    retire_workers()
    worker = get_reusable_executor(max_workers=1, env={"HOME": str(tmp_path)})
    if engine == "openvino":
        worker.submit(exec, SEND_NOTHING, {}).result(timeout=300)  # before this module and what it imports
    there, its_engine = worker.submit(embedded, slices).result(timeout=120)
    retire_workers()
    assert its_engine == engine
    assert cosines(there, here).min() > 0.999
    assert not (tmp_path / "intel").exists()
