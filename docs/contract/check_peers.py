"""Ask spaCy components for named entities, one by one, what docs/contract.md says of them.

Every component learns the same invented names with the same tiny encoder, so that what is seen is how the component
is built and not how good a model is. Needs no network and no GPU. In an environment of its own:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install -c constraints.txt . wheel spacy-transformers==1.4.0 spacy-huggingface-pipelines==0.0.4 \
        spacy-wrap==1.4.5 span-marker==1.8.1
    /tmp/peers/bin/python docs/contract/check_peers.py results/contract.json

Takes about a quarter of an hour on two cores. `--only PEER` asks one component; `--check NAME` makes one check.
"""

import argparse
import importlib
import importlib.metadata
import io
import json
import os
import pickle
import platform
import random
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.tokens.underscore import Underscore
from spacy.training import Example
from spacy.util import load_model_from_config
from thinc.api import Adam, fix_random_seed
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForTokenClassification, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

PACKAGES = {
    "multiner": ["multiner"],
    "ner": [],
    "spacy-transformers": ["spacy_transformers"],
    "spacy-huggingface-pipelines": ["spacy_huggingface_pipelines"],
    "spacy-wrap": ["spacy_wrap"],
    "span-marker": ["span_marker"],
}
TRAINABLE = {"multiner", "ner", "spacy-transformers"}
FIRST = ["Ada", "Alan", "Grace", "Tim", "Linus", "Edith", "Emmy", "Maria"]
LAST = ["Turing", "Lovelace", "Hopper", "Noether", "Clarke", "Berners", "Goeppert", "Hamilton"]
PLACES = ["London", "Manchester", "Philadelphia", "Zurich", "Geneva", "Berlin", "Paris", "Rome"]
FIRMS = ["Initech", "Globex", "Remington", "Hooli", "Umbrella", "Soylent"]
# fmt: off
OTHER = [
    "the", "a", "of", "in", "to", "works", "lives", "moved", "went", "wrote", "read", "nobody", "knows", "where",
    "long", "words", "come", "from", "today", "and", "then", "green", "house", "river", "walks", "slowly", "under",
    "an", "old", "bridge", "with", "two", "dogs", ",", ".",
]
# fmt: on
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
LABELS = ["LOC", "ORG", "PER"]
TAGS = ["O"] + [f"{prefix}-{label}" for label in LABELS for prefix in "BI"]
SECONDS_FOR_A_CHECK = 120

Words = list[str]
Entities = list[tuple[int, int, str]]


# --- what is learned


def make_sentence(dice: random.Random, length: int) -> tuple[Words, Entities]:
    """Words and the entities among them, drawn by chance."""
    words: Words = []
    entities: Entities = []
    while len(words) < length:
        start = len(words)
        match dice.randrange(8):
            case 0:
                words += [dice.choice(FIRST), dice.choice(LAST)]
                entities.append((start, start + 2, "PER"))
            case 1:
                words.append(dice.choice(PLACES))
                entities.append((start, start + 1, "LOC"))
            case 2:
                words.append(dice.choice(FIRMS))
                entities.append((start, start + 1, "ORG"))
        words.append(dice.choice(OTHER))
    return words, entities


def make_corpus(size: int, seed: int, longest: int = 50) -> list[tuple[Words, Entities]]:
    """Sentences of several lengths; the same for the same seed."""
    dice = random.Random(seed)
    return [make_sentence(dice, dice.choice([6, 10, 14, 20, longest])) for _ in range(size)]


def make_example(nlp: Language, words: Words, entities: Entities, default: str = "outside") -> Example:
    """One sentence to learn; `default` says what the words without an entity are."""
    reference = Doc(nlp.vocab, words=words)
    reference.set_ents([Span(reference, *entity[:2], label=entity[2]) for entity in entities], default=default)
    return Example(Doc(nlp.vocab, words=words), reference)


def make_examples(nlp: Language, corpus: list[tuple[Words, Entities]]) -> list[Example]:
    """Sentences to learn."""
    return [make_example(nlp, *sentence) for sentence in corpus]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A Unigram tokenizer built like that of XLM-R: most words are one piece, last names two, others letters."""
    pieces = [f"▁{word}" for word in FIRST + PLACES + FIRMS + OTHER]
    pieces += [part for name in LAST for part in (f"▁{name[:3]}", name[3:])]
    letters = "▁" + string.ascii_letters + string.digits + string.punctuation
    vocabulary = [(piece, 0.0) for piece in SPECIAL]
    vocabulary += [(piece, -3.0) for piece in dict.fromkeys(pieces) if piece not in letters]
    vocabulary += [(letter, -9.0) for letter in letters]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL.index("<unk>")))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
        cls_token="<s>",
        sep_token="</s>",
        **dict(zip(["bos_token", "pad_token", "eos_token", "unk_token"], SPECIAL, strict=True)),
    )


def make_encoder(folder: Path) -> None:
    """A BERT of two narrow layers with random weights."""
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer) + 8,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=96,
            max_position_embeddings=512,
            pad_token_id=1,
        )
    )
    # What is learned from short texts has to hold at every place of a long one.
    torch.nn.init.zeros_(model.embeddings.position_embeddings.weight)
    model.save_pretrained(folder)


def make_token_classifier(encoder: Path, folder: Path) -> None:
    """What the two wrappers of fine-tuned models take: a BertForTokenClassification, every piece labelled."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    names = dict(enumerate(TAGS))
    model = AutoModelForTokenClassification.from_pretrained(
        encoder, num_labels=len(TAGS), id2label=names, label2id={tag: number for number, tag in names.items()}
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    corpus = make_corpus(400, seed=1)
    for step in range(160):
        chosen = [corpus[(step * 16 + i) % len(corpus)] for i in range(16)]
        batch = tokenizer(
            [words for words, _ in chosen],
            is_split_into_words=True,
            padding=True,
            truncation=True,
            return_tensors="pt",
        )
        wanted = torch.full(batch["input_ids"].shape, -100)
        for row, (words, entities) in enumerate(chosen):
            tags = [0] * len(words)
            for start, end, label in entities:
                begin = TAGS.index(f"B-{label}")
                tags[start:end] = [begin] + [begin + 1] * (end - start - 1)
            for column, word in enumerate(batch.word_ids(row)):
                if word is not None:
                    wanted[row, column] = tags[word]
        loss = torch.nn.functional.cross_entropy(model(**batch).logits.flatten(0, 1), wanted.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_span_marker(encoder: Path, folder: Path) -> None:
    """A SpanMarker model, trained by its own trainer."""
    from datasets import Dataset
    from span_marker import SpanMarkerModel, Trainer
    from transformers import TrainingArguments

    torch.manual_seed(0)
    corpus = make_corpus(160, seed=1, longest=14)
    numbers = {tag: number for number, tag in enumerate(TAGS)}
    rows = []
    for words, entities in corpus:
        tags = [0] * len(words)
        for start, end, label in entities:
            tags[start:end] = [numbers[f"B-{label}"]] + [numbers[f"I-{label}"]] * (end - start - 1)
        rows.append({"tokens": words, "ner_tags": tags})
    model = SpanMarkerModel.from_pretrained(
        encoder, labels=TAGS, model_max_length=64, marker_max_length=48, entity_max_length=2
    )
    arguments = TrainingArguments(
        output_dir=str(folder) + "-run",
        learning_rate=3e-3,
        warmup_ratio=0.1,
        num_train_epochs=60,
        per_device_train_batch_size=16,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows)).train()
    model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)


