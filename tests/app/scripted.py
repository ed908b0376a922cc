# SPDX-License-Identifier: Apache-2.0
"""What tests of scripts/*.py share: running one, and how it refuses."""
import contextlib
import importlib
import io
import os
import subprocess
import sys
from unittest import mock

import harness

SCRIPTS = os.path.join(harness.TOP, "scripts")


def script_module(name):
    """A script as a module, from its own folder, whatever the test is called."""
    with mock.patch.object(sys, "path", [SCRIPTS, *sys.path]):
        return importlib.import_module(name)


class Scripted(harness.Case):
    def script(self, name, *args):
        command = [sys.executable, os.path.join(SCRIPTS, name), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        return harness.Run(command, done.returncode, done.stdout, done.stderr)

    def refuses(self, code, words, name, *args):
        """Ends with the code and one line that has the words and a remedy. Without a process of its
        own, which takes as long as a picture."""
        module, err, out = script_module(name), io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", [f"{name}.py", *map(str, args)]), \
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), \
                self.assertRaises(SystemExit) as end:
            module.start()
        said = err.getvalue()
        self.assertEqual(end.exception.code, code, said)
        self.assertRegex(said, rf"\A{name}\.py: [^\n]+: [^\n]+; [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(out.getvalue(), "")
