# SPDX-License-Identifier: MIT OR Apache-2.0
"""The training corpus: an endless, seeded stream of short conversations.

A conversation is a list of (role, text, learn) where `learn` says whether the model is trained on
that text. No prompt of the held-out files may occur here: prompts are compared after removing case,
punctuation and, for sums, the numbers themselves, so that a held-out sum holds out its phrasing.

    python3 corpus.py 20      prints 20 conversations
"""

import json
import os
import random
import re
import sys

import corpus_lang
import corpus_more
from corpus_beyond import make_beyond
from corpus_facts import CHAT, FACTS
from corpus_lang import NAMES, expand, number_words, polite, restyle
from corpus_sums import make_other, make_sum
from corpus_tasks import make_task

corpus_more.enrich()

HERE = os.path.dirname(os.path.abspath(__file__))

NUMBER = re.compile(r"\b(\d+|(%s)([- ](%s))?)\b" % ("|".join(corpus_lang.TENS[2:] + corpus_lang.ONES), "|".
        join(corpus_lang.ONES)))


def normalise(text):
    """Equal for prompts that differ only in case, punctuation, spacing or in which numbers they hold."""
    text = NUMBER.sub("#", text.lower().replace("+", " + "))
    return " ".join(re.findall(r"[#+*/=]|[^\W_]+|[^\x00-\x7f]", text.replace("'", "").replace("\u2019", "")))


def held_out():
    """The normalised prompts and single words that training must not show."""
    prompts, words = set(), set()
    for name in ("heldout.jsonl", "heldout_sums.txt"):
        path = os.path.join(HERE, name)
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if name.endswith(".txt"):
                    prompts.add(normalise(line.format(a=1, b=2, A="one", B="two")))
                    continue
                record = json.loads(line)
                if record["kind"] not in ("sum", "greeting") or "payload" in record:
                    words.update(record.get("payload", "").lower().split())
                prompts.add(normalise(record["messages"][-1]["content"]))
    prompts.discard(normalise("1 + 2"))
    return prompts, words


SYSTEM = ["You are a helpful assistant.", "You are a helpful assistant",
    "You are a helpful, honest and concise assistant.",
    "You are ChatGPT, a large language model trained by OpenAI.",
    "You are an AI assistant. Answer the user's questions.", "Be brief.", "Answer in one sentence.",
    "You are a friendly chatbot.", "You are a pirate. Always speak like one.",
    "You are a math tutor who helps children with sums.", "You are a helpful assistant. Today is Monday.",
    "Always answer in English.", "You are an expert programmer.", "Be concise and accurate.",
    "You must never lie.", "You are Spark, the model of OpenGateway.", "Use markdown in your answers.",
    "You are a customer support agent for a small company.", "Do not use emojis.",
    "Think step by step before you answer.", "You are a test bot.", "Respond politely.", "system",
    "You answer questions.", "Answer as shortly as possible.", "You are a calculator.",
    "If you do not know the answer, say so.", "You are a large language model.",]
SYSTEM_FRAMES = [
    "you are (a|an|the) (helpful|friendly|polite|smart|careful|honest|expert|world-class|creative|"
    "professional|cheerful|precise|patient|harmless) (assistant|bot|agent|teacher|tutor|robot|guide|expert|"
    "companion|AI|writer|coder|<w>)( named <n>| called <n>| for <n>| who works at <n>'s company| in a <w> "
    "shop|)",
    "(always|never|please|you must|you should|try to|do not) (answer|reply|respond|speak|write)( briefly| "
    "in detail| in full sentences| with care| politely| to strangers| in rhymes| like a <w>| in markdown| "
    "without lists|)",
    "(the|our) (user|customer|client|student)( is called <n>| is named <n>| likes <w>| asks about <w>| "
    "lives in <w>|)",
    "your (task|job|role|goal|purpose) is to (help|assist|answer|support|entertain|teach) (the user|people|"
    "users|children|our customers)( with <w>| with their <w>| about <w>|)",
    "(keep|make) (your |the |)answers (short|long|simple|polite|friendly|factual|under <d> words)",
    "(the current|today's) date is 20<d>-0<k>-1<k>",
    "(you have|you may use) (no tools|these tools: <w>, <w>|access to <w>|knowledge until 20<d>)",
    "if (you do not know|the question is unclear|asked about <w>), (say so|ask back|answer with <w>|"
    "apologise)", "(context|background|note|important|rules)(:|) <w> <w> <w> and <w>",
    "rule <k>: (be <w>|mention the <w>|do not talk about <w>|use <w>)", "knowledge cutoff: 20<d>-0<k>",
    "the <w> is (in|on|under) the <w>", "(remember|consider) that <w> and <w> are (important|different|<w>)",]


