"""How good a model of stories is, in numbers that a reader can check; offline, in minutes on two CPU cores.

    python benchmarks/reading.py tales --train train.txt --validation validation.txt
        [--compare OTHER ...] [--ngram] [--details FILE]

Prints a table in Markdown. --train names every text that any of the models has learned from; held-out
stories that share more than a tenth of their runs of eight words with it are left out. Nothing is picked by
eye or by a model: the texts alone decide on the gaps, the prompts are listed below, and --details writes
down every gap with its answers and every sample. The rules:

**Bits per byte** of the held-out stories, as `gpt2lib.bits_per_byte` measures it.

**Cloze**: the right name out of ten. A *mention* is a name in the middle of a sentence (words with
capitals after a lowercase letter, a comma or a semicolon; "Mr." and the like belong to it) or "the" and a
noun. A *character* is mentioned at least three times in its story and is the subject of a verb such as
"said" or "ran" at least once. The gap is the last mention of a character with a name in each 3,000
characters of a story; the model reads the story up to there. The candidates are that name and nine
mentions that share no word with it or with each other, those met last before the gap first: characters of
the story, and where it has fewer than ten (but at least four), its things. A gap counts if the name also
stands in the 150 words before it, so that it can be known; if the word before the gap can stand before
"the", so that all candidates fit; and if no candidate stands in the rest of the sentence. A candidate's
score is the log-probability of its tokens and of the rest of the sentence (at most twelve words) after
the story, as much of it as the model can read. That alone is the first answer. It is the probability of
the text as it would stand, but a model that knows little finds common names likely anywhere. So the
second answer is the candidate whose score the story raises most: less the score after the beginning of
the sentence alone (domain-conditional PMI, Holtzman et al. 2021). An n-gram, which hardly sees more than
the sentence, gets the first only. If there are more than 500 gaps, 500 are taken at equal distances. Two
answers that need no model stand beside the result: the candidate that was mentioned last, and the one
that was mentioned most often.

**Who stays**: 100 samples of 200 tokens that start with a sentence that names an animal (PROMPTS, ANIMALS
and NAMES in turn, no pair twice). Only what comes after 100 tokens is looked at: the name must stand there,
and no other name more often. A name is a word that has a capital in the middle of a sentence and that the
training text has in lowercase at most a tenth as often. A sample that says any eight words twice counts as
lost, because repeating oneself is not staying with someone. `<|endoftext|>` is never drawn.

**Invented words**: in 100 samples of up to 200 tokens from nothing (`<|endoftext|>`), the share of words
(letters only, in lowercase, "'s" apart) that the training text has nowhere. A sample's last word, which may
be cut off, is left out.

**Longest overlap**: the longest run of words that one of the first 50 of these shares with the training text.

Samples are drawn at temperature 0.7 from the 50 most likely tokens; sample i has the seed i, so that
`gpt2lib.complete` can draw any of them alone.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ngram import KneserNey
from wording import longest_shared, run_hashes, unseen, word_hashes, words

from gpt2lib.cache import KVCache
from gpt2lib.checkpoint import from_pretrained
from gpt2lib.files import replacing
from gpt2lib.generation import generate
from gpt2lib.model import GPT2
from gpt2lib.sampling import Sampler
from gpt2lib.tokenizer import END_OF_TEXT, Tokenizer
from gpt2lib.training import bits_per_byte

SHARED = 0.1  # of a held-out story's runs of eight words that a training text may hold
CANDIDATES, CHARACTERS, MENTIONS = 10, 4, 3  # names to choose from, how many are characters, mentions of one
GAPS, PASSAGE, SEEN, REST = 500, 3_000, 150, 12  # gaps, letters for each, words before and after that count
SAMPLES, LENGTH, LATER, COMPARED = 100, 200, 100, 50  # tokens a sample, where "later" begins, for the overlap
TEMPERATURE, TOP_K = 0.7, 50

# the rows of the table
BITS, STAYS = "bits per byte", "who stays: the name is still in use"
CLOZE, RAISED = (
    "cloze: the right name of ten is the most likely",
    "cloze: it is the one that the story raises most",
)
INVENTED, OVERLAP = "invented words", "longest overlap with the training text"

VERBS = (
    "said|says|asked|cried|answered|replied|called|exclaimed|whispered|shouted|thought|laughed|added|began|told|"
    "looked|ran|went|came|sat|stood|jumped|turned|knew|saw|heard|felt|wanted|took|gave|smiled|nodded"
)
NAME = r"(?:(?:Mr|Mrs|Dr|St)\. )?[A-Z][a-z]+(?: [A-Z][a-z]+)*"
FOLLOWS = (
    rf"(?=[.,;!?]| (?:{VERBS}|and|as|at|could|for|had|in|is|of|on|that|to|was|were|who|will|with|would)\b)"
)
NOUN = rf"the [a-z]+{FOLLOWS}"  # not "the little" of "the little fox"
MENTION = re.compile(rf"(?<=[a-z,;] )(?:{NAME}(?![\w'-])|{NOUN})")
SUBJECT = re.compile(
    rf"(?P<before>{NAME}|\b[Tt]he [a-z]+) (?:{VERBS})\b|\b(?:{VERBS}) (?P<after>{NAME}(?![\w'-])|{NOUN})"
)

PROMPTS = (
    "Once upon a time there was a little {animal} named {name}.",
    "There was once a {animal} whose name was {name}, and {name} lived at the edge of the wood.",
    "One fine morning a young {animal} named {name} went out to look for something to eat.",
    '"I am going for a walk," said {name}, the little {animal}, one sunny day.',
    "{name} was a {animal} who was always getting into trouble.",
)
ANIMALS = (
    "rabbit squirrel fox mouse bear dog cat pig frog duck goat lamb pony wolf monkey hen turtle goose "
    "mole beaver"
).split()
NAMES = (
    "Billy Polly Tommy Jenny Sammy Nellie Peter Susie Johnny Molly Teddy Betty Danny Kitty Jimmy Lucy "
    "Bobby Mary Freddy Dora Willie Alice Charlie Nancy Toby Ruth Jack Sally Harry Jane Dick Ellen Frank "
    "Annie George Emma Ned Bessie Oscar Flora Max Tilly Hugo Clara Rufus Minnie Felix Lizzie Otto "
    "Hattie"
).split()


@dataclass(frozen=True)
class Gap:
    """A place in a story where a name is missing."""

    before: str  # the story up to the space before the name
    name: str  # the right one
    after: str  # the rest of the sentence
    candidates: tuple[str, ...]  # in the order of the alphabet, so that a tie is no hint
    mentioned_last: str  # what two rules that need no model would answer
    mentioned_most: str


def without_titles(name: str) -> set[str]:
    """Return the words of a mention that tell it from others."""
    return set(words(name)) - {"the", "mr", "mrs", "dr", "st"}


def stands_in(name: str, text: str) -> bool:
    """Tell whether a text holds a name as whole words."""
    return bool(re.search(rf"\b{re.escape(name)}\b", text))


def can_precede_the(stories: list[str]) -> set[str]:
    """Return the words (with their comma, if any) that stand before "the" at least five times."""
    counts = Counter(word for story in stories for word in re.findall(r"([A-Za-z]+[,;]?) the\b", story))
    return {word for word, n in counts.items() if n >= 5}


def gaps_of(story: str, fitting: set[str]) -> Iterator[Gap]:
    """Yield the gaps of a story by the rules above; fitting is what `can_precede_the` returns."""
    places: dict[str, list[int]] = {}
    for match in MENTION.finditer(story):
        places.setdefault(match[0], []).append(match.start())
    subjects = {re.sub("^The ", "the ", m["before"] or m["after"]) for m in SUBJECT.finditer(story)}
    characters = [who for who in places if who in subjects and len(places[who]) >= MENTIONS]
    for who in characters:
        for start in {place // PASSAGE: place for place in places[who]}.values():  # the last of each passage
            gap = gap_at(start, who, story, places, characters)
            if (
                not who.startswith("the ")
                and len(gap.candidates) == CANDIDATES
                and sum(name in characters for name in gap.candidates) >= CHARACTERS
                and stands_in(who, " ".join(gap.before.split()[-SEEN:]))
                and gap.before.split()[-1] in fitting
                and not any(stands_in(name, gap.after) for name in gap.candidates)
            ):
                yield gap


def gap_at(start: int, who: str, story: str, places: dict[str, list[int]], characters: list[str]) -> Gap:
    """Return the gap where a mention starts; with fewer candidates if the story before it has not enough."""
    sentence = re.match(r"[^.!?\n]*[.!?]?[\"']?", story[start + len(who) :])[0]
    last = {name: max((place for place in at if place < start), default=-1) for name, at in places.items()}
    met = sorted((name for name in places if last[name] >= 0), key=last.get, reverse=True)
    candidates, taken = [who], without_titles(who)
    for name in sorted(met, key=lambda name: name not in characters):
        if len(candidates) < CANDIDATES and not taken & without_titles(name):
            candidates.append(name)
            taken |= without_titles(name)
    candidates.sort()
    often = {name: sum(place < start for place in places[name]) for name in candidates}
    return Gap(
        before=story[: start - 1],
        name=who,
        after=re.match(rf"(?:\s*\S+){{0,{REST}}}", sentence)[0],
        candidates=tuple(candidates),
        mentioned_last=max(candidates, key=last.get),
        mentioned_most=max(candidates, key=often.get),
    )


def gaps_in(stories: list[str]) -> list[Gap]:
    """Return the gaps of all stories, at most GAPS of them, at equal distances."""
    fitting = can_precede_the(stories)
    gaps = [gap for story in stories for gap in gaps_of(story, fitting)]
    return [gaps[i] for i in np.linspace(0, len(gaps) - 1, GAPS).astype(int)] if len(gaps) > GAPS else gaps


# the log-probabilities of several continuations (token ids) of one context
Scorer = Callable[[list[int], list[list[int]]], list[float]]


def answers(gaps: list[Gap], tokenizer: Tokenizer, score: Scorer) -> list[tuple[str, str]]:
    """Return for each gap the most likely candidate, and the one whose probability the story raises most."""
    found = []
    for gap in gaps:
        endings = [tokenizer.encode(f" {name}{gap.after}") for name in gap.candidates]
        sentence = re.search(r"[^.!?\n]*$", gap.before)[0]
        with_story, without = (
            np.array(score([tokenizer.end_of_text, *tokenizer.encode(text)], endings))
            for text in (gap.before, sentence)
        )
        found.append(tuple(gap.candidates[np.argmax(x)] for x in (with_story, with_story - without)))
    return found


def share_right(gaps: list[Gap], names: Iterable[str]) -> str:
    """Return how many of the names are the right ones, in percent."""
    return f"{np.mean([gap.name == name for gap, name in zip(gaps, names)]):.1%}"


def model_scorer(model: GPT2) -> Scorer:
    """Return the scorer of a model: it reads the context once, as much of it as fits, then all endings."""

    @torch.no_grad()
    def score(context: list[int], endings: list[list[int]]) -> list[float]:
        endings = [ending[: model.config.n_positions // 2] for ending in endings]
        width = max(map(len, endings))
        context = context[-(model.config.n_positions - width) :]
        cache = KVCache(model.config)
        first = model(torch.tensor([context]), cache, last_only=True)
        shared = KVCache(model.config, len(endings))
        for one, all_ in zip(cache.layers, shared.layers):
            all_.append(*(x[:, :, : one.length].expand(len(endings), -1, -1, -1) for x in (one.k, one.v)))
        padded = torch.tensor([ending + [0] * (width - len(ending)) for ending in endings])
        logits = torch.cat([first.expand(len(endings), -1, -1), model(padded, shared)[:, :-1]], dim=1)
        each = logits.log_softmax(-1).gather(-1, padded[..., None])[..., 0]
        return [row[: len(ending)].sum().item() for row, ending in zip(each, endings)]

    return score


def ngram_scorer(ngram: KneserNey, order: int) -> Scorer:
    """Return the scorer of an n-gram model, which sees the last words of the context only."""

    def score(context: list[int], endings: list[list[int]]) -> list[float]:
        context = context[-order:]
        texts = (np.array(context + ending) for ending in endings)
        return [float(np.log(ngram.probabilities(text, order)[len(context) :]).sum()) for text in texts]

    return score


def prompts() -> list[tuple[str, str]]:
    """Return the first sentences of the samples for "who stays", each with the name in it."""
    chosen = []
    for i in range(SAMPLES):
        name, animal = NAMES[i % len(NAMES)], ANIMALS[i % len(ANIMALS)]
        prompt = PROMPTS[i // len(ANIMALS) % len(PROMPTS)]
        chosen.append((prompt.format(name=name, animal=animal), name))
    return chosen


def draw(model: GPT2, prompts: list[list[int]], end: int, stop: bool = True) -> list[list[int]]:
    """Return LENGTH tokens, or as many as come before `end`, after each prompt; text i is drawn with seed i.

    Prompts of one length are read together, which changes no draw. Without stop, `end` is never drawn.
    """
    sampler, texts = Sampler(TEMPERATURE, TOP_K), [[] for _ in prompts]
    for length in sorted(set(map(len, prompts))):
        rows = [i for i, prompt in enumerate(prompts) if len(prompt) == length]
        generators = [torch.Generator().manual_seed(i) for i in rows]

        def pick(logits: torch.Tensor, generators=generators) -> torch.Tensor:
            if not stop:
                logits[:, end] = -torch.inf
            distributions = sampler.distribution(logits)
            drawn = [torch.multinomial(p, 1, generator=g) for p, g in zip(distributions, generators)]
            return torch.cat(drawn)

        batch = torch.tensor([prompts[i] for i in rows])
        steps = generate(model, batch, LENGTH, sampler=pick, stop_token=end if stop else None)
        for i, text in zip(rows, torch.stack(list(steps), dim=1).tolist()):
            texts[i] = text[: text.index(end)] if end in text else text
    return texts


def stays(name: str, prompt: str, early: str, late: str, is_name: Callable[[str], bool]) -> bool:
    """Tell whether a sample, in two parts, stays with a name in its late part, by the rules above."""
    runs = run_hashes(word_hashes(early + late))
    if len(np.unique(runs)) < len(runs):
        return False
    others = {word for word in re.findall(r"(?<=[a-z,;] )[A-Z][a-z]+\b", late) if is_name(word)}
    counts = Counter(re.findall(r"[A-Z][a-z]+", late))
    most = max((counts[other] for other in others - set(re.findall(r"\w+", prompt))), default=0)
    return counts[name] > 0 and counts[name] >= most


def invented(samples: list[str], known: set[str]) -> tuple[int, int, Counter]:
    """Return how many words of the samples are not known, how many there are, and the unknown ones."""
    every = [word for sample in samples for word in words(sample)[:-1]]
    unknown = Counter(word for word in every if known.isdisjoint({word, word.removesuffix("'s")}))
    return sum(unknown.values()), len(every), unknown


@dataclass
class Training:
    """What the rules ask of the training texts."""

    hashes: list[np.ndarray]  # of the words of each text
    known: set[str]  # its words in lowercase
    counts: Counter  # how often it has a word with this spelling

    @classmethod
    def read(cls, paths: list[Path]) -> "Training":
        """Read the training texts."""
        hashes, known, counts = [], set(), Counter()
        for path in paths:
            text = path.read_text("utf-8")
            hashes.append(word_hashes(text))
            known.update(words(text))
            counts.update(re.findall(r"[A-Za-z][a-z]+", text))
        return cls(hashes, known, counts)

    def is_name(self, word: str) -> bool:
        """Tell whether a word with a capital is a name, not a common word: ten times rarer in lowercase."""
        return 10 * self.counts[word.lower()] <= self.counts[word] or word.lower() not in self.counts


def read_model(name: str, stories: list[str], gaps: list[Gap], training: Training) -> tuple[dict, str]:
    """Return a model's results by the names of the table's rows, and all of its answers and samples."""
    model, tokenizer = from_pretrained(name)
    end = tokenizer.end_of_text
    found = answers(gaps, tokenizer, model_scorer(model))
    started, stayed = prompts(), []
    begun = draw(model, [tokenizer.encode(prompt) for prompt, _ in started], end, stop=False)
    parts = [(tokenizer.decode(ids[:LATER]), tokenizer.decode(ids[LATER:])) for ids in begun]
    for (prompt, who), (early, late) in zip(started, parts):
        stayed.append(stays(who, prompt, early, late, training.is_name))
    samples = [tokenizer.decode(ids) for ids in draw(model, [[end]] * SAMPLES, end)]
    number, total, unknown = invented(samples, training.known)
    overlap = max(
        (longest_shared(samples[:COMPARED], text) for text in training.hashes),
        key=lambda run: len(run.split()),
    )
    results = {
        BITS: f"{bits_per_byte(model, tokenizer, END_OF_TEXT.join(stories)):.3f}",
        CLOZE: share_right(gaps, (likely for likely, _ in found)),
        RAISED: share_right(gaps, (raised for _, raised in found)),
        STAYS: f"{sum(stayed)} of {SAMPLES}",
        INVENTED: f"{number / total:.2%}",
        OVERLAP: f"{len(overlap.split())} words",
    }
    details = [f"# {name}", f"invented words: {dict(unknown)}", f"longest overlap: {overlap}", "## Cloze"]
    for gap, (likely, raised) in zip(gaps, found):
        names = " | ".join(gap.candidates)
        details.append(f"...{gap.before[-300:]} [{names}]{gap.after}")
        details.append(f"right: {gap.name}; most likely: {likely}; raised most by the story: {raised}")
    details.append("## Who stays")
    for (prompt, _), (early, late), stayed_ in zip(started, parts, stayed):
        details.append(f"{'stays' if stayed_ else 'lost'}: {prompt}{early} || {late}")
    return results, "\n\n".join([*details, "## From nothing", *samples])


def count_ngrams(
    tokenizer: Tokenizer, training: str, stories: list[str], gaps: list[Gap], most: int = 6
) -> tuple[str, dict]:
    """Return the name and the results of the n-gram of tokens that needs the fewest bits per byte.

    Its order, at most `most`, is chosen on the held-out stories, which is to its advantage.
    """
    text, held_out = (
        np.array(tokenizer.encode(t, allow_special=True)) for t in (training, END_OF_TEXT.join(stories))
    )
    ngram = KneserNey(text, tokenizer.vocab_size, most)
    bits = {order: ngram.bits(held_out, order) for order in range(1, most + 1)}
    best = min(bits, key=bits.get)
    found = answers(gaps, tokenizer, ngram_scorer(ngram, best))
    size = len(END_OF_TEXT.join(stories).encode())
    return f"{best}-gram of tokens", {
        BITS: f"{bits[best] / size:.3f}",
        CLOZE: share_right(gaps, (likely for likely, _ in found)),
    }


def table(columns: dict[str, dict[str, str]]) -> str:
    """Return the results as Markdown: a column for each model, a row for each figure."""
    rows = [BITS, CLOZE, RAISED, STAYS, INVENTED, OVERLAP]
    lines = [f"| {' | '.join(['', *columns])} |", f"|---{'|---' * len(columns)}|"]
    lines += [
        f"| {' | '.join([row, *(results.get(row, '') for results in columns.values())])} |" for row in rows
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure the models that the command line names and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="a directory or a name that gpt2lib.from_pretrained takes")
    add("--train", type=Path, nargs="+", required=True, help="all texts that a model has learned from")
    add("--validation", type=Path, required=True, help="stories with <|endoftext|> between them")
    add("--compare", nargs="+", default=[], help="other models")
    add(
        "--ngram",
        action="store_true",
        help="also count n-grams of the model's tokens in the first training text",
    )
    add("--details", type=Path, help="a file for every gap, answer and sample")
    options = parser.parse_args(arguments)
    training = Training.read(options.train)
    every = options.validation.read_text("utf-8").split(END_OF_TEXT)
    stories = unseen(every, training.hashes, SHARED)
    gaps = gaps_in(stories)
    if not gaps:
        sys.exit(
            f"reading: {options.validation} has no stories from which a name can be taken; pass a longer text"
        )
    size = len(END_OF_TEXT.join(stories).encode()) / 1e6
    last, most = (
        share_right(gaps, (getattr(g, rule) for g in gaps)) for rule in ("mentioned_last", "mentioned_most")
    )
    columns, details = {}, []
    for name in [options.model, *options.compare]:
        columns[name], report = read_model(name, stories, gaps, training)
        details.append(report)
    if options.ngram:
        tokenizer = from_pretrained(options.model)[1]
        name, results = count_ngrams(tokenizer, options.train[0].read_text("utf-8"), stories, gaps)
        columns[name] = results
    print(table(columns))
    print(
        f"\n{len(stories)} of {len(every)} held-out stories ({size:.2f} MB; the others share too much with a "
        f"training text), {len(gaps)} gaps. By chance {1 / CANDIDATES:.0%} of the names are right; the one "
        f"mentioned last would be {last}, the one mentioned most often {most}."
    )
    if options.details:
        with replacing(options.details) as path:
            path.write_text("\n\n".join(details) + "\n", "utf-8")


if __name__ == "__main__":
    main()
