"""Entity types renamed, merged and dropped, so that corpora with other types can be trained on together."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .errors import UserError
from .tags import OUTSIDE, split_tag


class LabelError(UserError, ValueError):
    """Labels that do not fit the corpus; the message names them and the labels that there are."""


class LabelMap:
    """What becomes of the labels of a source.

    names (Mapping[str, str]): The new name of a label. Two labels with the same new name are merged; an empty name
        drops the label, whose words are then outside of entities. Labels that are not in it keep their names.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self._met: set[str] = set()
        self._renamed: Counter[str] = Counter()

    def meet(self, tags: Iterable[str]) -> None:
        """Take note of tags of the source, whether or not their sentence is drawn."""
        self._met.update(tags)

    def apply(self, tags: list[str]) -> list[str]:
        """Legal IOB2 tags with the new labels; counts what it renames and drops.

        >>> LabelMap({"corporation": "ORG", "product": ""}).apply(["B-corporation", "O", "B-product"])
        ['B-ORG', 'O', 'O']
        """
        if not self.names:
            return tags
        self._renamed.update(tags)
        return [self._rename(tag) for tag in tags]

    def _rename(self, tag: str) -> str:
        prefix, label = split_tag(tag)
        if label not in self.names:
            return tag
        return f"{prefix}-{self.names[label]}" if self.names[label] else OUTSIDE

    def check(self, source: str) -> None:
        """See that every label that should be renamed or dropped was met.

        source (str): Name of the corpus, for the message.
        RAISES: LabelError, since a name that was never met is most likely misspelt.
        """
        labels = {split_tag(tag)[1] for tag in self._met} - {""}
        unknown = sorted(self.names.keys() - labels)
        if unknown:
            raise LabelError(
                f"{source} has no label {_quoted(unknown)}; it has {_quoted(sorted(labels)) or 'none at all'}. "
                "Correct the names in --rename or in the recipe."
            )

    def changes(self) -> Iterator[tuple[str, str, int]]:
        """Each renamed or dropped label with its new name and the number of entities concerned."""
        for label, name in sorted(self.names.items()):
            yield label, name, self._renamed[f"B-{label}"]


def check_label_set(labels: Iterable[str], allowed: Sequence[str]) -> None:
    """See that a corpus has no other labels than it should.

    RAISES: LabelError.
    """
    others = sorted(set(labels) - set(allowed))
    if others:
        raise LabelError(
            f"The corpus has the label {_quoted(others)}, but only {_quoted(allowed)} are wanted. "
            "Rename it, or drop it by giving it an empty name."
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
