"""A shared encoder: the head alone, on the vectors of a `transformer` of spacy-transformers that others read too.

The alignment is made here, from the pieces that spacy-transformers says each word touches. It counts the blank after
a word as the word's own; so where a piece begins with that blank, as those of SentencePiece do, it touches the word
before too. Here a piece belongs to a word only if it has characters of it, and a word's scores are read from the first
such piece. Where windows of the transformer overlap, that is done in the one in which it is farther from the border.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, get_torch_default_device, torch2xp, xp2torch

from .errors import UserError
from .manifest import REMEDY, ModelFilesError
from .model import Backprop, EveryPiece, PieceScores, Scores, TaggerShim, forward
from .network import WordHead

OUTPUT = "trf_data"  # the extension of documents in which spacy-transformers leaves what the transformer gave
BLANK_PIECES = {"▁", "Ġ"}


class TransformerMissing(UserError, ValueError):
    """Nothing in the pipeline gives the vectors that a shared head needs; the message has the config lines to add."""


def SharedClassifier(
    upstream: str = "*", grad_factor: float = 1.0, crf: bool = False
) -> Model[list[Doc], list[Scores]]:
    """Build the model that shares the encoder of another component.

    upstream (str): The name of the `transformer` component; "*" is any.
    grad_factor (float): What gradients are multiplied by before they reach the transformer; 0 leaves it to the others.
    crf (bool): As in `multiner.model.Classifier`.
    RETURNS: A model without weights; initialising or loading the component gives it some.
    RAISES: TransformerMissing where spacy-transformers is not installed.
    """
    try:
        from spacy_transformers.layers import TransformerListener
    except ImportError as error:
        raise TransformerMissing(
            "multiner.SharedClassifier.v1 needs spacy-transformers. Install it: pip install 'spacy-multiner[shared]'"
        ) from error
    listener = TransformerListener(upstream_name=upstream)
    shim = SharedShim({"grad_factor": grad_factor, "word_pieces": "first", "crf": crf}, listener)
    return Model("multiner_shared_classifier", forward, layers=[listener], shims=[shim])


class SharedShim(TaggerShim):
    """Holds the head for thinc, and the listener from which the pieces' vectors come."""

    description_files = ()

    def __init__(self, config: dict[str, Any], listener: Any) -> None:
        super().__init__(config)
        self.listener = listener

    def start_shared(self, tags: int) -> None:
        """Put a new head with that many tags on the transformer.

        RAISES: TransformerMissing when there is none.
        """
        if not self.listener.has_dim("nO"):
            raise self._missing("There is none before this component in the pipeline")
        self._take(WordHead(self.listener.get_dim("nO"), tags, crf=self.cfg["crf"]))

    def _take(self, network: WordHead) -> None:
        self._model = network.to(get_torch_default_device()).eval()  # type: ignore[assignment]  # no encoder of its own
        self._optimizer = None

    def _missing(self, reason: str) -> TransformerMissing:
        name = "transformer" if self.listener.upstream_name == "*" else self.listener.upstream_name
        return TransformerMissing(
            f"multiner.SharedClassifier.v1 shares the encoder of a transformer component. {reason}. Have in the "
            f'config:\n\n[nlp]\npipeline = ["{name}", "ner"]\n\n[components.{name}]\nfactory = "transformer"\n\n'
            f'[components.{name}.model]\n@architectures = "spacy-transformers.TransformerModel.v3"\n'
            'name = "xlm-roberta-base"'
        )

    def piece_texts(self, doc: Doc) -> None:
        """Not known: the transformer cuts the text as a whole."""

    @property
    def computes_beside(self) -> bool:
        """It is the transformer that computes, before this component is asked."""
        return False

    def _predict(self, network: WordHead, docs: Sequence[Doc]) -> list[Scores]:
        result = []
        for doc in docs:
            scores = np.zeros((len(doc), network.head.out_features), np.float32)
            data = doc._.get(OUTPUT) if Doc.has_extension(OUTPUT) else None
            if data is None:
                raise self._missing("It has not read these documents: it is not there, disabled, or comes later")
            word_ids, places = first_pieces(doc, data)
            if len(places):
                with torch.inference_mode():
                    vectors = xp2torch(data.model_output.last_hidden_state)
                    scores[word_ids] = network.score(vectors.reshape(-1, vectors.shape[-1])[places]).cpu().numpy()
            result.append(scores)
        return result

    def _train(self, network: WordHead, docs: Sequence[Doc]) -> tuple[list[Scores] | list[PieceScores], Backprop]:
        if not Doc.has_extension(OUTPUT):
            raise self._missing("There is none before this component in the pipeline")
        network.train()
        every_piece = isinstance(docs, EveryPiece)
        outputs, backprop_to_transformer = self.listener(docs, True)
        read: list[tuple[Any, torch.Tensor]] = []  # of documents that are not empty
        scored: list[torch.Tensor] = []
        rows: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for doc, data in zip(docs, outputs, strict=True):
            word_ids, places = (all_pieces if every_piece else first_pieces)(doc, data)
            rows.append((word_ids, np.arange(len(places)) if every_piece else word_ids))
            vectors = torch.zeros(0, network.head.in_features, device=self.device)
            if "last_hidden_state" in data.model_output:
                vectors = xp2torch(data.model_output.last_hidden_state, requires_grad=True)
                read.append((data, vectors))
            scored.append(network.score(vectors.reshape(-1, vectors.shape[-1])[places]))
        scores = []
        for doc, (word_ids, at), output in zip(docs, rows, scored, strict=True):
            of_doc = np.zeros((len(word_ids) if every_piece else len(doc), network.head.out_features), np.float32)
            of_doc[at] = output.detach().cpu().numpy()
            scores.append(of_doc)

        def backprop(gradients: Sequence[Scores]) -> list[Doc]:
            used = [torch.from_numpy(of_doc[at]) for of_doc, (_, at) in zip(gradients, rows, strict=True)]
            torch.autograd.backward(scored, [gradient.to(self.device) for gradient in used])
            backprop_to_transformer([self._with_gradient(data, vectors) for data, vectors in read])
            return []

        if every_piece:
            return [PieceScores(word_ids, of_doc) for (word_ids, _), of_doc in zip(rows, scores, strict=True)], backprop
        return scores, backprop

    def _with_gradient(self, data: Any, vectors: torch.Tensor) -> Any:
        from transformers.utils.generic import ModelOutput

        gradient = torch.zeros_like(vectors) if vectors.grad is None else vectors.grad * self.cfg["grad_factor"]
        return replace(data, model_output=ModelOutput(last_hidden_state=torch2xp(gradient)))

    def _restore(self, description: dict[str, str], weights: dict[str, torch.Tensor], where: str) -> None:
        try:
            tags, width = weights["head.weight"].shape
            network = WordHead(width, tags, crf=self.cfg["crf"])
            network.load_state_dict(weights)
        except (ValueError, RuntimeError) as error:
            raise ModelFilesError(f"{where}: these are not the weights of a head alone ({error}). {REMEDY}") from error
        self._take(network)


