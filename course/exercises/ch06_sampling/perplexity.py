"""6.7 perplexity: what is computed. What is said stands in perplexity.md."""

import math

import torch

from course.exercises.common import in_float64, numbers

arguments = ("p",)


def cases():
    """The text's examples; equal ones; many; some ruled out; most of it at one token; double precision."""
    return [
        (torch.tensor([0.5, 0.5]),),
        (torch.tensor([0.9, 0.1]),),
        (torch.tensor([1.0, 0.0]),),
        (torch.ones(7) / 7,),
        (numbers(12).softmax(0),),
        ((3 * numbers(300, seed=1)).softmax(0),),
        (torch.tensor([0.0, 0.6, 0.0, 0.15, 0.25, 0.0]),),
        (torch.tensor([0.02, 0.95, 0.03]),),
        in_float64(numbers(20, seed=2).softmax(0)),
    ]


def by_xlogy(p):
    return (-torch.special.xlogy(p, p).sum()).exp()


def by_entr(p):
    return math.exp(torch.special.entr(p).sum().item())


def by_loop(p):
    surprise = 0.0
    for chance in p.tolist():
        if chance:
            surprise -= chance * math.log(chance)
    return math.e**surprise


def by_masking(p):
    terms = p * p.log()
    return torch.exp(-torch.where(p == 0, 0.0, terms).sum()).item()


def by_nansum(p):
    return (p * -p.log()).nansum().exp()


def by_bits(p):
    return 2 ** -(p[p != 0] * p[p != 0].log2()).sum().item()


def by_product(p):
    return (p**-p).prod()


def by_library(p):
    return torch.distributions.Categorical(p).perplexity()


styles = [by_xlogy, by_entr, by_loop, by_masking, by_nansum, by_bits, by_product, by_library]
