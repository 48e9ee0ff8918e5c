"""Nets of torch on notes: two small ones to train here, and any other that reads embedded tokens.

A net is asked in calls of one size: TILE rows, each padded to a length that only depends on its own. So no row's
score depends on which others are asked with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nocere.core.canonical import digest
from nocere.core.case import Case
from nocere.core.decision import Decision, OneLogit, Softmax
from nocere.core.errors import TargetError
from nocere.targets.notes.gradient import WordGradient
from nocere.targets.notes.target import NoteTarget
from nocere.targets.notes.tokens import PAD, UNKNOWN, Tokens
from nocere.targets.reference.fitting import initialise, one_thread

TILE, SHORTEST = 16, 32  # rows of a call, and tokens that every note is padded to at least
BATCH = 32  # notes of a training step
ARCHITECTURES = ("embedding_bag", "cnn")


Places: TypeAlias = list[tuple[int, int]]


class Reader(Protocol):
    """Text to token ids and their places in it; a token of the net's own has an empty place."""

    def __call__(self, text: str) -> tuple[list[int], Places]: ...


class TextNet(nn.Module):
    """Embedded tokens [n, length, width] and their strengths [n, length] to logits [n, outputs].

    A strength is 1 for a token that is there and 0 for none; what lies between is for gradients only. `embedding_bag`
    takes the mean of the embeddings, then a hidden layer; `cnn` (Kim 2014, arXiv:1408.5882) the largest answer of
    convolutions over 1, 2 and 3 tokens.
    """

    def __init__(self, arch: str, tokens: int, outputs: int, *, width: int = 32, filters: int = 32) -> None:
        super().__init__()
        self.arch = arch
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the global generator
            self.embedding = nn.Embedding(tokens, width, padding_idx=PAD)
            self.convolutions = nn.ModuleList(
                nn.Conv1d(width, filters, k, padding=k // 2) for k in ((1, 2, 3) if arch == "cnn" else ())
            )
            self.hidden = nn.Linear(3 * filters if arch == "cnn" else width, filters)
            self.head = nn.Linear(filters, outputs)

    def embed(self, ids: Tensor) -> Tensor:
        """Ids [n, length] to embeddings."""
        embedded: Tensor = self.embedding(ids)
        return embedded

    def forward(self, embedded: Tensor, strength: Tensor) -> Tensor:
        """Logits [n, outputs]."""
        mask = strength[..., None]
        if self.arch == "cnn":
            x = (embedded * mask).transpose(1, 2)
            found = [torch.relu(c(x))[..., : x.shape[2]] * mask.transpose(1, 2) for c in self.convolutions]
            pooled = torch.cat([f.amax(dim=2) for f in found], dim=1)
        else:
            pooled = (embedded * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        logits: Tensor = self.head(torch.relu(self.hidden(pooled)))
        return logits


class Net:
    """A net with its reader, as a model of a NoteTarget.

    Args:
        module: has `embed(ids)` and answers to embeddings and strengths; its parameters are frozen.
        reader: texts to ids.
        about: what else decides the answers, for the fingerprint.
        longest: tokens that the module takes at most.
    """

    gradients = True

    def __init__(self, module: Any, reader: Reader, about: Any, *, longest: int = 1 << 30) -> None:
        self.module, self.reader, self.about, self._longest = module.eval(), reader, about, longest
        for p in self.module.parameters():
            p.requires_grad_(False)

    def _padded(self, n: int) -> int:
        """The length that a note of n tokens is padded to: a power of two, or the most that the net takes."""
        return min(max(SHORTEST, 1 << max(n - 1, 0).bit_length()), self._longest)

    def _calls(self, texts: Sequence[str]) -> Iterator[tuple[list[int], Tensor, Tensor, list[Places]]]:
        """Rows of one length, TILE at a time: which texts, ids, strengths, and places."""
        read = [self.reader(t) for t in texts]
        lengths = np.array([self._padded(len(ids)) for ids, _ in read])
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length).tolist()
            for at in range(0, len(rows), TILE):
                part = rows[at : at + TILE]
                ids = torch.zeros(TILE, length, dtype=torch.long)
                strength = torch.zeros(TILE, length)
                for i, row in enumerate(part):
                    own = read[row][0]
                    ids[i, : len(own)] = torch.tensor(own, dtype=torch.long)
                    strength[i, : len(own)] = 1.0
                yield part, ids, strength, [read[r][1] for r in part]

    def scores(self, texts: Sequence[str], bases: Sequence[str]) -> NDArray[Any]:
        out: dict[int, NDArray[Any]] = {}
        with torch.inference_mode():
            for rows, ids, strength, _ in self._calls(texts):
                z = self.module(self.module.embed(ids), strength).double().numpy()
                out |= dict(zip(rows, z, strict=False))
        return np.stack([out[i] for i in range(len(texts))])

    def vjp(
        self, texts: Sequence[str], bases: Sequence[str]
    ) -> tuple[NDArray[Any], Callable[[NDArray[np.float64]], list[WordGradient]]]:
        kept = []
        scores: dict[int, NDArray[Any]] = {}
        for rows, ids, strength, places in self._calls(texts):
            with torch.enable_grad():
                embedded = self.module.embed(ids).detach().requires_grad_(True)
                z = self.module(embedded, strength.requires_grad_(True))
            scores |= dict(zip(rows, z.detach().double().numpy(), strict=False))
            kept.append((rows, embedded, strength, z, places))

        def pullback(weight: NDArray[np.float64]) -> list[WordGradient]:
            found: dict[int, WordGradient] = {}
            for rows, embedded, strength, z, places in kept:
                pulled = torch.zeros_like(z)
                pulled[: len(rows)] = torch.from_numpy(weight[rows]).to(z.dtype)
                g, s = torch.autograd.grad(z, (embedded, strength), pulled, retain_graph=True, allow_unused=True)
                shrunk = (g * embedded.detach()).sum(dim=2)
                s = shrunk if s is None else s
                for i, row in enumerate(rows):
                    found[row] = self._by_word(g[i], s[i], (s - shrunk)[i], places[i])
            return [found[i] for i in range(len(texts))]

        return np.stack([scores[i] for i in range(len(texts))]), pullback

    def _by_word(self, g: Tensor, strength: Tensor, rest: Tensor, places: Places) -> WordGradient:
        """From gradients by embeddings [length, width] and by strengths [length].

        `rest` is what a strength does besides shrinking its embedding. What is added to a note lies somewhere in it:
        the means over its tokens stand for it.
        """
        at = [k for k, (start, end) in enumerate(places) if end > start]
        mean, besides = (g[at].mean(dim=0), float(rest[at].mean())) if at else (torch.zeros(g.shape[1]), 0.0)

        def gain(text: str) -> float:
            ids, spans = self.reader(text)
            own = [i for i, (start, end) in zip(ids, spans, strict=True) if end > start]
            if not own:
                return 0.0
            with torch.inference_mode():
                return float((self.module.embed(torch.tensor([own], dtype=torch.long))[0] @ mean + besides).sum())

        spans = np.array([places[k] for k in at], dtype=np.int64).reshape(-1, 2)
        return WordGradient(spans, strength[at].double().numpy(), lambda texts: np.array([gain(t) for t in texts]))

    def state(self) -> str:
        hashed = hashlib.sha256()
        for key, value in sorted(self.module.state_dict().items()):
            hashed.update(f"{key}:{value.dtype}:{tuple(value.shape)}".encode())
            hashed.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest([self.about, self.module.training, hashed.hexdigest()])


def net_target(module: TextNet, reader: Tokens, decision: Decision, *, name: str = "model") -> NoteTarget:
    """A small net with its vocabulary as a target."""
    return NoteTarget(Net(module, reader, [module.arch, reader.to_json()]), decision, name=name)


def fit_text_net(
    cases: Sequence[Case[str]],
    labels: Sequence[str],
    seed: int,
    *,
    arch: str = "embedding_bag",
    epochs: int = 20,
    name: str = "model",
) -> NoteTarget:
    """Train a small net on notes with one true label each.

    Args:
        cases: notes; the truth of each is one of `labels`.
        labels: of the target; two of them make one logit for the second.
        seed: of every draw; the same seed gives the same weights on the same machine.
        arch: "embedding_bag" or "cnn".
        epochs: passes over the notes.
        name: shown in reports.

    Raises:
        TargetError: an unknown architecture, no notes, or a note whose truth is none of the labels.
    """
    if not cases:
        raise TargetError("There are no notes to learn from.")
    if arch not in ARCHITECTURES:
        raise TargetError(f"A text net is one of {', '.join(ARCHITECTURES)}; got {arch!r}.")
    wrong = next((c for c in cases if c.truth.label not in labels), None)
    if wrong is not None:
        raise TargetError(f"The label of note {wrong.id} is none of {', '.join(labels)}.")
    reader = Tokens.learn(c.x for c in cases)
    outputs = 1 if len(labels) == 2 else len(labels)
    module = TextNet(arch, len(reader.vocabulary) + 2, outputs)
    with one_thread():
        truth = [list(labels).index(str(c.truth.label)) for c in cases]
        _train(module, [reader(c.x)[0] for c in cases], truth, seed, epochs)
    decision: Decision = OneLogit((labels[0], labels[1])) if outputs == 1 else Softmax(tuple(labels))
    return net_target(module, reader, decision, name=name)


def _train(module: TextNet, ids: Sequence[list[int]], y: Sequence[int], seed: int, epochs: int) -> None:
    initialise(module, seed)
    rows, truth = [torch.tensor(i or [UNKNOWN], dtype=torch.long) for i in ids], torch.tensor(y)
    rng = np.random.default_rng([seed, 2])
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=1e-2)
    module.train()
    for _ in range(epochs):
        for chosen in np.array_split(rng.permutation(len(y)), -(-len(y) // BATCH)):
            x = nn.utils.rnn.pad_sequence([rows[i] for i in chosen], batch_first=True, padding_value=PAD)
            z = module(module.embed(x), (x != PAD).float())
            target = truth[chosen.tolist()]
            if z.shape[1] == 1:
                loss = functional.binary_cross_entropy_with_logits(z[:, 0], target.float())
            else:
                loss = functional.cross_entropy(z, target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
