"""A pipeline of random weights, for measurements in which only time or memory around the network counts."""

import tempfile
from pathlib import Path

import spacy
import torch
from spacy.language import Language
from spacy.training import Example

from .encoder import check_encoder_folder
from .tokenizer import MANY_LANGUAGES

LAYERS = HEADS = 2
WIDTH = 32
LABELS = ("PER", "LOC", "ORG")
# What the scores of `O` are raised by: one word of ten is in an entity then, about as in texts, and not nine.
OUTSIDE = 0.28


def make_small_pipeline(encoder: Path, seed: int = 0) -> Language:
    """A pipeline with the tokenizer and the vocabulary of an encoder, but with two narrow layers of random weights.

    It cuts texts as the encoder does, remembers what it does, and computes next to nothing. What it finds is chance.

    encoder (Path): A folder in Hugging Face's format; its weights are not read.
    seed (int): Of the weights. The same one makes the same pipeline.
    RAISES: EncoderNotFound; EncoderNotUsable.
    """
    check_encoder_folder(encoder)
    # Only here, because it takes seconds to import.
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(encoder)
    config.update(
        {
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
        }
    )
    tokenizer = {"@tokenizers": "multiner.MultilingualTokenizer.v1"}
    nlp = spacy.blank(MANY_LANGUAGES, config={"nlp": {"tokenizer": tokenizer}})
    nlp.meta["name"] = "small"
    nlp.meta["description"] = f"Random weights (seed {seed}) with the vocabulary of {encoder}, for measurements alone."
    pipe = nlp.add_pipe("multiner", name="ner")
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
        nothing = [Example.from_dict(nlp.make_doc(""), {})]
        pipe.initialize(lambda: nothing, nlp=nlp, labels=LABELS, encoder=folder)  # type: ignore[attr-defined]
    with torch.no_grad():
        pipe.shim.network.head.bias[0] += OUTSIDE  # type: ignore[attr-defined]
    return nlp
