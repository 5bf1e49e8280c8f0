"""The corpora that the literature uses, by name: where they are, what is in them, on what terms, and how good.

The repositories are the ones of the Hugging Face hub that hold parquet or JSON files; `datasets` runs no loading
scripts any more. Repositories that still have a script are read from the branch where the hub keeps them as parquet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PARQUET = "refs/convert/parquet"
# What corpora call the three parts.
SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("dev", "val", "valid", "validation", "development", "testa"),
    "test": ("test", "testb"),
}


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from and on what terms; goes into `meta.json` of a model trained on it.

    quality (str): What a user of such a model should know about the annotation.
    """

    name: str
    url: str
    license: str
    citation: str = ""
    quality: str = ""


@dataclass(frozen=True)
class HubCorpus:
    """How a corpus is kept on the hub, or in a local folder of the same form.

    config (str): Name of the configuration, if there are several; `{language}` in it stands for the language.
    splits (Mapping[str, tuple[str, ...]]): Names that "train", "dev" and "test" may have in it; `{language}` as above.
    words, tags (str): The columns of words and tags.
    language (str): The column that says the language, if rows of several languages are mixed.
    tag_names (tuple[str, ...]): What the numbers in the tag column stand for, where the data does not say it.
    languages (tuple[str, ...]): ISO 639 codes.
    """

    repository: str
    languages: tuple[str, ...]
    revision: str = "main"
    config: str = ""
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: SPLITS)
    words: str = "tokens"
    tags: str = "ner_tags"
    language: str = ""
    tag_names: tuple[str, ...] = ()


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _names(labels: str) -> tuple[str, ...]:
    return ("O", *(f"{prefix}-{label}" for label in labels.split() for prefix in "BI"))


SOURCES = {
    "sample": Source("multiner sample (de, fr, it, en)", "corpus/sample in the project's repository", "CC0-1.0"),
    "panx": Source(
        "PAN-X (WikiANN in the splits of XTREME)",
        "https://github.com/google-research/xtreme",
        "as WikiANN",
        "Pan et al. 2017, https://aclanthology.org/P17-1178; Rahimi et al. 2019, https://aclanthology.org/P19-1015; "
        "Hu et al. 2020, https://arxiv.org/abs/2003.11080",
        "The labels were made automatically from links in Wikipedia. Half of the words are entities, so models trained "
        "on it find too many in running text.",
    ),
    "wnut17": Source(
        "WNUT-17, emerging entities",
        "https://github.com/leondz/emerging_entities_17",
        "CC-BY-4.0",
        "Derczynski et al. 2017, https://aclanthology.org/W17-4418",
        "Annotated by hand: noisy texts of social media with rare names, most of which the training part has not.",
    ),
    "conll2003": Source(
        "CoNLL-2003 English",
        "https://www.clips.uantwerpen.be/conll2003/ner/",
        "other (Reuters texts, for research only)",
        "Tjong Kim Sang and De Meulder 2003, https://aclanthology.org/W03-0419",
        "Annotated by hand: news of 1996; some percent of the test sentences have wrong labels.",
    ),
    "multinerd": Source(
        "MultiNERD",
        "https://github.com/Babelscape/multinerd",
        "CC-BY-NC-SA-4.0",
        "Tedeschi and Navigli 2022, https://aclanthology.org/2022.findings-naacl.60",
        "The labels were made automatically, but for the English test part. A model trained on it inherits the "
        "licence: no commercial use.",
    ),
    "wikineural": Source(
        "WikiNEuRal",
        "https://github.com/Babelscape/wikineural",
        "CC-BY-NC-SA-4.0",
        "Tedeschi et al. 2021, https://aclanthology.org/2021.findings-emnlp.215",
        "The labels were made automatically; some entities start with I-, which --repair puts right. A model trained "
        "on it inherits the licence: no commercial use.",
    ),
}

HUB = {
    "panx": HubCorpus(
        "google/xtreme",
        _codes(
            "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl "
            "tr ur vi yo zh"
        ),
        config="PAN-X.{language}",
    ),
    "wnut17": HubCorpus("leondz/wnut_17", ("en",), revision=PARQUET),
    "conll2003": HubCorpus("eriktks/conll2003", ("en",), revision=PARQUET),
    "multinerd": HubCorpus(
        "Babelscape/multinerd",
        _codes("de en es fr it nl pl pt ru zh"),
        language="lang",
        tag_names=_names("PER ORG LOC ANIM BIO CEL DIS EVE FOOD INST MEDIA MYTH PLANT TIME VEHI"),
    ),
    "wikineural": HubCorpus(
        "Babelscape/wikineural",
        _codes("de en es fr it nl pl pt ru"),
        splits={"train": ("train_{language}",), "dev": ("val_{language}",), "test": ("test_{language}",)},
        tag_names=_names("PER ORG LOC MISC"),
    ),
}
