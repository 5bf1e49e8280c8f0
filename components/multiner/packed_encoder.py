"""Prediction by encoders of the BERT kind, from their weights alone.

Their layout and their weights say all that there is to compute, so the code of transformers, which takes seconds to
import, is not needed for it. See `multiner.packed` for how windows are put together. The layers are made for
prediction: with one product for queries, keys and values, and in the number format that is fastest.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch.nn import functional

from .attention import fastest_attention, query_scale
from .gpu_attention import without_filling
from .layout import ACTIVATIONS, Layout, shapes_of
from .linear import FloatLinear, Int8Linear, Linear
from .packed import Layer, Part, groups_of, through_layers, within

# Up to so many, rows are counted more closely: here a few more of them are felt.
FEW_ROWS = 128


class PackedEncoder:
    """From pieces of windows to vectors of those of them that are wanted.

    layout (Layout): Of the encoder.
    weights (Mapping): Its tensors, as `shapes_of` names them, where it is to compute. Some are copied, so what is
        packed is of no use any more when they have changed.
    number_type (torch.dtype): On a CPU float32, bfloat16, or int8 for linear layers in int8 and the rest in float32; on
        a GPU bfloat16, see `can_attend_without_filling`.
    float_layers (Collection[int]): Layers, counted from the lowest, whose products are float32 and not int8.
    """

    def __init__(
        self,
        layout: Layout,
        weights: Mapping[str, torch.Tensor],
        number_type: torch.dtype,
        float_layers: Collection[int] = (),
    ) -> None:
        self._layout = layout
        self._weights = {name: weights[name].detach() for name in shapes_of(layout)}
        self._number_type = torch.float32 if number_type is torch.int8 else number_type
        self._pieces = self._weights["embeddings.word_embeddings.weight"]
        self._device = self._pieces.device
        positions = self._weights["embeddings.position_embeddings.weight"][layout.first_position :]
        self._positions = positions + self._weights["embeddings.token_type_embeddings.weight"][0]
        self._norm = self._make_norm("embeddings.LayerNorm")
        self._widen: Linear | None = None
        if layout.narrow != layout.width:
            self._widen = self._make_linear(self._number_type, "embeddings_project")
        self._layers = [
            self._make_layer(number, self._number_type if number in float_layers else number_type)
            for number in range(layout.layers)
        ]
        del self._weights

    def _make_layer(self, number: int, number_type: torch.dtype) -> Layer:
        before = f"encoder.layer.{number}."
        queries_keys_values = self._make_queries_keys_values(number_type, f"{before}attention.self")
        attended = self._make_linear(number_type, f"{before}attention.output.dense")
        # On a CPU attention over windows as short as sentences takes longer in bfloat16, all the converting included.
        attention_type = torch.float32 if self._device.type == "cpu" else number_type
        return Layer(
            lambda vectors: queries_keys_values(vectors).to(attention_type).chunk(3, dim=1),
            lambda vectors: attended(vectors.to(self._number_type)),
            self._make_norm(f"{before}attention.output.LayerNorm"),
            self._make_linear(number_type, f"{before}intermediate.dense"),
            ACTIVATIONS[self._layout.activation],
            self._make_linear(number_type, f"{before}output.dense"),
            self._make_norm(f"{before}output.LayerNorm"),
            self._layout.heads,
        )

    def _make_queries_keys_values(self, number_type: torch.dtype, name: str) -> Linear:
        """One layer that gives queries times `query_scale`, keys and values, behind each other."""
        scale = query_scale(self._layout.width // self._layout.heads)
        weight, bias = (
            torch.cat([queries * scale, keys, values])
            for queries, keys, values in (
                [self._weights[f"{name}.{each}.{part}"] for each in ("query", "key", "value")]
                for part in ("weight", "bias")
            )
        )
        return _linear(weight, bias, number_type)

    def _make_linear(self, number_type: torch.dtype, name: str) -> Linear:
        return _linear(self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], number_type)

    def _make_norm(self, name: str) -> Part:
        weight, bias = (self._weights[f"{name}.{part}"].to(self._number_type) for part in ("weight", "bias"))
        shape, epsilon = weight.shape, self._layout.epsilon
        return lambda vectors: functional.layer_norm(vectors, shape, weight, bias, epsilon)

    def __call__(
        self, ids: torch.Tensor, lengths: Sequence[int], wanted: torch.Tensor, highest: int = 1
    ) -> list[torch.Tensor]:
        """Read windows.

        ids (pieces,): The pieces of all windows, special ones included, one window behind the other, on the device.
        lengths (Sequence[int]): How many pieces each window has.
        wanted (pieces wanted,): The pieces whose vectors are wanted, on the device.
        highest (int): Of how many layers, counted from the highest, they are wanted.
        RETURNS: Array (pieces wanted, width) of float32 for each of these layers, the highest one last.
        """
        groups = groups_of(lengths)
        if self._device.type == "cpu":
            filling, attend = _filling(len(ids)), within(groups, fastest_attention())
            rows = _filled(wanted, _filling(len(wanted)))
        else:
            filling, attend, rows = 0, without_filling(lengths, self._device), wanted
        positions = torch.cat([self._positions[:length].repeat(windows, 1) for length, windows in groups])
        positions = functional.pad(positions, (0, 0, 0, filling))
        vectors = functional.embedding(_filled(ids, filling), self._pieces).add_(positions)
        vectors = self._norm(vectors.to(self._number_type))
        if self._widen is not None:
            vectors = self._widen(vectors)
        given = through_layers(self._layers, vectors, attend, rows, highest)
        return [each[: len(wanted)].float() for each in given]


def _linear(weight: torch.Tensor, bias: torch.Tensor, number_type: torch.dtype) -> Linear:
    if number_type is torch.int8:
        return Int8Linear(weight, bias)
    return FloatLinear(weight, bias, number_type)


def _filling(rows: int) -> int:
    """How many rows are added so that few numbers of rows come up.

    Code for a product is made when there were never so many rows before, which takes as long as hundreds of them.
    """
    return -rows % (8 if rows <= FEW_ROWS else 32)


def _filled(numbers: torch.Tensor, filling: int) -> torch.Tensor:
    return functional.pad(numbers, (0, filling))