def all_pieces(doc: Doc, data: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pieces that have characters of words, of each word in one window of the transformer.

    data (TransformerData): What the transformer gave for the document.
    RETURNS: The word of each piece, in order; and where its vector is, counted through all windows.
    """
    word_ids: list[int] = []
    places: list[int] = []
    if "last_hidden_state" not in data.model_output:
        return np.array(word_ids, np.int64), np.array(places, np.int64)
    width = data.model_output.last_hidden_state.shape[1]
    touched = [sorted(part.tolist()) for part in np.split(data.align.dataXd, np.cumsum(data.align.lengths)[:-1])]
    unread = False
    for word in doc:
        if word.is_space:
            continue
        own = touched[word.i]
        if word.whitespace_ and word.i + 1 < len(doc):
            # A piece that the next word touches too begins with the blank between them.
            own = [place for place in own if place not in touched[word.i + 1]]
        windows: dict[int, list[int]] = {}
        for place in own:
            windows.setdefault(place // width, []).append(place)
        if not windows:
            unread = True
            continue
        # The first of them if several are as far from the border.
        window = max(windows, key=lambda row: min(windows[row][0] % width, _end(data, row) - windows[row][0] % width))
        pieces = windows[window]
        if len(pieces) > 1 and data.wordpieces.strings[window][pieces[-1] % width] in BLANK_PIECES:
            pieces = pieces[:-1]
        word_ids += [word.i] * len(pieces)
        places += pieces
    if unread:
        warnings.warn(
            "The transformer has no piece for some words, so they are read as no entity. If its windows hold more "
            "pieces than it can read, it cuts them off: lower `window` and `stride` in "
            "[components.transformer.model.get_spans].",
            stacklevel=2,
        )
    return np.array(word_ids, np.int64), np.array(places, np.int64)


def _end(data: Any, window: int) -> int:
    return int(data.wordpieces.lengths[window]) - 1


def first_pieces(doc: Doc, data: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of `all_pieces` the first of each word."""
    word_ids, places = all_pieces(doc, data)
    firsts = np.flatnonzero(np.diff(word_ids, prepend=-1))
    return word_ids[firsts], places[firsts]
