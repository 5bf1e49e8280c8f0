"""The page, in a browser and without."""

import html
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
from typer.testing import CliRunner

from multiner.commands import app
from multiner.demo import EXAMPLES, Finding, colours_of, download, find, highlight, labels_of, load_for_page, table
from multiner.outputs import Entity

from .test_annotate import TEXTS


@pytest.fixture(scope="module")
def nlp(saved):
    return load_for_page(str(saved))


def test_entities_are_marked_and_the_text_is_only_text():
    text = "<b>Ada</b> lives in\nLondon & <script>alert(1)</script>"
    entities = [Entity(3, 6, "PER", "Ada", 0.943), Entity(20, 26, "<LOC>", "London", None)]
    shown = highlight(Finding(text, entities, []), 0.5, colours_of(["PER", "<LOC>"])).partition("</style>")[2]
    assert re.findall(r'class="entity [^"]*">([^<]+)<', shown) == ["Ada", "London"]
    assert re.findall(r'label">([^<]+)</span>([^<]*)<', shown) == [("PER", "0.94"), ("&lt;LOC&gt;", "")]
    plain = re.sub(r'<span class="about">.*?</span>[0-9.]*</span>', "", shown)
    assert html.unescape(re.sub(r"</?(span|div)[^>]*>", "", plain)) == text
    surer = highlight(Finding(text, entities, []), 0.95, {})
    assert re.findall(r'class="entity [^"]*">([^<]+)<', surer) == ["London"]  # nothing is known of its confidence


def test_the_table_has_every_piece_and_a_tag_for_each_word(nlp):
    finding = find(nlp, TEXTS[0])
    rows = table(finding, 0.0)
    assert [row["Word"] for row in rows if row["Word"]] == TEXTS[0].split()
    assert [row["Tag"] for row in rows if row["Word"]] == ["B-PER", "I-PER", "O", "O", "B-LOC"]
    assert "".join(row["Piece"] for row in rows).replace("▁", " ").split() == TEXTS[0].split()
    assert any(not row["Word"] and not row["Tag"] for row in rows)
    assert {row["Tag"] for row in table(finding, 1.0)} == {"O", ""}


def test_what_is_downloaded_is_what_is_shown(nlp):
    finding = find(nlp, TEXTS[0])
    threshold = min(entity.confidence for entity in finding.entities) + 1e-4
    content = download({"one": finding, "two": finding}, threshold)
    assert content["text"] == TEXTS[0] and set(content["pipelines"]) == {"one", "two"}
    assert all(entity["confidence"] >= threshold for entity in content["pipelines"]["one"])
    assert json.loads(json.dumps(content)) == content


def test_labels_have_colours_of_their_own_and_examples_are_in_four_languages(nlp):
    assert len(set(colours_of(labels_of(nlp)).values())) == 3
    assert colours_of(["PER", "LOC"]) == colours_of(["LOC", "PER"])
    assert len(EXAMPLES) == 4


def test_a_page_without_pipeline_or_of_three_is_refused(saved):
    result = CliRunner().invoke(app, ["demo", "none"])
    assert result.exit_code == 1 and "There is no pipeline 'none'" in " ".join(result.output.split())
    result = CliRunner().invoke(app, ["demo", *[str(saved)] * 3])
    assert result.exit_code == 2 and "Two pipelines fit side by side" in result.output


@pytest.fixture
def page(saved: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a page that is served without network: with proxies that lead nowhere."""
    pytest.importorskip("streamlit", reason="the extra `demo` is not installed")
    other = tmp_path / "other"
    blank = spacy.blank("en")
    blank.add_pipe("entity_ruler").add_patterns([{"label": "CITY", "pattern": "London"}])
    blank.to_disk(other)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "multiner", "demo", str(saved), str(other), "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while server.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=2)
                break
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.2)
        assert server.poll() is None, (tmp_path / "log").read_text()
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def browser() -> Iterator[object]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    # Whatever the page asked of other machines, it would not get.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def test_type_see_the_entity_move_the_slider_see_it_go(page, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    def marked() -> list[list[str]]:
        columns = browser.find_elements(By.CSS_SELECTOR, ".marked")
        script = "return [...arguments[0].querySelectorAll('.entity')].map(e => e.childNodes[0].textContent)"
        return [browser.execute_script(script, column) for column in columns]

    def wait_for(expected: list[list[str]]) -> None:
        WebDriverWait(browser, 90, ignored_exceptions=(Exception,)).until(lambda _: marked() == expected)

    browser.get(page)
    WebDriverWait(browser, 60).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".marked")) == 2)
    box = browser.find_element(By.TAG_NAME, "textarea")
    assert box.get_attribute("value") == EXAMPLES["English"]
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(Keys.DELETE, TEXTS[0], Keys.CONTROL, Keys.ENTER)
    wait_for([["Ada Lovelace", "London"], ["London"]])
    browser.find_element(By.CSS_SELECTOR, "input[type=range]").send_keys(Keys.END)
    wait_for([[], ["London"]])  # rules know of no confidence, so theirs stays
    buttons = {button.text: button for button in browser.find_elements(By.TAG_NAME, "button")}
    assert set(EXAMPLES) <= set(buttons) and "Download as JSON" in buttons
    buttons["Deutsch"].click()
    WebDriverWait(browser, 30).until(lambda _: box.get_attribute("value") == EXAMPLES["Deutsch"])
