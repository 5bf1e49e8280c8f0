"""Tiny but real parts: an encoder with random weights and a trained tokenizer, and sentences to learn."""

import io
import multiprocessing
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
import spacy
import torch
from huggingface_hub.utils import reset_sessions
from hypothesis import settings
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import fix_random_seed
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from multiner.optimizer import AdamW
from multiner.shared import SharedClassifier

# Entry points are those of the version that was installed, which may be older than this one is.
if not spacy.registry.has("architectures", "multiner.SharedClassifier.v1"):
    spacy.registry.architectures.register("multiner.SharedClassifier.v1", func=SharedClassifier)

# Without instructions for bfloat16, which some processors have: "auto" is float32 everywhere, and tests hold the same.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI")
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the processor is shared with other workers

# What an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

PROJECT = Path(__file__).parent.parent
SHARED_DATA = PROJECT.parent / "shared" / "data"
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
TEXT = [
    "Ada Lovelace lives in London and writes programs",
    "Alan Turing moved to Manchester",
    "nobody knows where the unbelievably long words come from",
    "Grace Hopper worked for Remington Rand in Philadelphia",
]
# Words, and their entities as (first word, word after the last, label).
Sentences = list[tuple[list[str], list[tuple[int, int, str]]]]
SENTENCES: Sentences = [
    (["Ada", "Lovelace", "lives", "in", "London"], [(0, 2, "PER"), (4, 5, "LOC")]),
    (["Alan", "Turing", "moved", "to", "Manchester", "."], [(0, 2, "PER"), (4, 5, "LOC")]),
    (["nobody", "knows"], []),
    (["Grace", "Hopper", "worked", "for", "Remington", "Rand"], [(0, 2, "PER"), (4, 6, "ORG")]),
]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with HF_HUB_OFFLINE, which is read when libraries are imported; a real attempt is repeated for long."""
    monkeypatch.setattr("transformers.utils.hub._is_offline_mode", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    reset_sessions()
    yield
    reset_sessions()  # those of this test refuse the network for ever


class Ran(NamedTuple):
    """What a command of the project said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def run_script(script: str | Path, *arguments: object) -> Ran:
    """Run a command of the project as `python scripts/NAME.py ...` does, but in this process: it has all imported."""
    out, err = io.StringIO(), io.StringIO()
    words = [str(PROJECT / script), *map(str, arguments)]
    with (
        patch.object(sys, "argv", words),
        chdir(PROJECT),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        runpy.run_path(words[0], run_name="__main__")
    return Ran(int(end.value.code or 0), out.getvalue(), err.getvalue())


def fork_context() -> ForkServerContext:
    """Makes processes that have imported what training needs when they start, which takes seconds else.

    They are forked from a process that never computes anything: torch cannot compute in one that is forked from this.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["spacy.cli", "transformers.models.bert.modeling_bert", "multiner.loop"])
    return context


def make_doc(nlp: Language, words: list[str], entities: list[tuple[int, int, str]]) -> Doc:
    doc = Doc(nlp.vocab, words=words)
    doc.set_ents([Span(doc, start, end, label=label) for start, end, label in entities])
    return doc


def make_examples(nlp: Language) -> list[Example]:
    return [Example(Doc(nlp.vocab, words=words), make_doc(nlp, words, entities)) for words, entities in SENTENCES]


def sentences_of_many_lengths(times: int) -> Sentences:
    """All sentences so many times, with words repeated, so that it matters which of them come in which batch."""
    return [(words * (1 + number % 3), entities) for number in range(times) for words, entities in SENTENCES]


def write_corpus(folder: Path, sentences: Sentences, times: int = 1) -> dict[str, Any]:
    """Train and dev files of the same sentences. RETURNS: The overrides of a config that name them."""
    nlp = spacy.blank("xx")
    files = {part: folder / f"{part}.spacy" for part in ("train", "dev")}
    for file in files.values():
        DocBin(docs=[make_doc(nlp, *sentence) for sentence in sentences] * times).to_disk(file)
    return {f"paths.{part}": str(file) for part, file in files.items()}


def starting_from(encoder: str | Path, frozen_layers: int = 0) -> dict[str, Any]:
    """The overrides of a config that train a tiny encoder, which has fewer layers than the config keeps and freezes."""
    model = {"frozen_layers": frozen_layers, "mixed_layers": 2}
    return {
        "paths.encoder": str(encoder),
        "initialize.components.ner.layers": 2,
        **{f"components.ner.model.{name}": value for name, value in model.items()},
    }


def learn_by_heart(
    nlp: Language, examples: list[Example], rate: float = 3e-3, loss: float = 2e-3, **update: Any
) -> None:
    """Train until every component is sure of every word, for five updates in a row.

    A fixed number of updates would do on one processor and not on another, whose sums are rounded otherwise.
    """
    optimizer = AdamW(rate)
    calm = 0
    for _ in range(400):
        losses = nlp.update(examples, sgd=optimizer, **update)
        losses.pop("transformer", None)  # not a loss: spacy-transformers says how long the gradients are
        calm = calm + 1 if all(each < loss for each in losses.values()) else 0
        if calm == 5:
            return
    raise AssertionError(f"Not learnt, losses {losses}.")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a BERT of two narrow layers and a Unigram tokenizer, as a hub would give it."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.train_from_iterator(
        TEXT * 3, trainers.UnigramTrainer(vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(["bos_token", "pad_token", "eos_token", "unk_token"], SPECIAL, strict=True)),
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        pad_token_id=1,
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def nlp(tiny_encoder: str) -> Language:
    """A pipeline with an initialised, untrained component called "ner"."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner")
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=tiny_encoder)
    return nlp


@pytest.fixture(scope="session")
def trained(tiny_encoder: str) -> Language:
    """A pipeline that has learnt the sentences by heart. Tests must leave it as it is."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner", name="ner")
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=tiny_encoder)
    learn_by_heart(nlp, examples)
    return nlp


@pytest.fixture(scope="session")
def saved(trained: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained pipeline in a folder, without a word about an encoder to start from."""
    folder = tmp_path_factory.mktemp("saved") / "pipeline"
    trained.to_disk(folder)
    return folder
