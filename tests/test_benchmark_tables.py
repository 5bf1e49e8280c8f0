"""What was measured as people read it, from the files in results/ and from runs that are not kept there."""

import json
from typing import Any

import pytest

from multiner.benchmark_tables import (
    analysis_table,
    annotation_tables,
    calibration_table,
    conversion_table,
    documents_table,
    memory_table,
    spacing_table,
    training_table,
)
from multiner.tables import Table

from .conftest import PROJECT


def result(name: str) -> Any:
    return json.loads((PROJECT / f"results/{name}.json").read_text(encoding="utf8"))


@pytest.mark.parametrize(
    ("table", "figures"),
    [
        pytest.param(spacing_table(result("spacing")["corpora"]), 1, id="spacing"),
        pytest.param(conversion_table(result("convert")), 5, id="convert"),
        pytest.param(calibration_table(result("calibration")["models"]), 4, id="calibration"),
        pytest.param(documents_table(result("documents")), 6, id="documents"),
        pytest.param(memory_table(result("memory")), 5, id="memory"),
        pytest.param(analysis_table(result("analysis")), 1, id="analysis"),
    ],
)
def test_the_figures_of_results_are_rows_of_as_many_columns_with_figures_on_the_right(table: Table, figures: int):
    assert table.rows and {len(row) for row in table.rows} == {len(table.columns)}
    assert all(table.is_figure(column) for column in range(len(table.columns))[-figures:])
    assert table.meaning.endswith(".")


def test_shares_found_in_two_kinds_of_text_stand_side_by_side():
    row = {"language": "de", "corpus": "corpus/a.conll", "tokenizer": "spacy", "words": 1200}
    shares = {"share_blank": 0.999, "share_rebuilt": 0.98, "sentence_share_blank": 1.0, "sentence_share_rebuilt": 0.5}
    assert spacing_table([{**row, **shares}]).rows == [
        ("de a.conll", "spacy", "1,200", "99.9 → 98.0", "100.0 → 50.0"),
    ]


@pytest.mark.parametrize(
    ("same", "said"), [(True, "are the same, byte for byte"), (False, "are NOT the same"), (None, "were not compared")]
)
def test_whether_engines_wrote_the_same_is_said(same: bool | None, said: str):
    speed = {"pipe": [2000.0, 2100.4], "annotate": [1900.0, 2000.6], "ratio": 0.951}
    engines = {"documents": 5000, "seconds": {"one process": 40.25, "processes": 30.0}, "same_output": same}
    first, second = annotation_tables(speed, engines)
    assert first.columns == ("", "Round 1", "Round 2")
    assert first.rows == [("nlp.pipe", "2,000", "2,100"), ("multiner annotate", "1,900", "2,001")]
    assert "95.1 % of the speed of nlp.pipe" in first.meaning
    assert second.rows == [("one process", "40.2"), ("processes", "30.0")] and said in second.meaning


def test_each_seed_has_a_row_for_both_recipes():
    side = {"sentences_per_second": 11.04, "seconds": 1234.5, "peak_memory_mb": 2048}
    runs = [
        {"seed": seed, **{name: {**side, "test_default": 0.4, "test_strict": 0.41} for name in ("usual", "ours")}}
        for seed in (0, 1)
    ]
    table = training_table({"epochs": 4, "batch_size": 16, "runs": runs})
    assert [row[:2] for row in table.rows] == [("usual", "0"), ("ours", "0"), ("usual", "1"), ("ours", "1")]
    assert table.rows[0][2:] == ("11.0", "1,234", "2,048", "40.0", "41.0")
