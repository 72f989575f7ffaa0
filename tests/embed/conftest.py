"""In these tests networks run as they do in the kit: compiled, if OpenVINO is installed."""

from collections.abc import Iterator

import pytest

from kitlib.embed.runtime import inference

SILENT_OPENVINO = inference.silent_openvino


@pytest.fixture(scope="package", autouse=True)
def compiled() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "silent_openvino", SILENT_OPENVINO)
        yield
