"""Words to pieces: the alignment between what spaCy calls a word and what an encoder reads.

Every word is cut on its own, as `is_split_into_words=True` does. So a word's pieces are the ones it was cut
into, whatever its neighbours are: no offsets are compared, nothing can be misaligned, and a cut can be remembered
by the word. In most texts most words are then a table look-up.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

# Memory has a bound however long a process runs, and whatever it reads: twice so many words take some 14 MB. A batch
# that has more different words than this by itself is remembered until the next one.
REMEMBERED_WORDS = 50_000
# No piece of the usual vocabularies is made of more characters (XLM-R's longest has 16).
LONGEST_PIECE = 32


class Pieces(NamedTuple):
    """The pieces of some words in order.

    ids: Array (pieces,) of the encoder's piece ids, without special pieces.
    counts: Array (words,) of how many of them belong to each word; 0 for white space.
    """

    ids: NDArray[np.int64]
    counts: NDArray[np.int64]


class PieceCutter:
    """Cuts words into pieces and remembers how.

    What is written in a text is text: `</s>` there does not tell the encoder that the sentence ends, as it would
    with the tokenizer alone.

    tokenizer (Tokenizer): The encoder's own.
    unknown (int): The piece for a word that the tokenizer turns into nothing.
    longest (int): A word of more pieces than this is represented by its first ones, so that it cannot push its
        neighbours out of the encoder's view. No word is lost: its label sits on its first piece.
    """

    def __init__(self, tokenizer: Tokenizer, unknown: int, longest: int) -> None:
        self.tokenizer = tokenizer
        self.unknown = unknown
        self.longest = longest
        added = tokenizer.get_added_tokens_decoder()
        self._special = {piece for piece, token in added.items() if token.special} - {unknown}
        self._cuts: dict[int, bytes] = {}  # int32 each: small, and many are one array as soon as they are joined
        self._earlier: dict[int, bytes] = {}  # of words that were remembered before

    def __call__(self, orths: Sequence[int], text_of: Callable[[int], str]) -> Pieces:
        """Cut words.

        orths (Sequence[int]): The words' hashes, as `token.orth` gives them; equal words have equal hashes.
        text_of (Callable): From such a hash to the word's text; called for words not met before.
        """
        cuts = self._cuts
        unmet = {orth for orth in orths if orth not in cuts}
        if unmet:
            earlier = self._earlier
            if len(cuts) + len(unmet) > REMEMBERED_WORDS:
                # What is set aside here is gone the next time, but for words that have come again until then, which
                # are taken over. A new dict, so that a thread in the middle of a look-up keeps the one it has.
                earlier, cuts = cuts, {}
                self._earlier, self._cuts = earlier, cuts
                unmet = set(orths)
            again = unmet & earlier.keys()
            cuts.update((orth, earlier[orth]) for orth in again)
            self._learn(cuts, list(unmet - again), text_of)
        found = [cuts[orth] for orth in orths]
        counts = np.fromiter(map(len, found), np.int64, len(found)) // np.dtype(np.int32).itemsize
        return Pieces(np.frombuffer(b"".join(found), np.int32).astype(np.int64), counts)

    def _learn(self, cuts: dict[int, bytes], orths: list[int], text_of: Callable[[int], str]) -> None:
        texts = [text_of(orth) for orth in orths]
        # Of a word that is a whole file in base64 only the start is looked at: its first pieces are all it keeps.
        starts = [text[: self.longest * LONGEST_PIECE] for text in texts]
        found = self._encode([[start] for start in starts])
        for orth, text, start, ids in zip(orths, texts, starts, found, strict=True):
            if text.isspace():
                cuts[orth] = b""
            else:
                plain = ids if self._special.isdisjoint(ids) else self._spell(start)
                cuts[orth] = np.array(plain[: self.longest] or [self.unknown], np.int32).tobytes()

    def _encode(self, words: list[list[str]]) -> list[list[int]]:
        """Cut as sentences, of one word each: it stays one even if the tokenizer's own splitting finds blanks in it."""
        encodings = self.tokenizer.encode_batch(words, is_pretokenized=True, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _spell(self, text: str) -> list[int]:
        """The pieces of each character by itself, among which no special piece can be found."""
        return [self.unknown if piece in self._special else piece for piece in self._encode([list(text)])[0]]
