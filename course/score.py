"""How well the checks do: every wrong answer recognised, every right one accepted."""

import torch

from course.exercise import Exercise, exercises
from course.verdicts import examine


def misjudged(exercise: Exercise) -> list[str]:
    """Return what the check of one exercise gets wrong, one line each."""
    lines = []
    for mistake in exercise.mistakes:
        verdict = examine(exercise, mistake.wrong)
        if verdict.passed:
            lines.append(f"{exercise.number} accepts the mistake {mistake.id}")
        elif verdict.diagnosis != mistake.id:
            lines.append(f"{exercise.number} takes the mistake {mistake.id} for {verdict.diagnosis}")
    for answer in exercise.right_answers():
        verdict = examine(exercise, answer)
        if not verdict.passed:
            lines.append(f"{exercise.number} rejects the right answer {answer.__name__}: {verdict.message}")
    return lines


def kinds(exercise: Exercise) -> int:
    """Return how many mistakes an exercise knows; one that is spelled in several ways counts once."""
    return len({mistake.id for mistake in exercise.mistakes})


def report(chapter: str = "") -> int:
    """Print the score of every exercise, of one chapter's ("3") or of one ("3.4"); return how many answers are misjudged."""
    torch.set_num_threads(1)  # the cases are small: threads would only wait for each other
    chosen = [e for e in exercises().values() if f"{e.number}.".startswith(f"{chapter}.") or not chapter]
    wrong = []
    for exercise in chosen:
        lines = misjudged(exercise)
        wrong += lines
        print(
            f"{exercise.number:>5} {exercise.name:24} {kinds(exercise):3} kinds of mistakes "
            f"{len(exercise.styles) + 1:3} right answers  {'ok' if not lines else 'MISJUDGED'}"
        )
    right = sum(len(exercise.styles) + 1 for exercise in chosen)
    spellings = sum(len(exercise.mistakes) for exercise in chosen)
    print(
        f"{sum(map(kinds, chosen))} kinds of mistakes in {spellings} spellings, and {right} right answers; "
        f"{len(wrong)} misjudged",
        *wrong,
        sep="\n",
    )
    return len(wrong)
