"""The spaCy component: labels, prediction, annotation, training, saving."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import torch
from numpy.typing import NDArray
from spacy import util
from spacy.attrs import ENT_IOB, IS_SPACE
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer

from . import distributed, ranks
from .calibration import Outcomes, compare, fit_temperature
from .decoding import Entities, best_legal_tags, confidences, entities_of, in_a_row, spans_of
from .docbins import read_docs, visible_words, without_annotation
from .encoder import EncoderNotFound, load_encoder
from .errors import UserError
from .files import keep, swapped_folder, whole_folder
from .manifest import (
    MANIFEST,
    REMEDY,
    ModelFilesError,
    check_manifest,
    check_parts,
    manifest_of,
    read_bytes,
    write_manifest,
)
from .model import EveryPiece, PieceScores, Scores, TaggerShim
from .objective import Loss, MeanLoss, Tagged, add_disagreement, divergence_of_tags, loss_of_sequences, loss_of_words
from .scoring import one_ahead
from .sentence_ends import words_read_as_a_whole
from .shared import SharedShim
from .tags import IGNORED, LABEL_STRATEGIES, LabelStrategy, piece_labels
from .tags import Span as WordSpan

DEFAULT_CONFIG = """
[model]
@architectures = "multiner.Classifier.v1"
window = 256
overlap = 64
precision = "auto"
float_layers = []
gradient_checkpointing = false

