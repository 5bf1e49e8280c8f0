"""Tiny encoders of the families in use: random weights, and a trained tokenizer of each family's own kind."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AlbertConfig,
    AlbertTokenizerFast,
    AutoModel,
    BertConfig,
    BertTokenizerFast,
    CamembertConfig,
    CamembertTokenizerFast,
    DebertaV2Config,
    DebertaV2TokenizerFast,
    DistilBertConfig,
    DistilBertTokenizerFast,
    ElectraConfig,
    ElectraTokenizerFast,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaTokenizerFast,
)

TEXT = [
    "Ada Lovelace lives in London and writes programs.",
    "Alan Turing moved to Manchester, nobody knows why",
    "Unbelievably long words: Donaudampfschifffahrt, naïveté",
    "Grace Hopper worked for Remington Rand in Philadelphia",
]
POSITIONS = 128  # a word may take a quarter of them, and the longest here has 24 pieces
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
}
ANGLES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BRACKETS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece() -> Tokenizer:
    """As BERT's, lower-casing."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=BRACKETS, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = _around(tokenizer, "[CLS]", "[SEP]")
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


METASPACE = pre_tokenizers.Metaspace(prepend_scheme="always")
WORDS_THEN_METASPACE = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), METASPACE])


def unigram(
    special: list[str], begin: str, end: str, pre_tokenizer: pre_tokenizers.PreTokenizer = METASPACE
) -> Tokenizer:
    """Of SentencePiece, as DeBERTa's and ALBERT's, or XLM-R's and CamemBERT's, whose words are parted before."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizer
    unknown = next(token for token in special if "unk" in token.lower())
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token=unknown, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    tokenizer.post_processor = _around(tokenizer, begin, end)
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def byte_level(special: list[str], begin: str, end: str) -> Tokenizer:
    """As RoBERTa's and ModernBERT's, which know whether a blank came before a word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = _around(tokenizer, begin, end)
    return tokenizer


def _around(tokenizer: Tokenizer, begin: str, end: str) -> processors.TemplateProcessing:
    special = [(token, tokenizer.token_to_id(token)) for token in (begin, end)]
    return processors.TemplateProcessing(single=f"{begin} $A {end}", special_tokens=special)


def roberta_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = byte_level(ANGLES, "<s>", "</s>")
    ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    return RobertaTokenizerFast(tokenizer_object=tokenizer)


def modernbert_tokenizer() -> PreTrainedTokenizerFast:
    names = ["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"]
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level(BRACKETS, "[CLS]", "[SEP]"),
        model_input_names=["input_ids", "attention_mask"],
        **dict(zip(names, BRACKETS, strict=True)),
    )


class Family(NamedTuple):
    """How to make an encoder of a family, and where `AutoModelForTokenClassification` keeps its parts."""

    config: Callable[..., PretrainedConfig]
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    inner: str


FAMILIES = {
    "bert": Family(
        lambda **ids: BertConfig(**SIZES, **ids), lambda: BertTokenizerFast(tokenizer_object=wordpiece()), "bert"
    ),
    "distilbert": Family(
        lambda **ids: DistilBertConfig(
            dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=POSITIONS, **ids
        ),
        lambda: DistilBertTokenizerFast(tokenizer_object=wordpiece()),
        "distilbert",
    ),
    "electra": Family(
        lambda **ids: ElectraConfig(**SIZES, embedding_size=16, **ids),
        lambda: ElectraTokenizerFast(tokenizer_object=wordpiece()),
        "electra",
    ),
    "albert": Family(
        lambda **ids: AlbertConfig(**SIZES, embedding_size=16, **ids),
        lambda: AlbertTokenizerFast(
            tokenizer_object=unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "[CLS]", "[SEP]")
        ),
        "albert",
    ),
    "roberta": Family(lambda **ids: RobertaConfig(**SIZES, type_vocab_size=1, **ids), roberta_tokenizer, "roberta"),
    "xlm-roberta": Family(
        lambda **ids: XLMRobertaConfig(**SIZES, type_vocab_size=1, **ids),
        lambda: XLMRobertaTokenizerFast(tokenizer_object=unigram(ANGLES, "<s>", "</s>", WORDS_THEN_METASPACE)),
        "roberta",
    ),
    "camembert": Family(
        lambda **ids: CamembertConfig(**SIZES, type_vocab_size=1, **ids),
        lambda: CamembertTokenizerFast(
            tokenizer_object=unigram(
                ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<s>", "</s>", "<mask>"],
                "<s>",
                "</s>",
                WORDS_THEN_METASPACE,
            )
        ),
        "roberta",
    ),
    "deberta-v2": Family(
        lambda **ids: DebertaV2Config(
            **SIZES,
            type_vocab_size=0,
            relative_attention=True,
            position_biased_input=False,
            pos_att_type=["p2c", "c2p"],
            position_buckets=8,
            share_att_key=True,
            norm_rel_ebd="layer_norm",
            **ids,
        ),
        lambda: DebertaV2TokenizerFast(
            tokenizer_object=unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[CLS]", "[SEP]")
        ),
        "deberta",
    ),
    "modernbert": Family(
        lambda **ids: ModernBertConfig(**SIZES, global_attn_every_n_layers=2, local_attention=8, **ids),
        modernbert_tokenizer,
        "model",
    ),
}


def save_encoder(family: str, folder: Path) -> str:
    """Write an encoder as a hub gives it, with `config.json`, weights and tokenizer."""
    torch.manual_seed(0)
    tokenizer = FAMILIES[family].tokenizer()
    tokenizer.save_pretrained(folder)
    special = {"pad_token_id": tokenizer.pad_token_id}
    module = AutoModel.from_config(FAMILIES[family].config(vocab_size=len(tokenizer), **special))
    # Random weights as they come differ so little between words that mistakes would not show.
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    module.save_pretrained(folder)
    return str(folder)
