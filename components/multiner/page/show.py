"""The page that `multiner demo` shows; Streamlit runs this file anew whenever something on the page is changed."""

import json
import re
import sys
from pathlib import Path

import streamlit as st
from spacy.language import Language

from multiner.demo import (
    EXAMPLES,
    Finding,
    colours_of,
    download,
    find,
    highlight,
    is_sure,
    labels_of,
    load_for_page,
    table,
)


@st.cache_resource(show_spinner="Loading")
def load(model: str) -> Language:
    """Each pipeline is loaded once."""
    return load_for_page(model)


@st.cache_data(show_spinner=False, max_entries=20)
def look(model: str, text: str) -> Finding:
    """Each text is read once, however often the threshold is moved."""
    return find(load(model), text)


def take(example: str) -> None:
    """Have an example in the box."""
    st.session_state["text"] = EXAMPLES[example]


def literal(text: str) -> str:
    """Text that Streamlit, which reads cells of tables as Markdown, shows as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def main(models: list[str]) -> None:
    """Show the page."""
    st.set_page_config(page_title="multiner", layout="wide" if len(models) > 1 else "centered")
    st.title("Named entities", anchor=False)
    st.session_state.setdefault("text", EXAMPLES["English"])
    with st.container(horizontal=True):
        for example in EXAMPLES:
            st.button(example, on_click=take, args=(example,))
    text = st.text_area("Text", key="text", height=130, help="Ctrl+Enter, or a click elsewhere, looks at it.")
    threshold = st.slider("Least confidence", 0.0, 1.0, 0.0, 0.01)
    if not text.strip():
        st.info("Type or paste a text.")
        return
    pipelines = {model: load(model) for model in models}
    colours = colours_of([label for nlp in pipelines.values() for label in labels_of(nlp)])
    findings = {model: look(model, text) for model in models}
    for column, (model, finding) in zip(st.columns(len(models)), findings.items(), strict=True):
        with column:
            st.subheader(Path(model).name, anchor=False)
            st.html(highlight(finding, threshold, colours))
            shown = sum(is_sure(entity, threshold) for entity in finding.entities)
            st.caption(f"{shown} of {len(finding.entities)} entities have a confidence of {threshold:.2f} or more.")
            with st.expander("Pieces, words and tags"):
                st.caption("The first piece of a word has the word's tag; the others have none.")
                rows = table(finding, threshold)
                st.table([{name: literal(value) for name, value in row.items()} for row in rows])
    content = json.dumps(download(findings, threshold), ensure_ascii=False, indent=2)
    st.download_button("Download as JSON", content, "entities.json", "application/json")


main(sys.argv[1:])
