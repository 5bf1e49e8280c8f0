"""Column files: what is read, how it is understood, and what is said of a bad one."""

from pathlib import Path

import pytest

from multiner.columns import Layout, column_lines, open_columns
from multiner.sentences import Account, CorpusError, Sentence
from multiner.tags import Scheme


@pytest.fixture
def write(tmp_path: Path):
    def write(content: str | bytes, name: str = "train.conll") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
        return path

    return write


def read(path: Path, **options) -> list[Sentence]:
    return list(open_columns(path, **options).sentences())


def words_and_tags(path: Path, **options) -> list[tuple[list[str], list[str]]]:
    return [(sentence.words, sentence.tags) for sentence in read(path, **options)]


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        ("Ada\tB-PER\nspoke\tO\n", Layout("\t", 0)),
        ("Ada B-PER\nspoke  O\n", Layout(None, 0)),
        ("0\tAda\tB-PER\n1\tspoke\tO\n", Layout("\t", 1)),
        ("1 Ada B-PER\n2 spoke O\n", Layout(None, 1)),
        ("en:Ada\tB-PER\nen:spoke\tO\n", Layout("\t", 0, language_prefix=True)),
        ("Ada NNP B-NP B-PER\nspoke VBD B-VP O\n", Layout(None, 0)),
    ],
    ids=["tabs", "blanks", "index", "index from 1 and blanks", "language prefix", "columns between"],
)
def test_the_layout_is_found_out(write, content, layout):
    path = write(content)
    assert open_columns(path).layout == layout
    assert words_and_tags(path) == [(["Ada", "spoke"], ["B-PER", "O"])]


def test_columns_can_be_named(write):
    path = write("O\tx\tAda\nO\ty\tspoke\n")
    assert words_and_tags(path, layout=Layout("\t", word=2, tag=0)) == [(["Ada", "spoke"], ["O", "O"])]


def test_a_language_prefix_is_kept_apart_from_the_word(write):
    sentence = read(write("de:10:30\tO\nde:Uhr\tO\n"))[0]
    assert (sentence.language, sentence.words) == ("de", ["10:30", "Uhr"])


def test_a_line_of_white_space_ends_a_sentence(write):
    assert len(read(write("a\tO\n\t\nb\tO\n \nc\tO\n\n\n"))) == 3


def test_hash_signs_and_quotes_are_words(write):
    assert words_and_tags(write('#nlp\tO\n"\tO\n#\tO\n')) == [(["#nlp", '"', "#"], ["O", "O", "O"])]


def test_only_tabs_and_blanks_separate_and_only_line_feeds_end_lines(write):
    words = ["Smi\u00a0th", "a\u2003b", "c\u2028d", "e\x85f"]
    assert words_and_tags(write("".join(f"{word}\tO\n" for word in words))) == [(words, ["O"] * 4)]


def test_document_starts_are_passed_over_and_counted(write):
    path = write("-DOCSTART- -X- O O\n\nAda B-NP B-NP B-PER\n--docstart-- -X- O O\nb x y O\n")
    account = Account()
    found = list(open_columns(path).sentences(account=account))
    assert [(sentence.words, sentence.source) for sentence in found] == [(["Ada"], f"{path}:3"), (["b"], f"{path}:5")]
    assert account.document_starts == 2


def test_carriage_returns_and_a_byte_order_mark_are_no_text(write):
    assert words_and_tags(write(b"\xef\xbb\xbfAda\tB-PER\r\nspoke\tO\r\n\r\n")) == [(["Ada", "spoke"], ["B-PER", "O"])]


@pytest.mark.parametrize(
    ("content", "scheme"),
    [
        ("a\tI-PER\nb\tI-PER\nc\tB-PER\n", Scheme.IOB1),
        ("a\tB-PER\nb\tI-PER\nc\tB-PER\n", Scheme.IOB2),
        ("a\tB-PER\nb\tE-PER\nc\tS-PER\n", Scheme.BIOES),
        ("a\tB-PER\nb\tL-PER\nc\tU-PER\n", Scheme.BILUO),
    ],
)
def test_every_scheme_is_read_as_iob2(write, content, scheme):
    path = write(content)
    assert open_columns(path).scheme is scheme
    assert words_and_tags(path) == [(["a", "b", "c"], ["B-PER", "I-PER", "B-PER"])]


def test_repair_makes_tags_legal_and_lists_what_it_changed(write):
    path = write("x\tB-LOC\n\na\tO\nb\tI-PER\nc\tI-PER\n")
    account = Account()
    _, second = open_columns(path).sentences(repair=True, account=account)
    assert second.tags == ["O", "B-PER", "I-PER"]
    (change,) = account.changes
    assert change[:4] == (f"{path}, line 4", "b", "I-PER", "B-PER")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Z\xfcrich\tB-LOC\n", r"line 1: the bytes fc 72 69 63 are not utf-8.*--encoding latin-1"),
        ("a\tO\nb\n", r"line 2: 1 column\(s\) in 'b', but word and tag need 2.*--tag-column"),
        ("a\tO\n\tO\n", r"line 2: the word in '\\tO' is empty"),
        ("a\tO\nb\tB_LOC\n", r"line 2: 'B_LOC' \(for 'b'\) is not a tag"),
        ("a\tO\nb\tB-\n", r"line 2: 'B-' \(for 'b'\) is not a tag"),
        ("a\tB-LOC\n\nb\tO\nc\tI-LOC\n", r"line 4: the tag 'I-LOC' of 'c' is not legal IOB2.*--repair"),
        ("a\tB-LOC\nb\tI-PER\n", r"line 2: the tag 'I-PER' of 'b' is not legal IOB2"),
        ("a\tS-LOC\nb\tU-PER\n", r"BIOES and of BILUO are mixed.*--scheme"),
        ("\n \n", r"holds no sentence"),
        ("", r"holds no sentence"),
    ],
    ids=["encoding", "columns", "word", "tag", "label", "inside", "other label", "mixed", "blank", "empty"],
)
def test_a_bad_file_is_refused_with_file_line_value_and_remedy(write, content, message):
    path = write(content)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_missing_language_is_refused_where_others_have_one(write):
    content = "de:a\tO\n" * 1000 + "b\tO\n"
    with pytest.raises(CorpusError, match=r"line 1001: 'b' has no language in front"):
        read(write(content))


def test_another_encoding_can_be_named(write):
    path = write("Zürich\tB-LOC\n".encode("latin-1"))
    assert words_and_tags(path, encoding="latin-1") == [(["Zürich"], ["B-LOC"])]
    with pytest.raises(CorpusError, match="there is no encoding 'latin-99'"):
        read(path, encoding="latin-99")


def test_what_is_written_is_read_back(write, tmp_path):
    sentences = read(write("de:Jack\tB-PER\nde:Sparrow\tI-PER\n\nfr:oui\tO\n"))
    path = write("".join(column_lines(sentences, Scheme.BIOES)), "again.conll")
    assert open_columns(path).scheme is Scheme.BIOES
    assert [sentence[:3] for sentence in read(path)] == [sentence[:3] for sentence in sentences]
