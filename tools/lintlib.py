"""What the lint tools share: the list of source files, C without comments and strings, reports.

A lint tool is a Python program that prints `file:line: what is wrong` for each finding and exits 1
when there is one. With --self-test it checks itself against a small broken tree instead, so that a
lint which has gone blind is noticed.
"""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def files(root, *suffixes):
    """The project's own files below root, relative to it: what git tracks or would track."""
    try:
        out = subprocess.run(
            ["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
            capture_output=True, check=True).stdout.decode()
        names = [n for n in out.split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, entries in os.walk(root):
            folders[:] = [f for f in folders if not f.startswith((".", "build", "node_modules"))]
            names += [os.path.relpath(os.path.join(folder, e), root) for e in entries]
    names = sorted(set(n for n in names if os.path.isfile(os.path.join(root, n))))
    return [n for n in names if n.endswith(suffixes)] if suffixes else names


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as f:
        return f.read()


TOKEN = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def code_only(text, keep_strings=False):
    """C source with comments (and the insides of strings) blanked, line numbers kept."""
    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token if keep_strings else token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def report(findings):
    """Prints the findings, ends the program with 1 when there are any, else 0."""
    for where, what in findings:
        print(f"{where}: {what}")
    sys.exit(1 if findings else 0)


def self_test(check, tree, expected):
    """Runs check(root) on a tree {name: text}; each expected text must be found in exactly the
    finding at its place, and nothing else may be reported."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in tree.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        found = [f"{where}: {what}" for where, what in check(root)]
    wrong = []
    for want in expected:
        hit = next((f for f in found if f.startswith(want[0] + ":") and want[1] in f), None)
        if hit:
            found.remove(hit)
        else:
            wrong.append(f"not caught: {want[0]}: …{want[1]}…")
    wrong += [f"false alarm: {f}" for f in found]
    for w in wrong:
        print(f"self-test: {w}")
    sys.exit(1 if wrong else 0)
