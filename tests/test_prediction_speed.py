"""The usual ways to tag texts and ours, side by side."""

import pytest
import spacy
import torch
from matplotlib.image import imread

from multiner import prediction_speed
from multiner.benchmark_tables import speed_table
from multiner.benchmark_texts import SHORT_WORDS, Text, annotated_texts
from multiner.devices import DeviceError
from multiner.gpu_use import use_of_gpu
from multiner.prediction_speed import NoClassifier, measure_speed, ways
from multiner.sentences import Sentence
from multiner.speed_plot import best_pipeline, draw_speed

from .conftest import SENTENCES, make_examples

# Of two entities that pieces in the midst of a word spell, spacy-huggingface-pipelines takes one.
pytestmark = pytest.mark.filterwarnings("ignore:Skipping annotation")
CPU = torch.device("cpu")
TEXTS = [" ".join(words) for words, _ in SENTENCES]


@pytest.fixture(scope="module")
def report(saved, trained):
    pytest.importorskip("spacy_huggingface_pipelines", reason="the extra `benchmark` is not installed")
    pytest.importorskip("spacy_transformers", reason="the extra `shared` is not installed")
    learnt = [
        Text(doc.text, [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents])
        for doc in trained.pipe(TEXTS)
    ]
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_speed, "in_own_process", lambda function, *arguments: function(*arguments))
        patch.setattr(prediction_speed, "LEAST_SECONDS", 0.0)
        report = measure_speed(str(saved), learnt, TEXTS[:2], 2, told.append)
    # One after the other, and then all again.
    assert told == [f"{name}, round {number} of 2" for number in (1, 2) for name in ways(CPU)]
    return report


def test_all_ways_are_measured_on_the_same_texts(report):
    assert report["texts"] == len(TEXTS) and report["pieces"] > report["words"] > 0
    for name, row in report["ways"].items():
        assert len(row["seconds"]) == report["rounds"] == 2
        assert row["words_per_second"] == pytest.approx(report["words"] / (sum(row["seconds"]) / 2), rel=0.05)
        assert 0 < row["latency_ms"]["median"] <= row["latency_ms"]["p95"]
        assert row["peak_memory_mb"] > 50 and row["operations_per_second"] > 0 and 0 <= row["share_of_these"] < 1
        if name == "spacy-transformers and ner":
            assert "f1" not in row and "equal_labels" not in row, "its head has learnt nothing"
        elif name.startswith("ours"):
            assert row["f1"] == row["equal_labels"] == 1.0, name
        else:
            assert 0 <= row["f1"] <= 1 and 0 < row["equal_labels"] <= 1


def test_the_table_and_the_picture_set_them_beside_the_best_pipeline(report, tmp_path):
    table = speed_table(report)
    assert [row[0] for row in table.rows] == list(report["ways"])
    assert {len(row) for row in table.rows} == {len(table.columns)}
    times = {row[0]: float(row[2]) for row in table.rows}
    assert max(times[name] for name in times if name.startswith("transformers pipeline, ")) == 1.0
    assert best_pipeline(report) in {row["words_per_second"] for row in report["ways"].values()}
    draw_speed(report, tmp_path / "speed.png")
    assert imread(tmp_path / "speed.png").ndim == 3


def test_on_a_gpu_the_table_says_how_busy_it_was(report):
    used = {"gpu_busy": 0.25, "gpu_memory_mb": 1234}
    table = speed_table({**report, "ways": {name: row | used for name, row in report["ways"].items()}})
    assert table.columns[-2:] == ("GPU busy, %", "GPU memory, MB")
    assert {row[-2:] for row in table.rows} == {("25.0", "1,234")}
    assert set(ways(torch.device("cuda"))) - set(ways(CPU)) >= {
        "ours, float16",
        "transformers pipeline, batches of 128",
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_measured():
    with pytest.raises(DeviceError, match="GPU 0 was asked for"):
        measure_speed("no-such-pipeline", [], [], 1, lambda _: None, gpu_id=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_is_busy_while_it_multiplies():
    matrix = torch.randn(4096, 4096, device="cuda")
    used = use_of_gpu(lambda: [matrix @ matrix for _ in range(50)])
    assert 0.3 < used.busy < 1.1 and used.peak_memory_mb >= 64


def test_a_pipeline_without_weights_of_ours_is_refused(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path)
    with pytest.raises(NoClassifier, match="no trained component `multiner`"):
        measure_speed(str(tmp_path), [Text("Ada", [])], [], 1, lambda _: None)


@pytest.mark.parametrize("setting", [{"word_pieces": "first_last"}, {"mixed_layers": 2}, {"crf": True}])
def test_a_pipeline_that_reads_words_as_no_classifier_does_is_refused(setting, tiny_encoder, tmp_path):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": setting})
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=tiny_encoder)
    nlp.to_disk(tmp_path)
    with pytest.raises(NoClassifier, match='"first", mixed_layers = 1 and crf = false'):
        measure_speed(str(tmp_path), [Text("Ada", [])], [], 1, lambda _: None)


def sentences(*lengths):
    return [Sentence(["Ada", *["x"] * (length - 1)], ["B-PER", *["O"] * (length - 1)], "en", "a") for length in lengths]


def test_texts_are_short_sentences_all_sentences_or_long_documents():
    given = sentences(3, SHORT_WORDS, SHORT_WORDS + 1)
    assert [len(text.text.split()) for text in annotated_texts(given, "short")] == [3, SHORT_WORDS]
    assert [len(text.text.split()) for text in annotated_texts(given, "middle")] == [3, SHORT_WORDS, SHORT_WORDS + 1]
    long = annotated_texts(sentences(*[1000] * 12), "long")
    assert [len(text.text.split()) for text in long] == [10_000, 2_000]
    for text in long:
        assert {text.text[start:end] for start, end, _ in text.entities} == {"Ada"}
        assert len(text.entities) == len(text.text.split()) / 1000
