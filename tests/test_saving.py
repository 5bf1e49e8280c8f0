"""What is on disk is loaded whole or not at all, with an error that names the file; killed saves lose nothing."""

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc

from multiner.manifest import ModelFilesError, checksums, write_manifest
from multiner.optimizer import AdamW
from multiner.pipe import Multiner

from .conftest import SENTENCES, make_examples
from .test_pipe import TEXTS, entities, scores

FILES = ["cfg", "manifest.json", *(f"model/{name}.json" for name in ("config", "reading", "tokenizer"))]
FILES.append("model/weights.safetensors")


@pytest.fixture
def saved(trained, tmp_path) -> Path:
    """A saved pipeline's folder."""
    trained.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.fixture(scope="module")
def other(tiny_encoder) -> Language:
    """A pipeline with one label, and of another training, in the state that it must keep."""
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner")
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=tiny_encoder, labels=["PER"])
    for _ in range(40):
        nlp.update(examples, sgd=AdamW(3e-3))
    return nlp


def state(nlp: Language) -> object:
    pipe = nlp.get_pipe("ner")
    docs = list(nlp.pipe(TEXTS))
    return dict(pipe.cfg), pipe.labels, [entities(doc) for doc in docs], [scores(doc) for doc in docs]


def load(folder: Path) -> Multiner:
    """The component of a saved pipeline alone."""
    return spacy.blank("en").add_pipe("multiner", name="ner").from_disk(folder / "ner")


def refused(folder: Path, other: Language, message: str) -> None:
    """Neither a new pipeline nor one that is in use takes it, and that one goes on as it was."""
    with pytest.raises(ModelFilesError, match=message):
        load(folder)
    before = state(other)
    with pytest.raises(ModelFilesError, match=message):
        other.get_pipe("ner").from_disk(folder / "ner")
    assert state(other) == before


def sign(folder: Path) -> None:
    """As somebody would who changes files on purpose."""
    (folder / "ner" / "manifest.json").unlink()
    write_manifest(folder / "ner")


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes, place: float) -> bytes:
    at = int(place * (len(content) - 1))
    return content[:at] + bytes([content[at] ^ 1 << int(place * 100) % 8]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": cut_off,
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\n",
    **{
        f"a bit flipped at {place:.0%}": lambda content, place=place: flip(content, place)
        for place in (0, 0.33, 0.7, 1)
    },
}


@pytest.mark.parametrize("file", FILES)
def test_a_missing_or_damaged_file_is_named_with_the_remedy(saved, other, file):
    path = saved / "ner" / file
    content = path.read_bytes()
    for name, damage in DAMAGES.items():
        path.write_bytes(damage(content))
        if path.name == "manifest.json" and name == "longer":
            continue  # a blank at its end changes nothing that it says
        named = path.name if path.name != "manifest.json" else "ner/"
        with pytest.raises(ModelFilesError, match=rf"{named}.*(missing|damaged).*Copy or save the pipeline again"):
            load(saved)
    path.unlink()
    refused(saved, other, rf"ner/{file} is missing.*Copy or save the pipeline again")
    with pytest.raises(ModelFilesError, match=f"{file} is missing"):
        spacy.load(saved)
    path.write_bytes(content)
    assert spacy.load(saved)(TEXTS[0]).ents


def test_every_bit_of_a_small_file_counts(saved):
    path = saved / "ner" / "model" / "reading.json"
    content, before = path.read_bytes(), checksums(path)
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        assert checksums(path) != before


def test_checksums_of_a_file_of_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("multiner.manifest.BLOCK", 1000)
    path = tmp_path / "file"
    content = random.Random(0).randbytes(4500)
    path.write_bytes(content)
    whole = checksums(path)
    assert whole["bytes"] == 4500 and len(whole["crc32"]) == 5
    path.write_bytes(content[1000:2000] + content[:1000] + content[2000:])
    assert checksums(path) != whole


def test_a_file_of_another_pipeline_is_refused(saved, other, tmp_path):
    other.to_disk(tmp_path / "other")
    for file in ("cfg", "model/weights.safetensors"):
        content = (saved / "ner" / file).read_bytes()
        shutil.copy(tmp_path / "other" / "ner" / file, saved / "ner" / file)
        refused(saved, other, f"{file} is damaged")
        (saved / "ner" / file).write_bytes(content)


def test_a_head_of_another_size_than_the_labels_is_refused(saved, other):
    change_json(saved / "ner" / "cfg", labels=["PER", "LOC"])
    sign(saved)
    refused(saved, other, r"weights.safetensors: the head scores 7 tags, and the labels in `cfg` make 5")


@pytest.mark.parametrize("labels", [None, "PER", ["PER", 5], ["A", "B", "A"]])
def test_labels_that_are_none_are_refused(saved, other, labels):
    change_json(saved / "ner" / "cfg", labels=labels)
    sign(saved)
    refused(saved, other, r"cfg is damaged: it has")


def test_a_tokenizer_of_another_encoder_is_refused(saved, other):
    path = saved / "ner" / "model" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] += [[f"▁more{number}", -9.0] for number in range(50)]
    path.write_text(json.dumps(tokenizer))
    refused(saved, other, "tokenizer.json is damaged")
    sign(saved)
    refused(saved, other, "it is the tokenizer of another encoder")


