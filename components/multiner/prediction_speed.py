"""How fast words are tagged: usual ways to use a token classifier, and ours in each number format, in one run.

All ways have the same weights and read the same texts, each in a process of its own. They have their turns one after
the other, and then all again: a machine that others use too is now faster, now slower, for minutes. Only spaCy's `ner`
behind spacy-transformers, which has another kind of head, has the same encoder alone.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import spacy
import torch
from spacy.tokens import Doc

from .batches import usual_batch
from .benchmark_texts import Text
from .devices import prepare_device, torch_device
from .errors import UserError
from .gpu_use import GpuUse, use_of_gpu
from .linear import FloatLinear
from .memory_use import in_own_process, peak_megabytes
from .model import TaggerShim
from .pipe import Multiner, with_own_encoder
from .pipelines import load_pipeline
from .precision import Precision, has_fast_bfloat16, number_format
from .speed_plot import PIPELINE
from .tags import Scheme, spans_from_tags, tag_names, to_iob2

Report = dict[str, Any]
# Where an entity begins and ends in a text, and its label.
Entity = tuple[int, int, str]
Tagger = Callable[[Sequence[str]], list[list[Entity]]]
# Texts in a batch of the pipeline of transformers.
BATCH_SIZES = {"cpu": (1, 8, 32), "cuda": (1, 8, 32, 128)}
# What the pipelines that know one number of documents for a batch are given; the best of `BATCH_SIZES` is near.
USUAL_BATCH = 32
OVERLAP = 16  # pieces that two windows of the pipeline of transformers share
# The model of spaCy's `ner` behind a `transformer`, as spaCy's own configs have it.
NER_ON_TRANSFORMER = {
    "@architectures": "spacy.TransitionBasedParser.v2",
    "state_type": "ner",
    "extra_state_tokens": False,
    "hidden_width": 64,
    "maxout_pieces": 2,
    "use_upper": False,
    "tok2vec": {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    },
}
# For so long a way tags all texts again and again when it has its turn.
LEAST_SECONDS = 3.0
# Side of the square matrices whose product tells what a device can do at most.
MATRIX = {"cpu": 1024, "cuda": 8192}


class NoClassifier(UserError, ValueError):
    """The pipeline cannot be put as a token classifier of transformers."""


class Material(NamedTuple):
    """What all ways work with.

    model: The pipeline's folder, or the name of its package.
    classifier: A folder with the same weights as a token classifier of transformers.
    encoder: A folder with the encoder of these weights.
    labels: The entity types.
    gpu_id: The GPU to compute on, -1 for the CPU.
    """

    model: str
    classifier: Path
    encoder: Path
    labels: tuple[str, ...]
    gpu_id: int

    @property
    def device(self) -> torch.device:
        """What to compute on."""
        return torch_device(self.gpu_id)


class Measurement(NamedTuple):
    """What a process found out about a way.

    seconds: For all texts.
    latencies: Seconds for each short text by itself.
    operations_per_second: What the machine computed of a large product in the way's number format, just then.
    gpu: What it made of the GPU, if that computed.
    """

    seconds: float
    latencies: list[float]
    peak_memory_mb: int
    number_format: str
    operations_per_second: float
    entities: list[list[Entity]]
    gpu: GpuUse | None


class Way(NamedTuple):
    """A way to tag texts: what makes the tagger, in which number format it computes, whether it has our weights."""

    make: Callable[[Material], Tagger]
    precision: Precision = "float32"
    same_weights: bool = True


def transformers_pipeline(batch_size: int, number_type: torch.dtype, material: Material) -> Tagger:
    """The pipeline of transformers, which puts neighbouring pieces of a label together."""
    from transformers.pipelines import pipeline

    settings: dict[str, Any] = {"aggregation_strategy": "simple", "stride": OVERLAP}
    classify: Any = pipeline(
        "token-classification", str(material.classifier), device=material.device, torch_dtype=number_type, **settings
    )

    def tag(texts: Sequence[str]) -> list[list[Entity]]:
        found = classify(list(texts), batch_size=batch_size)
        return [[(entity["start"], entity["end"], entity["entity_group"]) for entity in each] for each in found]

    return tag


def huggingface_pipelines(material: Material) -> Tagger:
    """spacy-huggingface-pipelines, told to compute batches."""
    nlp = spacy.blank("xx")
    settings = {"framework": "pt", "batch_size": USUAL_BATCH}
    config = {"model": str(material.classifier), "aggregation_strategy": "simple", "kwargs": settings}
    nlp.add_pipe("hf_token_pipe", config=config)
    return partial(_by_pipe, nlp)


def spacy_transformers(material: Material) -> Tagger:
    """spaCy's `ner` on a transformer of spacy-transformers, with its usual windows. Its head has learnt nothing."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("transformer", config={"model": {"name": str(material.encoder)}})
    ner = nlp.add_pipe("ner", config={"model": NER_ON_TRANSFORMER})
    for label in material.labels:
        ner.add_label(label)  # type: ignore[attr-defined]
    nlp.initialize()
    return partial(_by_pipe, nlp)


