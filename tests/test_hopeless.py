"""Runs from which nothing can be expected stop with advice."""

import pytest
import spacy
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import DocBin

from multiner.hopeless import TrainingHopeless, stop_when_hopeless

from .conftest import PROJECT, SENTENCES, make_doc, starting_from


def look_at(scores: list[float | None], **settings: float) -> int:
    """Evaluate every second step of twenty with these F1. RETURNS: How many evaluations were looked at."""
    nlp: Language = spacy.blank("xx")
    look = stop_when_hopeless(eval_frequency=2, total_steps=20, **settings)
    for number, score in enumerate(scores):
        look(nlp, {"step": 2 * number, "epoch": 0})
        if score is not None:
            nlp.meta["performance"] = {"ents_f": score, "ents_p": score, "ner_loss": float(number)}
        look(nlp, {"step": 2 * number + 1, "epoch": 0})
    return len(scores)


def test_no_entity_at_two_evaluations_in_a_row_is_a_collapse():
    with pytest.raises(
        TrainingHopeless, match=r"After step 10 not one entity.*Try a third of the learning rate.*labels"
    ):
        look_at([0.1, 0.3, 0.4, 0.5, 0.0, 0.0])


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param([0.2, 0.0, 0.0, 0.0, 0.1, 0.2], id="slow at the start"),
        pytest.param([0.2] * 4 + [0.3], id="slow to move"),
        pytest.param([0.0, 0.1, 0.2, 0.3, 0.0, 0.4, 0.0, 0.4], id="not in a row"),
        pytest.param([1.0] * 9, id="nothing left to learn"),
        pytest.param([0.1, *[0.5] * 9], id="it has moved"),
        pytest.param([None] * 9, id="entities are not scored"),
    ],
)
def test_what_may_still_become_something_goes_on(scores):
    assert look_at(scores) == len(scores)


def test_scores_that_never_move_stop_the_run():
    with pytest.raises(TrainingHopeless, match=r"after step 8 what they were at the start, at 5 .*frozen_components"):
        look_at([0.3] * 5)
    assert look_at([0.3] * 4) == 4
    assert look_at([0.3] * 9, unmoved=0) == 9
    assert look_at([0.0] * 9, unmoved=0, without_entity=0) == 9


def test_spacy_train_with_the_projects_config_is_stopped(tiny_encoder, tmp_path):
    """Labels of which dev has none: nothing can ever be found."""
    nlp = spacy.blank("xx")
    others = [(words, [(start, end, "DAY") for start, end, _ in entities]) for words, entities in SENTENCES]
    for part, sentences in (("train", SENTENCES), ("dev", others)):
        DocBin(docs=[make_doc(nlp, *sentence) for sentence in sentences] * 4).to_disk(tmp_path / f"{part}.spacy")
    overrides = {f"paths.{part}": str(tmp_path / f"{part}.spacy") for part in ("train", "dev")}
    with pytest.raises(TrainingHopeless):
        train(PROJECT / "configs/e5-small.cfg", overrides={**overrides, **starting_from(tiny_encoder)})
