"""Threads, processes and long streams."""

import copy
import json
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from typer.testing import CliRunner

from multiner.benchmark_texts import made_up_texts
from multiner.memory_use import measure_memory, resident_sizes
from multiner.model import ProcessesNeedCpu, TaggerShim

from .conftest import PROJECT, SENTENCES
from .test_pipe import entities, scores

NAMES = [" ".join(words) for words, _ in SENTENCES]
STREAM = [f"{name} {text}" for name, text in zip(NAMES * 15, made_up_texts(60), strict=True)]


@pytest.fixture
def own(trained: Language, tmp_path: Path) -> Language:
    """The trained pipeline as a copy that remembers no words yet."""
    trained.to_disk(tmp_path / "own")
    return spacy.load(tmp_path / "own")


@pytest.mark.parametrize("remembered", [50_000, 40])
def test_eight_threads_give_what_one_gives(own, trained, monkeypatch, remembered):
    """Also while what is remembered of words is thrown away under them."""
    monkeypatch.setattr("multiner.pieces.REMEMBERED_WORDS", remembered)
    expected = {text: trained(text) for text in STREAM}

    def work(seed: int) -> list[tuple[str, Doc]]:
        texts = random.Random(seed).sample(STREAM, len(STREAM))
        half = len(texts) // 2
        docs = [*map(own, texts[:half]), *own.pipe(texts[half:], batch_size=7)]
        return list(zip(texts, docs, strict=True))

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, range(8)))
    for text, doc in (pair for result in results for pair in result):
        assert entities(doc) == entities(expected[text])
        assert scores(doc) == pytest.approx(scores(expected[text]), abs=1e-5)


SCRIPT = """
import multiprocessing, sys
import spacy, torch

def look(doc):
    group = doc.spans["ner"]
    return [(entity.text, entity.label_) for entity in doc.ents], [round(score, 4) for score in group.attrs["scores"]]

if __name__ == "__main__":
    folder, method, *texts = sys.argv[1:]
    multiprocessing.set_start_method(method)
    torch.set_num_threads(2)
    # Several batches, which threads compute beside each other; those stay behind too.
    nlp = spacy.load(folder, config={"components.ner.model.batch_pieces": 64})
    expected = [look(doc) for doc in nlp.pipe(texts)]
    torch.randn(500, 500) @ torch.randn(500, 500)  # so that torch has threads, which a fork leaves behind
    assert [look(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=5)] == expected
    print("the same")
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_two_processes_give_what_one_gives(trained, tmp_path, method):
    trained.to_disk(tmp_path / "pipeline")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, tmp_path / "pipeline", method, *STREAM]
    # The time is for a machine that is busy otherwise: three processes import everything.
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert result.stdout == "the same\n", result.stderr


def test_other_processes_are_refused_on_a_gpu_with_what_to_do(trained, monkeypatch):
    """None is started: a spawned one would be given a pickle, a forked one has everything."""
    pipe = copy.deepcopy(trained.get_pipe("ner"))
    monkeypatch.setattr(TaggerShim, "device", torch.device("cuda"))
    what_to_do = "With n_process other processes would have to use the GPU.*Call nlp.pipe with n_process=1"
    monkeypatch.setattr("multiner.model.IMPORTED_BY", os.getpid() + 1)
    with pytest.raises(ProcessesNeedCpu, match=what_to_do):
        pipe(trained.make_doc("Ada"))
    monkeypatch.undo()
    monkeypatch.setattr(TaggerShim, "device", torch.device("cuda"))
    monkeypatch.setattr("multiner.model.get_spawning_popen", lambda: "a process that is being spawned")
    sent = pickle.dumps(pipe)
    monkeypatch.undo()
    with pytest.raises(ProcessesNeedCpu, match=what_to_do):
        pickle.loads(sent)(trained.make_doc("Ada"))


def test_a_copy_in_the_same_process_keeps_its_network(trained, monkeypatch):
    monkeypatch.setattr(TaggerShim, "device", torch.device("cuda"))
    state = trained.get_pipe("ner").shim.__getstate__()
    assert state["_model"] is trained.get_pipe("ner").shim.network


def test_a_stream_in_memory_zones_leaves_nothing_behind(own, trained, monkeypatch):
    """The 3,000 texts have some 10,000 different words, of which none is left in vocabulary or memory."""
    monkeypatch.setattr("multiner.pieces.REMEMBERED_WORDS", 2000)
    monkeypatch.setattr("multiner.compacting.KEPT_WORDS", 0)
    before = len(own.vocab.strings)
    # Code for products is made when so many rows first come up, and stays.
    list(resident_sizes(own, made_up_texts(3000, seed=1), 300))
    sizes = dict(resident_sizes(own, made_up_texts(3000), 300))
    assert list(sizes) == list(range(300, 3001, 300))
    assert len(own.vocab.strings) == before
    assert len(own.get_pipe("ner").shim.batcher.cutter._cuts) <= 2000
    assert sizes[3000] - sizes[300] < 30_000_000
    # What was remembered in a zone holds after it: a word's hash is that of its text, in any zone.
    last = list(made_up_texts(3000))[-50:]
    for _ in range(2):
        with own.memory_zone():
            assert [entities(doc) for doc in own.pipe(last)] == [entities(doc) for doc in trained.pipe(last)]


def test_memory_is_measured_and_drawn(own, tmp_path, monkeypatch):
    report = measure_memory(own, made_up_texts(200), 10)
    assert [texts for texts, _ in report["sizes"]] == list(range(10, 201, 10))
    assert report["sizes"][1][1] == report["after_a_tenth_mb"]
    assert report["at_the_end_mb"] <= report["most_after_a_tenth_mb"]
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    import benchmark

    output = tmp_path / "memory.json"
    arguments = ["memory", str(tmp_path / "own"), "--texts", "100", "--part", "10", "--output", str(output)]
    corpus = str(PROJECT / "corpus/sample/de/dev.conll")
    for more, texts_from in (["--corpus", corpus], [corpus]), ([], "made up, 9 words each"):
        result = CliRunner().invoke(benchmark.app, [*arguments, *more])
        assert result.exit_code == 0, result.output
        assert json.loads(output.read_text())["texts_from"] == texts_from
        assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    result = CliRunner().invoke(benchmark.app, [*arguments[:3], "90", *arguments[4:]])
    assert result.exit_code == 2 and "less than ten parts of 10" in result.output
