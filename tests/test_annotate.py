"""From files to files: nothing lost, nothing twice."""

import errno
import json
import multiprocessing
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import DocBin
from typer.testing import CliRunner

import multiner.annotate as stage
from multiner.annotate import AnnotationError, annotate
from multiner.annotator import AnnotatorError, Settings
from multiner.commands import app
from multiner.docbins import read_docs
from multiner.engines import AHEAD, WorkerLost, in_order, in_processes
from multiner.inputs import InputError

from .conftest import PROJECT, SENTENCES

TEXTS = [" ".join(words) for words, _ in SENTENCES]
FOUND = [
    [(0, 12, "PER", "Ada Lovelace"), (22, 28, "LOC", "London")],
    [(0, 11, "PER", "Alan Turing"), (21, 31, "LOC", "Manchester")],
    [],
    [(0, 12, "PER", "Grace Hopper"), (24, 38, "ORG", "Remington Rand")],
]
SMALL = Settings(shard_documents=2)


@pytest.fixture(scope="session")
def loaded(saved: Path) -> Language:
    return spacy.load(saved)


@pytest.fixture(autouse=True)
def load_once(saved: Path, loaded: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare most tests the second that spaCy takes to load a pipeline."""
    load = spacy.load
    monkeypatch.setattr(spacy, "load", lambda model: loaded if str(model) == str(saved) else load(model))


def write_jsonl(path: Path, rows: list[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


def write_inputs(folder: Path) -> dict[str, tuple[list[str], str | None]]:
    """The same texts in every kind of file, with a number for each one."""
    folder.mkdir()
    rows = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    write_jsonl(folder / "a.jsonl", rows)
    lines = "".join(f'{row["id"]};"{row["text"]}"\r\n' for row in rows)
    (folder / "a.csv").write_text(f"id;text\r\n{lines}", encoding="utf-8-sig", newline="")
    (folder / "a.tsv").write_text("id\ttext\n" + "".join(f"{row['id']}\t{row['text']}\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=3)
    nlp = spacy.blank("en")
    docs = [nlp(text) for text in TEXTS]
    for number, doc in enumerate(docs):
        doc.user_data.update({"id": number, ("._.", "not a column", None, None): 1})
    docs[0].ents = [docs[0][3:4]]  # gold entities are nothing that was found
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "a.spacy")
    (folder / "lines.log").write_text("\n".join(TEXTS))
    for number, text in enumerate(TEXTS):
        (folder / f"text{number}.txt").write_text(text)
    named = {name: ([str(folder / f"a.{name}")], None) for name in ("jsonl", "csv", "tsv", "parquet")}
    return named | {
        "docbin": ([str(folder / "a.spacy")], None),
        "lines": ([str(folder / "lines.log")], "lines"),
        "text": ([str(folder / "*.txt")], None),
    }


def rows_of(output: Path) -> list[dict]:
    return [json.loads(line) for part in sorted(output.glob("part-*")) for line in part.read_text().split("\n")[:-1]]


def found_in(row: dict) -> list[tuple]:
    return [tuple(entity[key] for key in ("start", "end", "label", "text")) for entity in row["entities"]]


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet", "docbin", "lines", "text"])
def test_every_kind_of_input_gives_the_same_entities_and_keeps_its_columns(saved, tmp_path, kind):
    inputs, said = write_inputs(tmp_path / "in")[kind]
    outcome = annotate(str(saved), inputs, tmp_path / "out", kind=said)
    assert outcome.totals._replace(words=0) == (1, 4, 0, 6, 0, 0)
    rows = rows_of(tmp_path / "out")
    assert [row["text"] for row in rows] == TEXTS
    assert [found_in(row) for row in rows] == FOUND
    assert all(0.9 < entity["confidence"] <= 1 for row in rows for entity in row["entities"])
    others = [{name: value for name, value in row.items() if name not in ("text", "entities")} for row in rows]
    if kind in ("jsonl", "parquet", "docbin"):
        assert others == [{"id": number} for number in range(4)]
    elif kind in ("csv", "tsv"):
        assert others == [{"id": str(number)} for number in range(4)]
    elif kind == "lines":
        assert others == [{"source": f"{inputs[0]}:{number}"} for number in (1, 2, 3, 4)]
    else:
        assert others == [{"source": f"{tmp_path}/in/text{number}.txt"} for number in range(4)]


def test_standard_input_and_the_words_of_the_command(saved, tmp_path):
    text = f"{TEXTS[0]}\n\n{TEXTS[1]}\n"
    result = CliRunner().invoke(app, ["annotate", str(saved), "-", str(tmp_path / "out")], input=text)
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "out")
    assert [row["source"] for row in rows] == ["standard input:1", "standard input:3"]
    assert [found_in(row) for row in rows] == FOUND[:2]
    assert "Empty lines, which are no documents: 1." in result.output
    assert "2 documents, 11 words, 4 entities in 1 file" in " ".join(result.output.split())
    again = CliRunner().invoke(app, ["annotate", str(saved), "-", str(tmp_path / "out")], input=text)
    assert again.exit_code == 0 and "finished already" in again.output
    other = CliRunner().invoke(app, ["annotate", str(saved), "-", str(tmp_path / "out")], input=TEXTS[2])
    assert other.exit_code == 1 and "The input is not what it was" in other.output


def test_any_column_can_be_the_text(saved, tmp_path):
    path = write_jsonl(tmp_path / "in.jsonl", [{"body": TEXTS[0], "text": 7, "entities": ["gold"]}])
    options = ["--text", "body", "--into", "found"]
    result = CliRunner().invoke(app, ["annotate", str(saved), str(path), str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    (row,) = rows_of(tmp_path / "out")
    assert {name: row[name] for name in ("body", "text", "entities")} == {
        "body": TEXTS[0],
        "text": 7,
        "entities": ["gold"],
    }
    assert found_in({"entities": row["found"]}) == FOUND[0]


def test_folders_are_read_in_order_files_once_and_others_counted(saved, tmp_path):
    write_jsonl(tmp_path / "in/b/2.jsonl", [{"text": TEXTS[1]}])
    write_jsonl(tmp_path / "in/a/1.jsonl", [{"text": TEXTS[0]}])
    for name in ("in/c.pdf", "in/README", "in/.hidden.jsonl", "in/_manifest.json"):
        (tmp_path / name).write_text("nothing")
    inputs = [str(tmp_path / "in"), str(tmp_path / "in/**/1.jsonl")]
    outcome = annotate(str(saved), inputs, tmp_path / "out")
    assert [row["text"] for row in rows_of(tmp_path / "out")] == TEXTS[:2]
    assert outcome.passed_over == {".pdf": 1, "no ending": 1}
    with pytest.raises(InputError, match=r"There is no file or folder .*none.txt, and no file fits it"):
        annotate(str(saved), [str(tmp_path / "none.txt")], tmp_path / "out2")
    with pytest.raises(InputError, match=r"c.pdf: of files that end in none of .* say with --read"):
        annotate(str(saved), [str(tmp_path / "in/c.pdf")], tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_rows_that_cannot_be_read_are_listed_with_line_and_reason(saved, tmp_path):
    good = json.dumps({"text": TEXTS[0]}).encode()
    rows = [
        b'{"text": "cut off',
        b"[1, 2]",
        b'{"txt": "x"}',
        b'{"text": 3}',
        b'{"text": null}',
        b'{"text": "\xff"}',
        b'{"text": "x", "n": NaN}',
        rb'{"text": "half \ud83d"}',
        b'{"text": "x", "entities": []}',
        json.dumps({"text": "a " * 600_000}).encode(),
        b"[" * 100_000,
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join([good, *rows, b"", good]))
    outcome = annotate(str(saved), [str(tmp_path / "in.jsonl")], tmp_path / "out", SMALL)
    assert [row["text"] for row in rows_of(tmp_path / "out")] == [TEXTS[0], TEXTS[0]]
    assert (outcome.totals.rejected, outcome.totals.blank) == (11, 1)
    rejects = [json.loads(line) for line in (tmp_path / "out/_rejects.jsonl").read_text().splitlines()]
    reasons = {reject["line"]: reject["reason"] for reject in rejects}
    assert {reject["file"] for reject in rejects} == {str(tmp_path / "in.jsonl")}
    for line, reason in enumerate(
        [
            "no JSON: Unterminated string",
            "'[1, 2]' is no object with a field 'text'",
            "no field 'text' among its fields ('txt')",
            "the field 'text' is 3, which is no text",
            "the field 'text' is null, which is no text",
            "no UTF-8: invalid start byte at byte 10",
            "no JSON: NaN is no number",
            "half of a character",
            "it has a column 'entities' already; say with --into",
            "1,200,000 characters, and spaCy takes 1,000,000 at most",
            "JSON that is nested too deeply",
        ],
        2,
    ):
        assert reasons[line].startswith(reason), reasons[line]


def test_rows_of_tables_that_cannot_be_read_are_listed_too(saved, tmp_path):
    (tmp_path / "a.csv").write_bytes(
        b'text,n\n"two\nlines",1\nx,1,2\nbad \xff,1\n\nAlan Turing moved to Manchester .,2\n"not closed,3\nx,4\n'
    )
    table = pa.table({"text": pa.array(["Ada", None, "Bonn"]), "day": pa.array([18_000] * 3, pa.date32())})
    pq.write_table(table, tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:-20])
    (tmp_path / "d.spacy").write_bytes(b"no DocBin")
    (tmp_path / "e.txt").write_bytes(b"one\ntwo\nthr\xffee")
    outcome = annotate(str(saved), [str(tmp_path / "?.*")], tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [row["text"] for row in rows] == ["two\nlines", TEXTS[1], "Ada", "Bonn"]
    assert rows[2]["day"] == "2019-04-14"
    rejects = [json.loads(line) for line in (tmp_path / "out/_rejects.jsonl").read_text().splitlines()]
    assert [(Path(reject["file"]).name, reject["line"]) for reject in rejects] == [
        ("a.csv", 4),
        ("a.csv", 5),
        ("a.csv", 8),
        ("b.parquet", 2),
        ("c.parquet", 1),
        ("d.spacy", 1),
        ("e.txt", 3),
    ]
    assert outcome.totals.rejected == 7
    assert rejects[0]["reason"] == "3 fields, where the first line has 2"


def test_a_table_without_the_column_is_refused_before_anything_is_done(saved, tmp_path):
    (tmp_path / "a.csv").write_text("body,n\nx,1\n")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="a.csv has no column 'text'; its first line is: body,n. Say with --text"):
        annotate(str(saved), [str(tmp_path / "a.csv")], tmp_path / "out")
    with pytest.raises(InputError, match="The column 'text' of .*b.parquet has no text but int64"):
        annotate(str(saved), [str(tmp_path / "b.parquet")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_parquet_keeps_the_types_of_columns(saved, tmp_path):
    stamp = pa.array([1, None], pa.timestamp("us", tz="UTC"))
    table = pa.table({"text": TEXTS[:2], "when": stamp, "tags": [["a"], []], "kind": pa.array(["x", "y"])})
    pq.write_table(table, tmp_path / "a.parquet")
    annotate(str(saved), [str(tmp_path / "a.parquet")], tmp_path / "out", Settings(format="parquet", shard_documents=1))
    again = pq.read_table(tmp_path / "out")
    assert again.select(table.column_names).equals(table)
    assert [[found[1] for found in FOUND[0]], []][0] == [entity["end"] for entity in again["entities"][0].as_py()]
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x", "n": 1, "s": "1"}, {"text": "y", "n": [2], "m": None}])
    annotate(str(saved), [str(tmp_path / "a.jsonl")], tmp_path / "out2", Settings(format="parquet"))
    rows = pq.read_table(tmp_path / "out2").to_pylist()
    assert [(row["n"], row["s"], row["m"]) for row in rows] == [("1", "1", None), ("[2]", None, None)]


def test_docbins_have_spans_confidences_and_columns(saved, tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": TEXTS[0], "n": [1]}])
    annotate(str(saved), [str(tmp_path / "a.jsonl")], tmp_path / "out", Settings(format="docbin"))
    (doc,) = read_docs(tmp_path / "out", spacy.blank("en").vocab)
    assert [(entity.start_char, entity.end_char, entity.label_, entity.text) for entity in doc.ents] == FOUND[0]
    assert list(doc.spans["entities"]) == list(doc.ents)
    assert all(0.9 < score <= 1 for score in doc.spans["entities"].attrs["scores"])
    assert doc.user_data == {"n": (1,)}


@pytest.mark.parametrize("format", ["jsonl", "docbin"])
def test_what_annotate_writes_convert_reads_and_evaluate_scores(saved, tmp_path, monkeypatch, format):
    from multiner.evaluation import evaluate_files

    monkeypatch.syspath_prepend(PROJECT / "scripts")
    from multiner.corpora import convert
    from multiner.recipes import Recipe, SourceRecipe

    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in TEXTS])
    annotate(str(saved), [str(tmp_path / "a.jsonl")], tmp_path / "out", replace(SMALL, format=format))
    parts = sorted(map(str, (tmp_path / "out").glob("part-*")))
    assert len(parts) == 2
    recipe = Recipe(tuple(SourceRecipe(part, language="en") for part in parts), ())
    conversion = convert(recipe, tmp_path / "corpus.spacy")
    assert (conversion.docs, conversion.entities, conversion.changes) == (4, 6, [])
    report = evaluate_files(str(saved), tmp_path / "corpus.spacy")
    assert report["strict"]["micro"]["f1"] == report["raw_text"]["f1"] == 1.0


def test_threshold_and_labels_leave_entities_out(saved, tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in TEXTS])
    source = [str(tmp_path / "a.jsonl")]
    annotate(str(saved), source, tmp_path / "all")
    annotate(str(saved), source, tmp_path / "places", Settings(labels=("LOC",)))
    everything = [entity for row in rows_of(tmp_path / "all") for entity in row["entities"]]
    places = [entity for row in rows_of(tmp_path / "places") for entity in row["entities"]]
    assert places == [entity for entity in everything if entity["label"] == "LOC"] and len(places) == 2
    sure = sorted(entity["confidence"] for entity in everything)[3]
    annotate(str(saved), source, tmp_path / "sure", Settings(threshold=sure))
    kept = [entity for row in rows_of(tmp_path / "sure") for entity in row["entities"]]
    assert kept == [entity for entity in everything if entity["confidence"] >= sure] and 0 < len(kept) < 6
    with pytest.raises(AnnotatorError, match="finds no entities of type 'MISC', but LOC, ORG, PER"):
        annotate(str(saved), source, tmp_path / "misc", Settings(labels=("MISC",)))


def test_entities_of_rules_have_no_confidence_and_stay(trained, tmp_path):
    trained.to_disk(tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    nlp.add_pipe("entity_ruler", before="ner").add_patterns([{"label": "VERB", "pattern": "lives"}])
    nlp.to_disk(tmp_path / "pipeline")
    write_jsonl(tmp_path / "a.jsonl", [{"text": TEXTS[0]}])
    annotate(str(tmp_path / "pipeline"), [str(tmp_path / "a.jsonl")], tmp_path / "out", Settings(threshold=1.0))
    ((ruled, *_),) = [row["entities"] for row in rows_of(tmp_path / "out")]
    assert ruled == {"start": 13, "end": 18, "label": "VERB", "text": "lives", "confidence": None}
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(AnnotatorError, match="has no component that finds entities, but none"):
        annotate(str(tmp_path / "blank"), [str(tmp_path / "a.jsonl")], tmp_path / "out2")


def test_sizes_of_batches_and_shards_change_no_entity(saved, tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": f"{text} {'so' * (n % 5)}"} for n, text in enumerate(TEXTS * 5)])
    results = []
    for number, (shard, batch) in enumerate([(100, None), (7, 3), (1, 1)]):
        chosen = Settings(shard_documents=shard, batch_size=batch)
        annotate(str(saved), [str(tmp_path / "a.jsonl")], tmp_path / f"out{number}", chosen)
        results.append(rows_of(tmp_path / f"out{number}"))
    for other in results[1:]:
        assert [found_in(row) for row in other] == [found_in(row) for row in results[0]]
        for mine, first in zip(other, results[0], strict=True):
            sure, expected = ([entity["confidence"] for entity in row["entities"]] for row in (mine, first))
            assert sure == pytest.approx(expected, abs=2e-4)


rows = st.lists(
    st.dictionaries(
        st.text(min_size=1, max_size=4).filter(lambda name: name not in ("text", "entities")),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        max_size=3,
    ).flatmap(lambda row: st.text(max_size=60).map(lambda text: {**row, "text": text})),
    min_size=1,
    max_size=8,
)


@given(rows=rows)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_rows_are_they_come_out_in_order_with_offsets_that_fit(saved, tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    path = write_jsonl(folder / "a.jsonl", rows)
    outcome = annotate(str(saved), [str(path)], folder / "out", replace(SMALL, shard_documents=3))
    again = rows_of(folder / "out")
    assert [{**row, "entities": None} for row in again] == [{**row, "entities": None} for row in rows]
    for row in again:
        for entity in row["entities"]:
            assert row["text"][entity["start"] : entity["end"]] == entity["text"]
    assert outcome.totals.documents == len(rows) and outcome.totals.rejected == 0


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    """Two files with 60 documents and a row that is none."""
    first = write_jsonl(tmp_path / "a.jsonl", [{"text": f"{text} {n}", "n": n} for n, text in enumerate(TEXTS * 8)])
    second = write_jsonl(tmp_path / "b.jsonl", [{"text": text} for text in TEXTS * 7])
    with first.open("a") as file:
        file.write("no JSON\n")
    return [str(first), str(second)]


@pytest.mark.parametrize("format", ["jsonl", "parquet", "docbin"])
def test_killed_again_and_again_a_run_comes_to_the_same_bytes(saved, tmp_path, many, format):
    chosen = replace(SMALL, format=format)
    annotate(str(saved), many, tmp_path / "undisturbed", chosen)
    output, journal = tmp_path / "killed", tmp_path / "killed/_shards.jsonl"
    draw = random.Random(0)
    context = multiprocessing.get_context("fork")
    kills, between = 0, 0
    while kills < 10:
        lines = journal.read_text().count("\n") if journal.exists() else 0
        run = context.Process(target=annotate, args=(str(saved), many, output, chosen))
        run.start()
        wanted = lines + draw.randrange(6)
        deadline = time.monotonic() + 60
        while run.is_alive() and time.monotonic() < deadline:
            if wanted == 0 or (journal.exists() and journal.read_text().count("\n") >= wanted):
                break
        time.sleep(draw.random() * 0.01)
        run.kill()
        run.join()
        kills += 1
        between += journal.exists() and 0 < journal.read_text().count("\n") < 31
    assert between
    outcome = annotate(str(saved), many, output, chosen)
    assert outcome.before.shards > 0
    assert contents(output) == contents(tmp_path / "undisturbed")
    assert outcome.totals.documents == 60 and outcome.totals.rejected == 1


def test_a_line_that_was_half_written_and_a_file_without_line_are_done_again(saved, tmp_path, many):
    annotate(str(saved), many, tmp_path / "whole", SMALL)
    annotate(str(saved), many, tmp_path / "cut", SMALL)
    journal = tmp_path / "cut/_shards.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    (tmp_path / "cut/.part-00030.jsonl.abc.unfinished").write_text("half")
    outcome = annotate(str(saved), many, tmp_path / "cut", SMALL)
    assert outcome.totals.shards - outcome.before.shards == 1
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_another_input_model_or_setting_is_refused_with_what_differs(nlp, saved, tmp_path, many):
    output = tmp_path / "out"
    annotate(str(saved), many, output, SMALL)
    before = contents(output)
    nlp.to_disk(tmp_path / "other")
    cases = [
        ((str(saved), many, output, replace(SMALL, threshold=0.5)), "--threshold was 0.0 and is 0.5. Run the command"),
        ((str(saved), many, output, replace(SMALL, labels=("PER",))), "--labels was not given and is PER"),
        ((str(saved), many[:1], output, SMALL), "b.jsonl was in the input"),
        ((str(saved), many[::-1], output, SMALL), "the input was in another order"),
        ((str(tmp_path / "other"), many, output, SMALL), "the model .* was another one, or its files have changed"),
    ]
    for arguments, message in cases:
        with pytest.raises(AnnotationError, match=message):
            annotate(*arguments)
    text = Path(many[0]).read_text()
    Path(many[0]).write_text(text + "\n")
    with pytest.raises(AnnotationError, match=r"a.jsonl was jsonl of 1,\d+ bytes and is jsonl of 1,\d+ bytes"):
        annotate(str(saved), many, output, SMALL)
    Path(many[0]).write_text(text.replace("Turing moved to Manchester . 29", "Turing moved to Winchester . 29"))
    with pytest.raises(AnnotationError, match=r"its part from line 29 of .*a.jsonl on has changed. Put back"):
        annotate(str(saved), many, output, SMALL)
    Path(many[0]).write_text(text)
    outcome = annotate(str(saved), many, output, SMALL)
    assert outcome.totals == outcome.before
    assert contents(output) == before


def test_folders_with_other_things_and_names_of_files_are_refused(saved, tmp_path, many):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.doc").touch()
    (tmp_path / "file").touch()
    for output, message in [
        (tmp_path / "mine", "mine has other things in it, thesis.doc for one"),
        (tmp_path / "file", "The output is a folder, and .*file is a file"),
        (tmp_path / "out.parquet", "is called like a file. Say .*out, and with --format"),
    ]:
        with pytest.raises(AnnotationError, match=message):
            annotate(str(saved), many, output)
    with pytest.raises(AnnotationError, match="lies in .*, which is read"):
        annotate(str(saved), [str(tmp_path)], tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="There is no pipeline 'none'"):
        annotate("none", many, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_runs_at_once_are_refused_and_a_lock_of_the_dead_is_none(saved, tmp_path, many):
    output = tmp_path / "out"
    output.mkdir()
    (output / ".lock").write_text("process 1 on another planet")  # left behind by a run that was killed
    refused = []

    def watch(step: stage.Step) -> None:
        if not refused:
            with pytest.raises(
                AnnotationError, match=rf"Another run \(process {os.getpid()} on .*\) is writing to"
            ) as e:
                annotate(str(saved), many, output, SMALL)
            refused.append(e)

    annotate(str(saved), many, output, SMALL, watch=watch)
    assert refused


def test_a_full_disk_leaves_nothing_half_written_and_the_run_goes_on(saved, tmp_path, many, monkeypatch):
    annotate(str(saved), many, tmp_path / "whole", SMALL)
    syncs = []

    def full(file: int) -> None:
        syncs.append(file)
        if len(syncs) in (7, 10):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stage.os, "fsync", full)
    for finished in (3, 4):  # first while a shard is written, then while its line is
        with pytest.raises(AnnotationError, match="No space left on device. What is finished stays"):
            annotate(str(saved), many, tmp_path / "out", SMALL)
        names = sorted(path.name for path in (tmp_path / "out").glob("part-*"))
        assert names == [f"part-{number:05}.jsonl" for number in range(finished)]
        assert not list((tmp_path / "out").glob("*.unfinished"))
    annotate(str(saved), many, tmp_path / "out", SMALL)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_input_that_vanishes_is_named_and_the_run_goes_on_when_it_is_back(saved, tmp_path, many):
    annotate(str(saved), many, tmp_path / "whole", SMALL)
    away = tmp_path / "away"

    def watch(step: stage.Step) -> None:
        if step.totals.shards == 3:
            Path(many[1]).rename(away)

    with pytest.raises(InputError, match=r"b.jsonl was there a moment ago and is gone. Put it back"):
        annotate(str(saved), many, tmp_path / "out", SMALL, watch=watch)
    away.rename(many[1])
    annotate(str(saved), many, tmp_path / "out", SMALL)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_two_processes_write_what_one_writes_and_one_that_dies_is_said(saved, tmp_path, many):
    annotate(str(saved), many, tmp_path / "one", SMALL)

    def watch(step: stage.Step) -> None:
        if step.totals.shards == 2:
            multiprocessing.active_children()[0].kill()

    with pytest.raises(
        WorkerLost, match="A worker has ended, because it was killed .* Run the command again: it goes on"
    ):
        annotate(str(saved), many, tmp_path / "two", SMALL, engine=in_processes(2), watch=watch)
    outcome = annotate(str(saved), many, tmp_path / "two", SMALL)
    assert 2 <= outcome.before.shards < 31
    assert [found_in(row) for row in rows_of(tmp_path / "two")] == [found_in(row) for row in rows_of(tmp_path / "one")]
    assert contents(tmp_path / "two")["_shards.jsonl"].count(b"\n") == 31


def test_never_more_jobs_are_in_hand_than_keep_the_workers_busy():
    in_hand, most = 0, 0

    def submit(job: int) -> int:
        nonlocal in_hand, most
        in_hand += 1
        most = max(most, in_hand)
        return job

    def collect(ticket: int) -> int:
        nonlocal in_hand
        in_hand -= 1
        return ticket * 10

    assert list(in_order(iter(range(100)), submit, collect, workers=3)) == list(range(0, 1000, 10))
    assert most == AHEAD * 3


def test_a_shard_ends_by_documents_or_by_characters():
    from multiner.inputs import Blank, Record, Reject

    rows = [Record("a", n, "x" * 10, {"text": "x" * 10}, n) for n in range(7)]
    items = [(item, 0.5) for item in [*rows[:3], Reject("a", 3, "bad", 3), Blank(3), *rows[3:]]]
    by_documents = list(stage.shards(items, Settings(shard_documents=4)))
    assert [(len(s.records), len(s.rejects), s.blank) for s in by_documents] == [(3, 1, 0), (4, 0, 1)]
    by_characters = list(stage.shards(items, Settings(shard_characters=25)))
    assert [len(s.records) for s in by_characters] == [3, 3, 1]
    assert len({shard.digest for shard in [*by_documents, *by_characters]}) == 5  # no two of them have the same rows
