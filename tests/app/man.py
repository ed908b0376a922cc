#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man page says what --help says, and readers of man pages take it as it is meant.

Guarded: an option, exit code or variable that the page lacks; text that troff takes for a command
of its own; dashes that cannot be copied into a shell.

    QUANTOPT_MAN_PAGE   the page (default: build/quantopt_mpi.1 of this tree)
"""
import os
import re
import shutil
import subprocess
import unittest

import harness

PAGE = os.environ.get(
    "QUANTOPT_MAN_PAGE", os.path.join(harness.TOP, "build", "quantopt_mpi.1")
)
ROOMS = ("base", "kernels", "mpi")
ESCAPES = {r"\-": "-", r"\(aq": "'", r"\(dq": '"', r"\(ha": "^", r"\(ti": "~", r"\(ga": "`",
           r"\&": "", r"\e": "\\"}


def unescape(text):
    return re.sub(r"\\(?:\(..|.)", lambda found: ESCAPES[found[0]], text)


def flat(text):
    """Words alone: how lines are broken is the reader's."""
    return " ".join(text.split())


def section(page, title):
    return page[page.index(f'.SH "{title}"\n') :].split("\n.SH ", 1)[0]


def heads(part):
    """The names that have a paragraph, with what stands behind them."""
    found = re.findall(r'^\.TP\n\.(?:BI|B|I) (\S+)(?: " ([^"\n]*)")?(.*)', part, re.M)
    return [(unescape(name), unescape(value or rest).strip()) for name, value, rest in found]


def help_options(text):
    """name -> (value, text) of the options of --help; both as single lines."""
    options = {}
    for part in re.split(r"\n(?=  --\w)", text[: text.index("\nFIGURES OF MERIT")])[1:]:
        part = part.split("\n\n")[0]
        name, value, rest = re.match(r"  (--\w+)(?: (\S+))?(?:  +|\n)(.*)", part, re.S).groups()
        options[name] = (value or "", flat(re.sub(r" \(default: [^)]*\)$", "", flat(rest))))
    return options


def variables_of_sources():
    """The names of variables that the program looks for in its environment."""
    names = set()
    for room in ROOMS:
        for folder, _, files in os.walk(os.path.join(harness.TOP, room)):
            for name in files:
                text = harness.read_bytes(os.path.join(folder, name)).decode(errors="replace")
                names |= set(re.findall(r'\b(?:getenv|read_variable)\("(\w+)"\)', text))
    return names


class Page(harness.Case):
    """What the page says, read from its source."""

    def setUp(self):
        super().setUp()
        self.page = harness.read_text(PAGE)
        self.help = self.good(["--help"]).out

    def test_an_option_that_the_page_lacks_or_words_differently(self):
        wanted = help_options(self.help)
        self.assertGreaterEqual(len(wanted), 30, self.help)
        part = section(self.page, "OPTIONS")
        found = dict(heads(part))
        self.assertEqual(found.pop("INPUT..."), "")
        self.assertEqual(found, {name: value for name, (value, _) in wanted.items()})
        text = flat(unescape(part))
        for name, (_, words) in wanted.items():
            self.assertIn(words, text, name)

    def test_a_default_that_the_page_lacks(self):
        defaults = re.findall(r"\(default:\s+([^)]*)\)", self.help)
        shown = re.findall(r"; default: (.*)\.$", unescape(section(self.page, "OPTIONS")), re.M)
        self.assertEqual([flat(text) for text in defaults], shown)

    def test_an_exit_code_or_a_figure_that_the_page_lacks(self):
        codes = re.findall(r"^  (\d+) +\S", self.help[self.help.index("\nEXIT CODES") :], re.M)
        self.assertEqual([name for name, _ in heads(section(self.page, "EXIT STATUS"))], codes)
        self.assertEqual({int(code) for code in codes}, harness.EXIT_CODES)
        figures = unescape(section(self.page, "FIGURES OF MERIT"))
        for name in ("mse, rmse", "l2_norm", "sqnr_db", "optimality_gap"):
            self.assertIn(f"\n.B {name}\n", figures)

    def test_a_variable_that_the_page_lacks_or_that_nobody_reads(self):
        part = re.findall(r"^\.TP\n\.B (.*)", section(self.page, "ENVIRONMENT"), re.M)
        self.assertEqual(set(", ".join(part).split(", ")), variables_of_sources())

    def test_a_page_of_another_version_or_of_the_day_it_was_built(self):
        title = re.search(r'^\.TH QUANTOPT_MPI 1 "([\d-]*)" "quantopt (\S+)"', self.page, re.M)
        self.assertRegex(title[1], r"^(\d{4}-\d\d-\d\d|)$")
        self.assertIn(title[2], self.good(["--version"]).out)

    def test_an_example_that_help_does_not_show(self):
        lines = [flat(line) for line in unescape(section(self.page, "EXAMPLES")).splitlines()]
        commands = [line for line in lines if "quantopt_mpi" in line]
        self.assertGreaterEqual(len(commands), 6)
        shown = [flat(line) for line in self.help.splitlines()]
        for command in commands:
            self.assertIn(command, shown)


def rendered(program):
    """The page as it is read, without bold and underlined letters, and what was complained
    about."""
    done = subprocess.run([*program, PAGE], capture_output=True, text=True, check=False)
    text = re.sub("\x1b\\[[\\d;]*m", "", re.sub(".\b", "", done.stdout))
    return done.returncode, text, done.stderr


class Reader(harness.Case):
    """What mandoc and groff make of it, where they are installed."""

    def read_by(self, name, *arguments):
        if not shutil.which(name):
            raise unittest.SkipTest(f"no {name} here")
        code, text, err = rendered([name, *arguments])
        self.assertEqual((code, err), (0, ""))
        return text

    def whole(self, text):
        """Every option, its name as it is typed, and no command of troff left over."""
        for option in help_options(self.good(["--help"]).out):
            self.assertRegex(text, rf"(?m)^ +{option}\b")
        self.assertNotRegex(text, r"(?m)\\[-(&e]|^ *\.[A-Z]{1,2} ")
        self.assertIn("--name value and --name=value", flat(text))

    def test_mandoc_complains_or_drops_text(self):
        self.read_by("mandoc", "-Tlint", "-Wwarning")
        self.whole(self.read_by("mandoc", "-Tutf8"))

    def test_groff_complains_or_drops_text(self):
        self.whole(self.read_by("groff", "-man", "-Tutf8", "-ww"))


if __name__ == "__main__":
    harness.main()
