"""Stopping a run of training from which nothing can be expected any more, with advice.

(A loss that is not a number ends it in `Multiner.update`.) A run that goes on from a checkpoint counts anew.
"""

from collections.abc import Callable
from typing import Any

from spacy.language import Language

from .errors import UserError

PERFECT = 1.0


class TrainingHopeless(UserError, RuntimeError):
    """Scores on dev show that training has failed; the message says what to look at."""


def stop_when_hopeless(
    eval_frequency: int, total_steps: int, after: float = 0.4, without_entity: int = 2, unmoved: int = 5
) -> Callable[[Language, dict[str, Any]], None]:
    """A callback for `[training.before_update]`, which looks at the scores that the last evaluation left in the meta.

    Registered as `multiner.stop_when_hopeless.v1`.

    eval_frequency (int): The config's `${training.eval_frequency}`.
    total_steps (int): The config's `${training.max_steps}`.
    after (float): The share of all steps after which scores are judged. Before it F1 may well be 0: the rate rises, and
        the first words that a fresh head learns are those outside of entities.
    without_entity (int): Stop after that many evaluations in a row without one right entity; 0 for never.
    unmoved (int): Stop after so many evaluations that all gave the same scores from the first one on; 0 for never.
    RAISES: TrainingHopeless.
    """
    seen: list[dict[str, float]] = []

    def look(nlp: Language, at: dict[str, Any]) -> None:
        step = at["step"] - 1  # the last one that is over
        if step < 0 or step % eval_frequency:
            return
        scores = nlp.meta.get("performance", {})
        seen.append({name: score for name, score in scores.items() if name.startswith("ents_") and _is_number(score)})
        if step < after * total_steps:
            return
        last = [each.get("ents_f") for each in seen[-without_entity:]]
        if without_entity and last == [0.0] * without_entity:
            raise TrainingHopeless(
                f"After step {step} not one entity of dev is found, at {without_entity} evaluations in a row. Training "
                "has collapsed to 'no entity' everywhere, or there is nothing to learn. Try a third of the learning "
                "rate ([training.optimizer.learn_rate] peak); see that train and dev have the same labels, and that "
                "their tags are right (scripts/stats.py). To train on all the same set [training.before_update] "
                "without_entity = 0."
            )
        has_moved = any(each != seen[0] for each in seen)
        if unmoved and len(seen) >= unmoved and not has_moved and seen[0].get("ents_f", PERFECT) != PERFECT:
            raise TrainingHopeless(
                f"The scores on dev are after step {step} what they were at the start, at {len(seen)} evaluations. "
                "Nothing is learnt, or nothing that dev asks for. Is the learning rate 0 or next to it "
                "([training.optimizer.learn_rate] peak), is the component in [training] frozen_components, has dev "
                "other labels than train? To train on all the same set [training.before_update] unmoved = 0."
            )

    return look


def _is_number(score: Any) -> bool:
    return isinstance(score, (int, float))