class Peer:
    """A component, and how to make a pipeline with it afresh."""

    def __init__(self, name: str, work: Path) -> None:
        for package in PACKAGES[name]:
            importlib.import_module(package)
        self.name = name
        self.work = work
        self.encoder = work / "encoder"
        self.classifier = work / "classifier"
        self.spans = work / "span-marker"
        self.saved = work / f"pipeline-{name}"

    def prepare(self) -> None:
        """Make and train what is missing."""
        if not self.encoder.exists():
            make_encoder(self.encoder)
        if self.name in ("spacy-huggingface-pipelines", "spacy-wrap") and not self.classifier.exists():
            make_token_classifier(self.encoder, self.classifier)
        if self.name == "span-marker" and not self.spans.exists():
            make_span_marker(self.encoder, self.spans)
        if self.name in TRAINABLE and not self.saved.exists():
            self.train().to_disk(self.saved)

    def blank(self, encoder: Path | None = None) -> Language:
        """A pipeline as a config would build it, not initialised."""
        nlp = spacy.blank("en")
        encoder = encoder or self.encoder
        match self.name:
            case "multiner":
                nlp.add_pipe("multiner", name="ner")
                nlp.config["initialize"]["components"] = {"ner": {"encoder": str(encoder)}}
            case "ner":
                nlp.add_pipe("ner")
            case "spacy-transformers":
                nlp.add_pipe("transformer", config={"model": {"name": str(encoder)}})
                from multiner.prediction_speed import NER_ON_TRANSFORMER

                nlp.add_pipe("ner", config={"model": NER_ON_TRANSFORMER})
            case "spacy-huggingface-pipelines":
                nlp.add_pipe("hf_token_pipe", name="ner", config={"model": str(self.classifier)})
            case "spacy-wrap":
                nlp.add_pipe(
                    "token_classification_transformer", name="ner", config={"model": {"name": str(self.classifier)}}
                )
            case "span-marker":
                nlp.add_pipe("sentencizer")
                nlp.add_pipe("span_marker", name="ner", config={"model": str(self.spans)})
        return nlp

    def optimizer(self, rate: float = 2e-3) -> Any:
        """The optimizer that a config of the component has."""
        if self.name == "multiner":
            from multiner.optimizer import AdamW

            return AdamW(rate)
        return Adam(rate)

    def train(self) -> Language:
        """A pipeline that has learned the names."""
        fix_random_seed(0)
        nlp = self.blank()
        corpus = make_corpus(400, seed=1)
        nlp.initialize(lambda: make_examples(nlp, corpus))
        optimizer = self.optimizer()
        for step in range(160):
            chosen = [corpus[(step * 16 + i) % len(corpus)] for i in range(16)]
            nlp.update(make_examples(nlp, chosen), sgd=optimizer)
        return nlp

    def fresh(self) -> Language:
        """A pipeline that has learned the names and is not shared with another check."""
        return spacy.load(self.saved) if self.name in TRAINABLE else self.blank()


# --- how it is asked

CHECKS: dict[str, Callable[[Peer], Any]] = {}


def check(function: Callable[[Peer], Any]) -> Callable[[Peer], Any]:
    """Have a function among the checks."""
    CHECKS[function.__name__] = function
    return function


class TooLong(Exception):
    """A check took longer than it may."""


def found(doc: Doc) -> list[list[Any]]:
    """The places and types of entities."""
    return [[entity.start_char, entity.end_char, entity.label_] for entity in doc.ents]


def named(doc: Doc) -> list[str]:
    """The texts and types of entities."""
    return [f"{entity.text}/{entity.label_}" for entity in doc.ents]


def attempt(function: Callable[[], Any]) -> Any:
    """What a function gives, or the error it raises."""
    try:
        return function()
    except (TooLong, KeyboardInterrupt):
        raise
    except BaseException as error:  # what a peer raises is the observation
        return {"error": type(error).__name__, "message": str(error)[:300]}