def plain_loop(material: Material) -> Tagger:
    """A loop in torch over batches of texts of like length, as people write it who care about speed."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(material.classifier)
    model = AutoModelForTokenClassification.from_pretrained(material.classifier).eval().to(material.device)
    names = tag_names(material.labels)

    def tag(texts: Sequence[str]) -> list[list[Entity]]:
        encoded = tokenizer(list(texts), truncation=True)
        order = sorted(range(len(texts)), key=lambda number: -len(encoded.input_ids[number]))
        found: list[list[Entity]] = [[] for _ in texts]
        while order:
            size = max(1, usual_batch(material.device) // len(encoded.input_ids[order[0]]))
            batch, order = order[:size], order[size:]
            padded = tokenizer.pad({"input_ids": [encoded.input_ids[each] for each in batch]}, return_tensors="pt")
            with torch.inference_mode():
                best = model(**padded.to(material.device)).logits.argmax(-1).tolist()
            for number, row in zip(batch, best, strict=True):
                found[number] = _entities_of_pieces(encoded[number], [names[tag] for tag in row])
        return found

    return tag


def ours(precision: Precision, material: Material) -> Tagger:
    """This library."""
    nlp = spacy.load(material.model)
    for pipe in with_own_encoder(nlp):
        pipe.shim.compute_in(precision, pipe.shim.cfg["float_layers"])
    return partial(_by_pipe, nlp)


def ways(device: torch.device) -> dict[str, Way]:
    """All ways that can be gone here on this device, by what they are called."""
    sizes = BATCH_SIZES[device.type]
    found = {
        f"{PIPELINE}, batches of {size}": Way(partial(transformers_pipeline, size, torch.float32)) for size in sizes
    }
    if has_fast_bfloat16(device):
        found |= {
            f"{PIPELINE} in bfloat16, batches of {size}": Way(
                partial(transformers_pipeline, size, torch.bfloat16), "bfloat16"
            )
            for size in sizes
        }
    if find_spec("spacy_huggingface_pipelines") is not None:
        found["spacy-huggingface-pipelines"] = Way(huggingface_pipelines)
    if find_spec("spacy_transformers") is not None:
        found["spacy-transformers and ner"] = Way(spacy_transformers, same_weights=False)
    found["torch, sorted batches"] = Way(plain_loop)
    formats: tuple[Precision, ...] = ("float32", "bfloat16", "int8" if device.type == "cpu" else "float16")
    return found | {f"ours, {precision}": Way(partial(ours, precision), precision) for precision in formats}


def measure_speed(
    model: str,
    texts: Sequence[Text],
    short: Sequence[str],
    rounds: int,
    watch: Callable[[str], None],
    gpu_id: int = -1,
) -> Report:
    """Tag texts in all ways.

    model (str): A pipeline's folder, or the name of its package.
    short (Sequence[str]): Texts to take the latency of, each by itself.
    rounds (int): How often each way has its turn, in a new process that tags all texts once before they are timed.
    watch (Callable): Is told which way comes next, and in which round.
    gpu_id (int): The GPU that all ways compute on, -1 for the CPU.
    RETURNS: JSON-ready "texts", "words", "pieces", and "ways": of each "words_per_second" and "pieces_per_second" (of
        the median round), "seconds" of each round, "latency_ms" (median and "p95"), "peak_memory_mb", "number_format",
        "operations_per_second" of the machine then and "share_of_these" that the encoder's products made up;
        "equal_labels" (the share of words whose label is that of ours in float32) and "f1" if texts are annotated; on a
        GPU "gpu_busy", the share of time in which it computed, and "gpu_memory_mb".
    RAISES: FileNotFoundError; NoClassifier; DeviceError.
    """
    in_own_process(prepare_device, gpu_id)
    nlp = load_pipeline(model)
    pipe = next(iter(with_own_encoder(nlp)), None)
    if pipe is None:
        raise NoClassifier(f"{model} has no trained component `multiner` with an encoder of its own.")
    docs = [nlp.make_doc(text.text) for text in texts]
    words = sum(map(len, docs))
    pieces = pipe.shim.count_pieces(docs)
    operations = 2 * pieces * _matrix_weights(pipe.shim)
    with TemporaryDirectory() as folder:
        material = Material(model, Path(folder) / "classifier", Path(folder) / "encoder", pipe.labels, gpu_id)
        save_classifier(pipe, material.classifier)
        save_encoder(pipe, material.encoder)
        plain = [text.text for text in texts]
        every_way = ways(material.device)
        found: dict[str, list[Measurement]] = {name: [] for name in every_way}
        for number in range(rounds):
            for name, way in every_way.items():
                watch(f"{name}, round {number + 1} of {rounds}")
                found[name].append(in_own_process(_measure, way, material, plain, list(short)))
    expected = _labels(docs, found["ours, float32"][0].entities)
    rows = {}
    for name, way in every_way.items():
        rows[name] = _speed_of(found[name], words, pieces, operations)
        if way.same_weights:
            entities = found[name][0].entities
            equal = sum(ours == theirs for ours, theirs in zip(_labels(docs, entities), expected, strict=True))
            rows[name] |= {"equal_labels": round(equal / words, 5), **_f1(texts, entities, pipe.labels)}
    return {"model": model, "texts": len(texts), "words": words, "pieces": pieces, "rounds": rounds, "ways": rows}


def _speed_of(measured: Sequence[Measurement], words: int, pieces: int, operations: int) -> Report:
    """What `measure_speed` says of each way, whatever it found; words, pieces and operations are those of all texts."""
    seconds = statistics.median(each.seconds for each in measured)
    median, p95 = 1000 * np.percentile([latency for each in measured for latency in each.latencies], [50, 95])
    most = statistics.median(each.operations_per_second for each in measured)
    return {
        "words_per_second": round(words / seconds, 1),
        "pieces_per_second": round(pieces / seconds, 1),
        "seconds": [round(each.seconds, 4) for each in measured],
        "latency_ms": {"median": round(float(median), 1), "p95": round(float(p95), 1)},
        "peak_memory_mb": max(each.peak_memory_mb for each in measured),
        "number_format": measured[0].number_format,
        "operations_per_second": round(most),
        "share_of_these": round(operations / seconds / most, 3),
        **_gpu_of([each.gpu for each in measured if each.gpu is not None]),
    }


def _gpu_of(used: Sequence[GpuUse]) -> Report:
    if not used:
        return {}
    busy = statistics.median(each.busy for each in used)
    return {"gpu_busy": round(busy, 3), "gpu_memory_mb": max(each.peak_memory_mb for each in used)}


def _measure(way: Way, material: Material, texts: list[str], short: list[str]) -> Measurement:
    prepare_device(material.gpu_id)
    tag = way.make(material)
    entities = tag(texts)
    times = 0
    start = time.perf_counter()
    while not times or time.perf_counter() - start < LEAST_SECONDS:
        tag(texts)
        times += 1
    seconds = (time.perf_counter() - start) / times
    latencies = []
    for text in short:
        start = time.perf_counter()
        tag([text])
        latencies.append(time.perf_counter() - start)
    memory = peak_megabytes()
    number_type = number_format(way.precision, material.device)
    name = str(number_type).removeprefix("torch.")
    most = _operations_per_second(number_type, material.device)
    gpu = None if material.gpu_id < 0 else use_of_gpu(lambda: tag(texts))
    return Measurement(seconds, latencies, memory, name, most, entities, gpu)


def _operations_per_second(number_type: torch.dtype, device: torch.device) -> float:
    """Multiplications and additions a second of a large product of matrices."""
    side = MATRIX[device.type]
    product = _product(torch.randint(-100, 100, (side, side), device=device).to(number_type))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def _product(matrix: torch.Tensor) -> Callable[[], object]:
    """What multiplies a matrix with itself, as fast as can be where it is."""
    if matrix.device.type == "cuda":

        def multiply() -> None:
            matrix @ matrix
            torch.cuda.synchronize(matrix.device)

        return multiply
    if matrix.dtype is torch.int8:
        return partial(torch._int_mm, matrix, matrix)
    return partial(FloatLinear(matrix, torch.zeros(len(matrix)), matrix.dtype), matrix)


def _matrix_weights(shim: TaggerShim) -> int:
    """How many weights each piece is multiplied with: those of all matrices but tables of embeddings."""
    modules = shim.network.encoder.modules()
    return sum(module.weight.numel() for module in modules if isinstance(module, torch.nn.Linear))


def save_classifier(pipe: Multiner, folder: Path) -> None:
    """Write a component's weights as a token classifier of transformers, with its tokenizer.

    RAISES: NoClassifier for encoders whose classifiers there have more than one layer, and for words that are not read
        from the first piece's vector in the highest layer alone.
    """
    from transformers import AutoConfig, AutoModelForTokenClassification

    network = pipe.shim.network
    if network.mixing is not None or network.transitions is not None or network.word_pieces != "first":
        raise NoClassifier(
            f"The component '{pipe.name}' tags words by more than the first piece in the highest layer, which no "
            'classifier of transformers does. Take a pipeline that was trained with word_pieces = "first", '
            "mixed_layers = 1 and crf = false."
        )
    config: Any = network.encoder.config
    names = dict(enumerate(tag_names(pipe.labels)))
    settings = {**config.to_dict(), "id2label": names, "label2id": {n: i for i, n in names.items()}}
    classifier = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**settings))
    inner = getattr(classifier, classifier.base_model_prefix)
    inner.load_state_dict(network.encoder.state_dict())
    weights = {name for name, _ in classifier.named_parameters()}
    if weights - {f"{classifier.base_model_prefix}.{name}" for name, _ in inner.named_parameters()} != {
        "classifier.weight",
        "classifier.bias",
    }:
        raise NoClassifier(f"A {type(classifier).__name__} has layers behind its encoder that the component has not.")
    classifier.classifier.load_state_dict(network.head.state_dict())
    classifier.save_pretrained(folder)
    _save_tokenizer(pipe, folder)


def save_encoder(pipe: Multiner, folder: Path) -> None:
    """Write a component's encoder as transformers has it, with its tokenizer."""
    pipe.shim.network.encoder.save_pretrained(folder)  # type: ignore[operator]
    _save_tokenizer(pipe, folder)


