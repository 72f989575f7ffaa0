import pytest

from kitlib.cli import main


def test_phantoms_are_made_in_the_competitions_layout(tmp_path, capsys):
    out = tmp_path / "phantoms"
    assert main(["phantoms", "make", "--studies", "1", "--size", "smoke", "--out", str(out)]) == 0
    assert (out / "train.csv").is_file()
    assert capsys.readouterr().out == f"1 + 0 studies in {out}\n"
    assert main(["phantoms", "oracle", str(out)]) == 0
    assert capsys.readouterr().out.startswith("1 training studies of ")


def test_the_oracle_needs_no_images(capsys):
    assert main(["phantoms", "oracle", "--studies", "500", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "labels of 500 generated studies, seed 3, without images"
    assert [line.split()[0] for line in lines[2:]] == ["oracle", "prior", "1/3"]
    oracle, prior, uniform = (float(line.split()[1]) for line in lines[2:])
    assert oracle < 0.5 < prior < uniform


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("make --out x --studies -1", "cannot draw -1 + 0 studies"),
        ("make --out x --studies 1 --defect haunted", "no defect 'haunted'"),
        ("make --out x --studies 1 --missing-rate 2", "the missing rate is 2.0"),
        ("oracle --studies 0", "cannot draw 0 studies"),
        ("oracle x --studies 500", "a folder has its own studies"),
    ],
)
def test_a_bad_request_for_phantoms_changes_nothing(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["phantoms", *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_old_phantom_does_what_its_flags_ask_for_one_after_the_other(tmp_path, capsys):
    out = tmp_path / "phantoms"
    assert main(["phantom", "--studies", "1", "--size", "smoke", "--out", str(out), "--oracle"]) == 0
    made, marked, *_ = capsys.readouterr().out.splitlines()
    assert made == f"1 + 0 studies in {out}"
    assert marked == f"1 training studies of {out}"
    assert main(["phantom"]) == 2
    assert "nothing to do" in capsys.readouterr().err
