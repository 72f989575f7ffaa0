from pathlib import Path

from kitlib.report.pages.chapters import origin


def test_phantoms_are_named_as_such_and_no_path_is_given_away():
    said = origin(Path("a") / "b" / "data", is_phantom=True)
    assert "PHANTOMS" in said
    assert "claim on phantoms" in said
    assert "a/b" not in said
    assert "PHANTOMS" not in origin(Path("data"), is_phantom=False)