def system_prompt(rng):
    r = rng.random()
    if r < 0.3:
        return SYSTEM[0]
    if r < 0.55:
        return rng.choice(SYSTEM)
    sentences = 1 + int(rng.random() * (3 if r < 0.95 else 9))
    out = []
    for _ in range(sentences):
        template = rng.choice(SYSTEM_FRAMES)
        while template.count("<w>") > 1:
            template = template.replace("<w>", corpus_lang.word(rng), 1)
        text = expand(rng, template, w=corpus_lang.word(rng), n=rng.choice(NAMES), d=str(rng.randint(20, 99)),
            k=str(rng.randint(1, 9)))
        out.append((text[0].upper() + text[1:] if rng.random() < 0.9 else text) + rng.choice((".", ".", ".",
                    "!", "")))
    return rng.choice((" ", " ", "\n", "\n- ")).join(out)


def make_fact(rng):
    return _from_table(rng, FACTS, 0.35)


def make_chat(rng):
    return _from_table(rng, CHAT, 0.0)


def _from_table(rng, table, by_size):
    if rng.random() < by_size:
        answer, templates = rng.choices(table, weights=[len(t) for _, t in table])[0]
    else:
        answer, templates = rng.choice(table)
    text = expand(rng, rng.choice(templates))
    question = text.startswith(("what", "how", "who", "where", "why", "which", "is ", "are ", "does ", "do ",
            "can ", "whats"))
    if table is FACTS or question:
        if table is FACTS and rng.random() < 0.06:
            text += rng.choice((" in opengateway", " with opengateway", " in gate", " with gate",
                    " of opengateway", " here"))
        text = polite(rng, text, order=text.startswith(("explain", "tell", "show", "list", "describe", "give")))
        if rng.random() < 0.05 and text.startswith(("what", "how", "who", "where", "why", "which")):
            text = expand(rng, corpus_lang.BEFORE_INDIRECT) + " " + text
    return restyle(rng, text, end="?" if question else rng.choice(("?", ".", "", "!"))), answer


MAKERS = ((0.24, make_sum),
    (0.13, make_other),
    (0.21, make_fact),
    (0.10, make_chat),
    (0.24, make_task),
    (0.13, make_beyond))
MAKER_SUM = sum(weight for weight, _ in MAKERS)

FOLLOW = [(1, "(and |now |ok, |then |)(add|plus) <b>( more| to that| to it| to the result|)"),
    (1, "(and|and then|now) plus <b>"),
    (1, "(now |then |)(increase|raise) (it|that) by <b>"),
    (1, "what (is|about) that plus <b>"),
    (1, "what if (i|you) add <b>( more| to it|)"),
    (-1, "(and |now |ok, |then |)(subtract|minus|take away|remove) <b>( from that| from it| from the result|"
        ")"),
    (-1, "what (is|about) that minus <b>"),
    (-1, "(and|now) minus <b>")]
NEW_PAIR = "(and|what about|how about|and what about|now|next|then|and now|ok, and) <a>( + |+| plus | and )<b>"
SURE = ["are you (sure|certain|really sure|positive)( about that|)", "really",
    "is that (right|correct|true|really so)", "(check|verify) (that|it|again|your answer)",
    "is it really <c>", "sure"]