[scorer]
@scorers = "multiner.ner_scorer.v1"
"""
INSIDE, BEGIN = 1, 3  # of spaCy's ENT_IOB; a beginning without a label blocks the word from being in an entity

Predictions = list[tuple[list[WordSpan], NDArray[np.float32]]]


class ComponentError(UserError, ValueError):
    """The component cannot do what it was asked to; the message says what to add or change."""


@Language.factory(
    "multiner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config={
        **Config().from_str(DEFAULT_CONFIG),
        "spans_key": "ner",
        "threshold": 0.0,
        "overwrite_ents": False,
        "label_strategy": "first",
        "label_smoothing": 0.0,
        "consistency": 0.0,
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def make_multiner(
    nlp: Language,
    name: str,
    model: Model[list[Doc], list[Scores]],
    spans_key: str,
    threshold: float,
    overwrite_ents: bool,
    label_strategy: LabelStrategy,
    label_smoothing: float,
    consistency: float,
    scorer: Callable[..., Any] | None,
) -> "Multiner":
    """Construct the component; see `Multiner`."""
    return Multiner(
        nlp.vocab,
        model,
        name,
        spans_key=spans_key,
        threshold=threshold,
        overwrite_ents=overwrite_ents,
        label_strategy=label_strategy,
        label_smoothing=label_smoothing,
        consistency=consistency,
        scorer=scorer,
    )


class Multiner(TrainablePipe):
    """Tags words with a Hugging Face encoder and one linear layer, and sets the entities that the tags spell.

    Sets `doc.ents`, and the same spans in `doc.spans[spans_key]` with the probability that each one is exactly
    right in `doc.spans[spans_key].attrs["scores"]` (float32, in the order of the spans). Entities that were there
    before stay, as with spaCy's own `ner`, but do not come into `doc.spans`: nothing is known of their confidence.

    vocab (Vocab): The shared vocabulary.
    model (Model): From documents to tag scores, as `multiner.Classifier.v1` builds it.
    name (str): The component's name in the pipeline.
    spans_key (str): Where in `doc.spans` entities and scores go.
    threshold (float): Entities of less confidence than this are not set. 0 sets all.
    overwrite_ents (bool): Whether `doc.ents` loses the entities that were there before, and those words that were
        blocked. If not, they are kept, and new ones are found in the words between them.
    label_strategy (str): What the later pieces of a word learn, its first one learning the word's tag: "first" nothing,
        "inside" the same with `I-` for `B-`, "repeat" the same. Entities are read from first pieces in any case.
    label_smoothing (float): In training so much of the probability goes to all tags alike and not to the right one
        (Szegedy et al. 2016): annotation that errs is believed less.
    consistency (float): In training the encoder reads all twice, with other dropout, and how far the two disagree
        counts so many times in the loss (Liang et al. 2021, R-Drop). 0 reads once.
    scorer (Callable | None): Scores examples; by default spaCy's `ents_*`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Scores]],
        name: str = "multiner",
        *,
        spans_key: str = "ner",
        threshold: float = 0.0,
        overwrite_ents: bool = False,
        label_strategy: LabelStrategy = "first",
        label_smoothing: float = 0.0,
        consistency: float = 0.0,
        scorer: Callable[..., Any] | None = None,
    ) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ComponentError(f"[components.{name}] threshold = {threshold} must be between 0 and 1.")
        if not 0.0 <= label_smoothing < 1.0:
            raise ComponentError(f"[components.{name}] label_smoothing = {label_smoothing} must be 0 or more, below 1.")
        if consistency < 0.0:
            raise ComponentError(f"[components.{name}] consistency = {consistency} must be 0 or more.")
        if consistency and isinstance(model.shims[0], SharedShim):
            raise ComponentError(
                f"[components.{name}] consistency = {consistency} needs an encoder of its own, and a shared one reads "
                "once. Set it to 0."
            )
        if label_strategy not in LABEL_STRATEGIES:
            allowed = ", ".join(f'"{strategy}"' for strategy in LABEL_STRATEGIES)
            raise ComponentError(f'[components.{name}] label_strategy = "{label_strategy}" is none of {allowed}.')
        if model.shims[0].cfg.get("crf", False):
            of_words = {"label_smoothing": label_smoothing, "consistency": consistency}
            set_too = [f"{setting} = {value}" for setting, value in of_words.items() if value]
            if label_strategy != "first":
                set_too.append(f'label_strategy = "{label_strategy}"')
            if set_too:
                raise ComponentError(
                    f"[components.{name}] {', '.join(set_too)}: that is for words or pieces by themselves, and with "
                    "crf = true in its model the tags of a document are learnt together. Take the one or the other."
                )
        if label_strategy != "first" and model.shims[0].cfg.get("word_pieces", "first") != "first":
            raise ComponentError(
                f'[components.{name}] label_strategy = "{label_strategy}" has every piece learn a label of its own, '
                'and word_pieces in its model has words be read from several. Set one of them to "first".'
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self._settings = {
            "spans_key": spans_key,
            "threshold": threshold,
            "overwrite_ents": overwrite_ents,
            "label_strategy": label_strategy,
            "label_smoothing": label_smoothing,
            "consistency": consistency,
        }
        self.cfg: dict[str, Any] = {"labels": [], "temperature": 1.0, **self._settings}
        # `nlp.resume_training` puts a copy of the model here.
        self._rehearsal_model: Model[list[Doc], list[Scores]] | None = None
        self._mean: MeanLoss | None = None  # of the updates since weights moved
        self._most_examples = 0  # that memory has room for at once, once that is known

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity types, in the order of their tags."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """What `initialize(labels=...)` takes and `spacy init labels` writes."""
        return list(self.cfg["labels"])

    @property
    def shim(self) -> TaggerShim:
        """The holder of network and tokenizer."""
        shim = self.model.shims[0]
        assert isinstance(shim, TaggerShim)
        return shim

    def add_label(self, label: str) -> int:
        """Have one more entity type.

        RETURNS: 1, or 0 if it was there already.
        RAISES: ValueError if it is no string.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.labels:
            return 0
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        if self.shim.is_ready:
            self.shim.network.grow(self._tag_count)
        return 1

    @property
    def _tag_count(self) -> int:
        return 1 + 2 * len(self.labels)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
        encoder: str | None = None,
        revision: str | None = None,
        layers: int | None = None,
        fresh_layers: int = 0,
    ) -> None:
        """Load the pretrained encoder and put a new head on it.

        A component that was trained and is given no encoder keeps its weights, and its head grows by the labels that
        are new: so a loaded or sourced one is trained further.

        get_examples (Callable): Gives the training examples.
        nlp (Language | None): Not used; the signature is spaCy's.
        labels (Sequence | None): The entity types; if None, those of all the examples. They come after those that
            the component has already. This saves a look at all the examples and is no restriction, see `update`.
        encoder (str | None): A folder or a name on the hub. In a config it stands in
            `[initialize.components.NAME]`, so that it is only read before training. None with
            `multiner.SharedClassifier.v1`, which has the encoder of another component.
        revision (str | None): Branch, tag or commit on the hub.
        layers (int | None): Keep only so many of the encoder's layers, the lowest, in training and for good. The
            highest ones of an encoder that was tuned for something else may know more of that than of words, and what
            is left away costs nothing. None keeps all.
        fresh_layers (int): So many of the highest layers that are kept begin with random weights, for the same reason
            (Zhang et al. 2021).
        RAISES: ComponentError without encoder or labels; EncoderNotFound, EncoderNotUsable.
        """
        validate_get_examples(get_examples, "Multiner.initialize")
        shared = isinstance(self.shim, SharedShim)
        if shared and encoder is not None:
            raise ComponentError(
                f"The component '{self.name}' shares the encoder of another one, and cannot have '{encoder}' too. Take "
                f"`encoder` out of [initialize.components.{self.name}]; it is `name` in [components.transformer.model]."
            )
        if encoder is None and not shared and not self.shim.is_ready:
            raise ComponentError(
                f"The component '{self.name}' has no encoder to start from. Add to the config:\n\n"
                f"{self._encoder_lines}\n\nwith a name on the Hugging Face hub or the path of a folder."
            )
        found = labels if labels is not None else _entity_types(get_examples())
        for label in found:
            self.add_label(label)
        if not self.labels:
            raise ComponentError(
                f"The component '{self.name}' has no labels: the training data holds no entity. Check it, or add to "
                f'the config:\n\n[initialize.components.{self.name}]\nlabels = ["PER", "LOC", "ORG"]'
            )
        if isinstance(self.shim, SharedShim):
            if not self.shim.is_ready:
                self.shim.start_shared(self._tag_count)
            return
        if encoder is None:
            return
        try:
            pretrained = load_encoder(encoder, revision=revision, layers=layers, fresh_layers=fresh_layers)
        except EncoderNotFound as error:
            raise EncoderNotFound(f"{error} Where the config has it:\n\n{self._encoder_lines}") from error
        whole_words = words_read_as_a_whole(example.reference for example in get_examples())
        self.shim.start(pretrained, self._tag_count, whole_words=whole_words)

    @property
    def _encoder_lines(self) -> str:
        return f'[initialize.components.{self.name}]\nencoder = "xlm-roberta-base"'

    def _require_weights(self) -> None:
        if not self.shim.is_ready:
            raise ComponentError(
                Errors.E109.format(name=self.name) + " It has no weights: train or load the pipeline first. To be "
                f"trained it needs in the config:\n\n{self._encoder_lines}"
            )

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Find the entities of a stream of documents.

        A GPU begins with the next documents before these get their entities, so that it does not wait for that, nor for
        what becomes of them, nor for the text behind them to be cut into words.

        batch_size (int): Documents whose scores are computed together.
        YIELDS: The documents in their order.
        """
        if not self.shim.computes_beside:
            yield from super().pipe(stream, batch_size=batch_size)
            return
        handle_error = self.get_error_handler()
        for docs, begun in one_ahead(self._begin, util.minibatch(stream, batch_size)):  # type: ignore[no-untyped-call]
            try:
                self.set_annotations(docs, self.decode(docs, begun.result()()))
                yield from docs
            except Exception as error:  # whichever: what becomes of it is for the handler to say, as in all of spaCy
                handle_error(self.name, self, docs, error)

    def _begin(self, docs: Sequence[Doc]) -> Future[Callable[[], list[Scores]]]:
        """Begin to score documents; what is raised is raised when they are asked for, and not before."""
        begun: Future[Callable[[], list[Scores]]] = Future()
        try:
            begun.set_result(self.shim.begin(docs))
        except Exception as error:
            begun.set_exception(error)
        return begun

    def predict(self, docs: Iterable[Doc]) -> Predictions:
        """The entities of documents, which stay as they are.

        RETURNS: For each document its entities (first word, word after the last, label) and their confidences.
        RAISES: ComponentError if the component is neither trained nor loaded.
        """
        docs = list(docs)
        return self.decode(docs, self.tag_scores(docs))

    def tag_scores(self, docs: Sequence[Doc]) -> list[Scores]:
        """The scores that entities are decoded from.

        RETURNS: For each document an array (words, tags), tags as `tags.tag_names` orders those of the labels.
        RAISES: ComponentError if the component is neither trained nor loaded.
        """
        self._require_weights()
        return self.model.predict(list(docs))

    def decode(self, docs: Sequence[Doc], scores: Sequence[Scores]) -> Predictions:
        """The entities that scores spell, and their confidences; see `predict`."""
        if not docs:
            return []
        of_words = np.concatenate([doc.to_array([IS_SPACE, ENT_IOB]) for doc in docs])
        ends = np.cumsum([len(doc) for doc in docs])
        taken = np.isin(of_words[:, 1], (INSIDE, BEGIN)) & (not self.cfg["overwrite_ents"])
        words = np.flatnonzero((of_words[:, 0] == 0) | taken)
        possible = np.concatenate(scores)[words]
        # There nothing but 'no entity' is possible, and the best legal tags around it are looked for.
        possible[taken[words], 1:] = -np.inf
        documents = in_a_row(possible, np.diff(np.searchsorted(words, ends), prepend=0))
        entities = entities_of(best_legal_tags(documents))
        sure = confidences(documents.scores, entities, self.cfg["temperature"])
        enough = sure >= self.cfg["threshold"]
        entities, sure = Entities(*(each[enough] for each in entities)), sure[enough]
        numbers = np.searchsorted(documents.ends, entities.starts)
        # Of the rows before an entity one is behind each document before its own.
        before = (ends - [len(doc) for doc in docs])[numbers]
        first, last = words[entities.starts - numbers] - before, words[entities.ends - 1 - numbers] - before
        places = spans_of(Entities(first, last + 1, entities.labels), self.labels)
        parts = pairwise(np.searchsorted(numbers, np.arange(len(docs) + 1)).tolist())
        return [(places[start:end], sure[start:end]) for start, end in parts]

    def calibrate(self, docs: Iterable[Doc], gold: Iterable[Doc]) -> float:
        """Fit the temperature of the confidences, so that of entities with confidence .8 eight in ten are right.

        It is kept with the pipe and changes no entity.

        docs (Iterable): Documents that the pipe did not learn from, as its predecessors in the pipeline leave them.
        gold (Iterable): The same documents with the right entities.
        RETURNS: The temperature.
        """
        self.cfg["temperature"] = fit_temperature(self.outcomes(docs, gold))
        return float(self.cfg["temperature"])

    def outcomes(self, docs: Iterable[Doc], gold: Iterable[Doc]) -> Outcomes:
        """What the pipe finds in documents, and what of it is right; see `multiner.calibration`."""
        docs, gold = list(docs), list(gold)
        scores, spans = [], []
        for doc, reference, scored in zip(docs, gold, self.model.predict(docs), strict=True):
            words = np.flatnonzero(visible_words(doc))
            scores.append(scored[words])
            spans.append([_without_white_space(entity, words) for entity in reference.ents])
        return compare(scores, spans, self.labels)

    def set_annotations(self, docs: Iterable[Doc], predictions: Predictions) -> None:
        """Set entities and their confidences."""
        for doc, (places, scores) in zip(docs, predictions, strict=True):
            entities = [Span(doc, start, end, label=label) for start, end, label in places]
            if self.cfg["overwrite_ents"]:
                _forget_entities(doc)
            doc.set_ents([*doc.ents, *entities], blocked=_blocked(doc))
            group = SpanGroup(doc, name=self.cfg["spans_key"], spans=entities, attrs={"scores": scores})
            doc.spans[self.cfg["spans_key"]] = group

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples.

        Entity types that are new become labels, as with spaCy's own `ner`: a sourced component, which `spacy train`
        does not initialise, learns them too. Examples and words without annotation teach nothing.

        drop (float): The rate of dropout, in the encoder and before the head.
        sgd (Optimizer | None): Moves the weights at once if given; else `finish_update` does, along the
            mean of the gradients of all words since the last time.
        losses (dict | None): Where the mean cross-entropy of the batch is added, under the pipe's name. Of several
            updates before the weights move, as with `accumulate_gradient`, it is the mean over the words of all.
        RAISES: ComponentError if the component has no weights, if the loss is not a number, or if memory does not
            suffice for one document. Batches for which it does not are halved, with a warning.
        """
        losses = losses if losses is not None else {}
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Multiner.update")
        self._require_weights()
        if not isinstance(self.shim, SharedShim):
            # A shared encoder has read all of them, and expects gradients for all that it has read.
            examples = [each for each in examples if each.reference.has_annotation("ENT_IOB")]
        if not any(len(each.predicted) for each in examples):
            return losses
        for label in _entity_types(examples):
            self.add_label(label)
        self.shim.network.set_dropout(drop)
        waiting = deque([examples])
        while waiting:
            part = waiting.popleft()
            if self._most_examples and len(part) > self._most_examples:
                waiting.extendleft((part[self._most_examples :], part[: self._most_examples]))
            elif not self._learn(part, losses):
                self._halve(len(part))
                waiting.appendleft(part)
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def _learn(self, examples: Sequence[Example], losses: dict[str, float]) -> bool:
        """Add the gradients of examples to those that wait for a step, and their loss, each word counting the same.

        RETURNS: False if there was not the memory for so many at once; then nothing has changed.
        """
        earlier = self.shim.set_gradients_aside()
        if self.cfg["consistency"]:
            examples = [*examples, *examples]
        docs = [example.predicted for example in examples]
        first_only = self.cfg["label_strategy"] == "first"
        try:
            scores, backprop = self.model.begin_update(docs if first_only else EveryPiece(docs))
            loss, gradients, words, of_transitions = self._loss(examples, scores)
            if self.cfg["consistency"]:
                gold = self._gold_rows(examples, scores)
                loss += add_disagreement(gold, gradients, self.cfg["consistency"])
            if np.isnan(loss):
                raise ComponentError(
                    Errors.E910.format(name=self.name) + " The weights have diverged, and training cannot go on from "
                    "them. Start again with a learning rate of about a third, in the config:\n\n"
                    "[training.optimizer.learn_rate]\npeak = 3e-5"
                )
            backprop(gradients)
            if of_transitions is not None:
                self.shim.learn_transitions(of_transitions)
        except torch.cuda.OutOfMemoryError:
            if isinstance(self.shim, SharedShim):
                raise  # the transformer has read all of them at once, and cannot be asked for less
            self.shim.drop_gradients(earlier)
            return False
        if words == 0:
            self.shim.drop_gradients(earlier)
            return True
        self.shim.join_gradients(earlier, words)
        if self._mean is None or self._mean.losses is not losses:
            self._mean = MeanLoss(losses, self.name)
        self._mean.add(loss, words)
        return True

    def _halve(self, examples: int) -> None:
        """Learn from now on from half as many examples at once."""
        if examples == 1:
            raise ComponentError(
                f"There is not the memory to train on one document alone. In [components.{self.name}.model] set "
                "gradient_checkpointing = true, or a smaller `window`; or cut long documents into shorter ones."
            )
        torch.cuda.empty_cache()
        self._most_examples = (examples + 1) // 2
        warnings.warn(
            f"The component '{self.name}' had not the memory to learn from {examples} documents at once, and learns "
            f"from {self._most_examples} at a time from now on. Weights move as before, after the whole batch.",
            stacklevel=2,
        )

    def finish_update(self, sgd: Optimizer) -> None:
        """Move the weights along the gradients of all updates since the last time.

        The loss that those updates have added to `losses` becomes the mean over all their words: what one batch of
        all their examples gives.
        """
        if ranks.count() > 1:
            over_all = distributed.mean(*((self._mean.mean, self._mean.words) if self._mean else (0.0, 0)))
            if self._mean:
                self._mean.set(over_all)
        super().finish_update(sgd)
        self._mean = None

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
        **config: Any,
    ) -> dict[str, float]:
        """Move the model back towards what it predicted when `nlp.resume_training` was called.

        Only the labels of that time are compared, so those that were added since are free to be learnt. Annotation
        is not looked at. Nothing happens where training was not resumed.

        sgd (Optimizer | None): As in `update`.
        losses (dict | None): Where the mean divergence of the batch's words from what was predicted then
            (Kullback and Leibler 1951) is added, under the pipe's name: 0 if nothing has changed.
        config: Not used; the signature is spaCy's.
        """
        losses = losses if losses is not None else {}
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Multiner.rehearse")
        docs = [example.predicted for example in examples if len(example.predicted)]
        if self._rehearsal_model is None or not docs:
            return losses
        before = self._rehearsal_model.shims[0]
        assert isinstance(before, TaggerShim)
        wanted = before.scores_alone(docs)
        self.shim.network.set_dropout(0.0)
        earlier = self.shim.set_gradients_aside()
        scores, backprop = self.model.begin_update(docs)
        rows = _visible_rows(docs)
        loss, gradients = divergence_of_tags(rows, scores, wanted)
        backprop(gradients)
        self.shim.join_gradients(earlier, max(sum(map(len, rows)), 1))
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Scores | PieceScores]
    ) -> tuple[float, list[Scores]]:
        """Mean cross-entropy over the words (or pieces) that have a gold tag, and its gradient for their scores.

        With `crf` it is that of all tags of a document together, by their number. Words without annotation and white
        space count for nothing: their gradient is zero.

        scores: What the model gives for each document: an array (words, tags), or `PieceScores`.
        RETURNS: The loss, and an array of the shape of the scores for each document.
        """
        loss = self._loss(list(examples), scores)
        return loss.mean, loss.gradients

    def _loss(self, examples: Sequence[Example], scores: Sequence[Scores | PieceScores]) -> Loss:
        gold = self._gold_rows(examples, scores)
        transitions = self.shim.transitions
        if transitions is None:
            return loss_of_words(gold, self.cfg["label_smoothing"])
        return loss_of_sequences(gold, _visible_rows(example.predicted for example in examples), transitions)

    def _gold_rows(self, examples: Sequence[Example], scores: Sequence[Scores | PieceScores]) -> list[Tagged]:
        """The tags to learn, and the scores in whose rows they are."""
        return [self._tagged(example, scored) for example, scored in zip(examples, scores, strict=True)]

    def _tagged(self, example: Example, scored: Scores | PieceScores) -> Tagged:
        tags = self._gold_tags(example)
        if isinstance(scored, PieceScores):
            return Tagged(piece_labels(tags, scored.word_ids, self.cfg["label_strategy"]), scored.scores)
        return Tagged(tags, scored)

    def _gold_tags(self, example: Example) -> NDArray[np.int64]:
        numbers = {"O": 0}
        for index, label in enumerate(self.labels):
            begin = 2 * index + 1
            numbers |= {f"B-{label}": begin, f"U-{label}": begin, f"I-{label}": begin + 1, f"L-{label}": begin + 1}
        tags = np.array([numbers.get(tag, IGNORED) for tag in example.get_aligned_ner()], np.int64)
        tags[~visible_words(example.predicted)] = IGNORED
        return tags

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Settings, vocabulary and model as bytes."""
        writers = {
            "cfg": lambda: srsly.json_dumps(self.cfg).encode(),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "model": self.shim.to_bytes,
        }
        parts = {name: write() for name, write in writers.items() if name not in exclude}
        return bytes(srsly.msgpack_dumps({**parts, MANIFEST: manifest_of(parts)}))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "Multiner":
        """Take over what `to_bytes` gave.

        RAISES: ModelFilesError when that is damaged; the component is then as it was.
        """
        try:
            parts = srsly.msgpack_loads(bytes_data)
            manifest = parts.pop(MANIFEST)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelFilesError(f"The bytes of the component '{self.name}' are damaged. {REMEDY}") from error
        exclude = list(exclude)
        check_parts(parts, manifest, exclude)
        cfg = self.cfg if "cfg" in exclude or "cfg" not in parts else {**self.cfg, **_read_cfg(parts["cfg"], "cfg")}
        if "model" not in exclude and "model" in parts:
            self.shim.from_bytes(parts["model"], 1 + 2 * len(cfg["labels"]))
        if "vocab" not in exclude and "vocab" in parts:
            self.vocab.from_bytes(parts["vocab"], exclude=exclude)
        self.cfg.update(cfg)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write a folder with labels, vocabulary and, in `model/`, JSON and safetensors files.

        The settings stand in the pipeline's config, where `spacy.load(..., config=...)` can change them. Only those
        that were changed in `cfg` since the config set them are written here too.

        What was there before is replaced at once when all is written: who is killed leaves the one or the other.
        """
        folder, exclude = Path(path), list(exclude)
        cfg = {key: value for key, value in self.cfg.items() if self._settings.get(key) != value}
        with swapped_folder(folder) as unfinished:
            util.to_disk(
                unfinished,
                {
                    "cfg": lambda file: srsly.write_json(file, cfg),
                    "vocab": lambda part: self.vocab.to_disk(part, exclude=exclude),
                    "model": self.shim.to_disk,
                },
                exclude,
            )
            for name in exclude:
                keep(folder / name, unfinished / name)
            write_manifest(unfinished)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "Multiner":
        """Read what `to_disk` wrote, without any network.

        RAISES: ModelFilesError naming the file that is missing or damaged; the component is then as it was.
        """
        folder, exclude = whole_folder(Path(path)), list(exclude)
        check_manifest(folder, exclude)
        cfg = self.cfg if "cfg" in exclude else {**self.cfg, **_read_cfg(read_bytes(folder / "cfg"), folder / "cfg")}
        if "model" not in exclude:
            self.shim.from_disk(folder / "model", 1 + 2 * len(cfg["labels"]))
        if "vocab" not in exclude:
            self.vocab.from_disk(folder / "vocab", exclude=exclude)
        self.cfg.update(cfg)
        return self


