# SPDX-License-Identifier: MIT OR Apache-2.0
"""Word tasks for the corpus: reverse, case, count, spell, sort, first and last letters, repeat.

The words to work on (the payload) reach the prompt untouched by the generator's slips and case
changes; answers keep the payload's own case unless the task is about case.
"""

from corpus_lang import BEFORE_INDIRECT, MARK, NAMES, WORDS, expand, number_words, polite, restyle, word

QUOTES = (("", ""),
    ("", ""),
    ("", ""),
    ("\"", "\""),
    ("\"", "\""),
    ("'", "'"),
    ("`", "`"),
    ("\u201c", "\u201d"))
LABEL = "(the word |the word |word |the term |the string |the text |this word: |this: |the following word: |the letters of |the letters in |the name |: |||||)"
MULTI = "(the phrase |the sentence |the words |the text |this text: |this sentence: |this: |the following: |the following words: |the string |: |||||)"

REVERSE = ["(reverse|invert|flip|mirror|turn around|turn round|swap around|back-spell) <l><w>",
    "(write|spell|say|print|show|give me|type|put|output|tell me|return|read|display|present) <l><w> "
    "(backwards|backward|in reverse|reversed|from back to front|in reverse order|back to front|from the "
    "end|from right to left|from end to start|from the last letter to the first|the other way round|the "
    "wrong way round)",
    "what is <l><w> (backwards|reversed|in reverse|spelled backwards|written backwards|read backwards|back "
    "to front|flipped|spelt backwards|the other way round)",
    "(how do you|how would you|how is|how do i) (spell|write|say) <l><w> (backwards|in reverse|back to "
    "front)", "<w> (backwards|reversed|in reverse|back to front|reverse|flipped)",
    "(reverse|backwards|reversed|flip|inverse|reversal)(:| -|) <w>",
    "reverse the (letters|characters|order of the letters|letter order|spelling|order of letters) (of|in) "
    "<w>",
    "(what does|how does) <l><w> (look|read|become) (backwards|reversed|like backwards|when reversed|in "
    "reverse|if you reverse it)",
    "(turn|put|flip) <l><w> (around|backwards|back to front|round|upside down|in reverse)",
    "<w> spelled backwards( is| is what|)", "what do you get (if|when) you (reverse|flip|turn around) <l><w>",
    "the (reverse|reversal|mirror image|inverse) of <w>",
    "what is the (reverse|reversal|inverse|opposite order|mirror) of <l><w>",
    "(make|give me|find|show me|write|print) the (reverse|reversed form|mirror image|reversal) of <l><w>",
    "read <w> from (right to left|the end to the start|back to front)", "reverse{\"<w>\"}",
    "<w>: (reverse it|write it backwards|reverse this|backwards please|reverse|spell it backwards)",
    "i need <l><w> (backwards|reversed|in reverse)", "spell backwards(:|) <w>"]
UPPER = [
    "(uppercase|upper case|upcase|capitalize all letters of|capitalise every letter of|capitalize every "
    "letter in) <m><w>",
    "(write|put|print|say|convert|turn|change|type|show|make|give me|set|transform|shout|return|output|"
    "rewrite) <m><w> (in|to|into) (uppercase|upper case|capitals|capital letters|all caps|caps|big letters|"
    "block letters|block capitals|uppercase letters)",
    "make <m><w> (uppercase|upper case|all caps|all capitals|capital)",
    "what is <m><w> in (uppercase|upper case|capitals|capital letters|all caps|block letters)",
    "(uppercase|to uppercase|upper|all caps|in capitals|caps|upper case)(:| -|) <w>",
    "<w> in (uppercase|capitals|capital letters|all caps|upper case)",
    "how do you write <w> in (capitals|uppercase|capital letters|upper case)", "upper{\"<w>\"}",
    "<w>: (uppercase it|in capitals please|make it uppercase|all caps)",
    "(shout|yell|scream)(:| the word|) <w>", "<w> (uppercase|in big letters|all caps)",
    "use (only |)capital letters for <m><w>",
    "(give me|show me|what is) the (uppercase|upper case|capital) (form|version|of|spelling of|version of|"
    "form of) <m><w>"]
