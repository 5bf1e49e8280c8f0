"""The network: an encoder, dropout, and one linear layer on the vector of each word, which its pieces make."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .embedding import RowwiseEmbedding
from .errors import UserError
from .frozen import FrozenLayers
from .gradients import grown
from .packed import attend_in_float32, embed, groups_of, own_layers, through_layer, through_layers, within
from .word_pieces import WordPieces, vectors_of_word, wanted_pieces, word_vectors

HEAD_SPREAD = 0.02
# How much more the highest of mixed layers counts at first, before the exponential: as much as seven others together.
HIGHEST_FIRST = 2.0
SIXTEEN_BITS = 1 << 16


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose random numbers cost little on a CPU.

    There torch draws a double for each value, which takes as long as a sixth of all of training. This draws 16
    bits for each, so the rate is exact to 1/65,536.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero a share `rate` of the values and scale up the others; return them as they are outside training."""
        if not self.training or self.rate == 0.0:
            return values
        if values.device.type != "cpu":
            return nn.functional.dropout(values, self.rate, training=True)
        draws = torch.empty((values.numel() + 3) // 4, dtype=torch.int64)
        # From the smallest to the largest integer: every bit is random.
        draws.random_(-(1 << 63), None)
        threshold = round(self.rate * SIXTEEN_BITS) - SIXTEEN_BITS // 2
        kept = draws.view(torch.int16)[: values.numel()].view(values.shape) >= threshold
        return values * (kept.to(values.dtype) * (1.0 / (1.0 - self.rate)))


class LayersCannotBeMixed(UserError, ValueError):
    """The encoder has not so many layers."""


class WordHead(nn.Module):
    """Dropout and one linear layer: scores for the tags of words from their vectors.

    width (int): Values in the vectors of pieces.
    tags (int): How many tags there are to score.
    word_pieces (str): How the vectors of pieces make those of words, see `multiner.word_pieces`.
    mixed_layers (int): Of how many layers the vectors are mixed, see `mix`.
    crf (bool): Whether there are scores of one tag after another too, see `multiner.crf`.
    """

    def __init__(
        self, width: int, tags: int, word_pieces: WordPieces = "first", mixed_layers: int = 1, crf: bool = False
    ) -> None:
        super().__init__()
        self.word_pieces: WordPieces = word_pieces
        self.dropout = Dropout(0.0)
        self.head = nn.Linear(vectors_of_word(word_pieces) * width, tags)
        nn.init.normal_(self.head.weight, std=HEAD_SPREAD)
        nn.init.zeros_(self.head.bias)
        self.mixing: nn.Parameter | None = None
        if mixed_layers > 1:
            self.mixing = nn.Parameter(torch.zeros(mixed_layers))
            self.mixing.data[-1] = HIGHEST_FIRST
        self.transitions = nn.Parameter(torch.zeros(tags, tags)) if crf else None

    @property
    def mixed_layers(self) -> int:
        """Of how many layers the vectors are mixed; 1 if those of the highest are taken as they are."""
        return 1 if self.mixing is None else len(self.mixing)

    def mix(self, layers: Sequence[torch.Tensor]) -> torch.Tensor:
        """The mean of what several layers give, each with a weight that is learnt (Peters et al. 2018).

        layers: Arrays of one shape, as many as are mixed, the highest layer's last.
        """
        if self.mixing is None:
            return layers[-1]
        weights = self.mixing.softmax(0)
        return sum((weight * layer for weight, layer in zip(weights, layers, strict=True)), torch.zeros(()))

    def score(self, vectors: torch.Tensor) -> torch.Tensor:
        """Score words.

        vectors (words, width)
        RETURNS (words, tags): Unnormalised scores.
        """
        scores: torch.Tensor = self.head(self.dropout(vectors))
        return scores.float()

    def score_pieces(self, layers: Sequence[torch.Tensor], places: torch.Tensor) -> torch.Tensor:
        """Score words from vectors of pieces.

        layers: Array (pieces, width of a piece) of each layer, as `mix` takes them.
        places (words, ends named): The pieces that each word is known by, see `multiner.word_pieces`.
        RETURNS (words, tags): Unnormalised scores.
        """
        return self.score(word_vectors(self.mix(layers), places, self.word_pieces))

    def set_dropout(self, rate: float) -> None:
        """Use this dropout rate everywhere."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.rate = rate

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What an optimiser should move, by name."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                yield name, parameter

    def grow(self, tags: int) -> None:
        """Have more tags; the scores of those that were there keep their weights."""
        old = self.head
        new = nn.Linear(old.in_features, tags).to(old.weight.device)
        nn.init.normal_(new.weight, std=HEAD_SPREAD)
        nn.init.zeros_(new.bias)
        with torch.no_grad():
            new.weight[: old.out_features] = old.weight
            new.bias[: old.out_features] = old.bias
        self.head = new
        grows: list[tuple[torch.Tensor, torch.Tensor]] = [(old.weight, new.weight), (old.bias, new.bias)]
        if self.transitions is not None:
            transitions = nn.Parameter(grown(self.transitions.data, self.transitions.new_zeros(tags, tags)))
            grows.append((self.transitions, transitions))
            self.transitions = transitions
        for before, after in grows:
            # Of earlier parts of the batch in which the new tags have come up.
            after.grad = None if before.grad is None else grown(before.grad, after)


def check_mixed(mixed: int, layers: int, frozen: int) -> None:
    """See that there is so much to mix: what the layers that learn give, and what comes into the lowest of them.

    mixed, layers, frozen (int): How many layers are mixed, how many there are, and how many of these are frozen.
    RAISES: LayersCannotBeMixed.
    """
    if mixed > layers - frozen + 1:
        raise LayersCannotBeMixed(
            f"mixed_layers = {mixed}: of this encoder's {layers} layers {frozen} are frozen. Set mixed_layers in "
            f"[components.ner.model] to at most {layers - frozen + 1}."
        )


class WordTagger(WordHead):
    """Scores for the tags of words from their pieces.

    encoder (nn.Module): A Hugging Face encoder, whose embedding table and dropout layers are replaced by ours.
    width (int): Values in the encoder's vectors.
    tags (int): How many tags there are to score.
    word_pieces (str): How the vectors of pieces make those of words.
    mixed_layers (int): Of how many of the highest layers these vectors are mixed.
    crf (bool): Whether there are scores of one tag after another too.
    RAISES: LayersCannotBeMixed.
    """

    def __init__(
        self,
        encoder: nn.Module,
        width: int,
        tags: int,
        word_pieces: WordPieces = "first",
        mixed_layers: int = 1,
        crf: bool = False,
    ) -> None:
        super().__init__(width, tags, word_pieces, mixed_layers, crf)
        self.encoder = encoder
        embedding = RowwiseEmbedding(encoder.get_input_embeddings().weight)  # type: ignore[operator]
        encoder.set_input_embeddings(embedding)  # type: ignore[operator]
        _replace_dropout(encoder)
        self.frozen: FrozenLayers | None = None
        self._check_mixed(0)

    def _check_mixed(self, frozen: int) -> None:
        layers: int = self.encoder.config.num_hidden_layers  # type: ignore[union-attr, assignment]
        check_mixed(self.mixed_layers, layers, frozen)

    def freeze(self, layers: int, pad: int, remembered_pieces: int) -> None:
        """Have the embeddings and so many of the lowest layers keep their weights.

        pad (int): The piece that windows are filled up with.
        remembered_pieces (int): The most pieces whose vectors behind these layers are remembered.
        RAISES: LayersCannotBeFrozen; LayersCannotBeMixed if too few are left that learn.
        """
        self._check_mixed(layers)
        self.frozen = FrozenLayers(self.encoder, layers, pad, remembered_pieces)

    @property
    def embedding(self) -> RowwiseEmbedding:
        """The encoder's embedding table."""
        embedding = self.encoder.get_input_embeddings()  # type: ignore[operator]
        assert isinstance(embedding, RowwiseEmbedding)
        return embedding

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Score words.

        ids (batch, pieces): Piece ids with special pieces, filled up on the right.
        mask (batch, pieces): 1 for pieces, 0 for filling.
        places (words, ends named): Where the pieces that each word is known by stand, counted through the batch row by
            row.
        RETURNS (words, tags): Unnormalised scores.
        """
        mixed = self.mixed_layers > 1
        if self.training and self.frozen is not None:
            output = self.frozen.output(ids, mask, every_layer=mixed)
        else:
            output = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=mixed)
        layers = [output.last_hidden_state]
        if mixed:
            layers = [*output.hidden_states[-self.mixed_layers : -1], *layers]
        return self.score_pieces([layer.reshape(-1, layer.shape[-1]) for layer in layers], places)

    def score_packed(self, ids: torch.Tensor, lengths: Sequence[int], places: torch.Tensor) -> torch.Tensor:
        """Score words as `forward` does, on a CPU and with an encoder that has a layout.

        ids (pieces,): The pieces of all windows, special ones included, one window behind the other.
        lengths (Sequence[int]): How many pieces each window has.
        places (words, ends named): The pieces that each word is known by.
        RETURNS (words, tags): Unnormalised scores.
        """
        groups = groups_of(lengths)
        layers = own_layers(self.encoder)
        if self.frozen is None:
            vectors = embed(self.encoder, ids, groups)
        else:
            vectors = self.frozen.below(ids.split(list(lengths)))
            layers = layers[self.frozen.count :]
        through = through_layer
        if self.encoder.is_gradient_checkpointing:
            through = partial(checkpoint, through_layer, use_reentrant=False)
        wanted, places = wanted_pieces(places, self.word_pieces)
        attend = within(groups, attend_in_float32)
        return self.score_pieces(through_layers(layers, vectors, attend, wanted, self.mixed_layers, through), places)

    def meet(self, ids: torch.Tensor) -> None:
        """Have the embedding rows of these pieces trained from now on, if the embeddings learn."""
        if self.frozen is None:
            self.embedding.meet(ids)

    def train(self, mode: bool = True) -> "WordTagger":
        """Switch between training and use; frozen layers stay as they are used."""
        super().train(mode)
        if mode and self.frozen is not None:
            self.frozen.train()
        return self

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What an optimiser should move, by name: of the embedding table only the rows in use."""
        if self.embedding.rows is not None:
            yield "embedding.rows", self.embedding.rows
        yield from super().trained()


def _replace_dropout(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, Dropout(child.p))
        else:
            _replace_dropout(child)