def _read_cfg(content: bytes, where: str | Path) -> dict[str, Any]:
    try:
        cfg = srsly.json_loads(content)
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelFilesError(f"{where} is damaged ({error}). {REMEDY}") from error
    labels = cfg.get("labels") if isinstance(cfg, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ModelFilesError(f"{where} is damaged: it has no list of labels. {REMEDY}")
    if len(set(labels)) < len(labels):
        raise ModelFilesError(f"{where} is damaged: it has a label twice. {REMEDY}")
    return dict(cfg)


def _visible_rows(docs: Iterable[Doc]) -> list[NDArray[np.int64]]:
    """The words of each document that are no white space."""
    return [np.flatnonzero(visible_words(doc)) for doc in docs]


def _without_white_space(entity: Span, words: NDArray[np.int64]) -> WordSpan:
    """An entity by the numbers of its words, white space not counted."""
    start, end = np.searchsorted(words, [entity.start, entity.end]).tolist()
    return WordSpan(start, end, entity.label_)


def with_own_encoder(nlp: Language) -> list[Multiner]:
    """The components of a pipeline that are trained and have an encoder of their own."""
    pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, Multiner)]
    return [pipe for pipe in pipes if not isinstance(pipe.shim, SharedShim) and pipe.shim.is_ready]