LOWER = ["(lowercase|lower case|downcase) <m><w>",
    "(write|put|print|say|convert|turn|change|type|show|make|give me|set|transform|return|output|rewrite) "
    "<m><w> (in|to|into) (lowercase|lower case|small letters|lowercase letters|little letters)",
    "make <m><w> (lowercase|lower case|all lowercase|small)",
    "what is <m><w> in (lowercase|lower case|small letters)",
    "(lowercase|to lowercase|lower|in small letters|lower case)(:| -|) <w>",
    "<w> in (lowercase|small letters|lower case)", "lower{\"<w>\"}",
    "<w>: (lowercase it|make it lowercase|in lowercase please)", "<w> lowercase",
    "(give me|show me|what is) the (lowercase|lower case) (form of|version of|of) <m><w>"]
CAPITAL = ["(capitalize|capitalise) <l><w>", "(write|put) <l><w> with a capital( first|) letter",
    "make the first letter of <w> (uppercase|a capital|upper case|capital|big)",
    "(capitalize|capitalise|uppercase) the first letter of <l><w>", "(capitalize|capitalise)(:| -|) <w>",
    "<w> with a capital letter", "start <w> with a capital( letter|)"]
COUNT = [
    "how many (letters|characters|chars|letters and digits) (are|are there|do you find|do i find|do you "
    "count|do you see) in <l><w>",
    "how many (letters|characters|chars) (does|has|does the word|are in) <w>( have| contain|)",
    "(count|tell me|give me|find|compute|determine|say|work out|number) the (letters|number of letters|"
    "characters|number of characters|letter count|amount of letters|count of letters) (in|of) <l><w>",
    "(what is the length|length|the length|what's the length|how great is the length) of <l><w>",
    "how long is <l><w>",
    "(count|count letters|letter count|letters|length|number of letters|character count|len|count the "
    "letters)(:| -|) <w>", "what is the (number|count) of (letters|characters) in <l><w>",
    "how many letters (does it take|do i need|do you need|are needed) to (write|spell) <l><w>",
    "(letters|characters|number of letters|letter count) in <l><w>", "len{\"<w>\"}", "<w>: how many letters",
    "<w> has how many letters", "count how many letters (are in|there are in|make up|form) <l><w>",
    "how many letters (make up|form|spell|build) <l><w>", "(is <w> long|how big is the word <w>)",
    "(measure|how long would you say is) the word <w>"]
OCCUR = ["how many (times does|times is) (the letter |letter |)<q> (appear|occur|come|found|used|show up|"
    "happen) in <l><w>", "how many <q>(s|'s|) (are|are there|do you see|do you find|do you count) in <l><w>",
    "how many <q>('s|s| letters|) (does|has) <l><w>( have| contain|)",
    "(count|tell me|give me|find) the (number of |)(letter |letters |)<q>('s|s|) in <l><w>",
    "how often (does|is) (the letter |)<q> (appear|occur|come up|used|found|come) in <l><w>",
    "how many (letters|letter) <q> (are|are there|do you see) in <l><w>",
    "count (the |every |all |)<q>('s|s|) in <w>", "number of <q>('s|s|) in <w>",
    "(what is the count|what is the number) of (the letter |)<q> in <l><w>",
    "how many of the letter <q> (are|do you find) in <w>"]
WORDCOUNT = [
    "how many words (are|are there|do you see|do you count) in( the sentence| this sentence| the phrase| "
    "the text| this text| this|)(:|) <w>",
    "(count|tell me|give me|find) the (words|number of words|word count|amount of words) (in|of)( the "
    "sentence| this sentence| the phrase| the text| this|)(:|) <w>",
    "how many words (does|has) <w>( have| contain|)",
    "(word count|count words|number of words|words|count the words)(:| -|) <w>",
    "<w>: how many words( is that|)", "how many words (is|make up) <w>",
    "what is the (word count|number of words) (of|in) <w>", "<w> - count the words"]
