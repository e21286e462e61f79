"""Speculation: the text is as likely as without it, whatever the draft guesses."""

import numpy as np
import pytest
import torch

from gpt2lib import generate, speculate
from gpt2lib.config import GPT2Config
from gpt2lib.speculation import draw

TABLE = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])  # what follows each token


class Lookup:
    """A model that only knows what follows a token."""

    config = GPT2Config(vocab_size=3, n_positions=8, n_embd=2, n_layer=1, n_head=1)

    class Cache:
        length = 0

        def truncate(self, length):
            self.length = length

    def __call__(self, tokens, cache=None, *, last_only=False):
        cache.length += tokens.shape[1]
        return TABLE[tokens].log()

    def new_cache(self, batch_size=1, max_length=None):
        return self.Cache()

    def parameters(self):
        yield TABLE


class Sharp(torch.nn.Module):
    """A model that draws what it thinks likeliest, practically always."""

    def __init__(self, model):
        super().__init__()
        self.model, self.config, self.new_cache = model, model.config, model.new_cache

    def forward(self, *arguments, **options):
        return 1e6 * self.model(*arguments, **options)


def taken(rounds):
    return [token for _, some in rounds for token in some]


@pytest.mark.parametrize("guesses", [0, 1, 3])
def test_with_a_poor_draft_it_writes_what_the_model_writes_up_to_n_positions(small, guesses):
    prompt = [5, 17, 300]
    new = small.config.n_positions - len(prompt)
    want = [token.item() for token in generate(small, torch.tensor([prompt]), new)]
    poor = torch.full((small.config.vocab_size,), 1 / small.config.vocab_size)
    generator = torch.Generator().manual_seed(0)
    rounds = list(
        speculate(Sharp(small), lambda ids: poor, prompt, new, guesses=guesses, generator=generator)
    )
    assert taken(rounds) == want
    assert all(1 <= len(some) <= len(guessed) + 1 for guessed, some in rounds)


@pytest.mark.parametrize("draft", [[0.2, 0.7, 0.1], [0.98, 0.01, 0.01]])
def test_two_tokens_are_as_likely_as_the_model_makes_them(draft):
    draft, counts, generator = torch.tensor(draft), torch.zeros(3, 3), torch.Generator().manual_seed(0)
    for _ in range(5000):
        one, two = taken(speculate(Lookup(), lambda ids: draft, [0], 2, guesses=2, generator=generator))
        counts[one, two] += 1
    assert (counts / 5000 - TABLE[0][:, None] * TABLE).abs().max() < 0.03


def test_what_is_impossible_is_never_drawn_and_the_rest_as_often_as_it_should_be():
    probabilities, generator = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0]), torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.tensor([draw(probabilities, generator) for _ in range(4000)]), minlength=5)
    assert (counts / 4000 - probabilities).abs().max() < 0.03 and not counts[probabilities == 0].any()


def test_a_draft_as_good_as_the_model_is_always_kept():
    seen = []

    def draft(ids):
        seen.append(ids)
        return TABLE[ids[-1]]

    rounds = list(speculate(Lookup(), draft, torch.tensor([1, 2]), 6, guesses=2))
    assert [len(some) for _, some in rounds] == [3, 3]
    assert [ids[:2] for ids in seen] == 4 * [[1, 2]] and [len(ids) for ids in seen] == [2, 3, 5, 6]


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"draft": TABLE}, TypeError, "draft is a Tensor, but it must be a function"),
        ({"draft": lambda ids: TABLE}, TypeError, r"draft returned a Tensor \(3, 3\).* a tensor \(3,\)"),
        ({"draft": lambda ids: 1}, TypeError, r"draft returned a int"),
        ({"draft": lambda ids: torch.tensor([0.5, torch.nan, 0.5])}, ValueError, "probabilities sum to nan"),
        ({"draft": lambda ids: torch.zeros(3)}, ValueError, "probabilities sum to 0, but they must sum to 1"),
        ({"max_new_tokens": 8}, ValueError, "1 tokens and 8 new ones are 9, .* at most 8"),
        ({"tokens": [3]}, ValueError, "tokens"),
        ({"tokens": []}, ValueError, "tokens"),
        ({"tokens": [-1]}, ValueError, "tokens go from -1 to -1, .* the ids 0 to 2"),
        ({"tokens": [0.5]}, TypeError, r"tokens are \[0.5\], but speculate reads the ids of one text"),
        ({"tokens": "abc"}, TypeError, "tokens are 'abc', but speculate reads the ids of one text"),
        ({"tokens": 1}, TypeError, "tokens are 1, but speculate reads the ids of one text"),
        (
            {"tokens": torch.tensor([[0, 1]])},
            TypeError,
            r"tokens are \[\[0, 1\]\], but speculate reads the ids of one text",
        ),
        ({"model": torch.nn.Linear(1, 1)}, TypeError, "model is a Linear, but it must be a GPT2"),
        ({"model": torch.nn.DataParallel(torch.nn.Linear(1, 1))}, TypeError, "pass model.module"),
        ({"model": "gpt2"}, TypeError, "model is a str, but it must be a GPT2"),
    ],
)
def test_errors(change, error, says):
    given = {"model": Lookup(), "draft": lambda ids: TABLE[0], "tokens": [0], "max_new_tokens": 4} | change
    with pytest.raises(error, match=says):
        list(speculate(**given))


@pytest.mark.parametrize("value", [-1, 1.5, 2.0, "5", None, torch.tensor(2), True, np.int64(2)])
@pytest.mark.parametrize("name", ["max_new_tokens", "guesses"])
def test_a_number_of_tokens_is_checked_as_generate_checks_it(name, value):
    def outcome(write):
        try:
            return len(list(write()))
        except (TypeError, ValueError) as error:
            return type(error), str(error)

    given = {"draft": lambda ids: TABLE[0], "tokens": [0], "max_new_tokens": 2} | {name: value}
    got = outcome(lambda: taken(speculate(Lookup(), **given)))
    wanted = outcome(lambda: generate(Lookup(), torch.tensor([[0]]), value))
    if isinstance(wanted, int):  # both write, and guesses do not change how much
        assert got == given["max_new_tokens"]
    else:
        assert got == (wanted[0], wanted[1].replace("max_new_tokens", name))