def failed(result: Any) -> bool:
    """Whether `attempt` met an error."""
    return isinstance(result, dict) and "error" in result


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise TooLong if what is inside takes longer."""

    def stop(*_: Any) -> None:
        raise TooLong(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def weights_of(nlp: Language) -> bytes:
    """The weights of all components as bytes, to see whether something moved."""
    parts = []
    for _, component in nlp.pipeline:
        model = getattr(component, "model", None)
        if isinstance(model, torch.nn.Module):
            parts += [parameter.detach().numpy().tobytes() for parameter in model.parameters()]
        elif hasattr(component, "hf_pipeline"):
            parts += [parameter.detach().numpy().tobytes() for parameter in component.hf_pipeline.model.parameters()]
        elif hasattr(model, "walk"):
            for node in model.walk():
                parts += [node.get_param(name).tobytes() for name in node.param_names if node.has_param(name)]
                for shim in node.shims:
                    torch_model = getattr(shim, "_model", None) or getattr(shim, "network", None)
                    if torch_model is not None:
                        parts += [parameter.detach().numpy().tobytes() for parameter in torch_model.parameters()]
    return b"".join(parts)


def texts(size: int = 24) -> list[str]:
    """Texts that no component learned from."""
    return [" ".join(words) for words, _ in make_corpus(size, seed=7, longest=60)]


# --- life cycle


@check
def it_has_learned(peer: Peer) -> Any:
    """Entities found of a corpus like the one learned from: everything below rests on it."""
    nlp = peer.fresh()
    right = wrong = missed = 0
    for words, entities in make_corpus(40, seed=3, longest=60):
        doc = nlp(Doc(nlp.vocab, words=words))
        got = {(entity.start, entity.end, entity.label_) for entity in doc.ents}
        right += len(got & set(entities))
        wrong += len(got - set(entities))
        missed += len(set(entities) - got)
    return {
        "f1": round(2 * right / max(2 * right + wrong + missed, 1), 3),
        "punctuation": named(nlp("Ada Turing went to London.")),
    }


@check
def blank_add_pipe(peer: Peer) -> Any:
    """`add_pipe` with the default config."""
    factory = {
        "multiner": "multiner",
        "ner": "ner",
        "spacy-transformers": "transformer",
        "spacy-huggingface-pipelines": "hf_token_pipe",
        "spacy-wrap": "token_classification_transformer",
        "span-marker": "span_marker",
    }[peer.name]
    return attempt(lambda: type(spacy.blank("en").add_pipe(factory)).__name__)


@check
def initialize_from_examples_and_labels(peer: Peer) -> Any:
    """The types that `initialize` finds in examples, and those of a file in the config."""

    def from_examples() -> Any:
        nlp = peer.blank()
        nlp.initialize(lambda: make_examples(nlp, make_corpus(20, seed=1)))
        return nlp.pipe_labels.get("ner")

    def from_labels() -> Any:
        nlp = peer.blank()
        # As `spacy init labels` writes them and a config reads them.
        file = peer.work / f"labels-{peer.name}.json"
        srsly.write_json(file, peer.fresh().get_pipe("ner").label_data)
        reader = {"@readers": "spacy.read_labels.v1", "path": str(file)}
        nlp.config["initialize"]["components"].setdefault("ner", {})["labels"] = reader
        nlp.initialize(lambda: [make_example(nlp, ["nobody", "knows"], [])])
        return nlp.pipe_labels.get("ner")

    return {
        "is_trainable": getattr(peer.fresh().get_pipe("ner"), "is_trainable", None),
        "labels_of_pipe": attempt(lambda: peer.fresh().pipe_labels.get("ner")),
        "examples": attempt(from_examples),
        "labels": attempt(from_labels),
    }


@check
def add_label_after_training_and_resume(peer: Peer) -> Any:
    """A new type on a trained pipeline: entities before, after adding it, after learning it."""
    nlp = peer.fresh()
    if not hasattr(nlp.get_pipe("ner"), "add_label"):
        return {"error": "no add_label"}
    before = [found(doc) for doc in nlp.pipe(texts())]
    added = attempt(lambda: nlp.get_pipe("ner").add_label("BRIDGE"))
    after = attempt(lambda: [found(doc) for doc in nlp.pipe(texts())])
    corpus = []
    for words, entities in make_corpus(120, seed=5, longest=30):
        more = [(i, i + 1, "BRIDGE") for i, word in enumerate(words) if word == "bridge"]
        corpus.append((words, sorted(entities + more)))

    def learn() -> Any:
        optimizer = nlp.resume_training() if peer.name != "multiner" else peer.optimizer()
        if peer.name != "multiner":
            optimizer.learn_rate = 1e-3
        for step in range(80):
            chosen = [corpus[(step * 12 + i) % len(corpus)] for i in range(12)]
            nlp.update(make_examples(nlp, chosen), sgd=optimizer)
        return named(nlp("Ada Turing walks under an old bridge in London with two dogs"))

    return {"added": added, "same_entities_after_adding": after == before, "after_learning": attempt(learn)}


@check
def rehearse(peer: Peer) -> Any:
    """`nlp.rehearse` after `nlp.resume_training` and an update: do weights move?"""
    nlp = peer.fresh()

    def go() -> Any:
        optimizer = nlp.resume_training()
        before = weights_of(nlp)
        nlp.update(make_examples(nlp, make_corpus(8, seed=6, longest=20)), sgd=optimizer)
        updated = weights_of(nlp)
        losses = nlp.rehearse(make_examples(nlp, make_corpus(8, seed=8, longest=20)), sgd=optimizer, losses={})
        return {"update_moved": updated != before, "rehearse_moved": weights_of(nlp) != updated, "losses": losses}

    return {
        "has_rehearse": hasattr(nlp.get_pipe("ner"), "rehearse"),
        "has_rehearsal_model": hasattr(nlp.get_pipe("ner"), "_rehearsal_model"),
        "result": attempt(go),
    }


@check
def source_from_another_pipeline(peer: Peer) -> Any:
    """`add_pipe(name, source=...)`: the entities of the source?"""
    source = peer.fresh()
    wanted = [found(doc) for doc in source.pipe(texts())]

    def sourced(names: list[str], replace: bool = False) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            nlp = spacy.blank("en")
            if replace:
                source.replace_listeners("transformer", "ner", ["model.tok2vec"])
            for name in names:
                nlp.add_pipe(name, source=source)
            got = [found(doc) for doc in nlp.pipe(texts())]
        return {"same": got == wanted, "warnings": [str(w.message)[:120] for w in caught][:2]}

    result = {
        "pipe alone": attempt(lambda: sourced(["ner"])),
        "all pipes": attempt(lambda: sourced(list(source.pipe_names))),
    }
    if peer.name == "spacy-transformers":
        result["alone, listeners replaced"] = attempt(lambda: sourced(["ner"], replace=True))
    return result


@check
def frozen(peer: Peer) -> Any:
    """Train a tagger beside it with `exclude`, as frozen_components does."""
    nlp = peer.fresh()
    wanted = [found(doc) for doc in nlp.pipe(texts())]
    listens = {}
    if peer.name == "spacy-transformers":
        listens = {
            "model": {
                "@architectures": "spacy.Tagger.v2",
                "tok2vec": {
                    "@architectures": "spacy-transformers.TransformerListener.v1",
                    "grad_factor": 1.0,
                    "pooling": {"@layers": "reduce_mean.v1"},
                    "upstream": "*",
                },
            }
        }
    tagger = nlp.add_pipe("tagger", config=listens)

    def examples() -> list[Example]:
        result = []
        for words, _ in make_corpus(12, seed=5, longest=20):
            reference = Doc(nlp.vocab, words=words, tags=["N" if word[0].isupper() else "X" for word in words])
            result.append(Example(Doc(nlp.vocab, words=words), reference))
        return result

    def go(exclude: list[str], annotates: list[str]) -> Any:
        tagger.initialize(examples, nlp=nlp)
        if peer.name == "spacy-transformers":
            nlp.get_pipe("transformer").find_listeners(tagger)
        optimizer = Adam(1e-2)
        for _ in range(20):
            nlp.update(examples(), sgd=optimizer, exclude=exclude, annotates=annotates)
        return [found(doc) for doc in nlp.pipe(texts())] == wanted

    others = [name for name in nlp.pipe_names if name != "tagger"]
    result = {"all others frozen": attempt(lambda: go(others, []))}
    if peer.name == "spacy-transformers":
        result["all others frozen, transformer annotates"] = attempt(lambda: go(others, ["transformer"]))
        result["only ner frozen"] = attempt(lambda: go(["ner"], []))
    return result


@check
def pickled(peer: Peer) -> Any:
    """A pipeline pickled and restored: the same entities?"""
    nlp = peer.fresh()
    wanted = [found(doc) for doc in nlp.pipe(texts())]
    return attempt(lambda: [found(doc) for doc in pickle.loads(pickle.dumps(nlp)).pipe(texts())] == wanted)


@check
def threshold_setting(peer: Peer) -> Any:
    """What `spacy find-threshold` needs: a threshold in config and `cfg`, and a scorer."""
    nlp = peer.fresh()
    pipe = nlp.get_pipe("ner")
    return {
        "in_config": [key for key in nlp.config["components"]["ner"] if "threshold" in key],
        "in_cfg": [key for key in getattr(pipe, "cfg", {}) if "threshold" in key],
        "scorer": bool(getattr(pipe, "scorer", None)),
    }


@check
def keeps_entities_set_before(peer: Peer) -> Any:
    """A ruler sets "green house" as PLACE (nothing to the model) and "London" as TOWN (LOC to the model)."""
    nlp = peer.fresh()
    ruler = nlp.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "PLACE", "pattern": "green house"}, {"label": "TOWN", "pattern": "London"}])
    text = "Ada Turing lives in the green house in London and Paris"
    return {"call": attempt(lambda: named(nlp(text))), "pipe": attempt(lambda: named(next(nlp.pipe([text]))))}


@check
def partial_annotation(peer: Peer) -> Any:
    """Only London is annotated; the rest missing, then the same with the rest annotated as outside."""

    def go(default: str) -> Any:
        nlp = peer.fresh()
        optimizer = peer.optimizer(5e-4)
        words = ["Ada", "Turing", "lives", "in", "London"]
        before = weights_of(nlp)
        for _ in range(60):
            nlp.update([make_example(nlp, words, [(4, 5, "LOC")], default)], sgd=optimizer)
        return {"moved": weights_of(nlp) != before, "entities": named(nlp(" ".join(words)))}

    return {"missing": attempt(lambda: go("missing")), "outside": attempt(lambda: go("outside"))}


# --- encoders and alignment


@check
def word_scores(peer: Peer) -> Any:
    """The scores of a word beside those of AutoModelForTokenClassification for the word's first piece."""
    if peer.name not in ("spacy-wrap", "spacy-huggingface-pipelines"):
        return None
    nlp = peer.fresh()
    tokenizer = AutoTokenizer.from_pretrained(peer.classifier)
    model = AutoModelForTokenClassification.from_pretrained(peer.classifier).eval()
    words, _ = make_sentence(random.Random(11), 20)
    batch = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        rows = model(**batch).logits[0].softmax(-1).numpy()
    places = batch.word_ids(0)
    wanted = np.array([rows[places.index(i)] for i in range(len(words))])
    tags = [TAGS[i] for i in wanted.argmax(-1)]
    doc = nlp(Doc(nlp.vocab, words=words))
    got_tags = [token.ent_iob_ + ("-" + token.ent_type_ if token.ent_type_ else "") for token in doc]
    result: dict[str, Any] = {"same_tags": got_tags == tags, "pieces_per_word": (len(places) - 2) / len(words)}
    if peer.name == "spacy-wrap":
        got = np.array([row["prob"] for row in doc._.tok_clf_predictions_prob])
        result["largest_difference_of_probability"] = float(np.abs(got - wanted).max())
    return result


