"""Listing models is light: the dataclass of a model must not bring the libraries that only fitting needs."""

import subprocess
import sys

import pytest

FAMILIES = ("neural", "cell_attention", "fusion", "vit", "pseudo", "pooled")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_imported_without_the_libraries_that_fit_it(family: str) -> None:
    code = f"import sys, kitlib.models.{family}.model; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"kitlib.models.{family}.model" in found.stdout.split()
    assert not {"torch", "timm", "lightgbm", "xgboost"} & set(found.stdout.split())
