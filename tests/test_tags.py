"""Tags: reading, checking and writing the schemes in use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiner.tags import (
    Scheme,
    Span,
    TagError,
    detect_scheme,
    from_iob2,
    legal_transitions,
    spans_from_tags,
    split_tag,
    tag_names,
    tags_from_spans,
    to_iob2,
)

LABELS = ["LOC", "creative-work", "PER"]


@st.composite
def sentences(draw: st.DrawFn) -> list[str]:
    """Legal IOB2 sentences."""
    tags: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        label = draw(st.sampled_from(LABELS))
        length = draw(st.integers(1, 3))
        tags += ["O"] * draw(st.integers(0, 2)) + [f"B-{label}"] + [f"I-{label}"] * (length - 1)
    return tags + ["O"] * draw(st.integers(0, 2))


@given(sentences())
def test_tags_and_spans_are_two_ways_to_say_the_same(tags):
    assert tags_from_spans(spans_from_tags(tags), len(tags)) == tags


@given(sentences(), st.sampled_from(Scheme))
def test_every_scheme_can_be_written_and_read_back_without_a_problem(tags, scheme):
    assert to_iob2(from_iob2(tags, scheme), scheme) == (tags, [])


@given(
    st.lists(st.sampled_from(["O", *(f"{p}-{label}" for p in "BIESLU" for label in LABELS)]), max_size=8),
    st.sampled_from(Scheme),
)
def test_whatever_is_read_comes_out_legal(tags, scheme):
    iob2, problems = to_iob2(tags, scheme)
    assert to_iob2(iob2, Scheme.IOB2) == (iob2, [])
    assert all(0 <= problem.word < len(tags) and tags[problem.word] == problem.tag for problem in problems)


@given(st.lists(sentences(), min_size=1, max_size=4), st.sampled_from([Scheme.BIOES, Scheme.BILUO]))
def test_schemes_with_ends_are_recognised_by_their_prefixes(corpus, scheme):
    written = [from_iob2(tags, scheme) for tags in corpus]
    if any(prefix in "ESLU" for tags in written for tag in tags for prefix in tag[:1]):
        assert detect_scheme(written) is scheme


def test_a_tag_is_cut_at_its_first_hyphen_only():
    assert split_tag("B-creative-work") == ("B", "creative-work")
    assert spans_from_tags(["B-creative-work", "I-creative-work"]) == [Span(0, 2, "creative-work")]


def test_iob1_is_told_from_iob2():
    assert detect_scheme([["I-PER", "I-PER", "O", "I-LOC", "B-LOC"]]) is Scheme.IOB1
    assert detect_scheme([["B-PER", "I-PER", "O", "B-LOC", "B-LOC"]]) is Scheme.IOB2
    assert detect_scheme([["O", "O"]]) is Scheme.IOB2
    # One stray I- among entities that start with B- is an error in IOB2, not another scheme.
    assert detect_scheme([["O", "I-PER"], ["O", "B-LOC"]]) is Scheme.IOB2


def test_prefixes_of_two_schemes_are_refused():
    with pytest.raises(TagError, match="BIOES and of BILUO are mixed"):
        detect_scheme([["S-PER"], ["U-LOC"]])


@pytest.mark.parametrize(
    ("tags", "scheme", "expected"),
    [
        (["O", "I-PER"], Scheme.IOB2, ["O", "B-PER"]),
        (["B-PER", "I-ORG"], Scheme.IOB2, ["B-PER", "B-ORG"]),
        (["B-PER", "O"], Scheme.BIOES, ["B-PER", "O"]),
        (["B-PER"], Scheme.BILUO, ["B-PER"]),
        (["S-PER"], Scheme.BILUO, ["B-PER"]),
        (["B-LOC"], Scheme.IOB1, ["B-LOC"]),
    ],
)
def test_an_illegal_tag_is_named_with_what_takes_its_place(tags, scheme, expected):
    iob2, problems = to_iob2(tags, scheme)
    assert iob2 == expected
    assert len(problems) == 1
    assert problems[0].tag == tags[problems[0].word]
    assert problems[0].iob2 == expected[problems[0].word]


def test_spans_that_overlap_or_leave_the_sentence_are_refused():
    with pytest.raises(TagError, match="overlaps"):
        tags_from_spans([Span(0, 2, "PER"), Span(1, 3, "LOC")], 3)
    with pytest.raises(TagError, match="does not fit"):
        tags_from_spans([Span(2, 4, "PER")], 3)


def test_only_the_same_label_may_go_on_inside():
    names = tag_names(["A", "B"])
    assert names == ["O", "B-A", "I-A", "B-B", "I-B"]
    start, follow = legal_transitions(len(names))
    assert [name for name, legal in zip(names, start, strict=True) if legal] == ["O", "B-A", "B-B"]
    before_inside = {names[i] for i in range(5) if follow[i, names.index("I-B")]}
    assert before_inside == {"B-B", "I-B"}
    assert follow[:, [0, 1, 3]].all()
