"""How commands speak."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from multiner.commands import app
from multiner.console import UnknownOption, plain_errors, settings_among
from multiner.errors import UserError
from multiner.tables import percent


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


def test_help_is_quick_because_nothing_heavy_is_imported_for_it():
    script = (
        "import sys, multiner.commands\n"
        "print(sorted({'torch', 'spacy', 'transformers', 'pyarrow', 'ray', 'streamlit'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("command", ["annotate", "demo"])
def test_commands_explain_themselves_and_say_what_is_wanted(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0 and len(result.output.splitlines()) > 12
    assert CliRunner().invoke(app, [command]).exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["in.txt"], "Name what to read and then the folder to write to"),
        (["in.txt", "out", "--engine", "spark"], "'spark' is no engine: say local or ray"),
        (["in.txt", "out", "--read", "pdf"], "'pdf' is nothing that can be read"),
        (["in.txt", "out", "--format", "xml"], "'xml' is no format for the output"),
        (["in.txt", "out", "--threshold", "2"], "Invalid value for '--threshold'"),
    ],
)
def test_what_annotate_does_not_understand_is_said(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("Ada")
    result = CliRunner().invoke(app, ["annotate", "none", *options])
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_settings_of_a_config_are_told_by_their_places():
    assert settings_among(["--training.dropout", "0.2", "--nlp.lang=de"]) == {"training.dropout": 0.2, "nlp.lang": "de"}
    assert settings_among([]) == {}


def test_what_is_no_setting_is_no_option_either():
    with pytest.raises(UnknownOption, match=r"no option --epoch\. .* --training\.dropout 0\.2"):
        settings_among(["--epoch", "3"])
