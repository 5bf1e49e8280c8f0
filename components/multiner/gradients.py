"""Gradients that are made in parts: of a batch that goes through the network piece by piece.

The loss of a batch is a mean over its words. Parts of a batch have unlike numbers of words, so the mean over the
batch is not the mean of the parts' means: each part has to count by its words. Done this way, clipping and the steps
of the optimizer see what one large batch gives, however it was cut.
"""

from collections.abc import Sequence

import torch
from torch import nn

Parameters = Sequence[tuple[str, nn.Parameter]]
Gradients = dict[str, torch.Tensor]


def set_aside(parameters: Parameters) -> Gradients:
    """Take the gradients away from parameters, so that others can be made. RETURNS: Them by name."""
    gradients = {name: parameter.grad for name, parameter in parameters if parameter.grad is not None}
    for _, parameter in parameters:
        parameter.grad = None
    return gradients


def put_back(parameters: Parameters, gradients: Gradients) -> None:
    """Give parameters the gradients that were set aside, and forget those made since."""
    for name, parameter in parameters:
        parameter.grad = grown(gradients[name], parameter) if name in gradients else None


def join(parameters: Parameters, earlier: Gradients, share: float) -> None:
    """Have the gradients be the mean of what they are and of those set aside.

    share (float): How much of the mean the earlier ones are, between 0 and 1.
    """
    for name, parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(1.0 - share)
        if name in earlier:
            gradient = grown(earlier[name], parameter).mul_(share)
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def grown(values: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A gradient, or what an optimizer remembers, of a parameter that may have got more rows since.

    values (Tensor): As many as the parameter had, or has; rows of the embedding, and of the head tags, are added at
        the end.
    RETURNS: As many as it has, with 0 for new ones.
    """
    if values.shape == parameter.shape:
        return values
    larger = torch.zeros_like(parameter)
    larger[tuple(map(slice, values.shape))] = values
    return larger
