"""The course's commands: `python -m course --help`."""

import argparse
import sys

from course.source import CourseError


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m course", description="Build and run the course.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="write notebooks/ and gpt2lib/ from solutions/")
    build.add_argument("--check", action="store_true", help="write nothing; fail where something differs")
    execute = commands.add_parser("execute", help="build, then run both editions and store their outputs")
    execute.add_argument("chapter", nargs="?", default="", help='one chapter, e.g. "03"; all by default')
    score = commands.add_parser("score", help="examine every known wrong and every known right answer")
    score.add_argument("chapter", nargs="?", default="", help='one chapter, e.g. "3"; all by default')
    options = parser.parse_args()
    try:
        if options.command == "execute":
            from course.execute import execute as run

            run(options.chapter)
        elif options.command == "score":
            from course.score import report

            sys.exit(report(options.chapter))
        else:
            from course import build as building

            if options.check:
                wrong = building.drift()
                if wrong:
                    sys.exit(
                        "not as the build writes it (run `python -m course build`):\n  " + "\n  ".join(wrong)
                    )
            else:
                building.build()
    except CourseError as error:
        sys.exit(f"course: {error}")


if __name__ == "__main__":
    main()
