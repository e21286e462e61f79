"""9.6 name_the_cause: what is computed. What is said stands in name_the_cause.md."""

from dataclasses import dataclass, field

import torch

from course.exercises.ch09_clinic import run_probe
from course.exercises.ch09_clinic.patients import (
    HEALTHY,
    LARGER,
    OwnHead,
    adds_the_one_before,
    ids,
    in_layer,
    merged_by_reshape,
    mixing,
    no_positions,
    norm_over_texts,
    one_ahead,
    one_short,
    patient,
)

arguments = ("model", "texts")
WORDS = ("mask", "positions", "cache", "batch", "head", "healthy")


@dataclass(frozen=True)
class OtherWord:
    """A word that is none of the six. All of them are one mistake, so they count as equal."""

    word: str = field(compare=False)

    def __repr__(self):
        return repr(self.word)


def run(answer, patient, texts):
    """Return an answer's word; a probe's name is known, and any other word is an OtherWord."""
    word = run_probe(answer, patient, texts)
    return OtherWord(word) if isinstance(word, str) and word not in WORDS and "_" not in word else word


def cases():
    """A healthy model and one of each illness, some of which fail more than one probe."""
    two, three = ids(11, 2, 9), ids(12, 3, 9)
    unused = torch.tensor([[2, 8, 9, 8, 4, 11, 9, 3, 2], [6, 9, 7, 7, 2, 8, 4, 3, 11]])
    return [
        (HEALTHY, two),
        (LARGER, three),
        (patient("in layer 2 each token sees one ahead", in_layer(1, one_ahead)), two),
        (patient("no positions, 2 layers", {"vectors": no_positions}), three),
        (patient("with a cache, positions are one too low", {"positions": one_short}), two),
        (patient("every norm runs over the texts", {"norm": norm_over_texts}), three),
        (patient("each text adds the one before it", mixing(adds_the_one_before)), three),
        (patient("the head is a tensor, not a parameter", kind=OwnHead), unused),
        (patient("heads are merged without transposing back", {"merge": merged_by_reshape}), three),
    ]


fields = {"word": lambda got, want: repr(got)}
styles = [
    """
    found = "healthy"
    for cause, probe in [
        ("head", head_is_tied),
        ("cache", cache_agrees),
        ("positions", knows_positions),
        ("batch", keeps_texts_apart),
        ("mask", sees_no_future),
    ]:
        if not probe(model, texts):
            found = cause
    return found
    """,
    """
    probes = {
        "mask": sees_no_future,
        "batch": keeps_texts_apart,
        "positions": knows_positions,
        "cache": cache_agrees,
        "head": head_is_tied,
    }
    fails = {cause for cause, probe in probes.items() if not probe(model, texts)}
    if len(fails) > 1:
        fails -= {"cache", "positions"} if fails & {"mask", "batch"} else set()
    return min(fails, default="healthy", key=list(probes).index)
    """,
    """
    if not head_is_tied(model, texts):
        return "head"
    if not sees_no_future(model, texts):
        return "mask"
    if keeps_texts_apart(model, texts):
        if not cache_agrees(model, texts):
            return "cache"
        return "healthy" if knows_positions(model, texts) else "positions"
    return "batch"
    """,
    """
    causes = ["mask", "batch", "positions", "cache", "head", "healthy"]
    probes = [sees_no_future, keeps_texts_apart, knows_positions, cache_agrees, head_is_tied]
    return causes[[*(probe(model, texts) for probe in probes), False].index(False)]
    """,
]