def long_text(sentences: bool) -> tuple[Words, Entities]:
    """2,000 words, with an entity as the last one."""
    words, entities = make_sentence(random.Random(21), 2000)
    words = [word if word != "." else "and" for word in words]
    words += ["in", "London"]
    entities.append((len(words) - 1, len(words), "LOC"))
    if sentences:
        for i in range(15, len(words) - 20, 15):
            if words[i] in OTHER:
                words[i] = "."
    return words, entities


def recall_by_fifth(nlp: Language, words: Words, entities: Entities) -> list[float]:
    """The share of entities found in each fifth of a document."""
    doc = nlp(Doc(nlp.vocab, words=words))
    got = {(entity.start, entity.end, entity.label_) for entity in doc.ents}
    fifths: list[list[bool]] = [[] for _ in range(5)]
    for entity in entities:
        fifths[5 * entity[0] // len(doc)].append(entity in got)
    return [round(sum(hits) / len(hits), 2) for hits in fifths]


@check
def long_document(peer: Peer) -> Any:
    """2,000 words: the share of entities found in each fifth. Then words of many pieces before each entity."""
    result = {}
    for name, sentences in [("one sentence", False), ("many sentences", True)]:
        nlp = peer.fresh()
        words, entities = long_text(sentences)
        result[name] = attempt(partial(recall_by_fifth, nlp, words, entities))
    nlp = peer.fresh()
    words = []
    entities = []
    for i in range(40):
        words += ["qzxjkvwyqzxjkvwyqzxj"] * 3 + ["in", PLACES[i % 8]]
        entities.append((len(words) - 1, len(words), "LOC"))
    result["words of 20 pieces, 200 words"] = attempt(partial(recall_by_fifth, nlp, words, entities))
    return result


@check
def alignment(peer: Peer) -> Any:
    """Words that leave no piece, words that pieces do not respect, punctuation that is glued."""
    nlp = peer.fresh()
    cases = {
        "zero-width joiner alone": ["in", "\u200d", "London", "lives", "Ada", "Turing"],
        "combining mark alone": ["in", "\u0301", "London", "lives", "Ada", "Turing"],
        "byte-order mark alone": ["in", "\ufeff", "London", "lives", "Ada", "Turing"],
        "control character alone": ["in", "\x07", "London", "lives", "Ada", "Turing"],
        "special token as word": ["in", "</s>", "London", "<s>", "Ada", "Turing"],
        "ligature": ["in", "ﬁ", "London", "ﬁ", "Ada", "Turing"],
        "white space words": ["in", "\n\n", "London", "  ", "Ada", "Turing"],
    }
    result: dict[str, Any] = {
        name: attempt(lambda words=words: named(nlp(Doc(nlp.vocab, words=words)))) for name, words in cases.items()
    }
    glued = Doc(
        nlp.vocab, words=["in", "London", ",", "Ada", "Turing", "."], spaces=[True, False, True, True, False, False]
    )
    result["punctuation glued"] = attempt(lambda: named(nlp(glued)))
    inside = Doc(
        nlp.vocab,
        words=["in", "London", "s", "and", "Paris", "x", "then"],
        spaces=[True, False, True, True, False, True, False],
    )
    result["word cut in two"] = attempt(lambda: named(nlp(inside)))
    if peer.name in ("spacy-transformers", "spacy-wrap"):
        transformer = nlp.get_pipe("transformer" if peer.name == "spacy-transformers" else "ner")
        words, _ = make_sentence(random.Random(11), 20)
        doc = transformer(Doc(nlp.vocab, words=words))
        data = doc._.trf_data if peer.name == "spacy-transformers" else doc._.tok_clf_trf_data
        pieces = data.align.data.ravel().tolist()
        result["pieces that belong to two words"] = len(pieces) - len(set(pieces))
    return result


@check
def special_tokens_written_in_a_text(peer: Peer) -> Any:
    """The pieces of "in </s> London" as the component's tokenizer is called: is </s> the end of the sentence?"""
    nlp = peer.fresh()
    pipe = nlp.get_pipe("ner")
    text = "in </s> London"
    match peer.name:
        case "ner":
            return None
        case "multiner":
            return {"tested in": "tests/test_pieces.py"}
        case "spacy-transformers":
            ids = nlp.get_pipe("transformer")(nlp.make_doc(text))._.trf_data.wordpieces.input_ids.ravel().tolist()
        case "spacy-wrap":
            ids = pipe(nlp.make_doc(text))._.tok_clf_trf_data.wordpieces.input_ids.ravel().tolist()
        case "spacy-huggingface-pipelines":
            ids = (
                next(iter(pipe.hf_pipeline.preprocess(text, **pipe.hf_pipeline._preprocess_params)))["input_ids"]
                .ravel()
                .tolist()
            )
        case _:
            ids = pipe.model.tokenizer({"tokens": [text.split()]})["input_ids"][0]
    return {"ids": ids, "taken for a special token": ids.count(SPECIAL.index("</s>")) > 1}


@check
def families(peer: Peer) -> Any:
    """An untrained encoder of each family with the same tokenizer: can a pipeline be made and run?"""
    from transformers import AutoConfig, AutoModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    kinds: dict[str, dict[str, Any]] = {
        "bert": sizes,
        "roberta": sizes,
        "xlm-roberta": sizes,
        "camembert": sizes,
        "electra": {**sizes, "embedding_size": 16},
        "albert": {**sizes, "embedding_size": 16},
        "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
        "mpnet": sizes,
        "deberta-v2": sizes,
        "modernbert": {**sizes, "cls_token_id": 0, "sep_token_id": 2, "bos_token_id": 0, "eos_token_id": 2},
        "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32},
    }
    result = {}
    for kind, settings in kinds.items():
        folder = peer.work / "families" / kind / peer.name

        def go(kind: str = kind, settings: dict[str, Any] = settings, folder: Path = folder) -> Any:
            tokenizer = AutoTokenizer.from_pretrained(peer.encoder)
            tokenizer.save_pretrained(folder)
            names = dict(enumerate(TAGS))
            if kind != "xlnet":  # it has no positions to count
                settings = {**settings, "max_position_embeddings": 520}
            config = AutoConfig.for_model(kind, vocab_size=len(tokenizer) + 8, pad_token_id=1, **settings)
            config.id2label, config.label2id = names, {tag: number for number, tag in names.items()}
            torch.manual_seed(0)
            if peer.name in ("spacy-huggingface-pipelines", "spacy-wrap"):
                AutoModelForTokenClassification.from_config(config).save_pretrained(folder)
                peer.classifier, before = folder, peer.classifier
                try:
                    nlp = peer.blank()
                finally:
                    peer.classifier = before
            elif peer.name == "span-marker":
                from span_marker import SpanMarkerModel

                AutoModel.from_config(config).save_pretrained(folder)
                model = SpanMarkerModel.from_pretrained(folder, labels=TAGS, model_max_length=64, entity_max_length=4)
                model.save_pretrained(str(folder) + "-spans")
                model.tokenizer.save_pretrained(str(folder) + "-spans")
                peer.spans, before = Path(str(folder) + "-spans"), peer.spans
                try:
                    nlp = peer.blank()
                finally:
                    peer.spans = before
            else:
                AutoModel.from_config(config).save_pretrained(folder)
                nlp = peer.blank(encoder=folder)
                nlp.initialize(lambda: make_examples(nlp, make_corpus(8, seed=1, longest=12)))
                nlp.update(make_examples(nlp, make_corpus(8, seed=1, longest=12)), sgd=peer.optimizer(1e-4))
            nlp("Ada Turing lives in London")
            return "runs"

        result[kind] = None if peer.name == "ner" else attempt(go)
    return result


# --- output


@check
def legal_output(peer: Peer) -> Any:
    """Illegal and hyphenated tags, where a component has a function from tags to entities."""
    nlp = peer.fresh()
    if peer.name == "spacy-wrap":
        from spacy_wrap.util import add_iob_tags

        def spelled(tags: list[str]) -> Any:
            return attempt(lambda: named(add_iob_tags(Doc(nlp.vocab, words=["a", "b", "c"][: len(tags)]), tags)))

        return {
            "B-PER I-ORG": spelled(["B-PER", "I-ORG"]),
            "O I-ORG": spelled(["O", "I-ORG"]),
            "B-creative-work": spelled(["B-creative-work"]),
        }
    if peer.name == "spacy-huggingface-pipelines":
        group = nlp.get_pipe("ner").hf_pipeline.group_entities

        def grouped(tags: list[str]) -> Any:
            parts = [
                {"entity": tag, "score": 0.9, "index": i, "word": "ab"[i], "start": 2 * i, "end": 2 * i + 1}
                for i, tag in enumerate(tags)
            ]
            return attempt(lambda: [f"{part['word']}/{part['entity_group']}" for part in group(parts)])

        return {
            "B-PER I-ORG": grouped(["B-PER", "I-ORG"]),
            "B-creative-work I-creative-work": grouped(["B-creative-work", "I-creative-work"]),
        }
    return None


@check
def confidences(peer: Peer) -> Any:
    """Where confidences are after `nlp(text)`, and what gives them otherwise."""
    nlp = peer.fresh()
    text = "Ada Turing lives in London"
    doc = nlp(text)
    result: dict[str, Any] = {
        "entities": named(doc),
        "span groups": {
            key: [float(score) for score in group.attrs.get("scores", [])] for key, group in doc.spans.items()
        },
        "doc extensions": sorted(Underscore.doc_extensions),
    }
    if peer.name in ("ner", "spacy-transformers"):

        def beam() -> Any:
            fresh = nlp.make_doc(text)
            if peer.name == "spacy-transformers":
                fresh = nlp.get_pipe("transformer")(fresh)
            pipe = nlp.get_pipe("ner")
            beams = pipe.beam_parse([fresh], beam_width=8)
            return [[list(map(str, key)), float(score)] for key, score in pipe.scored_ents(beams)[0].items()][:4]

        result["beam_parse and scored_ents"] = attempt(beam)
    if peer.name == "spacy-huggingface-pipelines":

        def spans() -> Any:
            other = spacy.blank("en")
            other.add_pipe(
                "hf_token_pipe",
                config={"model": str(peer.classifier), "annotate": "spans", "annotate_spans_key": "ner"},
            )
            doc = other(text)
            return [
                [str(span), float(score)]
                for span, score in zip(doc.spans["ner"], doc.spans["ner"].attrs["scores"], strict=True)
            ]

        result["annotate = spans"] = attempt(spans)
    return result


# --- any text


@check
def any_text(peer: Peer) -> Any:
    """Texts that have broken tokenizers and alignments before."""
    nlp = peer.fresh()
    cases = {
        "empty": "",
        "a space": " ",
        "white space only": " \n\t \u00a0 \u2003\n",
        "lone combining mark": "\u0301",
        "combining marks": "\u0301 \u0308\u0301 a\u0301\u0301\u0301",
        "lone zero-width joiner": "\u200d",
        "invisible separator": "\u2063",
        "control characters": "\x00 \x07 Ada \x1b[0m Turing \x7f",
        "special token": "<s>",
        "special tokens in text": "<s> Ada Turing </s> lives <pad> in <unk> London <mask>",
        "emoji with joiners": "\U0001f469\u200d\U0001f469\u200d\U0001f467 Ada",
        "replacement characters": "\ufffd \ufffd",
    }
    result: dict[str, Any] = {}
    for name, text in cases.items():
        for how, run in [("call", lambda text=text: nlp(text)), ("pipe", lambda text=text: next(nlp.pipe([text])))]:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                got = attempt(lambda run=run: named(run()))
            said = [str(w.message)[:100] for w in caught if "skip" in str(w.message).lower()]
            result[f"{name} ({how})"] = {"entities": got, "warnings": said} if said else got
    return result


@check
def a_megabyte_of_one_character(peer: Peer) -> Any:
    """In a process of its own, so that it may run out of memory."""
    result = {}
    for name, text in [("a", "'a' * 1_000_000"), ("full stop", "'.' * 1_000_000")]:
        code = (
            "import sys, time, resource; sys.argv=['x'];"
            "resource.setrlimit(resource.RLIMIT_AS, (10 << 30, 10 << 30));"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r});"
            "import check_peers as c; from pathlib import Path;"
            f"peer = c.Peer({peer.name!r}, Path({str(peer.work)!r})); nlp = peer.fresh(); start = time.time();"
            f"doc = nlp({text}); print('done', round(time.time() - start, 1), len(doc), len(doc.ents),"
            " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, 'MB')"
        )
        try:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code], check=False, capture_output=True, text=True, timeout=150
            )
            result[name] = done.stdout.strip().splitlines()[-1:] or {
                "error": done.returncode,
                "message": done.stderr[-300:],
            }
        except subprocess.TimeoutExpired:
            result[name] = {"error": "not done after 150 s"}
    return result