def test_a_configuration_of_another_encoder_is_refused(saved, other):
    change_json(saved / "ner" / "model" / "config.json", hidden_size=48)
    sign(saved)
    refused(saved, other, r"The weights do not fit the encoder's config.json: \d+ tensors are unlike")


def test_a_newer_format_is_refused_with_what_to_install(saved, other):
    change_json(saved / "ner" / "manifest.json", format=2)
    refused(saved, other, r"has format 2, and this .* reads formats up to 1. Install a newer one: pip install")


CONFIGS = {
    "code that comes with the model": ({"auto_map": {"AutoModel": "evil.Model"}}, "asks for code to be run"),
    "an unknown type": ({"model_type": "nobody-knows"}, "describes no encoder that can be made here"),
    "no type": ({"model_type": None}, "does not say which `model_type`"),
    "a huge vocabulary": ({"vocab_size": 10**12}, "config.json has vocab_size = 1000000000000"),
    "a large vocabulary": ({"vocab_size": 2_000_000}, "embeddings.word_embeddings.weight"),
    "huge width": ({"hidden_size": 2_000_000, "intermediate_size": 2_000_000}, "tensors are unlike"),
    "many layers": ({"num_hidden_layers": 10**6}, "num_hidden_layers = 1000000; no encoder has more than 1000"),
    "negative sizes": ({"vocab_size": -5}, "describes no encoder that can be made here"),
    "words for numbers": ({"hidden_size": "wide"}, "describes no encoder that can be made here"),
    "heads that do not divide": ({"num_attention_heads": 7}, "describes no encoder that can be made here"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_hostile_configuration_is_refused_before_anything_is_allocated(saved, other, case):
    values, message = CONFIGS[case]
    change_json(saved / "ner" / "model" / "config.json", **values)
    sign(saved)
    start = time.perf_counter()
    refused(saved, other, message)
    assert time.perf_counter() - start < 10


READINGS = {"pad": 10**9, "unknown": -1, "prefix": [0, 400_000], "suffix": "</s>", "capacity": 10**30}


@pytest.mark.parametrize("name", READINGS)
def test_pieces_that_the_encoder_has_not_are_refused(saved, other, name):
    change_json(saved / "ner" / "model" / "reading.json", **{name: READINGS[name]})
    sign(saved)
    refused(saved, other, "reading.json is damaged")


def test_a_header_of_huge_tensors_is_refused(saved, other):
    path = saved / "ner" / "model" / "weights.safetensors"
    header = json.dumps({"head.bias": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(100))
    sign(saved)
    refused(saved, other, "weights.safetensors is damaged")
    path.write_bytes(struct.pack("<Q", 10**12) + header)
    sign(saved)
    refused(saved, other, "weights.safetensors is damaged")


def test_no_path_is_taken_from_a_manifest(saved, other, tmp_path):
    (tmp_path / "secret").write_text("x")
    path = saved / "ner" / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("../../secret", str(tmp_path / "secret")):
        path.write_text(json.dumps(manifest | {"files": {name: {"bytes": 1, "crc32": [0]}}}))
        refused(saved, other, r"secret is missing")


def test_nothing_that_is_loaded_or_saved_is_pickled(trained, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("something was pickled")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(f"pickle.{name}", refuse)
    monkeypatch.setattr("torch.save", refuse)
    monkeypatch.setattr("torch.load", refuse)
    trained.to_disk(tmp_path)
    assert state(spacy.load(tmp_path))
    spacy.blank("en").add_pipe("multiner", name="ner").from_bytes(trained.get_pipe("ner").to_bytes())


def test_an_encoder_whose_files_ask_for_code_is_saved_without_asking(tiny_encoder, nlp, tmp_path):
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    change_json(tmp_path / "encoder" / "config.json", auto_map={"AutoModel": "modeling.Model"})
    nlp.get_pipe("ner").initialize(lambda: make_examples(nlp), encoder=str(tmp_path / "encoder"))
    nlp.to_disk(tmp_path / "pipeline")
    assert "auto_map" not in (tmp_path / "pipeline" / "ner" / "model" / "config.json").read_text()
    spacy.load(tmp_path / "pipeline")


def test_damaged_bytes_are_refused(trained, other):
    content = trained.get_pipe("ner").to_bytes()
    pipe = other.get_pipe("ner")
    before = state(other)
    draw = random.Random(0)
    places = [*range(40), *range(len(content) - 300, len(content)), *draw.sample(range(len(content)), 60)]
    for place in places:
        damaged = content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        with pytest.raises(ModelFilesError, match="damaged|format"):
            pipe.from_bytes(damaged)
    for end in (0, 1, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(ModelFilesError, match="damaged"):
            pipe.from_bytes(content[:end])
    for nonsense in (b"nonsense", srsly.msgpack_dumps([1]), srsly.msgpack_dumps({"cfg": 1}), srsly.msgpack_dumps(5)):
        with pytest.raises(ModelFilesError, match="damaged"):
            pipe.from_bytes(nonsense)
    assert state(other) == before


def test_loading_and_predicting_take_no_code_of_transformers(saved, trained):
    """Importing it takes longer than all of the rest."""
    # spaCy imports all components that are installed as soon as there is a pipeline, those of spacy-transformers too.
    script = (
        "import sys; sys.modules['transformers'] = None\n"
        "from spacy.tokens import Doc; from spacy.vocab import Vocab\n"
        "from multiner.model import Classifier; from multiner.pipe import Multiner\n"
        "pipe = Multiner(Vocab(), Classifier(256, 64, 'float32'))\n"
        "pipe.from_disk(sys.argv[1], exclude=['vocab'])\n"
        "print([(entity.text, entity.label_) for entity in pipe(Doc(pipe.vocab, sys.argv[2:])).ents])"
    )
    words, _ = SENTENCES[0]
    command = [sys.executable, "-c", script, str(saved / "ner"), *words]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    doc = trained(Doc(trained.vocab, list(words)))
    assert doc.ents
    assert found.strip() == str([(entity.text, entity.label_) for entity in doc.ents])


def test_what_is_saved_anew_is_the_same_whether_or_not_there_is_a_network(saved, tmp_path):
    pipe = spacy.blank("en").add_pipe("multiner", name="ner").from_disk(saved / "ner", exclude=["vocab"])
    pipe.to_disk(tmp_path / "before")
    assert pipe.shim.network
    pipe.to_disk(tmp_path / "after")
    for file in (name for name in FILES if name.startswith("model/")):
        expected = (saved / "ner" / file).read_bytes()
        assert (tmp_path / "before" / file).read_bytes() == (tmp_path / "after" / file).read_bytes() == expected


def test_a_pipeline_can_be_saved_over_the_files_that_it_was_loaded_from(saved):
    nlp = spacy.load(saved)
    before = state(nlp)
    for _ in range(2):
        nlp.to_disk(saved)
        assert state(nlp) == before
        assert state(spacy.load(saved)) == before
    assert sorted(path.name for path in saved.iterdir()) == ["config.cfg", "meta.json", "ner", "tokenizer", "vocab"]


def test_what_is_excluded_from_saving_stays(trained, tmp_path):
    pipe = trained.get_pipe("ner")
    pipe.to_disk(tmp_path / "ner")
    pipe.to_disk(tmp_path / "ner", exclude=["model"])
    again = spacy.blank("en").add_pipe("multiner", name="ner").from_disk(tmp_path / "ner")
    assert again.labels == pipe.labels


def test_an_error_while_saving_leaves_the_earlier_model(saved, other, monkeypatch):
    before = state(spacy.load(saved))

    def fail(*arguments, **options):
        raise OSError("No space left on device")

    for name in ("safetensors.torch.save_file", "multiner.pipe.write_manifest", "srsly.write_json"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(name, fail)
            other.get_pipe("ner").to_disk(saved / "ner")
        assert state(spacy.load(saved)) == before
        assert not [path for path in saved.iterdir() if path.name.startswith(".")]


def in_a_child(action: Callable[[], None]) -> int:
    """Run something in a forked process.

    RETURNS: Its process id.
    """
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def die_at(event: int) -> None:
    """Have this process die, as by a kill, before it changes the file system for the nth time from now."""
    changes = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree", "shutil.copytree"}
    count = 0

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if name in changes:
            count += 1
            if count == event:
                os._exit(9)

    sys.addaudithook(hook)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_save_that_dies_before_any_of_its_steps_leaves_the_old_model_or_the_new(saved, trained, other):
    labels = [trained.get_pipe("ner").labels, other.get_pipe("ner").labels]
    found, step, status = [], 0, 9
    while status == 9:
        step += 1
        # What a save before left behind is there for every second one.
        for left in [saved / "ner", *(saved.glob(".ner*") if step % 2 else [])]:
            shutil.rmtree(left, ignore_errors=True)
        trained.get_pipe("ner").to_disk(saved / "kept")
        (saved / "kept").rename(saved / "ner")

        def save(step: int = step) -> None:
            die_at(step)
            other.get_pipe("ner").to_disk(saved / "ner")

        status = os.waitstatus_to_exitcode(os.waitpid(in_a_child(save), 0)[1])
        found.append(load(saved).labels)
        assert found[-1] in labels
    assert status == 0 and step > 15
    assert found[0] == labels[0] and found[-1] == labels[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_save_that_is_killed_leaves_the_old_model_or_the_new(trained, other, tmp_path):
    path = tmp_path / "ner"
    pipes = [trained.get_pipe("ner"), other.get_pipe("ner")]
    pipes[0].to_disk(path)
    draw = random.Random(0)

    def save_for_ever() -> None:
        while True:
            for pipe in pipes:
                pipe.to_disk(path)

    for _ in range(25):
        child = in_a_child(save_for_ever)
        time.sleep(draw.uniform(0.005, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert load(tmp_path).labels in [pipe.labels for pipe in pipes]
    pipes[0].to_disk(path)
    assert [found.name for found in tmp_path.iterdir()] == ["ner"]
