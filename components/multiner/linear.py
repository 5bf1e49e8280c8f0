"""Linear layers for prediction, in the number formats that processors multiply fast."""

from collections.abc import Callable

import torch
from torch.nn import functional

from .precision import greatest_int8_weight

Linear = Callable[[torch.Tensor], torch.Tensor]
CODE_BYTES = 8  # behind the steps of each row
SMALLEST = 1e-30  # of a scale; what a number is divided by must not make it infinite


class FloatLinear:
    """A linear layer in float32 or bfloat16.

    On a CPU that oneDNN has code for, its weights are put in the order in which oneDNN reads them, once. Otherwise they
    would be put so for each product in bfloat16; and in float32 torch takes MKL by itself, which is less than half as
    fast on an AMD EPYC.

    weight (out, in), bias (out,): Of any floating format; kept in that of `number_type`.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, number_type: torch.dtype) -> None:
        self._weight, self._bias = weight.to(number_type), bias.to(number_type)
        self._in_order = weight.device.type == "cpu" and _can_be_in_order(number_type)
        if self._in_order:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight)

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """From (rows, in) to (rows, out), in the layer's format as the vectors have to be."""
        if self._in_order:
            given: torch.Tensor = torch.ops.mkldnn._linear_pointwise(vectors, self._weight, self._bias, "none", [], "")
            return given
        return functional.linear(vectors, self._weight, self._bias)


def _can_be_in_order(number_type: torch.dtype) -> bool:
    """Whether weights of that format can be put as oneDNN reads them here, which torch has no public function for."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    return number_type is torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Int8Linear:
    """A linear layer that multiplies in int8.

    The weights of each output have a scale of their own: the greatest of them becomes 127 (63 where the processor has
    no VNNI). Each row of what comes in has one too, which reaches from its least number to its greatest in 255 steps.
    So what a row becomes does not depend on which others are there, as with a scale for all, which dynamic quantisation
    usually has, and outliers of one row take no precision from another.

    weight (out, in), bias (out,): Float32.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        scale = weight.abs().amax(1).clamp_min_(SMALLEST).div_(greatest_int8_weight())
        whole = (weight / scale[:, None]).round_().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(whole, None)
        self._sums = scale * whole.sum(1)
        self._scale = scale
        self._zeros = torch.zeros(len(scale), dtype=torch.int32)
        self._bias = bias.clone()

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """From (rows, in) to (rows, out), float32 both."""
        # Made for tables of embeddings, it goes through each row while that is in the nearest cache, where plain
        # operations, one behind the other, take two to four times as long. Behind the steps stand two numbers of
        # float32, the size of a step and the least number.
        coded = torch.ops.quantized.embedding_bag_byte_prepack(vectors)
        steps, numbers = coded.split([vectors.shape[1], CODE_BYTES], dim=1)
        size, least = numbers.contiguous().view(torch.float32).split(1, dim=1)
        given = torch.ops.onednn.qlinear_pointwise(
            steps, 1.0, 0, self._weight, self._scale, self._zeros, None, 1.0, 0, torch.float32, "none", [], "none"
        )
        # What the least number adds is the same for all of a row but for the sum of an output's weights.
        return torch.addcmul(self._bias, given, size, out=given).addcmul_(least, self._sums)
