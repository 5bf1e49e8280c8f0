"""The analysis of a pipeline, and the page that people look at, opened in a browser."""

import json
import re
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import spacy
import typer
from rich.console import Console
from scripts.analyze import main
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from typer.testing import CliRunner

from multiner.analysis import analyse
from multiner.analysis_speed import measure_analysis
from multiner.predictions import predict
from multiner.report import html_page, markdown_page
from multiner.report_plots import reliability
from multiner.report_tables import analysis_tables, score_tables, sentence_tables
from multiner.tables import show

from .conftest import SENTENCES, make_doc

Report = dict[str, Any]
ABOUT = {"model": "trained", "data": "sentences", "train": None}


def faulty(nlp: Language) -> list[Doc]:
    """The sentences that were learnt, with annotation that the pipeline cannot find: of every kind but "both"."""
    docs = [make_doc(nlp, *sentence) for sentence in SENTENCES]
    docs[1] = make_doc(nlp, SENTENCES[1][0], [(0, 1, "PER"), (4, 5, "ORG"), (5, 6, "ORG")])
    docs[3] = make_doc(nlp, SENTENCES[3][0], [(4, 6, "ORG")])
    return docs


@pytest.fixture(scope="module")
def report(trained: Language) -> Report:
    found, _ = analyse(predict(trained, faulty(trained)), [make_doc(trained, *SENTENCES[0])], resamples=100)
    return {**ABOUT, **found}


def test_every_error_is_shown_in_a_sentence_with_its_words_tags_and_losses(report):
    assert [error["kind"] for error in report["sentences"][0]["errors"]] == ["type", "borders", "missed"]
    worst = report["sentences"][0]
    assert worst["document"] == 1 and {"worst", "random", "example"} == set(worst["shown_as"])
    assert worst["gold_tags"] == ["B-PER", "O", "O", "O", "B-ORG", "B-ORG"]
    assert worst["predicted_tags"] == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
    assert worst["cost"] == pytest.approx(sum(worst["losses"]), abs=1e-3)
    assert [loss > 1 for loss in worst["losses"]] == [False, True, False, False, True, True]
    kinds = report["scores"]["errors"]["kinds"]
    assert kinds == {"right": 3, "type": 1, "borders": 1, "both": 0, "missed": 1, "spurious": 1}
    assert report["disagreements"] == len(report["suspects"]) == 4
    assert report["sentences_with_disagreements"] == report["sentences_to_label_again"] == 2
    assert report["scores"]["seen"]["seen"]["entities"] == 2


def test_tables_say_the_same_in_the_terminal_and_in_markdown(report):
    console = Console(record=True, width=140, file=StringIO())
    tables = [*score_tables(report["scores"]), *analysis_tables(report), *sentence_tables(report, 1)]
    show(tables, console)
    printed, page = console.export_text(), markdown_page(report)
    for table in tables:
        assert table.title in " ".join(printed.split()) and f"## {table.title}" in page
    assert "Manchester" in printed and "Manchester" in page
    assert re.search(r"\| ORG \| 100\.0 \| 33\.3 \| 50\.0 ", page)


def test_the_page_needs_no_network_and_takes_words_for_words(trained):
    gold = [make_doc(trained, ["<script>alert(1)</script>", "&", "London"], [(0, 1, "LOC"), (2, 3, "LOC")])]
    found, _ = analyse(predict(trained, gold), resamples=100)
    page = html_page({**ABOUT, **found})
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert page.count("<script>") == 1
    assert not re.findall(r"(?:src|href)=|url\(|@import|https?://", page)


def test_a_pipeline_that_says_only_entities_is_analysed_as_far_as_that_goes():
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "London"}])
    gold = [make_doc(nlp, *sentence) for sentence in SENTENCES]
    found, rows = analyse(predict(nlp, gold), resamples=100)
    assert found["losses"] is None and found["scores"]["calibration"] is None
    assert [sentence["cost"] for sentence in found["sentences"]] == [2, 2, 1, 0]
    assert sum(len(row["doubts"]) for row in rows) == 5
    for page in (markdown_page({**ABOUT, **found}), html_page({**ABOUT, **found})):
        assert "So there are no losses" in page


