"""Recipes: corpora described in TOML."""

from pathlib import Path

import pytest

from multiner.columns import Layout
from multiner.corpora import convert
from multiner.docbins import read_sentences
from multiner.recipes import Recipe, RecipeError, SourceRecipe, read_recipe
from multiner.tags import Scheme

from .conftest import PROJECT


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf8")
    return path


def test_a_recipe_says_what_is_taken_of_each_source_and_how_it_is_read(tmp_path):
    path = write(
        tmp_path,
        """
        labels = ["PER"]

        [[source]]
        from = "panx"
        languages = ["de", "fr"]
        fractions = [0.5, 1]
        repository = "../xtreme"

        [[source]]
        from = "a.txt"
        language = "en"
        rename = { person = "PER", creative-work = "" }
        scheme = "iob1"
        encoding = "latin-1"
        separator = "blank"
        tag_column = 3
        repair = true
        """,
    )
    assert read_recipe(path) == Recipe(
        (
            SourceRecipe("panx", languages=("de", "fr"), fractions=(0.5, 1), repository="../xtreme"),
            SourceRecipe(
                "a.txt",
                language="en",
                rename={"person": "PER", "creative-work": ""},
                scheme=Scheme.IOB1,
                encoding="latin-1",
                layout=Layout(None, 0, 3),
                repair=True,
            ),
        ),
        ("PER",),
    )


def test_a_recipe_is_followed(tmp_path):
    (tmp_path / "a.conll").write_text("Ada\tB-person\n")
    path = write(
        tmp_path,
        f"""
        labels = ["PER", "LOC", "ORG"]
        [[source]]
        from = "{PROJECT}/corpus/sample/it"
        [[source]]
        from = "{tmp_path}/a.conll"
        rename = {{ person = "PER" }}
        """,
    )
    conversion = convert(read_recipe(path), tmp_path / "out.spacy", split="dev")
    assert conversion.docs == 61
    *_, last = read_sentences(tmp_path / "out.spacy")
    assert (last.words, last.tags) == (["Ada"], ["B-PER"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[source]\n", r"recipe.toml: .*A recipe is TOML"),
        ("", r"recipe.toml: no source. Add \[\[source\]\]"),
        ("sources = []\n", r"there is no setting 'sources'. The settings are labels, source"),
        ("source = [1]\n", r"source 1: 1 is no table"),
        ("[[source]]\nlanguage = 'de'\n", r"source 1: nothing says what it is"),
        ("[[source]]\nfrom = 'a'\nlangs = 'de'\n", r"source 1: there is no setting 'langs'"),
        ("[[source]]\nfrom = 3\n", r"from = 3 is of the wrong kind; it is a text"),
        ("[[source]]\nfrom = 'a'\nlanguages = 'de'\n", r"languages = 'de' is of the wrong kind; it is a list"),
        ("[[source]]\nfrom = 'a'\nlanguages = [1]\n", r"1 in languages is of the wrong kind"),
        ("[[source]]\nfrom = 'a'\nrename = { PER = 1 }\n", r"1 in rename is of the wrong kind"),
        ("[[source]]\nfrom = 'a'\nscheme = 'bio'\n", r"'bio' is no scheme. It is one of iob1, iob2, bioes, biluo"),
        ("[[source]]\nfrom = 'a'\nseparator = ','\n", r"',' is no separator. It is one of tab, blank"),
        ("[[source]]\nfrom = 'a'\nlanguages = ['de']\nfractions = [0]\n", r"0 is no fraction"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(write(tmp_path, text))
