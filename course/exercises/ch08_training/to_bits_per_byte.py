"""8.3 to_bits_per_byte: what is computed. What is said stands in to_bits_per_byte.md."""

import math

import torch

from course.exercise import Mistake

arguments = ("nats_per_token", "n_tokens", "n_bytes")


def cases():
    """The example; odd numbers; as many tokens as bytes; few."""
    return [(2.0, 1000, 4000), (3.3, 10, 44), (0.7, 7, 7), (1.0, 3, 5)]


def by_log2e(nats_per_token, n_tokens, n_bytes):
    return math.log2(math.e) * nats_per_token * n_tokens / n_bytes


def by_power(nats_per_token, n_tokens, n_bytes):
    return math.log2(math.exp(nats_per_token)) / (n_bytes / n_tokens)


def by_steps(nats_per_token, n_tokens, n_bytes):
    total_nats = nats_per_token * n_tokens
    total_bits = total_nats / math.log(2)
    return torch.tensor(total_bits / n_bytes, dtype=torch.float64)


def by_ratio(nats_per_token, n_tokens, n_bytes):
    bytes_per_token = n_bytes / n_tokens
    return -math.log2(math.exp(-nats_per_token)) / bytes_per_token


styles = [by_log2e, by_power, by_steps, by_ratio]


def rounded(digits):
    return lambda *numbers: round(by_log2e(*numbers), digits)


def with_constant(nats):
    return lambda nats_per_token, n_tokens, n_bytes: nats_per_token * n_tokens / nats / n_bytes


# two slips, with whatever number of digits or constant people take
extra = [
    Mistake(
        "rounded",
        rounded(digits),
        "You round the result. Return all its digits; whoever prints it can round.",
        3,
        "one-step-more",
    )
    for digits in (4, 3, 2, 1, 0)
] + [
    Mistake(
        "rounded-constant",
        with_constant(nats),
        "You use a rounded number for ln 2. Take `math.log(2)`, which has all its digits.",
        2,
        "number-on-the-page",
    )
    for nats in (0.69, 0.693, 0.6931, 0.7, 1 / 1.44, 1 / 1.443, 1 / 1.4)
]
