import pytest

from kitlib.artefacts import Provenance, save_json
from kitlib.errors import StepError, UsageError
from kitlib.run.steps import (
    STEPS,
    changed_inputs,
    done,
    manifest_path,
    outputs,
    outputs_fingerprint,
    read_fingerprints,
    read_manifest,
    step_named,
    write_manifest,
)

STEP = "03_embeddings"


def write_step(work, text="a"):
    save_json(work / STEP / "deep" / "value.json", text, Provenance())
    (work / STEP / "figure.svg").write_text(text)
    (work / STEP / ".hidden").write_text("x")
    write_manifest(work, STEP, {"outputs": outputs(work / STEP)})


def test_steps_read_only_earlier_steps():
    for step in STEPS:
        assert all(step_named(read).number < step.number for read in step.reads)
    assert [step.number for step in STEPS] == list(range(1, 7))
    with pytest.raises(UsageError, match="03_embeddings"):
        step_named("03_embedding")


def test_a_manifest_lists_results_without_sidecars_and_hidden_files(tmp_path):
    write_step(tmp_path)
    assert set(read_manifest(tmp_path, STEP)["outputs"]) == {"deep/value.json", "figure.svg"}


@pytest.mark.parametrize("harm", ["remove", "cut"])
def test_a_step_is_done_only_while_its_outputs_are_there(tmp_path, harm):
    assert done(tmp_path, STEP) is None
    write_step(tmp_path)
    assert done(tmp_path, STEP)
    figure = tmp_path / STEP / "figure.svg"
    figure.unlink() if harm == "remove" else figure.write_text("")
    assert done(tmp_path, STEP) is None


def test_the_fingerprint_of_outputs_changes_with_their_content_and_not_with_time(tmp_path):
    write_step(tmp_path)
    before = outputs_fingerprint(tmp_path, STEP)
    write_step(tmp_path)
    assert outputs_fingerprint(tmp_path, STEP) == before
    write_step(tmp_path, "b")
    assert outputs_fingerprint(tmp_path, STEP) != before
    assert outputs_fingerprint(tmp_path, "02_preprocessing") == ""


def test_a_step_knows_which_of_its_inputs_have_changed(tmp_path):
    write_step(tmp_path)
    write_manifest(
        tmp_path, "04_modelling", {"outputs": {}, "inputs": {STEP: outputs_fingerprint(tmp_path, STEP)}}
    )
    write_step(tmp_path)
    assert changed_inputs(tmp_path, "04_modelling") == []
    write_step(tmp_path, "b")
    assert changed_inputs(tmp_path, "04_modelling") == [STEP]
    manifest_path(tmp_path, STEP).unlink()  # results may be moved without earlier steps' caches
    assert changed_inputs(tmp_path, "04_modelling") == []


def test_what_a_step_read_is_that_of_the_first_root_where_it_is_done(tmp_path):
    near, far, modelling = tmp_path / "near", tmp_path / "far", step_named("04_modelling")
    assert read_fingerprints(modelling, near, far) == {"02_preprocessing": "", STEP: ""}
    write_step(far)
    write_manifest(far, "02_preprocessing", {"outputs": {}})
    write_step(near, "b")
    assert read_fingerprints(modelling, near, far) == {
        "02_preprocessing": outputs_fingerprint(far, "02_preprocessing"),
        STEP: outputs_fingerprint(near, STEP),
    }
    assert len({*read_fingerprints(modelling, far).values(), outputs_fingerprint(near, STEP)}) == 3


def test_a_manifest_cut_short_is_an_error(tmp_path):
    write_step(tmp_path)
    manifest_path(tmp_path, STEP).write_text("{")
    with pytest.raises(StepError, match="does not parse"):
        read_manifest(tmp_path, STEP)
