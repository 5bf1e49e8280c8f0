"""Encoders of the BERT kind on a CPU: windows of all lengths, and nothing computed for filling.

The pieces of all windows stand one behind the other, so that linear layers, norms and activations run over pieces
alone, and attention over windows that are equally long. The last layer is computed for first pieces of words alone,
which are all that is scored. In training the layers are the encoder's own. For prediction they are made anew, with one
product for queries, keys and values, and in the number format that is fastest.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from .encoder import POSITIONS_AFTER_PAD
from .linear import FloatLinear, Int8Linear, Linear

# They have the same layers under the same names; in them RoBERTa and its kin differ in where positions begin.
TYPES = {"bert", "camembert", "electra", "roberta", "xlm-roberta"}

Part = Callable[[torch.Tensor], torch.Tensor]


class Group(NamedTuple):
    """Windows of equal length that follow each other."""

    length: int
    windows: int


class Layer(NamedTuple):
    """The parts of one layer, in the order in which they are computed, and how many heads its attention has.

    `attended` and `outer` give what is added to the vectors before; in training that is after dropout.
    """

    queries_keys_values: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    attended: Part
    first_norm: Part
    inner: Part
    activation: Part
    outer: Part
    second_norm: Part
    heads: int


def can_be_packed(module: nn.Module) -> bool:
    """Whether an encoder is built as those that are packed."""
    config: Any = module.config
    return (
        config.model_type in TYPES
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(config, "is_decoder", False)
    )


def groups_of(lengths: Sequence[int]) -> list[Group]:
    """The groups that windows of these lengths are in, one behind the other."""
    return [Group(length, sum(1 for _ in alike)) for length, alike in groupby(lengths)]


def through_layer(layer: Layer, vectors: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
    """What a layer gives for the pieces of windows, array (pieces, width)."""
    return _behind_attention(layer, _attend(layer, vectors, groups), vectors)


def through_last_layer(
    layer: Layer, vectors: torch.Tensor, groups: Sequence[Group], wanted: torch.Tensor
) -> torch.Tensor:
    """What a layer gives for those pieces alone that are wanted.

    wanted (words,): Which of the pieces.
    RETURNS (words, width)
    """
    return _behind_attention(layer, _attend(layer, vectors, groups)[wanted], vectors[wanted])


def _behind_attention(layer: Layer, attended: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """What a layer gives for pieces (rows, width), from what they attended to and from what came into the layer."""
    vectors = layer.first_norm(layer.attended(attended) + vectors)
    return layer.second_norm(layer.outer(layer.activation(layer.inner(vectors))) + vectors)


def _attend(layer: Layer, vectors: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
    """Attention within each window, array (pieces, width) as the vectors are."""
    packed = layer.queries_keys_values(vectors)
    heads, width = layer.heads, packed[0].shape[1] // layer.heads
    # Split and not sliced, which takes gradients longer to go back through.
    parts = zip(groups, *(each.split([length * windows for length, windows in groups]) for each in packed), strict=True)
    attended = []
    for (length, windows), *part in parts:
        queries, keys, values = (each.view(windows, length, heads, width).transpose(1, 2) for each in part)
        result = functional.scaled_dot_product_attention(queries, keys, values)
        attended.append(result.transpose(1, 2).reshape(-1, heads * width))
    return attended[0] if len(attended) == 1 else torch.cat(attended)


def own_layers(module: Any) -> list[Layer]:
    """The layers of an encoder as they are: gradients reach its weights, and dropout is on where it is in training."""
    return [_own_layer(layer, module.config.num_attention_heads) for layer in module.encoder.layer]


def _own_layer(layer: Any, heads: int) -> Layer:
    attention, attended, output = layer.attention.self, layer.attention.output, layer.output
    return Layer(
        lambda vectors: (attention.query(vectors), attention.key(vectors), attention.value(vectors)),
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
    begin = _first_position(module)
    positions = torch.cat([torch.arange(begin, begin + length).repeat(windows) for length, windows in groups])
    vectors: torch.Tensor = embeddings.word_embeddings(ids) + embeddings.position_embeddings(positions)
    vectors = embeddings.dropout(embeddings.LayerNorm(vectors + embeddings.token_type_embeddings.weight[0]))
    widen = _widening(module)
    if widen is not None:
        vectors = widen(vectors)
    return vectors


def _first_position(module: Any) -> int:
    return module.embeddings.padding_idx + 1 if module.config.model_type in POSITIONS_AFTER_PAD else 0


def _widening(module: Any) -> Any:
    """What widens embeddings to the width of layers; ELECTRA's small ones have narrower ones."""
    return getattr(module, "embeddings_project", None)


