"""Bad input, as `scripts/convert.py` meets it: one plain sentence with the remedy, and nothing is written."""

import importlib.util
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from .conftest import PROJECT

spec = importlib.util.spec_from_file_location("convert_script", PROJECT / "scripts" / "convert.py")
assert spec is not None and spec.loader is not None
convert_script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(convert_script)
app = typer.Typer()
app.command()(convert_script.main)

GOOD = "Ada\tB-PER\n\n"
SPANS = '{"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "PER"}]}\n'

# What is in the file (None: there is none), its name, options, and what is said.
CASES: dict[str, tuple[str | bytes | None, str, list[str], str]] = {
    "another encoding": ("Zürich\tB-LOC\n".encode("latin-1"), "a.conll", [], "line 1: the bytes fc 72 69 63 are not"),
    "an encoding that does not exist": (GOOD, "a.conll", ["--encoding", "utf-99"], "there is no encoding 'utf-99'"),
    "UTF-16 read as UTF-8": (GOOD.encode("utf-16"), "a.conll", [], "line 1: the bytes ff fe 41 00 are not utf-8"),
    "a binary file": (bytes(range(256)), "a.conll", [], "are not utf-8"),
    "an empty file": ("", "a.conll", [], "the file holds no sentence"),
    "a file of blank lines": ("\n\t\n \n", "a.conll", [], "the file holds no sentence"),
    "only document starts": ("-DOCSTART- O\n\n", "a.conll", [], "the file holds no sentence"),
    "a line without a tag": (GOOD + "Bob\n", "a.conll", [], "line 3: 1 column(s) in 'Bob', but word and tag need 2"),
    "a column that does not exist": (GOOD, "a.conll", ["--tag-column", "5"], "but word and tag need 6"),
    "a separator of another name": (GOOD, "a.conll", ["--separator", ";"], "';' is no separator"),
    "an empty word": (GOOD + "\tO\n", "a.conll", [], "line 3: the word in '\\tO' is empty"),
    "a word of white space": (GOOD + "\u00a0\tO\n", "a.conll", [], "line 3: the word in"),
    "a huge line": (GOOD + "x" * 200_000 + "\tO\n", "a.conll", [], "line 3: the line has more than 100,000 characters"),
    "a tag with another separator": ("Ada\tB_PER\n", "a.conll", [], "line 1: 'B_PER' (for 'Ada') is not a tag"),
    "a label without prefix": ("Ada\tPER\n", "a.conll", [], "line 1: 'PER' (for 'Ada') is not a tag"),
    "a prefix without label": ("Ada\tB-\n", "a.conll", [], "line 1: 'B-' (for 'Ada') is not a tag"),
    "lower-case prefixes": ("Ada\tb-PER\n", "a.conll", [], "line 1: 'b-PER' (for 'Ada') is not a tag"),
    "I- without B-": (GOOD + "x\tO\nBob\tI-PER\n", "a.conll", [], "line 4: the tag 'I-PER' of 'Bob' is not legal IOB2"),
    "I- of another label": (
        "Ada\tB-PER\nBonn\tI-LOC\n",
        "a.conll",
        [],
        "line 2: the tag 'I-LOC' of 'Bonn' is not legal",
    ),
    "an entity that does not end": (
        "a\tS-X\nb\tB-X\n",
        "a.conll",
        [],
        "line 2: the tag 'B-X' of 'b' is not legal BIOES",
    ),
    "mixed schemes": ("a\tS-X\n\nb\tU-X\n", "a.conll", [], "Prefixes of BIOES and of BILUO are mixed"),
    "a named scheme that it is not": (
        "a\tB-X\nb\tL-X\n",
        "a.conll",
        ["--scheme", "bioes"],
        "prefix 'L-' is not one of",
    ),
    "a word without language": (
        "de:a\tO\n" * 1000 + "b\tO\n",
        "a.conll",
        [],
        "line 1001: 'b' has no language in front",
    ),
    "a missing file": (None, "a.conll", [], "There is no file or folder"),
    "a label that is not there": (GOOD, "a.conll", ["--rename", "person=PER"], "has no label 'person'; it has 'PER'"),
    "a label that is not wanted": (GOOD, "a.conll", ["--labels", "LOC"], "has the label 'PER', but only 'LOC'"),
    "a language that is not there": (GOOD, "a.conll", ["--lang", "fr"], "there is no sentence in 'fr'"),
    "fractions without languages": (GOOD, "a.conll", ["--fractions", "0.5"], "1 fractions for 0 languages"),
    "no JSON": ("{'text': 1}\n", "a.jsonl", [], "line 1: Expecting property name"),
    "JSON that is cut off": (SPANS + '{"text": "Bo', "a.jsonl", [], "line 2: Unterminated string"),
    "JSON of another encoding": ('{"text": "ü"}'.encode("latin-1"), "a.jsonl", [], "line 1: invalid start byte"),
    "JSON without words or text": ('{"id": 1}\n', "a.jsonl", [], "line 1: no 'tokens', 'words' among 'id'"),
    "a number without a name": ('{"tokens": ["a"], "tags": [3]}', "a.jsonl", [], "is the number 3, and nothing says"),
    "a number out of range": ('{"tokens": ["a"], "tags": [3]}', "a.jsonl", ["--tag-names", "O,B-X"], "only 0 to 1"),
    "a span behind the end": (SPANS.replace("3", "30"), "a.jsonl", [], "is no span of the text's 3 characters"),
    "tags and words of unlike number": ('{"tokens": ["a"], "tags": []}', "a.jsonl", [], "line 1: 1 words, but 0 tags"),
    "a damaged DocBin": (b"not compressed", "a.spacy", [], "a.spacy: this is no .spacy file"),
    "a part that a file has not": (GOOD, "notes.conll", ["--split", "train", "--folder"], "has no 'train' file"),
    "a name in another corpus": (None, "panx", ["--lang", "xy"], "panx has no language 'xy'"),
    "a recipe with a slip": ("[[sources]]\nfrom = 'x'\n", "a.toml", [], "there is no setting 'sources'"),
    "a file with settings of its own": ("[[source]]\nfrom = 'x'\n", "a.toml", ["--repair"], "put the settings there"),
    "a fraction that is no number": (GOOD, "a.conll", ["--lang", "de", "--fractions", "half"], "'half' is no number"),
    "a renaming without a name": (GOOD, "a.conll", ["--rename", "PER"], "'PER' is no renaming"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_said_plainly_and_leaves_nothing_behind(tmp_path: Path, case: str):
    content, name, options, message = CASES[case]
    source = tmp_path / "in" / name
    source.parent.mkdir()
    if content is not None:
        source.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    whole_folder = "--folder" in options
    origin = source.parent if whole_folder else name if name == "panx" else source
    options = [option for option in options if option != "--folder"]
    split = ["--split", "train"] if name == "panx" else []
    result = CliRunner().invoke(app, [str(origin), str(tmp_path / "out" / "train.spacy"), *options, *split])
    assert result.exit_code in {1, 2}, result.output
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
