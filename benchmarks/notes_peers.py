"""TextAttack 0.3.11 on notes, with nocere's own table of wordings as its transformation; for notes_speed.py.

What it imports at its top and never uses here is stubbed where it is not installed (`STUBS`), and its English stop words
are scikit-learn's: the list of NLTK is a download. Everything that searches is TextAttack's own code.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from nocere.core.case import Case
from nocere.threats.words.sites import Site
from nocere.threats.words.splice import Splice, replay

STUBS: dict[str, tuple[str, ...]] = {
    "flair": (),
    "flair.data": ("Sentence", "Tokenizer"),
    "flair.models": ("SequenceTagger",),
    "bert_score": (),
    "datasets": ("Dataset", "NamedSplit"),
    "language_tool_python": (),
    "OpenHowNet": (),
    "pinyin": (),
}
EDITS = "nocere_edits"  # where a text of TextAttack carries its splices

Table = dict[str, tuple[Site, ...]]  # text of a note -> its sites
Probabilities = Callable[
    [list[str], str], Any
]  # texts, and the note that they are variants of, to probabilities [n, 2], the decision's line at one half


@dataclass(frozen=True)
class Found:
    """What an attack made of each note: the flipped text or None, rows that the model was asked, CPU seconds."""

    texts: list[str | None]
    rows: int
    seconds: float


def available() -> str:
    """Empty where TextAttack can be imported, else why not."""
    for name, classes in STUBS.items():
        try:
            importlib.import_module(name)
        except ImportError:
            _stub(name, classes)
    try:
        nltk: Any = importlib.import_module("nltk")
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        nltk.download = lambda *_, **__: False
        nltk.corpus.stopwords = SimpleNamespace(words=lambda _: sorted(ENGLISH_STOP_WORDS))
        importlib.import_module("textattack")
        importlib.import_module("textattack.attack_recipes")
    except ImportError as e:
        return str(e)
    return ""


def _stub(name: str, classes: Sequence[str]) -> None:
    made: Any = ModuleType(name)
    made.__path__ = []
    for c in classes:
        setattr(made, c, type(c, (), {}))
    sys.modules[name] = made
    if "." in name:
        above, own = name.rsplit(".", 1)
        setattr(sys.modules[above], own, made)


def stubbed() -> list[str]:
    """Which modules are stubs in this process."""
    return [n for n in STUBS if "." not in n and getattr(sys.modules.get(n), "__file__", None) is None]


def attacks(table: Table, most: int) -> dict[str, Callable[[Any], Any]]:
    """Searches of TextAttack over the table with at most so many edits: name -> goal function to attack."""
    import textattack as ta
    from textattack.search_methods import GreedySearch, GreedyWordSwapWIR

    swap, budget = _transformation(table), _constraint(table, most)
    searches: dict[str, Any] = {
        "greedy by importance (delete)": lambda: GreedyWordSwapWIR(wir_method="delete"),
        "greedy by importance (unk)": lambda: GreedyWordSwapWIR(wir_method="unk"),
        "greedy over all swaps": GreedySearch,
    }

    def made(search: Callable[[], Any]) -> Callable[[Any], Any]:
        return lambda goal: ta.Attack(goal, [budget], swap, search())

    return {name: made(search) for name, search in searches.items()}


def deep_word_bug(goal: Any) -> Any:
    """The recipe as it ships: one-letter typos."""
    from textattack.attack_recipes import DeepWordBugGao2018

    return DeepWordBugGao2018.build(goal.model)


def run(attack: Callable[[Any], Any], ask: Probabilities, cases: Sequence[Case[str]], truth: Sequence[int]) -> Found:
    """Attack the notes one after the other, as TextAttack does."""
    from textattack.attack_results import SuccessfulAttackResult
    from textattack.goal_functions import UntargetedClassification
    from textattack.models.wrappers import ModelWrapper

    class Wrapper(ModelWrapper):  # type: ignore[misc]
        def __init__(self) -> None:
            self.model, self.rows, self.note = ask, 0, ""

        def __call__(self, texts: list[str]) -> Any:
            self.rows += len(texts)
            return self.model(list(texts), self.note)

    wrapper = Wrapper()
    made = attack(UntargetedClassification(wrapper))
    texts: list[str | None] = []
    started = time.process_time()
    for case, label in zip(cases, truth, strict=True):
        wrapper.note = case.x
        result = made.attack(case.x, int(label))
        texts.append(result.perturbed_text() if isinstance(result, SuccessfulAttackResult) else None)
    return Found(texts, wrapper.rows, time.process_time() - started)


def splices(text: Any) -> tuple[Splice, ...]:
    """The edits that a text of TextAttack carries."""
    return tuple(text.attack_attrs.get(EDITS, ()))


def _constraint(table: Table, most: int) -> Any:
    """Only words of sites may be touched, each site once, and at most so many sites."""
    from textattack.constraints import PreTransformationConstraint

    class Places(PreTransformationConstraint):  # type: ignore[misc]
        def _get_modifiable_indices(self, current_text: Any) -> set[int]:
            made = splices(current_text)
            if len(made) >= most:
                return set()
            taken = {s.start for s in made}
            words = _words(_first(current_text), table)
            return {i for i, site in words.items() if site.start not in taken}

    return Places()


def _transformation(table: Table) -> Any:
    """A site's other wordings, of one word or several, wherever one of its words is to be changed."""
    from textattack.shared import AttackedText
    from textattack.transformations import WordSwap

    class Wordings(WordSwap):  # type: ignore[misc]
        def __call__(self, current_text: Any, *given: Any, indices_to_modify: Any = None, **about: Any) -> Any:
            if indices_to_modify is None:
                indices_to_modify = range(_first(current_text).num_words)
            return super().__call__(current_text, *given, indices_to_modify=indices_to_modify, **about)

        def _get_transformations(self, current_text: Any, indices_to_modify: set[int]) -> list[Any]:
            first, made = _first(current_text), splices(current_text)
            words = _words(first, table)
            sites = {words[i].start: words[i] for i in sorted(indices_to_modify)}
            return [
                AttackedText(
                    replay(first.text, edits),
                    # Words keep the numbers that they have in the note: sites are places of the note.
                    {EDITS: edits, "first": first, "original_index_map": np.arange(first.num_words),
                     "modified_indices": set()},
                )
                for site in sites.values() if all(s.start != site.start for s in made)
                for k in range(len(site.options))
                for edits in (tuple(sorted((*made, site.splice(k)))),)
            ]  # fmt: skip

    return Wordings()


def _first(text: Any) -> Any:
    """The note that a text was made of."""
    return text.attack_attrs.get("first", text)


def _words(first: Any, table: Table) -> dict[int, Site]:
    """The words of a note, by number, that stand in a site; found once a note."""
    known: dict[int, Site] | None = first.attack_attrs.get("words")
    if known is None:
        known, at = {}, 0
        sites = table.get(first.text, ())
        for i, word in enumerate(first.words):
            start = first.text.index(word, at)
            at = start + len(word)
            site = next((s for s in sites if s.start < at and start < s.end), None)
            if site is not None:
                known[i] = site
        first.attack_attrs["words"] = known
    return known