# --- batching


@check
def call_and_pipe(peer: Peer) -> Any:
    """`nlp.pipe` beside `nlp(text)`, also with documents without words."""
    nlp = peer.fresh()
    many = texts(30)
    wanted = [found(nlp(text)) for text in many]
    result: dict[str, Any] = {
        f"batch_size {size}": attempt(
            lambda size=size: [found(doc) for doc in nlp.pipe(many, batch_size=size)] == wanted
        )
        for size in (1, 3, 50)
    }
    between = [many[0], "", many[1], many[2]]
    singly = attempt(lambda: [found(nlp(text)) for text in between])
    together = attempt(lambda: [found(doc) for doc in nlp.pipe(between)])
    result["with an empty document second of four"] = together if failed(together) else together == singly
    if not failed(together) and together != singly:
        counts = {"alone": singly, "in the batch": together}
        result["numbers of entities"] = {how: [len(entities) for entities in docs] for how, docs in counts.items()}
    for name, hole in [("empty", ""), ("white-space", " \n"), ("one-mark", "\u0301")]:
        holes = [hole, many[0], hole, hole, many[1], many[2], hole]
        singly = attempt(lambda holes=holes: [found(nlp(text)) for text in holes])
        together = attempt(lambda holes=holes: [found(doc) for doc in nlp.pipe(holes)])
        result[f"with {name} documents"] = together if failed(together) else together == singly
        if not failed(together) and together != singly:
            result[f"numbers of entities with {name} documents"] = {
                "alone": singly if failed(singly) else [len(entities) for entities in singly],
                "in the batch": [len(entities) for entities in together],
            }
    return result


