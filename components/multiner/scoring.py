"""Scores of batches, by encoders that are packed and by those that compute as transformers has them.

A GPU does not wait for what comes before and behind it, and when its memory ends no batch is lost.
"""

import copy
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from .batches import Batch, fill_up, halves
from .devices import on_device
from .errors import UserError
from .network import WordHead, WordTagger
from .packed_encoder import PackedEncoder
from .precision import arithmetic
from .word_pieces import wanted_pieces

Scorer = Callable[[Batch], torch.Tensor]
Fetched = Callable[[], torch.Tensor]  # waits for scores that are not there yet
Given = TypeVar("Given")
Result = TypeVar("Result")


class WindowTooLarge(UserError, RuntimeError):
    """The GPU has not the memory to read one window by itself."""

    def __init__(self, pieces: int) -> None:
        super().__init__(
            f"The GPU has not the memory to read a window of {pieces} pieces by itself. Set `window` in "
            "[components.ner.model] to less, free memory of the GPU, or load the pipeline without spacy.require_gpu()."
        )


def packed_scorer(packed: PackedEncoder, head: WordHead) -> Scorer:
    """What scores batches without filling, on the device that encoder and head are on."""
    device = head.head.weight.device

    @torch.inference_mode()
    def score(batch: Batch) -> torch.Tensor:
        # Here and not on a GPU, which would have to be waited for to know how many there are.
        wanted, places = wanted_pieces(torch.from_numpy(batch.places), head.word_pieces)
        ids, wanted, places = (on_device(each, device) for each in (torch.from_numpy(batch.ids), wanted, places))
        return head.score_pieces(packed(ids, batch.lengths, wanted, head.mixed_layers), places)

    return score


def network_scorer(network: WordTagger, number_type: torch.dtype, pad: int) -> Scorer:
    """What scores batches with the network's weights as they are, on the device that they are on.

    number_type (torch.dtype): In bfloat16 all is computed with a copy of the weights in that format. The range of
        float16 is too small for that: sums and norms stay float32 there.
    pad (int): The piece that windows are filled up with.
    """
    device = network.head.weight.device
    if number_type is torch.bfloat16:
        # What frozen layers have given is for training alone.
        network = copy.deepcopy(network, {id(network.frozen): None}).to(number_type)
        number_type = torch.float32

    @torch.inference_mode()
    def score(batch: Batch) -> torch.Tensor:
        with arithmetic(number_type, device):
            scores: torch.Tensor = network(*fill_up(batch, pad, device))
            return scores

    return score


def fetching(score: Scorer) -> Callable[[Batch], Fetched]:
    """What scores batches, and gives what waits for their scores to be in the CPU's memory.

    A GPU does all in the order in which it is told. So it is told to copy a batch's scores as soon as it was told to
    compute them: later it would come to that behind the next batch, and who wants these scores would wait for both.
    """

    def begin(batch: Batch) -> Fetched:
        scores = score(batch)
        if scores.device.type != "cuda":
            return scores.cpu
        copied = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
        copied.copy_(scores, non_blocking=True)
        told = torch.cuda.current_stream(scores.device).record_event()

        def fetch() -> torch.Tensor:
            told.synchronize()
            return copied

        return fetch

    return begin


def one_ahead(function: Callable[[Given], Result], each: Iterable[Given]) -> Iterator[tuple[Given, Result]]:
    """What a function gives for each, the next one begun before one is given back.

    A GPU only queues what it is told: it computes while what came before is looked at and what comes next is made.
    """
    begun: list[tuple[Given, Result]] = []
    for given in each:
        begun.append((given, function(given)))
        if len(begun) > 1:
            yield begun.pop(0)
    yield from begun


def halving(score: Scorer) -> Scorer:
    """A scorer that scores in halves what memory does not suffice for, and from then on never so much at once.

    RAISES: WindowTooLarge.
    """
    too_many = sys.maxsize

    def score_or_halve(batch: Batch) -> torch.Tensor:
        nonlocal too_many
        pieces = len(batch.lengths) * max(batch.lengths)
        if pieces < too_many or len(batch.lengths) == 1:
            try:
                return score(batch)
            except torch.OutOfMemoryError:
                if len(batch.lengths) == 1:
                    raise WindowTooLarge(pieces) from None
                too_many = pieces
            # Not in the handler, which holds what had been computed.
            torch.cuda.empty_cache()
            warnings.warn(
                f"The GPU had not the memory to read {pieces:,} pieces at once, and reads half of them from now on. "
                f"Set batch_pieces in [components.ner.model] to {pieces // 2} to save the attempts.",
                stacklevel=2,
            )
        return torch.cat([score_or_halve(half) for half in halves(batch)])

    return score_or_halve
