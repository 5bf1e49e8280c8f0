"""Layers of an encoder that keep their pretrained weights in training.

What lies below them is kept too: the lowest layers say most about words and least about the task, and the lower ones
of a multilingual encoder are what makes training in one language serve another (Wu and Dredze 2019, who freeze 3 of
12 layers; Lee et al. 2019, "What would Elsa do?", who freeze more). Without gradients and without dropout they give
the same vectors for the same pieces in every epoch. So on a CPU, where computing them again takes long, they are
remembered, and training costs what the other layers cost.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from .errors import UserError


class LayersCannotBeFrozen(UserError, ValueError):
    """The encoder has no such layers."""


class FrozenLayers:
    """The lowest layers of an encoder, which do not learn, and what they gave for windows that they have seen.

    encoder (nn.Module): A Hugging Face encoder. All of it is frozen but for the layers above.
    count (int): How many layers do not learn, besides the embeddings; at least 1, and not all of them.
    remembered_pieces (int): The most pieces whose vectors are remembered; later windows are computed each time.
    RAISES: LayersCannotBeFrozen.
    """

    def __init__(self, encoder: nn.Module, count: int, remembered_pieces: int) -> None:
        self._layers = _layers(encoder, count)
        self._encoder = encoder
        self._count = count
        self._room = remembered_pieces
        self._remembered: dict[bytes, torch.Tensor] = {}
        self._returned: Any = None  # what a layer returned, whose form all of them have
        encoder.requires_grad_(False)
        for layer in self._learning():
            layer.requires_grad_(True)

    def train(self) -> None:
        """Have only the layers above be in training mode, which alone have dropout then."""
        self._encoder.eval()
        for layer in self._learning():
            layer.train()

    def vectors(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What the encoder gives in training: array (batch, pieces, width); gradients reach the layers above.

        ids (batch, pieces): Piece ids with special pieces, filled up on the right.
        mask (batch, pieces): 1 for pieces, 0 for filling.
        """
        if ids.device.type != "cpu":
            vectors: torch.Tensor = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            return vectors
        # Each window goes alone through the frozen layers: in a batch, sums would be rounded by the shape of the
        # batch, and a run that was killed and goes on would remember other last digits.
        windows = [row[:length] for row, length in zip(ids, mask.sum(1).tolist(), strict=True)]
        given = pad_sequence([self._of_window(window) for window in windows], batch_first=True)
        frozen = list(self._layers[: self._count])
        self._put([_StandIn(_in_form(self._returned, given))] * self._count)
        try:
            vectors = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        finally:
            self._put(frozen)
        return vectors

    def _put(self, lowest: Sequence[nn.Module]) -> None:
        for number, layer in enumerate(lowest):
            self._layers[number] = layer

    def _of_window(self, ids: torch.Tensor) -> torch.Tensor:
        """Array (pieces, width): what the frozen layers give for one window."""
        key = ids.numpy().tobytes()
        known = self._remembered.get(key)
        if known is not None:
            return known
        reached = self._layers[self._count - 1].register_forward_hook(_stop)
        try:
            with torch.no_grad():
                self._encoder(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None])
        except _Reached as reaching:
            self._returned = reaching.output
        finally:
            reached.remove()
        vectors: torch.Tensor = _first(self._returned)[0]
        if self._room >= len(vectors):
            self._room -= len(vectors)
            self._remembered[key] = vectors
        return vectors

    def _learning(self) -> nn.ModuleList:
        return self._layers[self._count :]

    def __getstate__(self) -> dict[str, Any]:
        """Copies and other processes remember nothing."""
        return {**self.__dict__, "_remembered": {}, "_returned": None}


class _StandIn(nn.Module):
    """Takes the place of a layer and returns what is known, whatever it is given."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.output


class _Reached(Exception):
    """The last of the frozen layers has given its vectors, and what comes behind it is not needed."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


def _stop(_: nn.Module, __: Any, output: Any) -> NoReturn:
    raise _Reached(output)


def _first(returned: Any) -> torch.Tensor:
    """The vectors of what a layer returned: some return a tuple, in which they come first."""
    vectors: torch.Tensor = returned[0] if isinstance(returned, tuple) else returned
    return vectors


def _in_form(returned: Any, vectors: torch.Tensor) -> Any:
    return (vectors, *(None for _ in returned[1:])) if isinstance(returned, tuple) else vectors


def _layers(encoder: nn.Module, count: int) -> nn.ModuleList:
    """The layers of an encoder, lowest first."""
    number: int = encoder.config.num_hidden_layers  # type: ignore[union-attr, assignment]
    lists = (module for module in encoder.modules() if isinstance(module, nn.ModuleList))
    found = next((module for module in lists if len(module) == number), None)
    if found is None:
        raise LayersCannotBeFrozen(
            f"frozen_layers = {count}: {type(encoder).__name__} does not keep its {number} layers one by one. Set "
            "frozen_layers = 0 in [components.ner.model]."
        )
    if not 1 <= count < number:
        raise LayersCannotBeFrozen(
            f"frozen_layers = {count}: this encoder has {number} layers, and at least one has to learn. Set "
            f"frozen_layers in [components.ner.model] to at most {number - 1}."
        )
    return found