@check
def one_failure_in_a_batch(peer: Peer) -> Any:
    """The model raises on one document of five: what becomes of it and of the others?"""

    def poisoned() -> Language:
        nlp = peer.fresh()
        pipe = nlp.get_pipe("transformer" if peer.name == "spacy-transformers" else "ner")
        if peer.name == "spacy-huggingface-pipelines":
            inner = pipe.hf_pipeline.preprocess

            def preprocess(sentence: str, *rest: Any, **more: Any) -> Any:
                if "dogs" in sentence:
                    raise RuntimeError("out of memory")
                return inner(sentence, *rest, **more)

            pipe.hf_pipeline.preprocess = preprocess
        elif peer.name == "span-marker":
            predict = pipe.model.predict

            def guarded(inputs: Any, **more: Any) -> Any:
                if any("dogs" in sentence for sentence in inputs):
                    raise RuntimeError("out of memory")
                return predict(inputs, **more)

            pipe.model.predict = guarded
        else:
            forward = pipe.model._func

            def function(model: Any, docs: Any, is_train: bool) -> Any:
                if any("dogs" in doc.text for doc in docs):
                    raise RuntimeError("out of memory")
                return forward(model, docs, is_train)

            pipe.model._func = function
        return nlp

    five = ["Ada Turing", "in London", "Ada Turing with two dogs", "in Paris", "in Rome"]

    def default() -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            nlp = poisoned()
            got = [[doc.text, named(doc), doc.has_annotation("ENT_IOB")] for doc in nlp.pipe(five)]
        return {"documents": got, "warnings": [str(w.message)[:100] for w in caught if "rocess" in str(w.message)]}

    def with_handler() -> Any:
        nlp = poisoned()
        handled: list[str] = []
        nlp.set_error_handler(lambda name, proc, docs, error: handled.append(f"{len(docs)} docs: {error}"))
        got = [[doc.text, named(doc)] for doc in nlp.pipe(five)]
        return {"documents": got, "handler called": handled}

    return {"default": attempt(default), "with an error handler": attempt(with_handler)}


