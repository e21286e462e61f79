"""The course's commands: `python -m course --help`."""

import argparse
import sys
from pathlib import Path

from course.source import HERE, CourseError


def parse() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m course", description="Learn with the course, or build it."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    one = {"nargs": "?", "default": "", "help": "one chapter, e.g. 3 or attention (default: all)"}
    command("progress", "show how far you are")
    keeping = command("keep", "write gpt2lib/ from your notebooks: your answers where they pass")
    keeping.add_argument(
        "chapter",
        **one | {"help": "one chapter, e.g. 3 or attention, or the path of a notebook (default: all)"},
    )
    command("restore", "bring the course's own gpt2lib/ back; what was there goes into saved/")
    updating = command("update", "bring the newest edition of the course, with your answers in its notebooks")
    updating.add_argument(
        "folder",
        nargs="?",
        type=Path,
        help="bring nothing; carry the answers from the notebooks in this folder",
    )
    grading = command(
        "grade", "examine a class's notebooks: who has solved what, and which mistake how many made"
    )
    grading.add_argument(
        "folder", type=Path, help="one folder a person, or files like anna_03_masked_attention.ipynb"
    )
    grading.add_argument(
        "--csv",
        nargs="?",
        type=Path,
        const=Path("grades.csv"),
        metavar="FILE",
        help="write the tables to FILE and FILE-mistakes (default grades.csv, grades-mistakes.csv) instead of printing them",
    )
    grading.add_argument(
        "--seconds", type=float, default=300, help="the most that one notebook may take (300)"
    )
    grading.add_argument("--jobs", type=int, help="how many at once (default: half the processor's cores)")
    command("graduate", "test your library with the whole suite; draw a certificate if it passes")
    paging = command("page", "write one HTML file with a model in it, to send to a friend")
    paging.add_argument("model_dir", help="a folder that save_pretrained wrote, or tales")
    paging.add_argument("out", type=Path, help="the file to write, e.g. model.html")
    paging.add_argument("--text", default="Once upon a time", help="the beginning that stands there first")
    building = command("build", "write notebooks/ and gpt2lib/ from solutions/")
    building.add_argument("--check", action="store_true", help="write nothing; fail where something differs")
    executing = command("execute", "build, then run both editions and store their outputs")
    executing.add_argument("chapter", **one)
    executing.add_argument("--fresh", action="store_true", help="store new times and sampled texts too")
    command("site", "build the website in site/_build")
    scoring = command("score", "examine every known wrong and every known right answer")
    scoring.add_argument("chapter", **one | {"help": "one chapter (3) or one exercise (3.4); default: all"})
    return parser.parse_args()


def main() -> None:
    """Do what the command line says; errors end the program with one sentence."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that has no ✓, or no letters of a name
    options = parse()
    try:
        run(options)
    except (CourseError, OSError) as error:
        sys.exit(f"course: {error}")
    except KeyboardInterrupt:
        print("course: interrupted; every file is as it was, or whole", file=sys.stderr)
        sys.exit(130)


def run(options: argparse.Namespace) -> None:
    """Do one command. Each imports what it needs, so that `build` needs no torch."""
    if options.command == "build":
        from course.build import build, drift

        if not options.check:
            build()
        elif wrong := drift():
            lines = "\n  ".join(wrong)
            sys.exit(f"not as the build writes it (run `python -m course build`):\n  {lines}")
    elif options.command == "execute":
        from course.execute import execute

        execute(options.chapter, options.fresh)
    elif options.command == "site":
        from course.website import site

        print(f"The website is built: open {site() / 'index.html'}, or serve its folder to play in it.")
    elif options.command == "score":
        from course.exercise import exercises
        from course.score import report

        chosen = options.chapter
        if chosen and chosen not in exercises():
            chosen = str(int(HERE.chapters(chosen)[0].name[:2]))
        sys.exit(min(1, report(chosen)))
    elif options.command == "progress":
        from course.mapping import progress

        print(progress())
    elif options.command == "page":
        from course.play.page import page

        size = page(options.model_dir, options.out, options.text)
        print(f"wrote {options.out}: {size / 1e6:.1f} MB. Open it in a browser, or send it to a friend.")
    elif options.command == "grade":
        from course.grading import grade, printed, write_csv

        grades = grade(options.folder, options.seconds, options.jobs)
        try:
            if options.csv:
                print("wrote", " and ".join(map(str, write_csv(grades, options.csv))))
        except OSError as error:  # what took so long is not lost
            grades.problems.append(
                f"{options.csv} can't be written ({error.strerror}), so the tables are above"
            )
            options.csv = None
        if not options.csv:
            printed(grades.rows())
            print()
            printed(grades.mistakes())
        for problem in grades.problems:
            print(problem, file=sys.stderr)
    elif options.command == "update":
        from course.updating import newest, update

        print("\n".join(update(options.folder) if options.folder else newest()))
    elif options.command == "graduate":
        from course.graduation import graduate

        sys.exit(not graduate())
    else:
        from course.keeping import keep, restore

        if options.command == "keep":
            print(keep(options.chapter))
        else:
            print("restored", ", ".join(restore()) or "nothing: it is the course's own already")


if __name__ == "__main__":
    main()
