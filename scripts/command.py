# SPDX-License-Identifier: Apache-2.0
"""What the scripts that read results have in common when they are called: options, and their end.

    args = command.parser(__doc__).parse_args()
    command.run(main, args)

A wrong option ends with 2; what cannot be read or written with 1, and one line on stderr:
SCRIPT: FILE: what is wrong; what to do.
"""
import argparse
import os
import sys

from read_quantopt import Unreadable

FORMATS = ("png", "pdf", "svg")
MOST = 6  # Vectors that are drawn one by one.


def fail(message, code=1):
    """One line, and the end."""
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(code)


def parser(doc, several=False):
    """What all of them take: one or several RESULTS."""
    made = argparse.ArgumentParser(description=doc,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("results", metavar="RESULTS", nargs="+" if several else None)
    return made


def add_format(made):
    made.add_argument("--format", metavar="LIST", default="png",
                      help="of pictures: png (default), pdf, svg, or several with commas")


def add_most(made, what):
    made.add_argument("--most", metavar="N", type=int, default=MOST,
                      help=f"{what} (default {MOST})")


def formats(text):
    """--format as a list."""
    found = list(dict.fromkeys(text.lower().split(",")))
    unknown = [f for f in found if f not in FORMATS]
    if unknown:
        fail(f"--format {text}: {unknown[0]!r} cannot be drawn; give png, pdf or svg, or several "
             "with commas", 2)
    return found


def not_negative(name, value):
    if value < 0:
        fail(f"{name} {value}: below 0; give 0 or more", 2)


def run(main, args):
    """Calls main(args); what goes wrong with files is told in a line."""
    where = args.results if isinstance(args.results, str) else args.results[0]
    try:
        main(args)
    except BrokenPipeError:  # Of | head: somebody who has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Unreadable as error:
        fail(error)
    except KeyError as error:
        fail(f"{where}: a result lacks {error}; it is not whole, or of another version: run "
             "quantopt_mpi again")
    except OSError as error:
        fail(f"{error.filename or where}: cannot be written: {error.strerror or error}; name "
             "another place with --output (or in TMPDIR, for what is temporary)")
