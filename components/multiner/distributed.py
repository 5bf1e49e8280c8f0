"""Several processes that train one model together, one on each GPU, as `torchrun` starts them.

    torchrun --nproc-per-node 4 -m spacy train config.cfg --output training --gpu-id 0

Every process (a rank, in torch's words) has the whole model and learns from its own share of each batch. Before the
weights move, the gradients of all are averaged, each word of all shares counting the same; so all have the same
weights after every step, those that one process would have with a batch as large as all shares together. The first
rank alone evaluates, prints and saves; all know the scores, and so all stop at the same step.
"""

import atexit
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from spacy.language import Language
from spacy.training import Example
from thinc.api import get_torch_default_device

from .errors import UserError
from .network import WordTagger
from .ranks import count, is_first


class RanksError(UserError, ValueError):
    """This pipeline cannot be trained by several processes; the message says why."""


def start_ranks(timeout_minutes: float) -> Callable[[Language], None]:
    """A callback for `[initialize.after_init]`: the processes of `torchrun` train together. Alone it does nothing.

    Registered as `multiner.ranks.v1`.

    timeout_minutes (float): How long ranks wait for each other before they give up; the others wait while the first
        one evaluates and saves.
    RAISES: RanksError if the pipeline has parts whose gradients could not be averaged.
    """

    def start(nlp: Language) -> None:
        if count() == 1:
            return
        for name, network in _networks(nlp).items():
            if network is None:
                raise RanksError(
                    f"The component '{name}' cannot be trained by several processes: only gradients of components with "
                    "the factory multiner and an encoder of their own are averaged. Train without torchrun, or put it "
                    "into [training] frozen_components."
                )
        device = get_torch_default_device()
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=timeout_minutes))
        atexit.register(dist.destroy_process_group)
        for network in _networks(nlp).values():
            # They are alike, being made from the same files with the same seed; this makes sure of it.
            for tensor in network.state_dict().values() if network else ():
                dist.broadcast(tensor, 0)
        nlp.evaluate = _evaluation_by_the_first(nlp, device)  # type: ignore[method-assign]

    return start


def _networks(nlp: Language) -> dict[str, WordTagger | None]:
    """The networks of the components that are trained; None for those that are made otherwise."""
    networks = {}
    for name, component in cast(list[tuple[str, Any]], nlp.pipeline):
        if getattr(component, "is_trainable", False) and name not in nlp.config["training"]["frozen_components"]:
            found = getattr(component.model.shims[0], "network", None) if component.model.shims else None
            networks[name] = found if isinstance(found, WordTagger) else None
    return networks


def _evaluation_by_the_first(nlp: Language, device: torch.device) -> Callable[..., dict[str, Any]]:
    def evaluate(examples: Iterable[Example], **options: Any) -> dict[str, Any]:
        # JSON keeps every float as it is, and is what the pipeline's meta has to be written as anyway.
        scores = json.dumps(Language.evaluate(nlp, examples, **options)) if is_first() else ""
        content = torch.tensor(list(scores.encode()), dtype=torch.uint8, device=device)
        size = torch.tensor(len(content), device=device)
        dist.broadcast(size, 0)
        if not is_first():
            content = torch.empty(int(size), dtype=torch.uint8, device=device)
        dist.broadcast(content, 0)
        result: dict[str, Any] = json.loads(bytes(content.tolist()))
        return result

    return evaluate


def gather(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The tensors of all ranks, which have the same shape, in their order."""
    if count() == 1:
        return [tensor]
    _require_start()
    sent = tensor.to(get_torch_default_device())
    received = [torch.empty_like(sent) for _ in range(count())]
    dist.all_gather(received, sent)
    return [each.to(tensor.device) for each in received]


def gather_unlike(numbers: torch.Tensor) -> list[torch.Tensor]:
    """The whole numbers of all ranks, array (any length,) each, in their order."""
    sizes = [int(size) for size in gather(torch.tensor([len(numbers)]))]
    padded = numbers.new_zeros(max(sizes))
    padded[: len(numbers)] = numbers
    return [each[:size] for each, size in zip(gather(padded), sizes, strict=True)]


def mean(value: float, weight: int) -> float:
    """The mean of a value over all ranks, weighted; 0 if all weights are."""
    sums = torch.stack(gather(torch.tensor([value * weight, weight], dtype=torch.float64))).sum(0)
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def average_gradients(network: WordTagger, words: int) -> None:
    """Have all ranks the mean of their gradients.

    A rank that had nothing to learn from takes part with 0 words. If all had nothing, none has gradients after this.

    words (int): Over how many words its gradients are the mean.
    RAISES: RanksError when the ranks have met unlike labels.
    """
    tags = torch.tensor([words, network.head.out_features])
    all_words, all_tags = torch.stack(gather(tags)).T
    if len(set(all_tags.tolist())) > 1:
        raise RanksError(
            "The processes have met unlike labels. Name all of them before training: labels = [...] in the component's "
            "section of [initialize.components]."
        )
    agree_on_rows(network)
    parameters = list(network.trained())
    used = torch.stack(gather(torch.tensor([parameter.grad is not None for _, parameter in parameters]))).any(0)
    total = int(all_words.sum())
    if total == 0:
        for _, parameter in parameters:
            parameter.grad = None
        return
    shared = [parameter for (_, parameter), is_used in zip(parameters, used.tolist(), strict=True) if is_used]
    # One long message is sent faster than hundreds of short ones.
    together = torch.cat([_gradient(parameter).flatten() for parameter in shared]).mul_(words / total)
    dist.all_reduce(together)
    for parameter, part in zip(shared, together.split([parameter.numel() for parameter in shared]), strict=True):
        parameter.grad = part.view_as(parameter)


def agree_on_rows(network: WordTagger) -> None:
    """Have all ranks train the same rows of the embedding, in the same order: those that any of them has met."""
    embedding = network.embedding
    met_by_any = torch.unique(torch.cat(gather_unlike(embedding.met[embedding.agreed :])))
    if not len(met_by_any):
        return
    embedding.meet_in_order(torch.cat([embedding.met[: embedding.agreed], met_by_any]))


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _require_start() -> None:
    if not dist.is_initialized():
        raise RanksError(
            "torchrun has started several processes, and the config does not have them train together. Add to it:\n\n"
            '[initialize.after_init]\n@callbacks = "multiner.ranks.v1"\ntimeout_minutes = 60'
        )
