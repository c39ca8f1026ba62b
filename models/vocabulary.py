# SPDX-License-Identifier: MIT OR Apache-2.0
"""Chooses the words that are one token each and writes vocabulary.txt.

    python3 vocabulary.py > vocabulary.txt

Everything else is bytes, so that a word task sees its word letter by letter. A word becomes a token when the
corpus uses it often; a short one only together with the space behind it, and none whose text is the end (or,
for a long one, a part) of several words of the word tasks. Names stay letters as well: they are copied. Rerun
only together with a new training: the ids change.
"""

import re
from collections import Counter

import corpus
import corpus_lang
import corpus_sums

SAMPLES = 60000
OFTEN = 80
LONG = 5


def main():
    seen = Counter()
    corpus.GROWN = 1
    payload = list(corpus_lang.WORDS)
    source = corpus.stream(7)
    for _ in range(SAMPLES):
        for role, text, _ in next(source):
            if role != "system":
                seen.update(set(re.findall(r"[A-Za-z]+ ?", text)))
    tokens = set()
    for form, count in seen.items():
        word = form.rstrip()
        lower = word.lower()
        if word not in (lower, lower.capitalize(), "OpenGateway", "PeerId", "NodeId") or len(word) < 3:
            continue
        if len(word) >= LONG:
            total = seen[word] + seen[word + " "]
            if total >= OFTEN and sum(lower in other for other in payload if other != lower) < 2:
                tokens.add(word)
        elif form.endswith(" ") and count >= OFTEN:
            if sum(other.endswith(lower) for other in payload if other != lower) < 3:
                tokens.add(form)
    drawn = set(payload)
    copied = {name.lower() for name in corpus_lang.NAMES} | set(corpus_sums.THINGS)
    for token in sorted(tokens):
        # Words that the word tasks use are left to their letters unless the sentences need them, too.
        if token.strip().lower() in drawn and seen[token] + seen[token.strip() + " "] < 6 * OFTEN:
            continue
        if token.strip().lower() not in copied:
            print(token + "|")


if __name__ == "__main__":
    main()
