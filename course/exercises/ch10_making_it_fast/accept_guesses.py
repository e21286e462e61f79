"""10.7 accept_guesses: what is computed. What is said stands in accept_guesses.md."""

import torch

from course.exercises.ch10_making_it_fast.acceptance_probability import distributions

arguments = ("targets", "drafts", "guessed", "dice", "draw")


def likeliest(probabilities):
    """Return the most likely token: what stands in for drawing, so that results can be compared."""
    return int(torch.as_tensor(probabilities).argmax())


def cases():
    """The text's example; all kept; none; the middle one not; another one would follow; none at all; one ruled out.

    What draws takes the most likely token. The distributions are such that target, draft and what is
    missing have different ones.
    """
    target, draft = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.7, 0.1])
    after = torch.tensor([0.1, 0.2, 0.7])
    targets = torch.stack([target, torch.tensor([0.45, 0.35, 0.2]), after])
    drafts = [draft, torch.tensor([0.3, 0.1, 0.6])]
    random = [distributions(seed, 9) for seed in (70, 74, 78, 82)]
    last = distributions(90, 9)[0]
    many = torch.stack([p for p, _ in random] + [last]), [q for _, q in random]
    return [
        (torch.stack([target, after]), [draft], [1], [0.5], likeliest),
        (torch.stack([target, after]), [draft], [1], [0.4], likeliest),
        (targets, drafts, [0, 0], [0.9, 0.99], likeliest),
        (targets, drafts, [0, 2], [0.9, 0.5], likeliest),
        (targets, drafts, [0, 2], [0.9, 0.1], likeliest),
        (targets, drafts, [1, 1], [0.8, 0.1], likeliest),
        (targets, drafts, [1, 2], [0.3, 0.2], likeliest),
        (
            torch.stack([torch.tensor([0.45, 0.4, 0.15]), after]),
            [torch.tensor([0.5, 0.2, 0.3])],
            [2],
            [0.9],
            likeliest,
        ),
        (*many, [3, 1, 4, 2], [0.05, 0.95, 0.01, 0.5], likeliest),
        (*many, [0, 8, 5, 7], [0.01, 0.02, 0.03, 0.02], likeliest),
        (*many, [6, 6, 2, 3], [0.99, 0.02, 0.6, 0.01], likeliest),
        (after[None], [], [], [], likeliest),
        (torch.stack([torch.tensor([0.0, 0.6, 0.4]), after]), [draft], [0], [0.0], likeliest),
    ]


def run(answer, targets, drafts, guessed, dice, draw):
    """Return the tokens, as plain numbers where they are numbers."""
    result = answer(targets, drafts, guessed, dice, draw)
    if not isinstance(result, (list, tuple)):
        return result
    return [int(token) if torch.as_tensor(token).numel() == 1 else token for token in result]


by_while = """
    n = 0
    while n < len(guessed) and dice[n] < acceptance_probability(targets[n], drafts[n], guessed[n]):
        n += 1
    if n == len(guessed):
        return guessed + [draw(targets[n])]
    return guessed[:n] + [draw(residual_distribution(targets[n], drafts[n]))]
"""

by_else = """
    kept = []
    for i, token in enumerate(guessed):
        if dice[i] >= acceptance_probability(targets[i], drafts[i], token):
            kept.append(draw(residual_distribution(targets[i], drafts[i])))
            break
        kept.append(token)
    else:
        kept.append(draw(targets[-1]))
    return kept
"""


def in_one_piece(targets, drafts, guessed, dice, draw):
    kept = []
    for target, draft, token, die in zip(targets, drafts, guessed, dice):
        if die * draft[token] >= target[token]:
            missing = (target - draft).clamp(min=0)
            return [*kept, draw(missing / missing.sum())]
        kept += [token]
    return [*kept, draw(targets[len(guessed)])]


styles = [by_while, by_else, in_one_piece]