def pack_encoder(
    module: nn.Module, number_type: torch.dtype, float_layers: Collection[int] = ()
) -> "PackedEncoder | None":
    """An encoder as it predicts fastest on a CPU, or None if it is of a kind that is built in another way.

    module (nn.Module): A Hugging Face encoder. What is packed has copies of some weights, so it is of no use any more
        when they have changed.
    number_type (torch.dtype): float32, bfloat16, or int8 for linear layers in int8 and the rest in float32.
    float_layers (Collection[int]): Layers, counted from the lowest, whose products are float32 and not int8.
    """
    return PackedEncoder(module, number_type, float_layers) if can_be_packed(module) else None


class PackedEncoder:
    """From pieces of windows to vectors of those of them that are wanted; see `pack_encoder`."""

    def __init__(self, module: Any, number_type: torch.dtype, float_layers: Collection[int]) -> None:
        embeddings = module.embeddings
        self._number_type = torch.float32 if number_type is torch.int8 else number_type
        self._pieces: torch.Tensor = embeddings.word_embeddings.weight.detach()
        positions = embeddings.position_embeddings.weight.detach() + embeddings.token_type_embeddings.weight.detach()[0]
        self._positions: torch.Tensor = positions[_first_position(module) :]
        self._norm = self._make_norm(embeddings.LayerNorm)
        widening = _widening(module)
        self._widen: Linear | None = None
        if widening is not None:
            self._widen = FloatLinear(widening.weight.detach(), widening.bias.detach(), self._number_type)
        self._layers = [
            self._make_layer(
                layer, module.config.num_attention_heads, self._number_type if number in float_layers else number_type
            )
            for number, layer in enumerate(module.encoder.layer)
        ]

    def _make_layer(self, layer: Any, heads: int, number_type: torch.dtype) -> Layer:
        def linear(*modules: nn.Linear) -> Linear:
            weight = torch.cat([module.weight.detach() for module in modules])
            bias = torch.cat([module.bias.detach() for module in modules])
            return Int8Linear(weight, bias) if number_type is torch.int8 else FloatLinear(weight, bias, number_type)

        attention = layer.attention.self
        queries_keys_values = linear(attention.query, attention.key, attention.value)
        return Layer(
            lambda vectors: queries_keys_values(vectors).chunk(3, dim=1),
            linear(layer.attention.output.dense),
            self._make_norm(layer.attention.output.LayerNorm),
            linear(layer.intermediate.dense),
            layer.intermediate.intermediate_act_fn,
            linear(layer.output.dense),
            self._make_norm(layer.output.LayerNorm),
            heads,
        )

    def _make_norm(self, module: nn.LayerNorm) -> Part:
        assert module.bias is not None
        weight, bias = (tensor.detach().to(self._number_type) for tensor in (module.weight, module.bias))
        shape, epsilon = module.normalized_shape, module.eps
        return lambda vectors: functional.layer_norm(vectors, shape, weight, bias, epsilon)

    def __call__(self, ids: torch.Tensor, lengths: Sequence[int], wanted: torch.Tensor) -> torch.Tensor:
        """Read windows.

        ids (pieces,): The pieces of all windows, special ones included, one window behind the other.
        lengths (Sequence[int]): How many pieces each window has.
        wanted (words,): The pieces whose vectors are wanted.
        RETURNS (words, width): Float32.
        """
        groups = groups_of(lengths)
        positions = torch.cat([self._positions[:length].repeat(windows, 1) for length, windows in groups])
        vectors = functional.embedding(ids, self._pieces).add_(positions)
        vectors = self._norm(vectors.to(self._number_type))
        if self._widen is not None:
            vectors = self._widen(vectors)
        for layer in self._layers[:-1]:
            vectors = through_layer(layer, vectors, groups)
        return through_last_layer(self._layers[-1], vectors, groups, wanted).float()
