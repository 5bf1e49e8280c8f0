"""AdamW for an encoder with a fresh head, as `spacy train` calls it."""

from collections.abc import Sequence

import torch
from thinc.api import Optimizer
from thinc.optimizers import FloatOrSeq
from torch import nn

from .gradients import grown

HEAD = ("head.", "mixing")  # how the names of what starts from nothing begin
PARAMETER_KINDS = [(is_head, decays) for is_head in (False, True) for decays in (False, True)]


class AdamW(Optimizer):
    """AdamW (Loshchilov and Hutter 2019) for the encoder and its head, with settings for each.

    Registered as `multiner.AdamW.v1`. The head starts from random weights and learns faster than the pretrained
    encoder. Weight decay leaves out what is added or multiplied element by element (biases, layer norms) and the
    embedding table, where it would shrink the rows of pieces that the corpus never shows. In other components of the
    pipeline it is thinc's Adam.

    learn_rate: Of the encoder; a number or a schedule.
    head_factor (float): How many times greater the head's is.
    weight_decay (float): Share of a weight that goes per step and unit of learning rate.
    beta1, beta2, eps: Of Adam.
    grad_clip (float): The greatest norm that all gradients together may have; 0 for no limit.
    """

    __slots__ = ["head_factor"]

    def __init__(
        self,
        learn_rate: FloatOrSeq,
        *,
        head_factor: float = 10.0,
        weight_decay: float = 0.01,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        grad_clip: float = 1.0,
    ) -> None:
        super().__init__(
            learn_rate,
            L2=weight_decay,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            grad_clip=grad_clip,
            use_averages=False,
        )
        self.head_factor = head_factor


class NamedAdamW(torch.optim.AdamW):
    """torch's AdamW, which knows its parameters by name, so that one may be replaced by a larger one.

    settings (AdamW): Whose steps these are; another optimizer starts without their momentum.
    """

    def __init__(self, settings: AdamW) -> None:
        super().__init__([{"params": [], "kind": kind} for kind in PARAMETER_KINDS], fused=True)
        self.settings = settings
        self.named: dict[str, nn.Parameter] = {}

    def set_parameters(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        """Move these parameters from now on. Momentum stays with the name, rows that are new start without."""
        for name, parameter in parameters:
            old = self.named.get(name)
            if old is not None and old is not parameter and old in self.state:
                self.state[parameter] = {
                    # All but the number of steps is as large as the parameter.
                    key: grown(value, parameter) if value.shape == old.shape else value
                    for key, value in self.state.pop(old).items()
                }
        self.named = dict(parameters)
        for group in self.param_groups:
            group["params"] = [parameter for name, parameter in parameters if _kind(name, parameter) == group["kind"]]

    def moments(self) -> dict[str, torch.Tensor]:
        """What it remembers of its steps, by the names of parameters."""
        return {
            f"{name}/{key}": value
            for name, parameter in self.named.items()
            for key, value in self.state[parameter].items()
        }

    def restore(self, moments: dict[str, torch.Tensor], parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        """Go on from what `moments` gave, with these parameters."""
        self.set_parameters(parameters)
        for place, value in moments.items():
            name, _, key = place.rpartition("/")
            parameter = self.named[name]
            # torch counts steps beside the parameter too, since the steps are fused.
            self.state[parameter][key] = value.to(parameter.device)


def _kind(name: str, parameter: nn.Parameter) -> tuple[bool, bool]:
    """Whether a parameter belongs to the head, and whether weight decay acts on it."""
    return name.startswith(HEAD), parameter.ndim > 1 and not name.startswith("embedding.")


def step_adamw(settings: AdamW, state: NamedAdamW | None, parameters: Sequence[tuple[str, nn.Parameter]]) -> NamedAdamW:
    """One step of AdamW over a network's parameters.

    state (NamedAdamW | None): What the last step returned; None for the first one.
    """
    if state is None or state.settings is not settings:
        state = NamedAdamW(settings)
    state.set_parameters(parameters)
    for group in state.param_groups:
        is_head, decays = group["kind"]
        group["lr"] = settings.learn_rate * (settings.head_factor if is_head else 1.0)
        group["betas"] = (settings.b1, settings.b2)
        group["eps"] = settings.eps
        group["weight_decay"] = settings.L2 if decays else 0.0
    if settings.grad_clip:
        gradients = [parameter.grad for _, parameter in parameters if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if norm > settings.grad_clip:
            for gradient in gradients:
                gradient.mul_(settings.grad_clip / norm)
    state.step()
    return state