def test_nothing_wrong_and_nothing_at_all_are_no_errors(trained):
    for gold in ([make_doc(trained, *SENTENCES[2])], [], [make_doc(trained, *SENTENCES[0])]):
        found, rows = analyse(predict(trained, gold), resamples=100)
        assert rows == [] and found["suspects"] == []
        assert html_page({**ABOUT, **found}) and markdown_page({**ABOUT, **found})


def test_the_command_writes_everything_and_prints_what_matters(saved, tmp_path):
    nlp = spacy.load(saved)
    DocBin(docs=faulty(nlp)).to_disk(tmp_path / "dev.spacy")
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(
        app, [str(saved), str(tmp_path / "dev.spacy"), "--output", str(tmp_path / "out"), "--relabel", "1"]
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("analysis.json", "relabel.jsonl", "report.html", "report.md", "sentences.jsonl"),
    ]
    found = json.loads((tmp_path / "out/analysis.json").read_text(encoding="utf8"))
    assert found["disagreements"] == 4 and found["model"] == str(saved)
    lines = {name: (tmp_path / f"out/{name}.jsonl").read_text().splitlines() for name in ("relabel", "sentences")}
    assert (len(lines["relabel"]), len(lines["sentences"])) == (1, 4)
    printed = " ".join(result.output.split())
    for title in ("seqeval strict IOB2", "Annotations to look at again", "Loss by tag", "Document 1, "):
        assert title in printed
    missing = CliRunner().invoke(app, ["nowhere", str(tmp_path / "dev.spacy")])
    assert missing.exit_code == 1 and "There is no pipeline 'nowhere'" in missing.stderr


def test_the_time_beside_prediction_can_be_measured(tmp_path):
    nlp = spacy.blank("en")
    DocBin(docs=[make_doc(nlp, *sentence) for sentence in SENTENCES]).to_disk(tmp_path / "test.spacy")
    measured = measure_analysis(tmp_path / "test.spacy", tmp_path / "test.spacy", seed=0)
    assert measured["sentences"] == 4 and 0 < measured["f1"] <= 1
    assert measured["seconds_of_analyze"] > 0 and measured["peak_memory_mb"] > 50


def test_in_the_reliability_picture_what_is_as_sure_as_right_lies_on_the_diagonal():
    drawn = reliability(
        [{"confidence": 0.5, "right": 0.5, "entities": 4}, {"confidence": 1, "right": 0, "entities": 1}]
    )
    points = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)
    assert points == [("210.0", "166.0"), ("360.0", "316.0")]  # the middle, and the right lower corner


@pytest.fixture(scope="module")
def browser(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page in a headless Chromium that may not reach any host."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (the extra `test`)")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        pytest.skip("there is no chromium with its chromedriver on this machine")
    from selenium.webdriver.chrome.service import Service

    page = Path(tmp_path_factory.mktemp("page")) / "report.html"
    page.write_text(html_page(report), encoding="utf8")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(driver))
    window.get(page.as_uri())
    yield window
    window.quit()


def shown(browser: Any) -> list[str]:
    """The numbers of the documents that can be seen."""
    articles = [each for each in browser.find_elements("css selector", "article") if each.is_displayed()]
    return [re.search(r"Document (\d+)", each.text)[1] for each in articles]


def click(browser: Any, name: str, value: str) -> None:
    [button] = [
        each for each in browser.find_elements("css selector", f"button[data-filter={name}]") if each.text == value
    ]
    button.click()


def test_a_click_on_a_filter_leaves_the_sentences_with_that_error(browser, report):
    documents = [str(sentence["document"]) for sentence in report["sentences"]]
    assert shown(browser) == documents and len(documents) == 4
    click(browser, "kind", "spurious")
    assert shown(browser) == ["3"]
    click(browser, "kind", "missed")
    assert shown(browser) == ["1"]
    # Nothing was missed that is a person: there kind and type belong to two errors.
    click(browser, "type", "PER")
    assert shown(browser) == []
    assert browser.find_element("id", "shown").text == "0 of 4 sentences"
    click(browser, "kind", "any")
    assert shown(browser) == ["1", "3"]
    click(browser, "type", "any")
    assert shown(browser) == documents
    assert browser.get_log("browser") == []


def test_dark_and_light_can_be_switched(browser):
    def paper() -> str:
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    first = paper()
    browser.find_element("id", "theme").click()
    second = paper()
    browser.find_element("id", "theme").click()
    assert {first, second} == {"rgb(255, 255, 255)", "rgb(20, 23, 27)"} and paper() == first