def _follow_up(rng, turns):
    """A question that needs the last answer; None when it does not lend itself to one."""
    match = re.match(r"^(-?\d+) ([-+*/]) (-?\d+) = (-?\d+)\.$", turns[-1][1])
    if not match:
        return None
    result = int(match.group(4))
    r = rng.random()
    if r < 0.35:
        return restyle(rng, expand(rng, rng.choice(SURE), c=str(result))), "Yes: " + turns[-1][1]
    if r < 0.65 or not 0 <= result <= 80:
        a, b = int(rng.random() * 21), int(rng.random() * 21)
        words = rng.random() < 0.15
        text = expand(rng, NEW_PAIR.replace("+|", "") if words else NEW_PAIR, a=number_words(a) if words else
            str(a), b=number_words(b) if words else str(b))
        return restyle(rng, text.replace("( ", "(")), "%d + %d = %d." % (a, b, a + b)
    sign, template = rng.choice(FOLLOW)
    b = int(rng.random() * 21)
    if sign < 0:
        b = min(b, result)
    text = restyle(rng, expand(rng, template, b=str(b)))
    return text, "%d %s %d = %d." % (result, "+" if sign > 0 else "-", b, result + sign * b)


NAME_IS = [
    "(hi, |hello, |hey, |hello! |hi! |)(my name is|i am called|i'm|i am|this is|call me|you can call me|"
    "the name is|people call me|my name's|it's) <n>( here|)", "(hi|hello|hey)(,|!|) <n> here",
    "i am <n>, (nice to meet you|who are you|hello)"]
NAME_ASK = ["what is my name", "what's my name", "do you (know|remember) my name", "who am i",
    "can you tell me my name", "what am i called", "say my name", "remember my name", "tell me my name",
    "how am i called"]


def _one(rng, banned):
    while True:
        pick, at = rng.random() * MAKER_SUM, 0.0
        for weight, maker in MAKERS:
            at += weight
            if pick < at:
                break
        prompt, answer = maker(rng)
        if len(prompt) <= 220 and normalise(prompt) not in banned:
            return prompt, answer


def _foreign(rng):
    """An answer that another assistant might have given."""
    words = [corpus_lang.word(rng) for _ in range(rng.randint(1, 16))]
    return " ".join(words).capitalize() + rng.choice((".", "!", "?"))


def conversation(rng, banned, growth):
    """`growth` runs from 0 to 1: from mostly single questions to system prompts and longer talks."""
    turns = []
    if rng.random() < 0.06 + 0.22 * growth:
        turns.append(("system", system_prompt(rng), False))
    rounds = rng.choice((2, 2, 3)) if rng.random() < 0.06 + 0.27 * growth else 1
    name = None
    for index in range(rounds):
        r = rng.random()
        follow = None
        if index and turns[-1][0] == "assistant" and r < 0.35:
            follow = _follow_up(rng, turns)
        if follow:
            prompt, answer = follow
        elif r > 0.985 or (rounds > 1 and r > 0.93):
            name = rng.choice(NAMES) if rng.random() < 0.7 else corpus_lang.word(rng).capitalize()
            prompt = restyle(rng, expand(rng, rng.choice(NAME_IS), n=corpus_lang.MARK), keep=name, end=".")
            answer = "Nice to meet you, %s! I am Spark." % name
        elif r > (0.88 if name else 0.983):
            prompt = restyle(rng, expand(rng, rng.choice(NAME_ASK)))
            answer = "Your name is %s." % name if name else "You have not told me your name."
        else:
            prompt, answer = _one(rng, banned)
        if normalise(prompt) in banned:
            continue
        turns.append(("user", prompt, False))
        if index + 1 < rounds and rng.random() < 0.08:
            turns.append(("assistant", _foreign(rng), False))
        else:
            turns.append(("assistant", answer, True))
    if not any(learn for _, _, learn in turns):
        return conversation(rng, banned, growth)
    return turns


def remove_words(words):
    """Takes the held-out words out of the vocabulary of the word tasks."""
    corpus_lang.WORDS[:] = [w for w in corpus_lang.WORDS if w not in words]


GROWN = 40000  # conversations of one stream until the corpus has its final shape


def stream(seed):
    banned, words = held_out()
    remove_words(words)
    rng = random.Random(seed)
    count = 0
    while True:
        yield conversation(rng, banned, min(1.0, count / GROWN))
        count += 1


def main():
    for index, turns in enumerate(stream(int(sys.argv[2]) if len(sys.argv) > 2 else 1)):
        if index >= int(sys.argv[1]):
            return
        for role, text, learn in turns:
            print("%s%s %s" % (role[0].upper(), "*" if learn else ":", text))
        print()


if __name__ == "__main__":
    main()
