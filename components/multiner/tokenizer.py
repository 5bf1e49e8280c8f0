"""Running text to words, in several languages at once."""

import re
from collections.abc import Callable
from functools import lru_cache

import spacy
from spacy.lang.char_classes import ALPHA
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex, get_lang_class

MANY_LANGUAGES = "xx"
# spaCy remembers how 10,000 texts between blanks are cut, which one language's frequent words fill. So many take 20 MB.
MOST_REMEMBERED = 100_000
# Words that French and Italian join to the next one with an apostrophe, by length; case is ignored. Lookbehinds
# must have a fixed width, so there is one pattern for each length.
ELIDED = (
    "cdjlmnst",
    ("qu", "un"),
    ("all", "com"),
    ("dell", "nell", "sull", "dall", "coll", "tutt", "anch", "cent", "sant"),
    ("jusqu", "quell", "quest"),
    ("lorsqu", "puisqu"),
)


def make_multilingual_tokenizer() -> Callable[[Language], Tokenizer]:
    """spaCy's tokenizer for texts of several languages. Registered as `multiner.MultilingualTokenizer.v1`.

    It is the tokenizer of the pipeline's language with two rules more, so that names come out as the words that
    multilingual corpora have: an elided article or preposition is a word of its own (`l'|Italie`,
    `dell'|Università`), and a hyphen between letters joins (`Baden-Württemberg`).
    """

    def make(nlp: Language) -> Tokenizer:
        defaults = nlp.Defaults
        infixes = [pattern for pattern in defaults.infixes or [] if not _splits_at_hyphens(pattern)]
        return Tokenizer(
            nlp.vocab,
            rules=defaults.tokenizer_exceptions,
            prefix_search=compile_prefix_regex(defaults.prefixes or []).search,
            suffix_search=compile_suffix_regex(defaults.suffixes or []).search,
            infix_finditer=compile_infix_regex([*infixes, *_elisions()]).finditer,
            token_match=defaults.token_match,
            url_match=defaults.url_match,
            max_cache_size=MOST_REMEMBERED,
        )

    return make


@lru_cache
def multilingual_tokenizer(language: str) -> Tokenizer:
    """The tokenizer that a pipeline of some language has; of languages that spaCy does not know, the one of "xx"."""
    config = {"nlp": {"tokenizer": {"@tokenizers": "multiner.MultilingualTokenizer.v1"}}}
    try:
        get_lang_class(language)
    except ImportError:
        language = MANY_LANGUAGES
    return spacy.blank(language, config=config).tokenizer


def _splits_at_hyphens(pattern: str | re.Pattern[str]) -> bool:
    """Whether an infix of spaCy cuts `letter-letter`: the only ones that name several kinds of dashes."""
    text = pattern if isinstance(pattern, str) else pattern.pattern
    return "-|–|—" in text and ALPHA in text


def _elisions() -> list[str]:
    """Places, of no width, after an elided word's apostrophe."""
    patterns = []
    for words in ELIDED:
        choices = f"[{words}]" if isinstance(words, str) else f"(?:{'|'.join(words)})"
        patterns.append(rf"(?<=\b(?i:{choices})['’])(?=[{ALPHA}])")
    return patterns
