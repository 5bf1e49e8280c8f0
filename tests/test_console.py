"""How commands speak."""

import pytest
import typer

from multiner.console import percent, plain_errors
from multiner.errors import UserError


def test_what_the_user_can_put_right_is_said_without_a_traceback(capsys):
    with pytest.raises(typer.Exit) as ending, plain_errors():
        raise UserError("Add to the config:\n[initialize.components.ner]\nencoder = ...")
    assert ending.value.exit_code == 1
    assert capsys.readouterr().err == "✘ Add to the config:\n[initialize.components.ner]\nencoder = ...\n"


def test_a_defect_keeps_its_traceback():
    with pytest.raises(KeyError), plain_errors():
        raise KeyError("defect")


def test_shares_are_shown_as_percentages():
    assert (percent(0.8314), percent(None)) == ("83.1", "-")
