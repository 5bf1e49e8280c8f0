"""The thinc model around the network: what spaCy's config system builds and spaCy's training loop drives."""

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np
import safetensors.torch
import srsly
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Optimizer, get_torch_default_device, torch2xp, xp2torch
from thinc.shims import Shim
from thinc.types import FloatsXd
from tokenizers import Tokenizer

from . import distributed, ranks
from .batches import Batch, DocBatcher, fill_up, usual_batch
from .crf import log_marginals
from .docbins import visible_words
from .encoder import (
    Encoder,
    EncoderNotUsable,
    Reading,
    SavedEncoder,
    first_unlike,
    keep_pieces,
    restore_encoder,
)
from .errors import UserError
from .files import give_usual_rights
from .gpu_attention import can_attend_without_filling
from .gradients import Gradients, join, put_back, set_aside
from .layout import Layout, layout_of
from .manifest import REMEDY, ModelFilesError
from .network import LayersCannotBeMixed, WordHead, WordTagger, check_mixed
from .onednn import keep_few_products
from .optimizer import AdamW, NamedAdamW, step_adamw
from .packed_encoder import PackedEncoder
from .pieces import PieceCutter
from .precision import Precision, arithmetic, floating_format, number_format
from .remembered import RememberedAlone
from .scoring import Fetched, Scorer, fetching, halving, network_scorer, one_ahead, packed_scorer
from .storage import STORAGES, Storage, pack, unpack
from .threads import beside_each_other, in_turn, most_at_once
from .word_pieces import WORD_PIECES, WordPieces, ends_named

keep_few_products()

Scores = NDArray[np.float32]
Backprop = Callable[[Sequence[Scores]], list[Doc]]
WEIGHTS_FILE = "weights.safetensors"
DESCRIPTION_FILES = ("config.json", "reading.json", "tokenizer.json")
ENCODER_PREFIX = "encoder."
# A forked process has this from the one that it was forked from; one that was spawned has its own.
IMPORTED_BY = os.getpid()


class ProcessesNeedCpu(UserError, ValueError):
    """The weights are on a GPU, and another process is to use them."""

    def __init__(self) -> None:
        super().__init__(
            "With n_process other processes would have to use the GPU that this component's weights are on, and they "
            "cannot. Call nlp.pipe with n_process=1, and with a larger batch_size if the GPU is not busy; or load the "
            "pipeline without spacy.require_gpu() to use several processes on the CPU."
        )


