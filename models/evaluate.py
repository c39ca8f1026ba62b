#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Measures the model file on the held-out prompts, through OpenGateway's own engine.

    python3 evaluate.py --tool build/tools/engine-chat [--model FILE] [--set NAME] [--quick] [--failures]

Two sets: heldout.jsonl (prompts of all kinds, each with a regular expression for right answers) and
heldout_sums.txt (phrasings, each asked with numbers from 0 to 20). Everything runs greedily. --quick takes
every sixth prompt and three pairs of numbers for each phrasing; it is what the tests run. --set unseen takes
unseen.jsonl and unseen_sums.txt, which were written after the corpus and never looked at while it was made. The exit status is 1
when a share is below its target. Needs nothing but Python.

engine-chat reads one array of messages a line and writes one {"answer": "..."} a line, in the same order.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "opengateway-spark.gguf")
TARGET_PROMPTS, TARGET_SUMS = 0.90, 0.95
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty").split()


def load_prompts(name, quick):
    with open(os.path.join(HERE, name + ".jsonl"), encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return records[::6] if quick else records


def load_sums(name, quick):
    with open(os.path.join(HERE, name + "_sums.txt"), encoding="utf-8") as lines:
        phrasings = [line.rstrip("\n") for line in lines]
    records = []
    for index, phrasing in enumerate(phrasings):
        for a in range(21):
            for b in range(21):
                if quick and (a * 21 + b) % 147 != (index * 31) % 147:
                    continue
                text = phrasing.format(a=a, b=b, A=ONES[a], B=ONES[b])
                records.append({"kind": phrasing, "messages": [{"role": "user", "content": text}],
                                "accept": r"(^|[^0-9.-])%d\.?$" % (a + b)})
    return records


def answers(tool, model, records, extra):
    """The answers of the tool to all records, in order."""
    lines = "".join(json.dumps(r["messages"]) + "\n" for r in records)
    done = subprocess.run([tool, "--messages", *extra, model], input=lines.encode(), stdout=subprocess.PIPE,
        check=True)
    out = [json.loads(line)["answer"] for line in done.stdout.decode().splitlines()]
    if len(out) != len(records):
        raise SystemExit("the tool answered %d of %d prompts" % (len(out), len(records)))
    return out


def score(name, records, replies, show):
    right, total = Counter(), Counter()
    for record, reply in zip(records, replies):
        total[record["kind"]] += 1
        if re.search(record["accept"], reply):
            right[record["kind"]] += 1
        elif show:
            print("  wrong: %r -> %r" % (record["messages"][-1]["content"], reply))
    for kind in total:
        print("  %5d of %5d  %s" % (right[kind], total[kind], kind))
    share = sum(right.values()) / len(records)
    print("%s: %d of %d, %.1f %%" % (name, sum(right.values()), len(records), 100 * share))
    return share


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tool", required=True, help="the program engine-chat")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--set", default="heldout", choices=("heldout", "unseen"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--failures", action="store_true", help="print every wrong answer")
    parser.add_argument("--temperature", default="0", help="0 is greedy")
    args = parser.parse_args()
    extra = ["--temperature", args.temperature] if args.temperature != "0" else []
    ok = True
    for name, records, target in (("prompts", load_prompts(args.set, args.quick), TARGET_PROMPTS),
                                  ("sums", load_sums(args.set, args.quick), TARGET_SUMS)):
        share = score(name, records, answers(args.tool, args.model, records, extra), args.failures)
        ok = ok and share >= target
    print("targets met" if ok else "below target")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
