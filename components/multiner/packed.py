"""Encoders of the BERT kind: windows of all lengths, and nothing computed for filling.

The pieces of all windows stand one behind the other, so that linear layers, norms and activations run over pieces
alone. Attention runs over windows that are equally long, see `within`, or on a GPU over all of them, see
`multiner.gpu_attention`. The last layer is computed for those pieces alone that words are read from. In training the
layers are the encoder's own, see `own_layers`; for prediction `multiner.packed_encoder` makes them anew.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from .attention import Attention
from .layout import first_position

Part = Callable[[torch.Tensor], torch.Tensor]
# From queries, keys and values of the pieces of all windows, arrays (pieces, width), and from how many heads these are
# of, to what each piece attended to, an array like these.
Attend = Callable[[Sequence[torch.Tensor], int], torch.Tensor]


class Group(NamedTuple):
    """Windows of equal length that follow each other."""

    length: int
    windows: int


class Layer(NamedTuple):
    """The parts of one layer, in the order in which they are computed, and how many heads its attention has.

    `attended` and `outer` give what is added to the vectors before, in training after dropout.
    """

    queries_keys_values: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    attended: Part
    first_norm: Part
    inner: Part
    activation: Part
    outer: Part
    second_norm: Part
    heads: int


def groups_of(lengths: Sequence[int]) -> list[Group]:
    """The groups that windows of these lengths are in, one behind the other."""
    return [Group(length, sum(1 for _ in alike)) for length, alike in groupby(lengths)]


def through_layer(layer: Layer, vectors: torch.Tensor, attend: Attend) -> torch.Tensor:
    """What a layer gives for the pieces of windows, array (pieces, width)."""
    return _behind_attention(layer, attend(layer.queries_keys_values(vectors), layer.heads), vectors)


def _through_last_layer(layer: Layer, vectors: torch.Tensor, attend: Attend, wanted: torch.Tensor) -> torch.Tensor:
    attended = attend(layer.queries_keys_values(vectors), layer.heads)
    return _behind_attention(layer, attended[wanted], vectors[wanted])


def through_layers(
    layers: Sequence[Layer],
    vectors: torch.Tensor,
    attend: Attend,
    wanted: torch.Tensor,
    highest: int,
    through: Callable[[Layer, torch.Tensor, Attend], torch.Tensor] = through_layer,
) -> list[torch.Tensor]:
    """What the highest layers give for those pieces alone that are wanted.

    layers: At least one; the last one is computed for these pieces alone.
    vectors (pieces, width): What comes into the lowest of them, which counts as given by the one below it.
    wanted (pieces wanted,): Which of the pieces.
    highest (int): Of how many layers the vectors are wanted.
    through (Callable): What computes all layers but the last.
    RETURNS: Array (pieces wanted, width) for each of these layers, the last one last.
    """
    given = []
    for number, layer in enumerate(layers):
        if len(layers) - number < highest:
            given.append(vectors[wanted])
        if number < len(layers) - 1:
            vectors = through(layer, vectors, attend)
    return [*given, _through_last_layer(layers[-1], vectors, attend, wanted)]


def _behind_attention(layer: Layer, attended: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """What a layer gives for pieces (rows, width), from what they attended to and from what came into the layer."""
    vectors = layer.first_norm(layer.attended(attended) + vectors)
    return layer.second_norm(layer.outer(layer.activation(layer.inner(vectors))) + vectors)


def within(groups: Sequence[Group], attention: Attention) -> Attend:
    """Attention within each window, computed over equally long ones at a time; rows behind all windows have zeros.

    attention (Attention): Computes it for these, see `multiner.attention`.
    """
    sizes = [length * windows for length, windows in groups]

    def attend(packed: Sequence[torch.Tensor], heads: int) -> torch.Tensor:
        width = packed[0].shape[1] // heads
        filling = len(packed[0]) - sum(sizes)
        # Split and not sliced, which takes gradients longer to go back through.
        parts = zip(groups, *(each.split([*sizes, filling]) for each in packed), strict=False)
        attended = []
        for (length, windows), *part in parts:
            queries, keys, values = (each.view(windows, length, heads, width).transpose(1, 2) for each in part)
            result = attention(queries, keys, values)
            attended.append(result.transpose(1, 2).reshape(-1, heads * width))
        if filling:
            attended.append(packed[0].new_zeros(filling, heads * width))
        return attended[0] if len(attended) == 1 else torch.cat(attended)

    return attend


def attend_in_float32(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attention in the format that it is given, also in autocast: on the way back bfloat16 takes six times as long."""
    with torch.autocast("cpu", enabled=False):
        return functional.scaled_dot_product_attention(queries, keys, values)


def own_layers(module: Any) -> list[Layer]:
    """The layers of an encoder as they are: gradients reach its weights, and dropout is on where it is in training."""
    return [_own_layer(layer, module.config.num_attention_heads) for layer in module.encoder.layer]


def _own_layer(layer: Any, heads: int) -> Layer:
    attention, attended, output = layer.attention.self, layer.attention.output, layer.output
    parts = (attention.query, attention.key, attention.value)
    return Layer(
        lambda vectors: [part(vectors).float() for part in parts],
        lambda vectors: attended.dropout(attended.dense(vectors)),
        attended.LayerNorm,
        layer.intermediate.dense,
        layer.intermediate.intermediate_act_fn,
        lambda vectors: output.dropout(output.dense(vectors)),
        output.LayerNorm,
        heads,
    )


def embed(module: Any, ids: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
    """What comes into the lowest layer of an encoder, array (pieces, width), by its own embeddings.

    ids (pieces,): The pieces of all windows, special ones included, one window behind the other.
    """
    embeddings = module.embeddings
    begin = first_position(module.config.model_type, module.config.pad_token_id)
    positions = torch.cat([torch.arange(begin, begin + length).repeat(windows) for length, windows in groups])
    vectors: torch.Tensor = embeddings.word_embeddings(ids) + embeddings.position_embeddings(positions)
    vectors = embeddings.dropout(embeddings.LayerNorm(vectors + embeddings.token_type_embeddings.weight[0]))
    widen = _widening(module)
    if widen is not None:
        vectors = widen(vectors)
    return vectors


def _widening(module: Any) -> Any:
    """What widens embeddings to the width of layers; ELECTRA's small ones have narrower ones."""
    return getattr(module, "embeddings_project", None)