class _LeftOnGpu:
    """What a process gets that is spawned with a network on a GPU: whatever it wants of it is refused."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(name) if name.startswith("__") else ProcessesNeedCpu()


class EveryPiece(list[Doc]):
    """Documents to train on of which every piece is to be scored, and not only the first one of each word."""


class PieceScores(NamedTuple):
    """What training on `EveryPiece` gives for a document.

    word_ids: Array (pieces,) of the word that each piece belongs to.
    scores: Array (pieces, tags).
    """

    word_ids: NDArray[np.int64]
    scores: Scores


class TrainingInFloat16(UserError, ValueError):
    """Training was asked for in a number format in which small gradients are nothing."""


def Classifier(
    window: int,
    overlap: int,
    precision: Precision,
    batch_pieces: int | None = None,
    gradient_checkpointing: bool = False,
    frozen_layers: int = 0,
    remembered_pieces: int = 500_000,
    stored_as: Storage = "float32",
    float_layers: Sequence[int] = (),
    word_pieces: WordPieces = "first",
    mixed_layers: int = 1,
    crf: bool = False,
    by_sentence: bool | None = None,
) -> Model[list[Doc], list[Scores]]:
    """Build the model that owns its encoder: from documents to one row of tag scores for each word.

    window (int): The most pieces that the encoder reads at once; less if it cannot read so many.
    overlap (int): How many pieces two windows of a long document share.
    precision (str): "auto", "float32", "bfloat16", "float16" or "int8", see `multiner.precision`. Weights, gradients
        and the optimizer's moments are float32 with all of them.
    batch_pieces (int | None): The most pieces that go through the encoder at once, filling included. None takes what
        suits the device: 1,024 on a CPU, 16,384 on a GPU.
    gradient_checkpointing (bool): Whether training computes the encoder's layers once more on the way back instead of
        keeping what they gave (Chen et al. 2016): the same gradients with less memory, more slowly.
    frozen_layers (int): How many of the lowest layers keep their pretrained weights in training, and the embeddings
        with them; 0 has all of the encoder learn. See `multiner.frozen`.
    remembered_pieces (int): The most pieces of the training corpus whose vectors behind frozen layers are kept in
        memory on a CPU, each of four bytes times the encoder's width, so that these layers run once.
    stored_as (str): "float32", "bfloat16" or "int8": how the encoder's matrices are written to disk, see
        `multiner.storage`. The last two are for pipelines whose training is over.
    float_layers (Sequence[int]): Layers, counted from the lowest, that compute in float32 where the others do in int8.
    word_pieces (str): "first" reads a word from the vector of its first piece (Devlin et al. 2019), "first_last" from
        those of its first and its last one, one behind the other, "mean" from the mean of those of all.
    mixed_layers (int): Of how many of the highest layers these vectors are the mean, with weights that are learnt
        (Peters et al. 2018); what comes into the lowest layer that is not frozen can be one of them. 1 takes those of
        the highest layer.
    crf (bool): Whether a tag's score counts beside what tends to follow the tag before it, which is learnt: a
        conditional random field, see `multiner.crf`. Predicted scores are log probabilities then.
    by_sentence (bool | None): Whether each sentence of a document is read by itself, see `multiner.sentence_ends`, or
        all of it as far as a window reaches. None goes by what it learnt from.
    RETURNS: A model without weights; `model.shims[0].start` gives it an encoder, loading gives it saved ones.
    """
    if batch_pieces is not None and batch_pieces < 1:
        raise ValueError(f"batch_pieces = {batch_pieces} must be at least 1, or null.")
    if not 0 <= 2 * overlap < window:
        raise ValueError(f"overlap = {overlap} must be less than half of window = {window}.")
    if stored_as not in STORAGES:
        raise ValueError(f'stored_as = "{stored_as}" must be one of {", ".join(STORAGES)}.')
    if frozen_layers < 0:
        raise ValueError(f"frozen_layers = {frozen_layers} must not be less than 0.")
    if word_pieces not in WORD_PIECES:
        raise ValueError(f'word_pieces = "{word_pieces}" must be one of {", ".join(WORD_PIECES)}.')
    if mixed_layers < 1:
        raise ValueError(f"mixed_layers = {mixed_layers} must be at least 1.")
    settings = {
        "window": window,
        "overlap": overlap,
        "batch_pieces": batch_pieces,
        "precision": precision,
        "gradient_checkpointing": gradient_checkpointing,
        "frozen_layers": frozen_layers,
        "remembered_pieces": remembered_pieces,
        "stored_as": stored_as,
        "float_layers": list(float_layers),
        "word_pieces": word_pieces,
        "mixed_layers": mixed_layers,
        "crf": crf,
        "by_sentence": by_sentence,
    }
    return Model("multiner_classifier", forward, shims=[TaggerShim(settings)])


def forward(
    model: Model[list[Doc], list[Scores]], docs: list[Doc], is_train: bool
) -> tuple[list[Scores] | list[PieceScores], Backprop]:
    """Score the words of documents, or every piece of `EveryPiece`, as the model's shim does it."""
    result: tuple[list[Scores] | list[PieceScores], Backprop] = model.shims[0](docs, is_train)
    return result


class BatchesScorer(NamedTuple):
    """What scores batches, and whether it computes several beside each other."""

    score: Callable[[Iterable[Batch]], Iterator[tuple[Batch, Fetched]]]
    beside: bool = False


class _Saved(NamedTuple):
    """What was loaded of a network that is not made yet, since prediction on a CPU does without."""

    encoder: SavedEncoder
    head: WordHead


