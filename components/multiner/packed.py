"""Encoders of the BERT kind for prediction on a CPU: windows of all lengths, and nothing computed for filling.

The pieces of all windows stand one behind the other, so that linear layers, norms and activations run over pieces
alone, and attention over windows that are equally long. The products for queries, keys and values are one, and the
last layer is computed for first pieces of words alone, which are all that is scored.
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

Norm = Callable[[torch.Tensor], torch.Tensor]


class _Layer(NamedTuple):
    """The parts of one layer, in the order in which they are computed."""

    queries_keys_values: Linear
    attended: Linear
    first_norm: Norm
    inner: Linear
    activation: Callable[[torch.Tensor], torch.Tensor]
    outer: Linear
    second_norm: Norm


def pack_encoder(
    module: nn.Module, number_type: torch.dtype, float_layers: Collection[int] = ()
) -> "PackedEncoder | None":
    """An encoder as it is fastest on a CPU, or None if it is of a kind that is built in another way.

    module (nn.Module): A Hugging Face encoder. What is packed has copies of some weights, so it is of no use any more
        when they have changed.
    number_type (torch.dtype): float32, bfloat16, or int8 for linear layers in int8 and the rest in float32.
    float_layers (Collection[int]): Layers, counted from the lowest, whose products are float32 and not int8.
    """
    return PackedEncoder(module, number_type, float_layers) if can_be_packed(module) else None


def can_be_packed(module: nn.Module) -> bool:
    """Whether an encoder is built as those that are packed."""
    config: Any = module.config
    return (
        config.model_type in TYPES
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(config, "is_decoder", False)
    )


class PackedEncoder:
    """From pieces of windows to vectors of those of them that are wanted; see `pack_encoder`."""

    def __init__(self, module: Any, number_type: torch.dtype, float_layers: Collection[int]) -> None:
        config, embeddings = module.config, module.embeddings
        self._number_type = torch.float32 if number_type is torch.int8 else number_type
        self._heads: int = config.num_attention_heads
        self._pieces: torch.Tensor = embeddings.word_embeddings.weight.detach()
        positions = embeddings.position_embeddings.weight.detach() + embeddings.token_type_embeddings.weight.detach()[0]
        begin = embeddings.padding_idx + 1 if config.model_type in POSITIONS_AFTER_PAD else 0
        self._positions: torch.Tensor = positions[begin:]
        self._norm = self._make_norm(embeddings.LayerNorm)
        # ELECTRA's small ones have narrower embeddings than layers.
        widening = getattr(module, "embeddings_project", None)
        self._widen: Linear | None = None
        if widening is not None:
            self._widen = FloatLinear(widening.weight.detach(), widening.bias.detach(), self._number_type)
        self._layers = [
            self._make_layer(layer, self._number_type if number in float_layers else number_type)
            for number, layer in enumerate(module.encoder.layer)
        ]

    def _make_layer(self, layer: Any, number_type: torch.dtype) -> _Layer:
        def linear(*modules: nn.Linear) -> Linear:
            weight = torch.cat([module.weight.detach() for module in modules])
            bias = torch.cat([module.bias.detach() for module in modules])
            return Int8Linear(weight, bias) if number_type is torch.int8 else FloatLinear(weight, bias, number_type)

        attention = layer.attention.self
        return _Layer(
            linear(attention.query, attention.key, attention.value),
            linear(layer.attention.output.dense),
            self._make_norm(layer.attention.output.LayerNorm),
            linear(layer.intermediate.dense),
            layer.intermediate.intermediate_act_fn,
            linear(layer.output.dense),
            self._make_norm(layer.output.LayerNorm),
        )

    def _make_norm(self, module: nn.LayerNorm) -> Norm:
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
        groups = [(length, sum(1 for _ in alike)) for length, alike in groupby(lengths)]
        positions = torch.cat([self._positions[:length].repeat(count, 1) for length, count in groups])
        vectors = functional.embedding(ids, self._pieces).add_(positions)
        vectors = self._norm(vectors.to(self._number_type))
        if self._widen is not None:
            vectors = self._widen(vectors)
        for layer in self._layers[:-1]:
            attended = _attend(layer.queries_keys_values(vectors), groups, self._heads)
            vectors = _behind_attention(layer, attended, vectors)
        last = self._layers[-1]
        attended = _attend(last.queries_keys_values(vectors), groups, self._heads)
        return _behind_attention(last, attended[wanted], vectors[wanted]).float()


def _behind_attention(layer: _Layer, attended: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """What a layer gives for pieces (rows, width), from what they attended to and from what came into the layer."""
    vectors = layer.first_norm(layer.attended(attended).add_(vectors))
    return layer.second_norm(layer.outer(layer.activation(layer.inner(vectors))).add_(vectors))


def _attend(packed: torch.Tensor, groups: Sequence[tuple[int, int]], heads: int) -> torch.Tensor:
    """Attention within each window.

    packed (pieces, 3 * width): Queries, keys and values of all pieces.
    groups (Sequence[tuple[int, int]]): A length, and how many windows of it follow each other.
    RETURNS (pieces, width)
    """
    width = packed.shape[1] // 3
    attended = packed.new_empty(len(packed), width)
    begin = 0
    for length, count in groups:
        end = begin + length * count
        queries, keys, values = packed[begin:end].view(count, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        result = functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2)
        attended[begin:end] = result.reshape(-1, width)
        begin = end
    return attended