# --- concurrency


def fingerprint(doc: Doc) -> Any:
    """Numbers that change if dropout was on by mistake."""
    numbers: list[float] = []
    for group in doc.spans.values():
        numbers += [float(score) for score in group.attrs.get("scores", [])]
    if doc.has_extension("trf_data") and doc._.trf_data is not None:
        numbers += [float(np.abs(tensor).sum()) for tensor in doc._.trf_data.tensors]
    if doc.has_extension("tok_clf_predictions_prob") and doc._.tok_clf_predictions_prob:
        numbers += [float(row["prob"].max()) for row in doc._.tok_clf_predictions_prob]
    return [round(number, 2) for number in numbers]


@check
def eight_threads(peer: Peer) -> Any:
    """One pipeline used by eight threads, beside one thread."""
    nlp = peer.fresh()
    many = texts(16)
    alone = [nlp(text) for text in many]
    wanted, numbers = [found(doc) for doc in alone], [fingerprint(doc) for doc in alone]
    errors: list[str] = []
    different = {"entities": 0, "numbers": 0}
    lock = threading.Lock()

    def work(seed: int) -> None:
        order = list(range(len(many)))
        random.Random(seed).shuffle(order)
        for i in order:
            try:
                doc = nlp(many[i])
            except Exception as error:  # what is raised is the observation
                with lock:
                    errors.append(f"{type(error).__name__}: {str(error)[:100]}")
                continue
            with lock:
                different["entities"] += found(doc) != wanted[i]
                different["numbers"] += fingerprint(doc) != numbers[i]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"calls": 8 * len(many), "different": different, "errors": len(errors), "examples": sorted(set(errors))[:2]}


@check
def two_processes(peer: Peer) -> Any:
    """`nlp.pipe(n_process=2)` beside one process, forked and spawned."""
    result = {}
    for method in ("fork", "spawn"):
        code = (
            "import sys\n"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import check_peers as c; from pathlib import Path; import multiprocessing\n"
            "if __name__ == '__main__':\n"
            f"    multiprocessing.set_start_method({method!r})\n"
            f"    peer = c.Peer({peer.name!r}, Path({str(peer.work)!r})); nlp = peer.fresh(); many = c.texts(12)\n"
            "    wanted = [c.found(doc) for doc in nlp.pipe(many)]\n"
            "    print('same', [c.found(doc) for doc in nlp.pipe(many, n_process=2, batch_size=4)] == wanted)\n"
        )
        script = peer.work / f"two_processes_{peer.name}_{method}.py"
        script.write_text(code)
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=200)
            result[method] = out.strip().splitlines()[-1:] or {"error": process.returncode, "message": err[-300:]}
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            result[method] = {"error": "not done after 200 s"}
    return result


# --- on disk


@contextmanager
def without_the_models(peer: Peer) -> Iterator[None]:
    """The folders that models came from are gone, as on another machine."""
    away = []
    for folder in (peer.encoder, peer.classifier, peer.spans):
        if folder.exists():
            hidden = folder.with_name(folder.name + "-hidden")
            folder.rename(hidden)
            away.append((hidden, folder))
    try:
        yield
    finally:
        for hidden, folder in away:
            hidden.rename(folder)


@check
def saved_and_loaded_elsewhere(peer: Peer) -> Any:
    """Saved, and loaded where the folder of the model is and where it is gone."""
    nlp = peer.fresh()
    wanted = [found(doc) for doc in nlp.pipe(texts())]
    folder = peer.work / f"saved-{peer.name}"
    shutil.rmtree(folder, ignore_errors=True)
    nlp.to_disk(folder)
    here = attempt(lambda: [found(doc) for doc in spacy.load(folder).pipe(texts())] == wanted)
    with without_the_models(peer):
        there = attempt(lambda: [found(doc) for doc in spacy.load(folder).pipe(texts())] == wanted)
        through_bytes = attempt(
            lambda: (
                [
                    found(doc)
                    for doc in load_model_from_config(nlp.config, auto_fill=True)
                    .from_bytes(nlp.to_bytes())
                    .pipe(texts())
                ]
                == wanted
            )
        )
    files = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        "same where the model's folder is": here,
        "same where it is gone": there,
        "same through bytes where it is gone": through_bytes,
        "files over 5 KB": {name: size for name, size in files.items() if size > 5000},
        "files with a pickle in them": [name for name in files if b"data.pkl" in (folder / name).read_bytes()],
    }


