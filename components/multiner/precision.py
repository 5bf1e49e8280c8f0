"""Which number formats this machine computes fast.

Where a processor has instructions for it, matrix products in bfloat16 take about half the time of those in float32 and
those in int8 (VNNI) a quarter; where it has none, those in bfloat16 take longer and those in int8 half. So the choice
is made at run time.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
# The library that computes the products, oneDNN, can be told not to use all instructions that a processor has.
INSTRUCTIONS_LIMIT = "ONEDNN_MAX_CPU_ISA"
WITHOUT_INT8 = {"SSE41", "AVX"}
WITHOUT_VNNI = WITHOUT_INT8 | {"AVX2", "AVX512_CORE"}
WITHOUT_BFLOAT16 = WITHOUT_VNNI | {"AVX2_VNNI", "AVX512_CORE_VNNI"}
GREATEST_INT8 = 127
# Without VNNI two products are added in 16 bits, in which twice 255 times more than this does not fit.
GREATEST_WITHOUT_VNNI = 63


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32 there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # No public function of torch tells; a build without these is taken to have neither.
        checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return _limit() not in WITHOUT_BFLOAT16 and any(check() for check in checks if check is not None)
    return False


def has_fast_int8(device: torch.device) -> bool:
    """Whether matrix products in int8 are faster than in float32 there."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return _limit() not in WITHOUT_INT8 and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def greatest_int8_weight() -> int:
    """The greatest weight with which this processor's products in int8 are right: without VNNI, one of seven bits."""
    check = getattr(torch.cpu, "_is_vnni_supported", None)
    has_vnni = check is not None and bool(check()) and _limit() not in WITHOUT_VNNI
    return GREATEST_INT8 if has_vnni else GREATEST_WITHOUT_VNNI


def _limit() -> str:
    return os.environ.get(INSTRUCTIONS_LIMIT, "").upper()


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """The number format of matrix products in prediction, for a setting on a device.

    Where int8 is wanted and is not fast, "auto" takes its place.

    RAISES: ValueError for float16 on a CPU, which would be slower there and lose accuracy.
    """
    if precision == "int8" and has_fast_int8(device):
        return torch.int8
    if precision in ("auto", "int8"):
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if precision == "float16" and device.type == "cpu":
        raise ValueError('precision = "float16" needs a GPU. On a CPU use "auto", "float32" or "bfloat16".')
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def floating_format(precision: Precision, device: torch.device) -> torch.dtype:
    """As `number_format`, where int8 cannot be computed with: in training, and by encoders that are not packed.

    RAISES: ValueError as there.
    """
    return number_format("auto" if precision == "int8" else precision, device)


def arithmetic(number_type: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """A context in which matrix products run in that format; weights and sums stay float32."""
    if number_type is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=number_type)