SPELL = ["(spell|spell out|how do you spell|how do i spell|please spell|how is|how would you spell) <l><w>( "
    "spelled|)", "(write|say|give me|list|show|name|type) the letters of <l><w>( one by one| separately|)",
    "spell(:| -|) <w>", "(what are|which are) the letters (in|of) <l><w>", "<w>: spell it",
    "spell <w> (letter by letter|out loud|for me|with hyphens)",
    "(split|separate|break) <l><w> into (its |)letters", "what is the spelling of <w>"]
FIRST = [
    "(what is|what's|which is|tell me|give me|say|name|find) the (first|1st|initial|starting|very first) "
    "(letter|character) (of|in) <l><w>", "(first letter|initial|first character)( of|:| in|) <l><w>",
    "(what|which) letter does <l><w> (start|begin) with",
    "with (what|which) letter does <l><w> (start|begin)", "<w> (starts|begins) with (what|which) letter",
    "the first letter of <w>", "how does <w> (start|begin)"]
LAST = ["(what is|what's|which is|tell me|give me|say|name|find) the (last|final|ending|very last) (letter|"
    "character) (of|in) <l><w>", "(last letter|final letter|last character)( of|:| in|) <l><w>",
    "(what|which) letter does <l><w> (end|finish|stop) (with|in)", "with (what|which) letter does <l><w> end",
    "<w> ends with (what|which) letter", "the last letter of <w>", "how does <w> end"]
REPEAT = ["(say|repeat|echo|write|print|type|say the word|repeat the word|repeat after me:|repeat after me|"
    "output|copy|please say|say after me:|parrot|say exactly:|reply with|reply with the word|answer with|"
    "respond with)(:|) <w>", "echo <w>", "repeat( this| the following| what i say|)(:|) <w>",
    "(can you|could you) (say|repeat|write|type) <w>", "print{\"<w>\"}"]
SORT = [
    "(sort|order|arrange|alphabetize|alphabetise|sort alphabetically|put in order|rank|organize|organise)( "
    "these words| the words| this list| these| the list| the following words| the following|)( "
    "alphabetically| in alphabetical order| from a to z| by alphabet| by letter|)(:|) <w>",
    "(put|sort|arrange|order|list|write|place|bring) (the words |these words |the following words: |these: "
    "|)<w> (in alphabetical order|alphabetically|in order|from a to z|into alphabetical order|by the "
    "alphabet|in abc order|into order)", "what is the alphabetical order of( the words|)(:|) <w>",
    "(alphabetical order|sorted|sort|alphabetically|abc order|sorting|order)(:| -| of) <w>",
    "<w>: (sort them|sort these|in alphabetical order please|sort alphabetically|put them in order)",
    "sort{<w>}", "how (do|would) you (sort|order|alphabetize) <w>",
    "i need <w> (sorted|in alphabetical order|in order)", "give me <w> in alphabetical order"]
SORTNUM = [
    "(sort|order|arrange|put in order|rank|organize)( these numbers| the numbers| this list| these| the "
    "list| the following numbers| the following|)( ascending| in ascending order| from small to large| in "
    "increasing order| from smallest to largest| from lowest to highest| numerically| by size|)(:|) <w>",
    "(put|sort|arrange|order|list|write|place|bring) (the numbers |these numbers |the following numbers: |"
    ")<w> (in order|in ascending order|in increasing order|from small to large|from smallest to largest|"
    "from lowest to highest|ascending|by size|into order)",
    "(ascending order|sorted|sort|sort ascending|order)(:| -| of) <w>",
    "<w>: (sort them|sort these|in ascending order|sort these numbers)", "sort{<w>}",
    "how (do|would) you (sort|order) <w>", "i need <w> (sorted|in order)"]