@check
def damaged_file(peer: Peer) -> Any:
    """The largest file of the component cut in half, then with one byte in its middle changed."""
    nlp = peer.fresh()
    result: dict[str, Any] = {}
    for harm in ("cut in half", "one byte changed", "missing"):
        folder = peer.work / f"damaged-{peer.name}"
        shutil.rmtree(folder, ignore_errors=True)
        nlp.to_disk(folder)
        parts = [
            path
            for name in nlp.pipe_names
            for path in (folder / name).rglob("*")
            if path.is_file() and "vocab" not in path.parts
        ]
        if not parts:
            return {"nothing saved": True}
        file = max(parts, key=lambda path: path.stat().st_size)
        data = bytearray(file.read_bytes())
        if harm == "cut in half":
            file.write_bytes(data[: len(data) // 2])
        elif harm == "missing":
            file.unlink()
        else:
            data[len(data) // 2] ^= 0x55
            file.write_bytes(data)
        error = attempt(lambda folder=folder: type(spacy.load(folder)).__name__)
        result[harm] = {
            "file": str(file.relative_to(folder)),
            "loading": error,
            "names the file": failed(error) and file.name in error["message"],
        }
    return result


@check
def killed_while_saving(peer: Peer) -> Any:
    """Saved over a folder that holds the pipeline and killed at a moment by chance: can the folder be loaded?"""
    nlp = peer.fresh()
    outcomes: dict[str, int] = {}
    dice = random.Random(0)
    folder = peer.work / f"killed-{peer.name}"
    shutil.rmtree(folder, ignore_errors=True)
    nlp.to_disk(folder)
    started = time.time()
    nlp.to_disk(folder)
    needed = time.time() - started
    good = "fine"
    wanted = found(nlp(texts(1)[0]))
    for _ in range(8):
        shutil.rmtree(folder, ignore_errors=True)
        nlp.to_disk(folder)
        child = os.fork()
        if child == 0:
            nlp.to_disk(folder)
            os._exit(0)
        time.sleep(dice.random() * needed)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        got = attempt(lambda: found(spacy.load(folder)(texts(1)[0])))
        key = f"{got['error']}: {got['message'][:60]}" if failed(got) else good if got == wanted else "other entities"
        outcomes[key] = outcomes.get(key, 0) + 1
    return {"seconds to save": round(needed, 3), "of 8": outcomes}


# --- training and delivery


@check
def spacy_train(peer: Peer) -> Any:
    """Four steps of what `spacy train` does."""
    from spacy.tokens import DocBin
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train

    nlp = peer.blank()
    for name in ("train", "dev"):
        docs = [example.reference for example in make_examples(nlp, make_corpus(16, seed=1, longest=12))]
        DocBin(docs=docs).to_disk(peer.work / f"{name}.spacy")

    def go() -> Any:
        config = nlp.config.copy()
        config["paths"] = {"train": None, "dev": None, "vectors": None, "init_tok2vec": None}
        config["system"] = {"seed": 0, "gpu_allocator": None}
        for name in ("train", "dev"):
            config["corpora"][name]["path"] = str(peer.work / f"{name}.spacy")
        config["training"]["max_steps"] = 4
        config["training"]["eval_frequency"] = 2
        ready = init_nlp(config)
        before = weights_of(ready)
        out = peer.work / f"trained-{peer.name}"
        out.mkdir(exist_ok=True)
        _, path = train(ready, out, stdout=io.StringIO(), stderr=io.StringIO())
        assert path
        return {
            "weights moved": weights_of(ready) != before,
            "score weights": dict(ready.config["training"]["score_weights"]),
            "loads": bool(spacy.load(path)),
        }

    return attempt(go)


@check
def packaged(peer: Peer) -> Any:
    """`spacy package --build wheel`, installed elsewhere, loaded where the model's folder is gone."""
    from spacy.cli.package import package

    nlp = peer.fresh()
    source = peer.work / f"to-package-{peer.name}"
    target = peer.work / f"packaged-{peer.name}"
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    nlp.meta["name"] = "peer"
    nlp.to_disk(source)
    target.mkdir()

    def go() -> Any:
        package(source, target, create_sdist=False, create_wheel=True, silent=True)
        wheel = next(target.rglob("*.whl"))
        place = target / "site"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--no-index",
                "--target",
                str(place),
                str(wheel),
            ],
            check=True,
        )
        loaded = place / "en_peer"
        wanted = [found(doc) for doc in nlp.pipe(texts())]
        with without_the_models(peer):
            same = attempt(
                lambda: [found(doc) for doc in spacy.load(next(loaded.glob("en_peer-*"))).pipe(texts())] == wanted
            )
        return {"wheel, KB": wheel.stat().st_size // 1024, "same": same}

    return attempt(go)


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def ask(name: str, work: Path, only: list[str]) -> None:
    """Make all checks of one component and print each as a line of JSON."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    peer = Peer(name, work)
    peer.prepare()
    for title, function in CHECKS.items():
        if only and title not in only:
            continue
        started = time.time()
        try:
            with time_limit(SECONDS_FOR_A_CHECK + 320 * (title in ("two_processes", "a_megabyte_of_one_character"))):
                result = function(peer)
        except TooLong as error:
            result = {"error": "TooLong", "message": str(error)}
        except Exception as error:  # a check that cannot be made is reported as such
            result = {"check failed": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()[-600:]}
        row = {"check": title, "seconds": round(time.time() - started, 1), "result": result}
        say(json.dumps(row, default=float))


def main() -> None:
    """Ask all components, each in a process of its own, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the JSON file to write")
    parser.add_argument("--only", action="append", choices=list(PACKAGES), default=[])
    parser.add_argument("--check", action="append", choices=list(CHECKS), default=[])
    parser.add_argument("--work", type=Path, help="where tiny models go; kept if given")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        ask(given.ask, given.work, given.check)
        return
    work = given.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    versions = {
        package: importlib.metadata.version(package)
        for package in [
            "spacy",
            "thinc",
            "torch",
            "transformers",
            "tokenizers",
            "spacy-transformers",
            "spacy-huggingface-pipelines",
            "spacy-wrap",
            "span-marker",
            "spacy-multiner",
        ]
    }
    report: dict[str, Any] = {"python": platform.python_version(), "versions": versions, "peers": {}}
    if given.out.exists() and (given.only or given.check):
        report["peers"] = json.loads(given.out.read_text())["peers"]
    for name in given.only or PACKAGES:
        command = [sys.executable, __file__, str(given.out), "--ask", name, "--work", str(work)]
        command += [part for title in given.check for part in ("--check", title)]
        checks = report["peers"].setdefault(name, {})
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout
        for line in process.stdout:
            if line.startswith('{"check"'):
                row = json.loads(line)
                checks[row["check"]] = row["result"]
                say(f"{name:28} {row['check']:40} {row['seconds']:6} s")
        if process.wait():
            say(f"{name}: ended with {process.returncode}")
        given.out.write_text(json.dumps(report, indent=1, ensure_ascii=False, sort_keys=False) + "\n")
    if not given.work:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