class TaggerShim(Shim):
    """Holds the network and its tokenizer for thinc: prediction, gradients, updates, saving.

    Outside training the network stays in evaluation mode, so threads may predict at the same time.
    """

    _model: WordTagger | None
    layout: Layout | None  # how the encoder is built, if that is known
    reading: Reading  # how text is put before the encoder
    batcher: DocBatcher  # what cuts documents for the encoder
    description_files: tuple[str, ...] = DESCRIPTION_FILES

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(None, config)
        self.description: dict[str, str] = {}
        self.words = 0  # over which the gradients that wait for a step are the mean
        self._scorer: BatchesScorer | None = None  # for prediction with the weights as they are
        self._saved: _Saved | None = None

    @property
    def network(self) -> WordTagger:
        """The torch module. That of a pipeline which was loaded is made when it is first asked for.

        RAISES: ValueError when there is none yet.
        """
        if self._model is None:
            saved = self._saved
            if saved is None:
                raise ValueError(
                    "This model has no encoder yet. Call nlp.initialize() with an encoder, or load a trained pipeline."
                )
            self._model = self._prepared(_assemble(saved), saved.encoder.reading)
            self._saved = self._scorer = None
        return self._model

    @property
    def _head(self) -> WordHead:
        return self.network if self._saved is None else self._saved.head

    @property
    def is_ready(self) -> bool:
        """Whether there is a network to predict with."""
        return self._model is not None or self._saved is not None

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return self._head.head.weight.device

    def start(self, encoder: Encoder, tags: int, *, whole_words: int) -> None:
        """Take an encoder and put a new head with that many tags on it.

        whole_words (int): Up to how many words documents are read as a whole, see `Reading`.
        """
        encoder = replace(encoder, reading=replace(encoder.reading, whole_words=whole_words))
        network = self._prepared(WordTagger(encoder.module, encoder.width, tags, *self._head_settings), encoder.reading)
        self._read_with(encoder, encoder.describe(), layout_of(encoder.config))
        self._model, self._saved = network, None

    @property
    def _head_settings(self) -> tuple[WordPieces, int, bool]:
        return self.cfg["word_pieces"], self.cfg["mixed_layers"], self.cfg["crf"]

    def _prepared(self, network: WordTagger, reading: Reading) -> WordTagger:
        """The network as the settings want it, where it is to compute."""
        if self.cfg.get("gradient_checkpointing"):
            _keep_less(network.encoder)
        if self.cfg.get("frozen_layers"):
            network.freeze(self.cfg["frozen_layers"], reading.pad, self.cfg["remembered_pieces"])
        return network.to(get_torch_default_device()).eval()

    def _read_with(self, encoder: Encoder | SavedEncoder, description: dict[str, str], layout: Layout | None) -> None:
        """Put text before this encoder from now on."""
        self.description = description
        self.reading = encoder.reading
        self.layout = layout
        self.batcher = DocBatcher(
            encoder.tokenizer,
            encoder.reading,
            window=int(self.cfg["window"]),
            overlap=int(self.cfg["overlap"]),
            ends_named=ends_named(self.cfg["word_pieces"]),
            whole_words=self._whole_words(encoder.reading),
        )
        self._optimizer = None
        self._scorer = None

    def __call__(self, docs: Sequence[Doc], is_train: bool) -> tuple[list[Scores] | list[PieceScores], Backprop]:
        """Scores of each document's words, array (words, tags) each, and a function that takes their gradients.

        White space has zeros. Without `is_train` the function must not be called, and with transitions the scores are
        log probabilities. Trained on `EveryPiece`, it gives `PieceScores` instead.
        """
        if is_train:
            self._prepare_process()
            return self._train(self.network, docs)
        return self._with_transitions(docs, self.scores_alone(docs)), _no_backprop

    def scores_alone(self, docs: Sequence[Doc]) -> list[Scores]:
        """What the network itself says of each document's words: scores that transitions have no part in."""
        self._prepare_prediction()
        return self._predict(self._head, docs)

    @property
    def computes_beside(self) -> bool:
        """Whether scores that are begun come while this process does other things, as a GPU has it."""
        return self.is_ready and self.device.type != "cpu"

    def begin(self, docs: Sequence[Doc]) -> Callable[[], list[Scores]]:
        """Begin to score documents.

        RETURNS: What gives the scores that the model predicts, and waits for those that are not there yet.
        """
        self._prepare_prediction()
        begun = list(self._scored(self._head, docs))
        return lambda: self._with_transitions(docs, self._gathered(self._head, docs, begun))

    def _prepare_prediction(self) -> None:
        self._prepare_process()
        if self._head.training:
            self._head.eval()

    def _with_transitions(self, docs: Sequence[Doc], scores: list[Scores]) -> list[Scores]:
        """Scores that transitions have their part in, if there are any; they take the others' place."""
        transitions = self.transitions
        if transitions is not None:
            visible = [visible_words(doc) for doc in docs]
            words = [scored[rows] for scored, rows in zip(scores, visible, strict=True)]
            for scored, rows, found in zip(scores, visible, log_marginals(words, transitions), strict=True):
                scored[rows] = found
        return scores

    @property
    def batch_pieces(self) -> int:
        """The most pieces that go through the encoder at once."""
        return int(self.cfg["batch_pieces"] or usual_batch(self.device))

    @property
    def transitions(self) -> Scores | None:
        """The scores of tags after tags, array (tags, tags) whose row is the earlier one; None without a CRF."""
        weights = self._head.transitions
        return None if weights is None else weights.detach().cpu().clone().numpy()

    def learn_transitions(self, gradient: NDArray[np.floating]) -> None:
        """Add to the gradients that wait for a step that of the transitions, array (tags, tags)."""
        weights = self.network.transitions
        assert weights is not None
        weights.grad = torch.from_numpy(gradient).to(weights) + (0.0 if weights.grad is None else weights.grad)

    def _prepare_process(self) -> None:
        """Have torch compute in this process if it was forked from the one that has the weights."""
        if os.getpid() != IMPORTED_BY:
            _prepare_forked(self.device)

    def _predict(self, head: WordHead, docs: Sequence[Doc]) -> list[Scores]:
        return self._gathered(head, docs, self._scored(head, docs))

    def _scored(self, head: WordHead, docs: Sequence[Doc]) -> Iterator[tuple[Batch, Fetched]]:
        # Two threads may make one each, which are alike.
        scorer = self._scorer = self._scorer or self._make_scorer(head)
        at_once = most_at_once() if scorer.beside else 1
        return scorer.score(self.batcher(docs, self.batch_pieces, at_once=at_once))

    def _gathered(self, head: WordHead, docs: Sequence[Doc], batches: Iterable[tuple[Batch, Fetched]]) -> list[Scores]:
        """The scores of all batches of documents by document."""
        scores = np.zeros((sum(map(len, docs)), head.head.out_features), np.float32)
        for batch, fetch in batches:
            scores[batch.rows] = fetch().numpy()
        return _split(scores, docs)

    def _make_scorer(self, head: WordHead) -> BatchesScorer:
        """What scores the words of batches fastest on this machine."""
        number_type = self._packed_type()
        score: Scorer
        if number_type is None or self.layout is None:
            number_type = floating_format(self.cfg["precision"], self.device)
            score = network_scorer(self.network, number_type, self.reading.pad)
        elif self._model is not None and self._model.frozen is not None and number_type is torch.float32:
            # What the frozen layers give for dev is the same after each epoch.
            return BatchesScorer(partial(in_turn, fetching(torch.inference_mode()(self._make_learner(self._model)))))
        else:
            packed = PackedEncoder(self.layout, self._encoder_weights(), number_type, self.cfg["float_layers"])
            score = packed_scorer(packed, head)
        if self.device.type == "cpu":
            return BatchesScorer(partial(beside_each_other, fetching(score)), beside=True)
        return BatchesScorer(partial(one_ahead, fetching(halving(score))))

    def _packed_type(self) -> torch.dtype | None:
        """In which number format the encoder is packed here; None if it computes as transformers has it."""
        if self.layout is None:
            return None
        if self.device.type == "cpu":
            return number_format(self.cfg["precision"], self.device)
        number_type = floating_format(self.cfg["precision"], self.device)
        if number_type is not torch.bfloat16:
            return None
        width_of_head = self.layout.width // self.layout.heads
        return number_type if can_attend_without_filling(self.device, width_of_head) else None

    def compute_in(self, precision: Precision, float_layers: Sequence[int] = ()) -> None:
        """Predict in this number format from now on; see `Classifier`."""
        self.cfg["precision"], self.cfg["float_layers"] = precision, list(float_layers)
        self._scorer = None

    def read_by_sentence(self, by_sentence: bool | None) -> None:
        """Read each sentence by itself from now on, or not; see `Classifier`."""
        self.cfg["by_sentence"] = by_sentence
        self.batcher.whole_words = self._whole_words(self.reading)

    def _whole_words(self, reading: Reading) -> int | None:
        by_sentence = self.cfg["by_sentence"]
        return reading.whole_words if by_sentence is None else 0 if by_sentence else None

    def _start_learning(self, network: WordTagger) -> None:
        """Be in training mode; what was prepared for prediction will not have the weights as they become."""
        network.train()
        self._scorer = None

    def _train(self, network: WordTagger, docs: Sequence[Doc]) -> tuple[list[Scores] | list[PieceScores], Backprop]:
        if self.cfg["precision"] == "float16":
            raise TrainingInFloat16(
                'precision = "float16" is for predicting: in training small gradients would become 0 in it. Train '
                'with "auto" or "bfloat16", whose numbers reach as far as those of float32, and load the trained '
                'pipeline with config={"components.ner.model.precision": "float16"}.'
            )
        self._start_learning(network)
        # How many rows each word has to be scored in: one, or one for each piece.
        counts = (
            self.batcher.cut(docs).counts if isinstance(docs, EveryPiece) else np.ones(sum(map(len, docs)), np.int64)
        )
        piece_rows = np.cumsum(counts) - counts if isinstance(docs, EveryPiece) else None
        batches = list(self.batcher(docs, self.batch_pieces, piece_rows))
        for batch in batches:
            network.meet(torch.from_numpy(np.append(batch.ids, self.reading.pad)).to(self.device))
        learn = self._make_learner(network)
        with arithmetic(floating_format(self.cfg["precision"], self.device), self.device):
            outputs = [learn(batch) for batch in batches]
        scores = np.zeros((int(counts.sum()), network.head.out_features), np.float32)
        for batch, output in zip(batches, outputs, strict=True):
            scores[batch.rows] = output.detach().cpu().numpy()

        def backprop(gradients: Sequence[Scores]) -> list[Doc]:
            if outputs:
                together = np.concatenate(list(gradients))
                torch.autograd.backward(
                    outputs, [torch.from_numpy(together[batch.rows]).to(self.device) for batch in batches]
                )
            return []

        return (_split(scores, docs) if piece_rows is None else _piece_scores(scores, docs, counts)), backprop

    def _make_learner(self, network: WordTagger) -> Scorer:
        """What scores the words of batches in training, or beside it."""
        if self.device.type == "cpu" and self.layout is not None:
            return lambda batch: network.score_packed(
                torch.from_numpy(batch.ids), batch.lengths, torch.from_numpy(batch.places)
            )
        return lambda batch: network(*fill_up(batch, self.reading.pad, self.device))

    def piece_texts(self, doc: Doc) -> list[list[str]] | None:
        """The pieces of each word as the vocabulary spells them; white space has none.

        RETURNS: None where another component cuts the text, and not word by word.
        """
        pieces = self.batcher.cut([doc])
        texts = iter([self.tokenizer.id_to_token(piece) for piece in pieces.ids.tolist()])
        return [[next(texts) for _ in range(count)] for count in pieces.counts.tolist()]

    @property
    def tokenizer(self) -> Tokenizer:
        """What cuts words into pieces."""
        return self.batcher.cutter.tokenizer

    def count_pieces(self, docs: Sequence[Doc]) -> int:
        """How many pieces the encoder reads of documents, special ones and those that two windows share included."""
        return sum(len(batch.ids) for batch in self.batcher(docs, self.batch_pieces))

    def set_gradients_aside(self) -> Gradients:
        """Make room for the gradients of one more part of a batch; `join_gradients` or `drop_gradients` follows."""
        return set_aside(list(self.network.trained()))

    def join_gradients(self, earlier: Gradients, words: int) -> None:
        """Have the gradients be the mean over all parts since the last step.

        earlier: What `set_gradients_aside` gave.
        words (int): What the gradients made since are the mean over, at least 1.
        """
        if earlier:
            join(list(self.network.trained()), earlier, self.words / (self.words + words))
        self.words += words

    def drop_gradients(self, earlier: Gradients) -> None:
        """Forget the gradients made since these were set aside."""
        put_back(list(self.network.trained()), earlier)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Move the weights along their gradients, and forget these. Ranks, if there are several, do it together."""
        if ranks.count() > 1:
            distributed.average_gradients(self.network, self.words)
        self.words = 0
        parameters = list(self.network.trained())
        if not any(parameter.grad is not None for _, parameter in parameters):
            return
        # Something may have been predicted since the gradients were made, and the full embedding table takes over
        # the rows that move now only when it leaves training.
        self._start_learning(self.network)
        if isinstance(optimizer, AdamW):
            self._optimizer = step_adamw(optimizer, self._optimizer, parameters)
            self._tell_averages(optimizer)
        else:
            for name, parameter in parameters:
                if parameter.grad is not None:
                    # thinc keeps momentum by key and cannot enlarge it, so a parameter that grew gets another key.
                    key = (self.id, f"{name} {tuple(parameter.shape)}")
                    weights, _ = optimizer(key, _to_array(parameter.data), _to_array(parameter.grad))
                    parameter.data = xp2torch(weights, requires_grad=False, device=self.device)
        for _, parameter in parameters:
            parameter.grad = None

    def _tell_averages(self, optimizer: AdamW) -> None:
        """Have `nlp.use_params(optimizer.averages)` reach this network."""
        if optimizer.averages is not None and self._optimizer is not None:
            optimizer.averages |= {(self.id, name): lag for name, lag in self._optimizer.lags().items()}

    def moments(self) -> dict[str, torch.Tensor]:
        """What the optimizer remembers of its steps; nothing before the first one."""
        return {} if self._optimizer is None else self._optimizer.moments()

    def remembered(self) -> torch.Tensor:
        """The windows whose vectors behind frozen layers are remembered, array (numbers,) for `continue_from`."""
        frozen = self.network.frozen
        return torch.empty(0, dtype=torch.int64) if frozen is None else frozen.remembered.as_numbers()

    def share_remembered(self, memories: dict[bytes, RememberedAlone]) -> None:
        """Have vectors behind frozen layers be remembered together with others, on a CPU; see `FrozenLayers.share`."""
        if self.cfg["frozen_layers"] and self.device.type == "cpu" and self.network.frozen is not None:
            self.network.frozen.share(memories)
            self._scorer = None

    def continue_from(
        self, optimizer: AdamW, met: torch.Tensor, moments: dict[str, torch.Tensor], remembered: torch.Tensor
    ) -> None:
        """Train on as before the network was saved.

        met (array (rows met,)): The rows of the embedding that were trained, in their order.
        moments: What `moments` gave.
        remembered (array (numbers,)): What `remembered` gave.
        """
        if self.network.frozen is not None:
            self.network.frozen.remembered.compute_when_needed(remembered)
        self._start_learning(self.network)
        if len(met):
            self.network.embedding.meet_in_order(met.to(self.device))
        if moments:
            self._optimizer = NamedAdamW(optimizer)
            self._optimizer.restore(moments, list(self.network.trained()))
            self._tell_averages(optimizer)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and other processes get: momentum stays with the one that is trained, a GPU with its process."""
        state = {**self.__dict__, "_optimizer": None, "_scorer": None}
        if self.is_ready and get_spawning_popen() is not None and self.device.type != "cpu":
            state["_model"] = _LeftOnGpu()
        return state

    @contextlib.contextmanager
    def use_params(self, params: Any) -> Iterator[None]:
        """Predict with, and save, the average of the weights for a while, if the optimizer keeps one.

        params: By shim and name how far the average is from the weights (`AdamW.averages`). What thinc's optimizers
            keep does not reach torch's weights.
        """
        trained = dict(self.network.trained()) if self._model is not None else {}
        lags = {name: params[self.id, name] for name in trained if (self.id, name) in params}
        if not lags:
            yield
            return
        weights = {name: trained[name].data for name in lags}
        self._start_learning(self.network)  # so that rows of the embedding are read anew when it ends
        for name, lag in lags.items():
            trained[name].data = weights[name] + lag
        self.network.eval()
        try:
            yield
        finally:
            self._start_learning(self.network)
            for name in lags:
                trained[name].data = weights[name]
            self.network.eval()

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the network to "cpu" or "cuda"."""
        self._scorer = None
        device = torch.device(device_type, device_id) if device_type == "cuda" else torch.device(device_type)
        if self.is_ready and device.type != self.device.type:
            self.network.to(device)

    def _encoder_weights(self) -> dict[str, torch.Tensor]:
        return self.network.encoder.state_dict() if self._saved is None else self._saved.encoder.weights

    def _weights(self) -> dict[str, torch.Tensor]:
        self._head.eval()
        weights = dict(self._head.state_dict())
        if self._saved is not None:
            weights |= {f"{ENCODER_PREFIX}{name}": tensor for name, tensor in self._saved.encoder.weights.items()}
        return {name: tensor.contiguous() for name, tensor in weights.items()}

    def _stored(self) -> dict[str, torch.Tensor]:
        """The weights as they are written: those of the head as they are, an encoder's as `stored_as` says."""
        weights = self._weights()
        head = {name: tensor for name, tensor in weights.items() if not name.startswith(ENCODER_PREFIX)}
        encoder = {name: tensor for name, tensor in weights.items() if name.startswith(ENCODER_PREFIX)}
        return head | pack(encoder, self.cfg.get("stored_as", "float32"))

    def vocabulary(self) -> dict[str, int]:
        """All pieces that the tokenizer knows, with their ids."""
        return dict(self.tokenizer.get_vocab())

    def pieces_of(self, words: Sequence[str]) -> set[int]:
        """The pieces that any of these words is made of."""
        cutter = PieceCutter(self.tokenizer, self.reading.unknown, sys.maxsize)
        return set(cutter(range(len(words)), words.__getitem__).ids.tolist())

    def keep_pieces(self, pieces: Collection[int]) -> int:
        """Forget all pieces of the vocabulary but these and those that the encoder needs, and their vectors.

        Words that are made of these alone are cut, read and tagged as before.

        RETURNS: How many pieces there are now.
        RAISES: TokenizerCannotBeTrimmed.
        """
        weights = self._weights()
        table = self.network.embedding.weight
        description, kept = keep_pieces(self.description, pieces, len(table))
        name = next(name for name, tensor in weights.items() if tensor.data_ptr() == table.data_ptr())
        self._restore(description, {**weights, name: weights[name][kept]}, "the trimmed encoder")
        return len(kept)

    def _restore(self, description: dict[str, str], weights: dict[str, torch.Tensor], where: str) -> None:
        encoder_weights = {
            name.removeprefix(ENCODER_PREFIX): tensor
            for name, tensor in weights.items()
            if name.startswith(ENCODER_PREFIX)
        }
        try:
            encoder = restore_encoder(description, encoder_weights)
            saved = _Saved(encoder, self._restore_head(encoder.width, weights, where))
            if encoder.layout is not None:
                check_mixed(saved.head.mixed_layers, encoder.layout.layers, self.cfg["frozen_layers"])
            is_made = encoder.layout is None or get_torch_default_device().type != "cpu"
            network = self._prepared(_assemble(saved), encoder.reading) if is_made else None
        except (EncoderNotUsable, LayersCannotBeMixed) as error:
            raise ModelFilesError(f"{where}: {error} {REMEDY}") from error
        self._read_with(encoder, description, encoder.layout)
        self._model, self._saved = network, None if is_made else saved

    def _restore_head(self, width: int, weights: dict[str, torch.Tensor], where: str) -> WordHead:
        """The head of an encoder that gives vectors of this width."""
        head = WordHead(width, len(weights["head.bias"]), *self._head_settings)
        stored = {name: tensor for name, tensor in weights.items() if not name.startswith(ENCODER_PREFIX)}
        unlike = first_unlike({name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}, stored)
        if unlike:
            raise ModelFilesError(
                f"{where}: word_pieces, mixed_layers, crf and the encoder do not make the head that was saved: "
                f"{unlike}. {REMEDY}"
            )
        head.load_state_dict(stored)
        return head.eval()

    def to_bytes(self) -> bytes:
        """Configuration, tokenizer and weights; empty before there are any."""
        if not self.is_ready:
            return b""
        return bytes(srsly.msgpack_dumps({**self.description, WEIGHTS_FILE: safetensors.torch.save(self._stored())}))

    def from_bytes(self, data: bytes, tags: int | None = None) -> "TaggerShim":
        """Take over what `to_bytes` gave; see `from_disk`."""
        if data:
            where = "the model's bytes"
            try:
                files = srsly.msgpack_loads(data)
                stored = safetensors.torch.load(files.pop(WEIGHTS_FILE))
            except (ValueError, TypeError, KeyError, AttributeError, safetensors.SafetensorError) as error:
                raise ModelFilesError(f"{where} are damaged ({error}). {REMEDY}") from error
            weights = unpack(stored, where)
            _check_head(weights, tags, where)
            self._restore(files, weights, where)
        return self

    def to_disk(self, path: Path | str) -> None:
        """Write a folder of JSON files and one safetensors file; nothing before there are weights."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        if self.is_ready:
            for name, text in self.description.items():
                (folder / name).write_text(text, encoding="utf8")
            safetensors.torch.save_file(self._stored(), folder / WEIGHTS_FILE, metadata={"format": "pt"})
            give_usual_rights(folder / WEIGHTS_FILE)

    def from_disk(self, path: Path | str, tags: int | None = None) -> "TaggerShim":
        """Read what `to_disk` wrote. After an error everything is as it was.

        tags (int | None): How many tags the head has to have, if that is known.
        RAISES: ModelFilesError naming the file that is missing or damaged.
        """
        folder = Path(path)
        if not (folder / WEIGHTS_FILE).exists() and not (folder / DESCRIPTION_FILES[0]).exists():
            return self
        for name in (*self.description_files, WEIGHTS_FILE):
            if not (folder / name).exists():
                raise ModelFilesError(f"{folder / name} is missing. {REMEDY}")
        try:
            description = {name: (folder / name).read_text(encoding="utf8") for name in self.description_files}
            stored = safetensors.torch.load_file(folder / WEIGHTS_FILE)
        except safetensors.SafetensorError as error:
            raise ModelFilesError(f"{folder / WEIGHTS_FILE} is damaged ({error}). {REMEDY}") from error
        except UnicodeDecodeError as error:
            raise ModelFilesError(f"A file in {folder} is damaged: it is no UTF-8 ({error}). {REMEDY}") from error
        weights = unpack(stored, str(folder / WEIGHTS_FILE))
        _check_head(weights, tags, str(folder / WEIGHTS_FILE))
        self._restore(description, weights, str(folder))
        return self


def _check_head(weights: dict[str, torch.Tensor], tags: int | None, where: str) -> None:
    missing = {"head.weight", "head.bias"} - weights.keys()
    if missing:
        raise ModelFilesError(f"{where}: no tensor {', '.join(sorted(missing))}. {REMEDY}")
    found = len(weights["head.bias"]) if weights["head.bias"].dim() == 1 else 0
    if not found or (tags is not None and found != tags):
        raise ModelFilesError(
            f"{where}: the head scores {found} tags, and the labels in `cfg` make {tags}: they belong to another "
            f"pipeline. {REMEDY}"
        )


def _assemble(saved: _Saved) -> WordTagger:
    """The network of what was loaded."""
    head, tags = saved.head, saved.head.head.out_features
    settings = (head.word_pieces, head.mixed_layers, head.transitions is not None)
    network = WordTagger(saved.encoder.make(), saved.encoder.width, tags, *settings)
    network.head, network.mixing, network.transitions = head.head, head.mixing, head.transitions
    return network


def _keep_less(module: torch.nn.Module) -> None:
    """Have an encoder of transformers compute its layers again on the way back."""
    if not getattr(module, "supports_gradient_checkpointing", False):
        raise EncoderNotUsable(
            f"gradient_checkpointing = true: {type(module).__name__} cannot do that. Set it to false in "
            "[components.ner.model], and take smaller batches if memory does not suffice."
        )
    module.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]


def _to_array(tensor: torch.Tensor) -> FloatsXd:
    return cast(FloatsXd, torch2xp(tensor))


def _split(scores: Scores, docs: Sequence[Doc]) -> list[Scores]:
    return np.split(scores, np.cumsum([len(doc) for doc in docs])[:-1]) if docs else []


def _piece_scores(scores: Scores, docs: Sequence[Doc], counts: NDArray[np.int64]) -> list[PieceScores]:
    result = []
    word = piece = 0
    for doc in docs:
        word_ids = np.repeat(np.arange(len(doc)), counts[word : word + len(doc)])
        result.append(PieceScores(word_ids, scores[piece : piece + len(word_ids)]))
        word, piece = word + len(doc), piece + len(word_ids)
    return result


def _prepare_forked(device: torch.device) -> None:
    """Have torch compute in a forked process: its threads stayed with the other one, and CUDA knows only that.

    RAISES: ProcessesNeedCpu.
    """
    if device.type != "cpu":
        raise ProcessesNeedCpu
    torch.set_num_threads(1)


def _no_backprop(gradients: Sequence[Scores]) -> list[Doc]:
    raise ValueError("Scores that were predicted have no gradients; use begin_update instead of predict.")