SORTNUM_DOWN = [
    "(sort|order|arrange)( these numbers| the numbers| this list| these|)( descending| in descending order|"
    " from large to small| in decreasing order| from largest to smallest| from highest to lowest)(:|) <w>",
    "(put|sort|arrange|order|list) (the numbers |these numbers |)<w> (in descending order|in decreasing "
    "order|from large to small|from largest to smallest|from highest to lowest|descending|in reverse order)",
    "(descending order|sort descending)(:| -| of) <w>"]
EXTREME = [
    "(what is|which is|what's|find|tell me|give me) the (largest|biggest|greatest|highest|maximum)( number|"
    ")( of| in| among|:)( these| the numbers|) <w>", "(max|maximum|largest|biggest)( of|:|) <w>",
    "which of <w> is the (largest|biggest|greatest|highest)"]
EXTREME_MIN = [
    "(what is|which is|what's|find|tell me|give me) the (smallest|lowest|least|minimum)( number|)( of| in| "
    "among|:)( these| the numbers|) <w>", "(min|minimum|smallest|lowest)( of|:|) <w>",
    "which of <w> is the (smallest|lowest|least)"]
WORDORDER = [
    "reverse the (order of the words|word order|words|order of words) (in|of)( the sentence| the phrase|"
    ")(:|) <w>", "(write|say|put) the words of <w> in reverse( order|)",
    "<w> with the words (reversed|in reverse order)"]
COUNTTO = ["count( up|)( from 1| from one|) to <w>", "(can you|please|could you) count to <w>",
    "(list|write|say|give me|show|print) the numbers (from (1|one) |)(up |)to <w>", "count from 1 until <w>"]


def _case(rng, w):
    r = rng.random()
    if r < 0.72:
        return w
    return w.capitalize() if r < 0.9 else w.upper()


def _lead(rng, template):
    text = expand(rng, template)
    return text + " " if text else ""


def _ask(rng, templates, payload, quote=True, **slots):
    left, right = rng.choice(QUOTES) if quote else ("", "")
    end = "?" if rng.random() < 0.4 else ("." if rng.random() < 0.5 else "")
    template = rng.choice(templates)
    text = expand(rng, template, w=left + MARK + right, l=_lead(rng, LABEL), m=_lead(rng, MULTI), **slots)
    question = text.startswith(("what", "how", "which", "with", "is "))
    text = polite(rng, text, order=not question and not text.startswith(MARK))
    if rng.random() < 0.06 and question:
        text = expand(rng, BEFORE_INDIRECT) + " " + text
    if question and rng.random() < 0.8:
        end = "?"
    if not end and text.endswith((MARK, MARK + right)):
        return restyle(rng, text + "\ue001", keep=payload).replace("\ue001", "")
    return restyle(rng, text, keep=payload, end=end or "?")


def _phrase(rng, low, high):
    return " ".join(WORDS[int(rng.random() * len(WORDS))] for _ in range(rng.randint(low, high)))


def _plain(rng, longest):
    while True:
        w = word(rng) if rng.random() < 0.93 else rng.choice(NAMES).lower()
        if 1 < len(w) <= longest:
            return w


def _list(rng, items):
    style = rng.random()
    if style < 0.5:
        return ", ".join(items)
    if style < 0.72:
        return ", ".join(items[:-1]) + rng.choice((" and ", ", and ")) + items[-1]
    if style < 0.92:
        return " ".join(items)
    return ",".join(items) if style < 0.97 else "[" + ", ".join(items) + "]"


