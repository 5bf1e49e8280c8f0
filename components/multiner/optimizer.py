"""AdamW for an encoder with a fresh head, as `spacy train` calls it."""

import re
from collections.abc import Sequence
from itertools import product, starmap
from typing import NamedTuple

import torch
from thinc.api import Optimizer
from thinc.optimizers import FloatOrSeq
from torch import nn

from .gradients import grown

HEAD = ("head.", "mixing", "transitions")  # how the names of what starts from nothing begin
LAG = "lag"  # of the average behind the weights, among what is remembered of a parameter
LAYER_NUMBER = re.compile(r"\.layers?\.(\d+)\.")


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
    average_decay (float): Evaluate and save the average of the weights over the run (Polyak and Juditsky 1992) in
        place of the last ones: at each step the average goes 1 - `average_decay` of the way to the weights, and more
        than that in the first steps. 0 for no average.
    layer_decay (float): How many times the rate of the layer above it each layer of the encoder has (Howard and Ruder
        2018); the embeddings stand below the lowest. 1 for one rate.
    RAISES: ValueError for a decay outside of 0 to 1.
    """

    __slots__ = ["average_decay", "head_factor", "layer_decay"]

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
        average_decay: float = 0.0,
        layer_decay: float = 1.0,
    ) -> None:
        if not 0.0 <= average_decay < 1.0:
            raise ValueError(
                f"[training.optimizer] average_decay = {average_decay} must be 0, for no average, or below 1."
            )
        if not 0.0 < layer_decay <= 1.0:
            raise ValueError(f"[training.optimizer] layer_decay = {layer_decay} must be above 0 and at most 1.")
        super().__init__(
            learn_rate,
            L2=weight_decay,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            grad_clip=grad_clip,
            use_averages=average_decay > 0.0,
        )
        self.head_factor = head_factor
        self.average_decay = average_decay
        self.layer_decay = layer_decay


class Kind(NamedTuple):
    """What decides on a parameter's rate and decay.

    is_head: Whether it belongs to the head.
    decays: Whether weight decay acts on it.
    depth: How many layers stand above its own; 0 where all have one rate.
    """

    is_head: bool
    decays: bool
    depth: int = 0


class NamedAdamW(torch.optim.AdamW):
    """torch's AdamW, which knows its parameters by name, so that one may be replaced by a larger one.

    settings (AdamW): Whose steps these are; another optimizer starts without their momentum.
    """

    def __init__(self, settings: AdamW) -> None:
        kinds = starmap(Kind, product((False, True), repeat=2))
        super().__init__([{"params": [], "kind": kind} for kind in kinds], fused=True)
        self.settings = settings
        self.named: dict[str, nn.Parameter] = {}
        self.steps = 0

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
        of_kind: dict[Kind, list[nn.Parameter]] = {group["kind"]: [] for group in self.param_groups}
        for kind, (_, parameter) in zip(_kinds(parameters, self.settings.layer_decay), parameters, strict=True):
            if kind not in of_kind:
                self.add_param_group({"params": [], "kind": kind})
            of_kind.setdefault(kind, []).append(parameter)
        for group in self.param_groups:
            group["params"] = of_kind[group["kind"]]

    def move(self) -> None:
        """One step of all parameters, and of their average if there is to be one."""
        self.steps += 1
        decay = min(self.settings.average_decay, (1 + self.steps) / (10 + self.steps))
        averaged = [(parameter, memory[LAG]) for parameter, memory in self.state.items() if LAG in memory]
        with torch.no_grad():
            # What the average lacks is kept, not the average: rows that are met later lack nothing.
            for parameter, lag in averaged:
                lag.add_(parameter)
            self.step()
            for parameter, lag in averaged:
                lag.sub_(parameter).mul_(decay)
        if decay:
            for parameter, memory in self.state.items():
                memory.setdefault(LAG, torch.zeros_like(parameter))

    def lags(self) -> dict[str, torch.Tensor]:
        """How far the average is from the weights, by the names of parameters; nothing where there is none."""
        return {name: self.state[each][LAG] for name, each in self.named.items() if LAG in self.state.get(each, ())}

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
            if key == "step":
                self.steps = max(self.steps, int(value))


def _kinds(parameters: Sequence[tuple[str, nn.Parameter]], layer_decay: float) -> list[Kind]:
    """What each parameter is; layers are told apart only where their rates differ, since fewer groups are faster."""
    numbers = [LAYER_NUMBER.search(name) for name, _ in parameters]
    layers = 1 + max((int(number[1]) for number in numbers if number), default=-1)
    kinds = []
    for number, (name, parameter) in zip(numbers, parameters, strict=True):
        is_head = name.startswith(HEAD)
        depth = 0 if is_head or layer_decay == 1.0 else layers - int(number[1]) - 1 if number else layers
        kinds.append(Kind(is_head, parameter.ndim > 1 and not name.startswith("embedding."), depth))
    return kinds


def step_adamw(settings: AdamW, state: NamedAdamW | None, parameters: Sequence[tuple[str, nn.Parameter]]) -> NamedAdamW:
    """One step of AdamW over a network's parameters.

    state (NamedAdamW | None): What the last step returned; None for the first one.
    """
    if state is None or state.settings is not settings:
        state = NamedAdamW(settings)
    state.set_parameters(parameters)
    for group in state.param_groups:
        kind: Kind = group["kind"]
        factor = settings.head_factor if kind.is_head else settings.layer_decay**kind.depth
        group["lr"] = settings.learn_rate * factor
        group["betas"] = (settings.b1, settings.b2)
        group["eps"] = settings.eps
        group["weight_decay"] = settings.L2 if kind.decays else 0.0
    if settings.grad_clip:
        gradients = [parameter.grad for _, parameter in parameters if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if norm > settings.grad_clip:
            for gradient in gradients:
                gradient.mul_(settings.grad_clip / norm)
    state.move()
    return state
