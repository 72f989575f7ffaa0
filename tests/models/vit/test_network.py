import torch

from kitlib.models.vit.batches import mirrored_patients
from kitlib.models.vit.network import expected_on_slice
from kitlib.terms import SEQUENCES, mirrored_cells
from tests.models.vit.builders import make_batch, make_network


def test_patches_are_expected_where_anatomy_has_them() -> None:
    shares = expected_on_slice(16).softmax(-1).reshape(25, 16, 16)
    middle_row = (shares.sum(2) * torch.arange(16)).sum(1)
    assert (middle_row[:5].diff() > 0).all()  # canals run down a sagittal slice
    assert middle_row[15:].std() < 1e-3  # every recess is in the middle of its own axial slice


def test_training_and_evaluation_compute_the_same() -> None:
    network = make_network()
    torch.nn.init.normal_(network.last.weight)
    sequences = [make_batch() for _ in SEQUENCES]
    in_training = network.train()(sequences)
    torch.testing.assert_close(in_training, network.eval()(sequences), atol=0.05, rtol=0.05)  # bfloat16


class PatchMeans(torch.nn.Module):
    """Tokens that differ between slices, which those of an untrained transformer hardly do."""

    grid, width = 4, 8

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        means = pixels.reshape(-1, 4, 2, 4, 2).mean((2, 4)).flatten(1)
        return 9 * means[..., None] * torch.linspace(-1, 1, 8)


def test_a_mirrored_patient_has_its_sides_exchanged_in_the_logits() -> None:
    network = make_network().eval()
    network.transformer = PatchMeans()
    torch.nn.init.normal_(network.last.weight)
    network.condition.weight.data[1:] = network.condition.weight.data[1]  # same queries for left and right
    network.where_on_slice.data.zero_()
    sequences, everyone = [make_batch() for _ in SEQUENCES], torch.ones(4, dtype=torch.bool)
    as_given = network(sequences)
    exchanged = network(
        [mirrored_patients(batch, everyone, name) for batch, name in zip(sequences, SEQUENCES)]
    )
    foraminal = range(5, 15)  # on sagittal slices, which mirroring leaves as they are
    torch.testing.assert_close(exchanged[:, mirrored_cells][:, foraminal], as_given[:, foraminal])
    assert not torch.allclose(exchanged[:, foraminal], as_given[:, foraminal])
