"""Layers of an encoder that keep their pretrained weights in training.

What lies below them is kept too: the lowest layers say most about words and least about the task, and the lower ones
of a multilingual encoder are what makes training in one language serve another (Wu and Dredze 2019, who freeze 3 of
12 layers; Lee et al. 2019, "What would Elsa do?", who freeze more). Without gradients and without dropout they give
the same vectors for the same pieces in every epoch. So on a CPU, where computing them again takes long, they are
remembered, and training costs what the other layers cost; so does looking at dev after each epoch.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from .encoder import layers_of
from .errors import UserError
from .packed import attend_in_float32, embed, groups_of, own_layers, through_layer, within
from .remembered import Remembered, RememberedAlone


class LayersCannotBeFrozen(UserError, ValueError):
    """The encoder has no such layers."""


class FrozenLayers:
    """The lowest layers of an encoder, which do not learn, and what they gave for windows that they have seen.

    encoder (nn.Module): A Hugging Face encoder. All of it is frozen but for the layers above.
    count (int): How many layers do not learn, besides the embeddings; at least 1, and not all of them.
    pad (int): The piece that windows are filled up with.
    remembered_pieces (int): The most pieces whose vectors are remembered; later windows are computed each time.
    RAISES: LayersCannotBeFrozen.
    """

    def __init__(self, encoder: nn.Module, count: int, pad: int, remembered_pieces: int) -> None:
        self._layers = _layers(encoder, count)
        self._encoder = encoder
        self.count = count
        self._pad = pad
        self.remembered = Remembered(remembered_pieces)
        self._returned: Any = None  # what a layer returned, whose form all of them have
        encoder.requires_grad_(False)
        for layer in self._learning():
            layer.requires_grad_(True)

    def share(self, memories: dict[bytes, RememberedAlone]) -> None:
        """Remember together with all others that have the same layers; nothing of what is remembered so far is kept.

        memories: What is remembered, by what tells such layers from any other; a new one is added if there is none.
        """
        digest = hashlib.sha256(f"{self.count} layers of {self._encoder.config.to_json_string()}".encode())  # type: ignore[operator, union-attr]
        for name, tensor in self._encoder.named_parameters():
            if not tensor.requires_grad:
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().numpy().data)
        self.remembered = memories.setdefault(digest.digest(), RememberedAlone(self.remembered.room))

    def train(self) -> None:
        """Have only the layers above be in training mode, which alone have dropout then."""
        self._encoder.eval()
        for layer in self._learning():
            layer.train()

    def below(self, windows: Sequence[torch.Tensor]) -> torch.Tensor:
        """What these layers of an encoder that can be packed give, array (pieces of all windows, width).

        windows: The pieces of each, array (pieces,), on a CPU.
        """
        return torch.cat(self.remembered(windows, self._packed))

    def output(self, ids: torch.Tensor, mask: torch.Tensor, *, every_layer: bool) -> Any:
        """What the whole encoder gives in training; gradients reach the layers above.

        ids (batch, pieces): Piece ids with special pieces, filled up on the right.
        mask (batch, pieces): 1 for pieces, 0 for filling.
        every_layer (bool): Whether `hidden_states` are wanted; those below the layers that learn are not to be used.
        """
        if ids.device.type != "cpu":
            return self._encoder(input_ids=ids, attention_mask=mask, output_hidden_states=every_layer)
        windows = [row[:length] for row, length in zip(ids, mask.sum(1).tolist(), strict=True)]
        given = pad_sequence(self.remembered(windows, self._filled), batch_first=True)
        if self._returned is None:  # Another training has computed all of them.
            self._filled(windows[:1])
        frozen = list(self._layers[: self.count])
        self._put([_StandIn(_in_form(self._returned, given))] * self.count)
        try:
            return self._encoder(input_ids=ids, attention_mask=mask, output_hidden_states=every_layer)
        finally:
            self._put(frozen)

    def _put(self, lowest: Sequence[nn.Module]) -> None:
        for number, layer in enumerate(lowest):
            self._layers[number] = layer

    def _packed(self, windows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        lengths = [len(window) for window in windows]
        groups = groups_of(lengths)
        attend = within(groups, attend_in_float32)
        with _plain_tensors():
            vectors = embed(self._encoder, torch.cat(list(windows)), groups)
            for layer in own_layers(self._encoder)[: self.count]:
                vectors = through_layer(layer, vectors, attend)
        return list(vectors.split(lengths))

    def _filled(self, windows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        ids = pad_sequence(list(windows), batch_first=True, padding_value=self._pad)
        mask = pad_sequence([torch.ones_like(window) for window in windows], batch_first=True)
        reached = self._layers[self.count - 1].register_forward_hook(_stop)
        try:
            with _plain_tensors():
                self._encoder(input_ids=ids, attention_mask=mask)
        except _Reached as reaching:
            self._returned = reaching.output
        finally:
            reached.remove()
        rows = _first(self._returned)
        return [row[: len(window)].clone() for row, window in zip(rows, windows, strict=True)]

    def _learning(self) -> nn.ModuleList:
        return self._layers[self.count :]

    def __getstate__(self) -> dict[str, Any]:
        """Copies and other processes remember nothing."""
        return {**self.__dict__, "remembered": self.remembered.emptied(), "_returned": None}


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """No gradients, but vectors that what is learnt from later can have gradients for, also while predicting."""
    with torch.inference_mode(False), torch.no_grad():
        yield


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
    """The layers of an encoder, lowest first, if so many of them can be frozen."""
    found = layers_of(encoder)
    if found is None:
        raise LayersCannotBeFrozen(
            f"frozen_layers = {count}: {type(encoder).__name__} does not keep its layers one by one. Set "
            "frozen_layers = 0 in [components.ner.model]."
        )
    if not 1 <= count < len(found):
        raise LayersCannotBeFrozen(
            f"frozen_layers = {count}: this encoder has {len(found)} layers, and at least one has to learn. Set "
            f"frozen_layers in [components.ner.model] to at most {len(found) - 1}."
        )
    return found
