"""The network of DKN: a convolution over title words and entities, and attention over a user's likes."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kgplug.recommenders.click_through.tasks import PairNetwork
from kgplug.recommenders.models._dkn_titles import Titles
from kgplug.recommenders.parts.operations.compiled_steps import pair_dots
from kgplug.recommenders.parts.operations.layers import distinct, normal_table, xavier_linear

_FAR = -1e9  # attention logit of a history's padding, so that its weight is zero


class DKNShape(Protocol):
    """The settings that the network reads from `DKNConfig`."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def filters(self) -> int: ...
    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def attention(self) -> str: ...
    @property
    def head(self) -> str: ...
    @property
    def hidden_dim(self) -> int: ...
    @property
    def init_scale(self) -> float: ...


class Match(nn.Module):
    """Scores candidate items for a user, by attention of each candidate over the user's likes (eqs. 11–13).

    Args:
        dim: Length D of an item vector.
        attention: How a like is compared with a candidate: "dot" (dot product), or "dnn" (one hidden layer).
        head: How the score is computed from the vectors of the user and the candidate: "dot" or "dnn", as above.
        hidden_dim: Width of the hidden layers.
        generator: Random generator of the weights.
    """

    def __init__(self, *, dim: int, attention: str, head: str, hidden_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.attention, self.head, self.dim = attention, head, dim
        self.attention_layer = xavier_linear(2 * dim, hidden_dim, generator) if attention == "dnn" else None
        self.attention_output = xavier_linear(hidden_dim, 1, generator) if attention == "dnn" else None
        self.head_layer = xavier_linear(2 * dim, hidden_dim, generator) if head == "dnn" else None
        self.head_output = xavier_linear(hidden_dim, 1, generator) if head == "dnn" else None

    def forward(self, history: torch.Tensor, held: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Return the logits of m candidates for each of b users, (b, m).

        Args:
            history: Item vectors of up to K likes per user, (b, K, D), padded if a user has fewer likes.
            held: Mask of `history`: 1 for a like, 0 for padding, (b, K).
            candidates: Vectors of the candidates, (b, m, D), or (1, m, D) if they are the same for all users.
        """
        products = history @ candidates.transpose(1, 2)  # (b, K, m)
        near = products
        if self.attention_layer is not None and self.attention_output is not None:
            of_history, of_candidate = _sides(self.attention_layer, history, candidates)
            near = self.attention_output(torch.relu(of_history[:, :, None] + of_candidate[:, None])).squeeze(-1)
        weights = _attention(near, held)
        if self.head_layer is None or self.head_output is None:
            return (weights * products).sum(1)
        users = weights.transpose(1, 2) @ history  # (b, m, D)
        of_user, of_candidate = _sides(self.head_layer, users, candidates)
        return self.head_output(torch.relu(of_user + of_candidate)).squeeze(-1)

    def of_pairs(
        self, vectors: torch.Tensor, liked_of: torch.Tensor, held: torch.Tensor, item_of: torch.Tensor
    ) -> torch.Tensor:
        """Return the logit of one candidate per user, (b,) for b users.

        Args:
            vectors: Item vectors of length D, (n, D).
            liked_of: Rows in `vectors` of up to K likes per user, int64 (b, K); any row as padding.
            held: Mask of `liked_of`: 1 for a like, 0 for padding, (b, K).
            item_of: Row of each user's candidate in `vectors`, int64 (b,).
        """
        if self.attention_layer is None and self.head_layer is None:  # only dot products are needed
            candidates = item_of.repeat_interleave(liked_of.shape[1])
            products = pair_dots(vectors, liked_of.reshape(-1), vectors, candidates).view(liked_of.shape)  # (b, K)
            return (_attention(products[:, :, None], held)[:, :, 0] * products).sum(1)
        history = functional.embedding(liked_of, vectors)  # (b, K, D)
        return self(history, held, functional.embedding(item_of, vectors)[:, None]).squeeze(1)


def _attention(near: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """Return the softmax of attention logits over a user's likes, (b, K, m); padding gets the weight 0.

    Args:
        near: For each of b users, the logits between K likes and m candidates, (b, K, m).
        held: Mask of the likes: 1 for a like, 0 for padding if a user has fewer than K likes, (b, K).
    """
    held = held[:, :, None]
    return torch.softmax(near.masked_fill(held == 0, _FAR), dim=1) * held


def _sides(layer: nn.Linear, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply a linear layer to the concatenation of two inputs, and return its output as two summands.

    One summand depends only on `first`; the other, which includes the bias, depends only on `second`.
    """
    dim = first.shape[-1]
    return first @ layer.weight[:, :dim].T, second @ layer.weight[:, dim:].T + layer.bias


class DKNNetwork(PairNetwork):
    """The network of DKN. KCNN, a convolution over words and entities, computes item vectors; `Match` scores pairs.

    Args:
        shape: Settings.
        titles: Title words of each item.
        channels: One or two (C) pre-trained vectors of length m per item, float32 (C, n_items, m). The first is the
            vector of the item's entity. The second, if C = 2, is the mean vector of the entity's neighbours.
        histories: Up to K liked items of each user, int64 (n_users, K), padded with -1.
        generator: Random generator of the weights.
    """

    words: torch.Tensor
    held: torch.Tensor
    channels: torch.Tensor

    def __init__(
        self, shape: DKNShape, *, titles: Titles, channels: np.ndarray, histories: np.ndarray,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        dim, n_channels = shape.embedding_dim, 1 + len(channels)
        self.histories = histories
        for name, array in (("words", titles.words), ("held", titles.held), ("channels", channels)):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        self.word_vectors = normal_table(titles.n_words, dim, shape.init_scale, generator)
        with torch.no_grad():
            self.word_vectors[0] = 0  # row 0 stands for "no word"
        self.turns = nn.ModuleList(xavier_linear(channels.shape[2], dim, generator) for _ in channels)
        self.convolutions = nn.ModuleList(
            xavier_linear(width * n_channels * dim, shape.filters, generator) for width in shape.widths
        )
        self.widths, self.filters = shape.widths, shape.filters
        self.match = Match(
            dim=shape.filters * len(shape.widths), attention=shape.attention, head=shape.head,
            hidden_dim=shape.hidden_dim, generator=generator,
        )  # fmt: skip

    def tables(self) -> list[nn.Parameter]:
        return []

    def layers(self) -> list[nn.Parameter]:
        parts = (self.turns, self.convolutions, self.match)
        return [self.word_vectors, *(parameter for part in parts for parameter in part.parameters())]

    def item_vectors(self, rows: torch.Tensor) -> torch.Tensor:
        """Return item vectors computed by KCNN, DKN's convolution over the words of a title.

        The input at each word is the word's vector, and tanh(W e) for each pre-trained vector e of the item, where W is
        a trained matrix. So only the word's vector differs between the words of a title.

        Args:
            rows: Indices of items, int64 (n,).

        Returns:
            (n, D), where D is the total number of filters.
        """
        n_taps_of = [(convolution, width) for convolution, width in zip(self.convolutions, self.widths, strict=True)]
        words, held = self.words[rows], self.held[rows][:, :, None]  # (n, T), (n, T, 1)
        turned = [torch.tanh(turn(channel[rows])) for turn, channel in zip(self.turns, self.channels, strict=True)]
        used, places = torch.unique(words, return_inverse=True)
        vectors = self.word_vectors[used] * (used > 0)[:, None]  # (m, d)
        found = []
        for convolution, width in n_taps_of:
            weight, bias = cast("torch.Tensor", convolution.weight), cast("torch.Tensor", convolution.bias)
            taps = weight.view(self.filters, width, 1 + len(turned), -1)  # (F, w, C, d)
            length = words.shape[1] - width + 1
            total: torch.Tensor | float = 0.0
            for tap in range(width):
                by_word = vectors @ taps[:, tap, 0].T  # (m, F)
                by_item = torch.stack([x @ taps[:, tap, 1 + c].T for c, x in enumerate(turned)]).sum(0)  # (n, F)
                place = slice(tap, tap + length)
                total = total + held[:, place] * (functional.embedding(places[:, place], by_word) + by_item[:, None])
            found.append(torch.relu(total + bias).amax(dim=1))  # (n, F)
        return torch.cat(found, dim=1)

    def forward(
        self,
        users: np.ndarray,
        items: np.ndarray,
        left_out: np.ndarray | None = None,
        histories: np.ndarray | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (logits of pairs (B,), mean squared norm of the item vectors, a scalar).

        Args:
            users, items: Indices, int64 (B,).
            left_out: For each pair, a liked item to leave out of the user's history, int64 (B,). If omitted, the whole
                history is used.
            histories: Up to K liked items of each user, int64 (n_users, K), padded with -1. Default: `self.histories`.
        """
        liked = (self.histories if histories is None else histories)[users]  # (B, K)
        held = liked >= 0 if left_out is None else (liked >= 0) & (liked != left_out[:, None])
        rows, (liked_of, item_of) = distinct(np.maximum(liked, 0), items, device=self.device)
        vectors = self.item_vectors(rows)
        mask = torch.from_numpy(held).to(self.device, vectors.dtype)
        logits = self.match.of_pairs(vectors, liked_of, mask, item_of)
        return logits + self.global_bias, vectors.square().sum(1).mean()