def make_task(rng):
    r = rng.random()
    if r < 0.20:
        w = _case(rng, _plain(rng, 12))
        return _ask(rng, REVERSE, w), w[::-1]
    if r < 0.30:
        w = _case(rng, _plain(rng, 12)) if rng.random() < 0.65 else _phrase(rng, 2, 5)
        return _ask(rng, UPPER, w), w.upper()
    if r < 0.36:
        w = _plain(rng, 12) if rng.random() < 0.65 else _phrase(rng, 2, 4)
        w = w.upper() if rng.random() < 0.6 else w.title()
        return _ask(rng, LOWER, w), w.lower()
    if r < 0.39:
        w = _plain(rng, 12)
        return _ask(rng, CAPITAL, w), w.capitalize()
    if r < 0.53:
        w = _case(rng, _plain(rng, 13))
        return _ask(rng, COUNT, w), "%s: %d letters." % ("-".join(w), len(w))
    if r < 0.60:
        return _occurrences(rng)
    if r < 0.67:
        w = _phrase(rng, 2, 8)
        if rng.random() < 0.3:
            w = w.capitalize() + rng.choice((".", "", "!"))
        count = len(w.split())
        numbered = " ".join("%d %s" % (i + 1, x) for i, x in enumerate(w.rstrip(".!").split()))
        return _ask(rng, WORDCOUNT, w), "%s: %d words." % (numbered, count)
    if r < 0.71:
        w = _plain(rng, 12)
        return _ask(rng, SPELL, w), "-".join(w)
    if r < 0.77:
        w = _case(rng, _plain(rng, 12))
        if rng.random() < 0.5:
            return _ask(rng, FIRST, w), w[0]
        return _ask(rng, LAST, w), w[-1]
    if r < 0.81:
        w = _case(rng, _plain(rng, 12)) if rng.random() < 0.5 else _phrase(rng, 2, 5)
        return _ask(rng, REPEAT, w), w
    if r < 0.82:
        w = _phrase(rng, 2, 5)
        return _ask(rng, WORDORDER, w), " ".join(reversed(w.split()))
    if r < 0.835:
        n = rng.randint(2, 20)
        text = _ask(rng, COUNTTO, str(n) if rng.random() < 0.7 else number_words(n), quote=False)
        return text, ", ".join(str(i) for i in range(1, n + 1)) + "."
    if r < 0.93:
        items = []
        size = rng.choice((2, 3, 3, 3, 4, 4, 5))
        while len(items) < size:
            w = _plain(rng, 10) if rng.random() < 0.15 else rng.choice(WORDS)
            if w not in items:
                items.append(w)
        return _ask(rng, SORT, _list(rng, items), quote=False), ", ".join(sorted(items))
    items = []
    size, top = rng.choice((3, 3, 4, 4, 5, 6)), rng.choice((10, 20, 50, 100))
    while len(items) < size:
        n = int(rng.random() * (top + 1))
        if n not in items:
            items.append(n)
    shown = _list(rng, [str(n) for n in items])
    if r < 0.97:
        return _ask(rng, SORTNUM, shown, quote=False), ", ".join(str(n) for n in sorted(items))
    if r < 0.98:
        return _ask(rng, SORTNUM_DOWN, shown, quote=False), ", ".join(str(n) for n in sorted(items, reverse=
                True))
    if r < 0.99:
        return _ask(rng, EXTREME, shown, quote=False), "%d is the largest." % max(items)
    return _ask(rng, EXTREME_MIN, shown, quote=False), "%d is the smallest." % min(items)


def _occurrences(rng):
    w = _plain(rng, 13)
    if rng.random() < 0.3:
        w = rng.choice(("strawberry", "banana", "mississippi", "bookkeeper", "committee", "balloon", "pepper",
                "letter", "tomorrow", "success", "coffee", "raspberry", "blueberry", "programming",
                "opengateway", "hello"))
    q = rng.choice(w) if rng.random() < 0.85 else chr(97 + int(rng.random() * 26))
    n = w.count(q)
    marked = w.replace(q, q.upper())
    left, right = rng.choice(QUOTES)
    letter = q if rng.random() < 0.7 else q.upper()
    text = _ask(rng, OCCUR, w, q=left + "\ue002" + right).replace("\ue002", letter)
    return text, "%s: %d time%s %s." % (marked, n, "" if n == 1 else "s", q)
