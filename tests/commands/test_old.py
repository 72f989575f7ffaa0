import pytest

from kitlib.cli import main
from kitlib.commands.old import RENAMED


@pytest.mark.parametrize("name", RENAMED)
def test_an_old_spelling_goes_on_and_says_what_it_is_called_now(name, capsys):
    verb = ["train"] if name == "localiser" else []
    helps = []
    for words in ([name, *verb], [*RENAMED[name], *verb]):
        with pytest.raises(SystemExit) as end:
            main([*words, "--help"])
        assert end.value.code == 0
        helps.append(capsys.readouterr())
    old, now = helps
    assert old.out == now.out
    assert (old.err, now.err) == (f"`{name}` is now called `{' '.join(RENAMED[name])}`\n", "")
