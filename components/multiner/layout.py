"""How encoders of the BERT kind are built: what their configuration says, and which tensors follow from it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn import functional

# They have the same layers under the same names; in them RoBERTa and its kin differ in where positions begin.
TYPES = {"bert", "camembert", "electra", "roberta", "xlm-roberta"}
# Types, also of encoders that are built otherwise, that count positions from the one after the padding's id on.
POSITIONS_AFTER_PAD = {
    *{"camembert", "data2vec-text", "longformer", "luke", "mpnet"},
    *{"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"},
}
# By the names that configurations have for them. Each writes over the numbers it is given, which the processor has in
# its cache just then; for GELU torch has no public function that does so.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": torch.ops.aten.gelu_,
    "gelu_new": partial(torch.ops.aten.gelu_, approximate="tanh"),
    "gelu_pytorch_tanh": partial(torch.ops.aten.gelu_, approximate="tanh"),
    "relu": functional.relu_,
    "silu": partial(functional.silu, inplace=True),
}
# What configurations call what is counted in a `Layout`.
SIZES = {
    "pieces": "vocab_size",
    "positions": "max_position_embeddings",
    "kinds": "type_vocab_size",
    "narrow": "hidden_size",
    "width": "hidden_size",
    "inner": "intermediate_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
}


class Layout(NamedTuple):
    """What an encoder of this kind is like: numbers of its configuration, with names of our own.

    pieces, positions, kinds: Rows of the tables that are added up to what comes into the lowest layer.
    narrow: Values in these rows; ELECTRA's small encoders widen them to `width`.
    width, inner, layers, heads: Values in vectors, and between the two products of a layer; layers; heads of attention.
    first_position: The row of the first piece's position.
    epsilon: Of layer norms.
    activation: One of `ACTIVATIONS`, by its name.
    """

    pieces: int
    positions: int
    kinds: int
    narrow: int
    width: int
    inner: int
    layers: int
    heads: int
    first_position: int
    epsilon: float
    activation: str


def layout_of(config: Mapping[str, Any]) -> Layout | None:
    """The layout of an encoder, or None if it is of a kind that is built in another way.

    config (Mapping): What its config.json says, defaults included.
    """
    kind = config.get("model_type")
    if (
        kind not in TYPES
        or config.get("position_embedding_type", "absolute") != "absolute"
        or config.get("is_decoder", False)
    ):
        return None
    sizes: dict[str, Any] = {name: config.get(key) for name, key in SIZES.items()}
    if kind == "electra":
        sizes["narrow"] = config.get("embedding_size")
    if not all(type(size) is int and size > 0 for size in sizes.values()) or sizes["width"] % sizes["heads"]:
        return None
    pad: Any = config.get("pad_token_id")
    epsilon, activation = config.get("layer_norm_eps"), config.get("hidden_act")
    if kind in POSITIONS_AFTER_PAD and not isinstance(pad, int):
        return None
    if not isinstance(epsilon, float) or not isinstance(activation, str) or activation not in ACTIVATIONS:
        return None
    return Layout(**sizes, first_position=first_position(kind, pad), epsilon=epsilon, activation=activation)


def first_position(kind: str, pad: int) -> int:
    """The row of the first piece's position in an encoder's table of positions.

    kind (str): The type of the encoder, as its configuration names it.
    pad (int): The id of its padding.
    """
    return pad + 1 if kind in POSITIONS_AFTER_PAD else 0


def shapes_of(layout: Layout) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor that an encoder of this layout has, by the names that transformers gives them."""
    width, inner, narrow = layout.width, layout.inner, layout.narrow
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (layout.pieces, narrow),
        "embeddings.position_embeddings.weight": (layout.positions, narrow),
        "embeddings.token_type_embeddings.weight": (layout.kinds, narrow),
        "embeddings.LayerNorm.weight": (narrow,),
        "embeddings.LayerNorm.bias": (narrow,),
    }
    linear = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (inner, width),
        "output.dense": (width, inner),
    }
    if narrow != width:
        shapes |= {"embeddings_project.weight": (width, narrow), "embeddings_project.bias": (width,)}
    for number in range(layout.layers):
        before = f"encoder.layer.{number}."
        for name, shape in linear.items():
            shapes |= {f"{before}{name}.weight": shape, f"{before}{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{before}{name}.weight": (width,), f"{before}{name}.bias": (width,)}
    return shapes
