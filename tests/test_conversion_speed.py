"""The comparison with `spacy convert`: the same words in, the same words out."""

import sys

import pytest

from multiner.conversion_speed import BenchmarkError, measure_conversion

from .conftest import PROJECT


def test_both_converters_are_given_and_give_all_words():
    files = [PROJECT / "corpus/sample/de/dev.conll", PROJECT / "corpus/sample/en/dev.conll"]
    command = [sys.executable, str(PROJECT / "scripts/convert.py")]
    report = measure_conversion(files, command, sentences=150, spacy_sentences=30)
    assert (report["large"]["sentences"], report["ours"]["sentences"], report["spacy"]["sentences"]) == (150, 30, 30)
    assert report["ours"]["words"] == report["spacy"]["words"] < report["large"]["words"]
    assert all(report[name]["peak_memory_mb"] > 0 for name in ("large", "ours", "spacy"))


def test_a_converter_that_fails_is_no_figure():
    with pytest.raises(BenchmarkError, match=r"gave 0 of .* words. .*no way"):
        measure_conversion(
            [PROJECT / "corpus/sample/de/dev.conll"],
            [sys.executable, "-c", "raise SystemExit('no way')"],
            sentences=3,
            spacy_sentences=3,
        )
