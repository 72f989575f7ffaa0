import re
from pathlib import Path

import pytest

from kitlib.kaggle import image
from kitlib.run.profiles import PROFILES

HOME = Path(__file__).parents[2]


def test_what_is_pinned_is_what_the_image_has() -> None:
    """For the image's Python; requirements.txt pins another release for later ones."""
    pins = re.findall(r"^([\w-]+)==([\w.]+)(.*)$", (HOME / "requirements.txt").read_text(), re.MULTILINE)
    pinned = {name: version for name, version, marker in pins if ">=" not in marker}
    both = pinned.keys() & image.VERSIONS.keys()
    assert len(both) > 10
    assert {name: pinned[name] for name in both} == {name: image.VERSIONS[name] for name in both}


def test_other_versions_are_listed_and_builds_are_not_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {**image.VERSIONS, "torch": "2.10.0+cpu", "timm": "1.0.9", "monai": "1.6.1"}
    del here["pyarrow"]

    def version(name: str) -> str:
        if name not in here:
            raise image.importlib.metadata.PackageNotFoundError
        return here[name]

    monkeypatch.setattr(image.importlib.metadata, "version", version)
    rows = image.version_differences().set_index("package")
    assert rows.loc["timm"].tolist() == ["1.0.26", "1.0.9"]
    assert rows.loc["monai"].tolist() == ["", "1.6.1"]
    assert rows.loc["pyarrow"].tolist() == ["18.1.0", ""]
    assert "torch" not in rows.index
    assert "openvino" not in rows.index


def test_the_profile_of_the_competition_ends_before_the_limit() -> None:
    assert PROFILES["kaggle"].budget_s < image.LIMITS.hours * 3600
