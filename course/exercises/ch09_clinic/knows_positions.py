"""9.2 knows_positions: what is computed. What is said stands in knows_positions.md."""

import torch

from course.exercises.ch09_clinic import run_probe
from course.exercises.ch09_clinic.patients import HEALTHY, LARGER, ROUNDS, ids, no_positions, patient

arguments = ("model", "tokens")
run = run_probe


def positions_by_id(self, tokens, start):
    return tokens


def always_zero(self, tokens, start):
    return torch.zeros(tokens.shape[1], dtype=torch.long)


def number_of_the_text(self, tokens, start):
    return torch.arange(len(tokens))[:, None].expand_as(tokens)


def moved_by_place(size):
    """Return the parts of a healthy patient whose vectors know no place: its logits move by size at each."""

    def finish(self, logits, tokens, start, cached):
        return logits + size * torch.arange(start, start + tokens.shape[1])[:, None]

    return {"vectors": no_positions, "finish": finish}


def without_last_token(self, x):
    logits = x @ self.wte.weight.T
    logits[..., -1] = 0
    return logits


def cases():
    """Healthy ones, one of them before training; then sick ones, whose last digits differ from call to call."""
    tokens, two = ids(5, 1, 8), ids(4, 2, 7)
    repeated = torch.full((1, 8), 4)

    def healthy(says, parts=None, **sizes):
        return patient(f"a healthy model {says}", parts, **sizes), tokens

    def lost(says, parts, text, **sizes):
        return patient(says, parts | {"rounds": True}, **sizes), text

    return [
        (HEALTHY, tokens),
        (ROUNDS, two),
        (LARGER, two),
        healthy("before its training", spread=0.0025),
        healthy("with a logit that is always 0", {"unembed": without_last_token}),
        healthy("whose logits fall from place to place", moved_by_place(-2.0)),
        healthy("whose logits rise from place to place", moved_by_place(2.0)),
        lost("no positions, 1 layer", {"vectors": no_positions}, tokens, layers=1),
        lost("no positions, 2 layers", {"vectors": no_positions}, tokens),
        lost("no positions, 2 layers; the text is one token, repeated", {"vectors": no_positions}, repeated),
        lost("wpe is looked up with the tokens' ids", {"positions": positions_by_id}, two),
        lost("every token is at position 0", {"positions": always_zero}, tokens),
        lost("a token's position is its text's number", {"positions": number_of_the_text}, two),
        lost("all of wpe is 0", {}, two, wpe=0.0),
    ]


def by_pairs(model, tokens):
    T = tokens.shape[1]
    rows = model(torch.full((1, T), 3))[0]
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist") + torch.eye(T)
    return distances.min() > 1e-3


def by_first_rows(model, tokens):
    first, second = model(torch.tensor([[5, 5]]))[0]
    return (first - second).abs().max().item() > 1e-3


def by_loop(model, tokens):
    token = tokens[0, -1].item()
    logits = model(torch.tensor([[token] * tokens.shape[1]]))
    previous = logits[0, 0]
    for row in logits[0, 1:]:
        if torch.allclose(row, previous, atol=1e-4):
            return False
        previous = row
    return True


def by_spread(model, tokens):
    logits = model(torch.full((2, model.config.n_positions), 2))
    return (logits.amax(1) - logits.amin(1)).max() > 1e-3


def by_mean(model, tokens):
    logits = model(tokens[:, -1:].repeat(1, tokens.shape[1])).double()
    return (logits - logits.mean(dim=1, keepdim=True)).abs().max().item() > 1e-4


styles = [by_pairs, by_first_rows, by_loop, by_spread, by_mean]