def _save_tokenizer(pipe: Multiner, folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer, reading = pipe.shim.tokenizer, pipe.shim.reading
    tokens = {"pad_token": reading.pad, "unk_token": reading.unknown}
    tokens |= {"cls_token": reading.prefix[0], "sep_token": reading.suffix[-1]}
    named = {name: tokenizer.id_to_token(number) for name, number in tokens.items()}
    # As is usual with encoders: what is longer is cut, or parted into windows where a way can do that.
    longest = reading.capacity + len(reading.prefix) + len(reading.suffix)
    saved: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=longest, **named)
    saved.save_pretrained(folder)


def _by_pipe(nlp: Any, texts: Sequence[str]) -> list[list[Entity]]:
    return [[(span.start_char, span.end_char, span.label_) for span in doc.ents] for doc in nlp.pipe(texts)]


def _entities_of_pieces(encoding: Any, tags: Sequence[str]) -> list[Entity]:
    """The entities that the tags of pieces spell."""
    pieces = [piece for piece, word in enumerate(encoding.word_ids) if word is not None]
    legal, _ = to_iob2([tags[piece] for piece in pieces], Scheme.IOB2)
    return [
        (encoding.offsets[pieces[start]][0], encoding.offsets[pieces[end - 1]][1], label)
        for start, end, label in spans_from_tags(legal)
    ]


def _labels(docs: Iterable[Doc], entities: Iterable[list[Entity]]) -> list[str]:
    """The label of each word that an entity touches, `B-` where it begins; empty for the others."""
    labels = []
    for doc, found in zip(docs, entities, strict=True):
        own = [""] * len(doc)
        for start, end, label in found:
            inside = [word.i for word in doc if word.idx < end and word.idx + len(word) > start]
            for number, word_index in enumerate(inside):
                own[word_index] = f"{'I' if number else 'B'}-{label}"
        labels += own
    return labels


def _f1(texts: Sequence[Text], entities: Iterable[list[Entity]], labels: Sequence[str]) -> dict[str, float]:
    """F1 of exact entities of the types that the pipeline knows, if texts are annotated."""
    gold = {(number, *entity) for number, text in enumerate(texts) for entity in text.entities if entity[2] in labels}
    found = {(number, *entity) for number, own in enumerate(entities) for entity in own}
    return {"f1": round(2 * len(gold & found) / max(1, len(gold) + len(found)), 4)} if gold else {}
