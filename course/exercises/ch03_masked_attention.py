"""The exercises of chapter 03: scores, masks, heads."""

import torch

from course.exercise import Exercise, Mistake


def mask_cases():
    """Square, wide (tokens already seen), one new token, one token."""
    return [(2, 3), (1, 4), (4, 4), (3, 7), (1, 1)]


def includes_no_self(T, S, device=None):
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=S - T - 1)


def leaks_one_token(T, S, device=None):
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=S - T + 1)


def ignores_seen_tokens(T, S, device=None):
    return torch.ones(T, S, dtype=torch.bool, device=device).tril()


def upside_down(T, S, device=None):
    return ~torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=S - T)


def mask_by_comparison(T, S, device=None):
    query = torch.arange(S - T, S, device=device)[:, None]
    return torch.arange(S, device=device)[None, :] <= query


def mask_by_loops(T, S, device=None):
    mask = torch.zeros(T, S, dtype=torch.bool, device=device)
    for t in range(T):
        mask[t, : S - T + t + 1] = True
    return mask


def mask_by_triu(T, S, device=None):
    return torch.triu(torch.ones(T, S), diagonal=S - T + 1).eq(0).to(device)


EXERCISES = [
    Exercise(
        number="3.2",
        name="causal_mask",
        level=2,
        minutes=10,
        done="every token sees itself and what came before it, also when some tokens were read earlier.",
        hints=(
            "Write down the 3 x 3 mask by hand first: which of the three tokens may token 0 look at, "
            "which token 1, which token 2? torch.tril keeps that triangle of a matrix.",
            "With S > T the T rows are the newest tokens. Row 0 is then not position 0 but position "
            "S - T, so it sees S - T + 1 tokens. tril has an argument that moves the edge of the triangle.",
            "A matrix of ones, of shape (T, S) and dtype bool, and tril with diagonal=S - T. Don't "
            "forget the device.",
        ),
        cases=mask_cases,
        mistakes=[
            Mistake(
                "no-self",
                includes_no_self,
                "no token may look at itself in your mask. A token has to see itself too: its own word "
                "matters for what comes next.",
                1,
            ),
            Mistake(
                "A06",
                leaks_one_token,
                "each token sees exactly one token too many: the one that it is to predict. Move the "
                "diagonal by one.",
                2,
            ),
            Mistake(
                "ignores-seen",
                ignores_seen_tokens,
                "your mask is right where T = S, but with S > T the first row belongs to position S - T, "
                "not to position 0. The new tokens must see all the tokens read before them.",
                2,
            ),
            Mistake(
                "upside-down",
                upside_down,
                "your mask is True where it should be False. Here True means: may look.",
                1,
            ),
        ],
        styles=[mask_by_comparison, mask_by_loops, mask_by_triu],
    ),
]