def calibrate_before_saving(corpus: str, limit: int) -> Callable[[Language], Language]:
    """A callback for `[training.before_to_disk]`: calibrate every component of this kind on the dev corpus.

    Registered as `multiner.calibrate.v1`.

    corpus (str): A `.spacy` file, or a folder of them.
    limit (int): Use at most so many documents: one number needs no more, and the callback runs at every saving.
    """

    def calibrate(nlp: Language) -> Language:
        gold = list(islice(read_docs(Path(corpus), nlp.vocab), limit))
        docs: Iterable[Doc] = [without_annotation(doc) for doc in gold]
        for _, component in nlp.pipeline:
            if isinstance(component, Multiner):
                docs = list(docs)
                component.calibrate(docs, gold)
            docs = component.pipe(docs) if hasattr(component, "pipe") else map(component, docs)
        return nlp

    return calibrate


def _blocked(doc: Doc) -> list[Span]:
    """The words that may not be in an entity."""
    if not doc.has_annotation("ENT_IOB"):
        return []
    iob, types = doc.to_array(["ENT_IOB", "ENT_TYPE"]).T
    return [doc[word : word + 1] for word in np.flatnonzero((iob == BEGIN) & (types == 0)).tolist()]


def _forget_entities(doc: Doc) -> None:
    # spaCy leaves the identity that a rule gave an entity on its words, also if another entity takes them.
    for entity in doc.ents:
        for word in entity:
            word.ent_id = 0
    doc.set_ents([])


def _entity_types(examples: Iterable[Example]) -> list[str]:
    types: set[str] = set()
    for example in examples:
        types.update(entity.label_ for entity in example.reference.ents)
    return sorted(types)


def make_ner_scorer() -> Callable[..., dict[str, Any]]:
    """spaCy's scorer of entities that match exactly: `ents_p`, `ents_r`, `ents_f`, `ents_per_type`.

    Registered as `multiner.ner_scorer.v1`.
    """
    scorer: Callable[..., dict[str, Any]] = get_ner_prf
    return scorer
