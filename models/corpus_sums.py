# SPDX-License-Identifier: MIT OR Apache-2.0
"""Arithmetic for the corpus: sums first, then differences, small products, exact divisions, comparisons.

Each function returns (prompt, answer). Answers repeat the calculation ("2 + 2 = 4."): the model
first reads the numbers, then computes. Sums keep the order in which the prompt names the numbers.
"""

from corpus_lang import AFTER_ANY, BEFORE_INDIRECT, NAMES, expand, number_words, polite, restyle

THINGS = """apples pears coins books marbles cookies cats dogs eggs cards balls pens stamps sweets plants
birds cups stones tickets toys oranges bananas candies pencils chairs keys flowers stickers fish shells
cakes buttons dollars euros points letters boxes bottles hats socks nodes machines friends""".split()

SUM_QUESTION = ["(what is|what's|whats|what does|what do) <p>( equal| make| give| come to|)", "what is <p>",
    "what's <p>", "what is <p>", "what is <p> equal to",
    "how much (is|are|does|do|would be|will be) <p>( make| give|)", "how many (is|are) <p>",
    "what (is|would be|will be) the (sum|total|result|answer|value|outcome|solution) (of|to|for|when you "
    "take|if i do) <p>",
    "what (is|are|do you get from|do i get from|does one get from) <p> (together|in total|combined|"
    "altogether|in all|summed up|summed)",
    "what (do|will|would) (you|i|we) get (if|when) (you|i|we) (add|sum|combine|put together|sum up|add up|"
    "total|join) <e>",
    "what (do|will|would) (you|i|we) get (if|when) (you|i|we) add <a> (to|onto|and|with) <b>",
    "what (happens|results|comes out|is the result) (if|when) (you|i|we) add <e>",
    "(which|what) number (is|equals|do you get from|is equal to|comes from) <p>",
    "<p> (equals|is|makes|gives|comes to|is equal to|will be|would be) what",
    "<p> (equals|is|makes|gives|comes to|is equal to) how much", "<p> (equals|is|makes|gives)( what number|)",
    "is it possible to (add|sum) <e>", "can you (add|sum|sum up|add up|total|add together) <e>( together|)",
    "if (i|you|we) (add|sum|put together|combine|total) <e>(,| then|,) what (is it|do i get|is the (sum|"
    "total|result|answer))", "if you add <a> to <b>(,|) (what|how much) do you (get|have)",
    "(what number|which number|how much) is <a> (more|greater|higher|bigger|larger) than <b>",
    "what is <a> more than <b>", "what is <a> (increased|raised|incremented) by <b>",
    "(what|how much) (is|does) <a> and <b> (make|together|in total|combined|altogether|add up to|sum to|"
    "equal)",
    "what do <a> and <b> (make|add up to|sum to|total|come to|give|equal|yield|produce)( together| in "
    "total|)", "what (is|would be) (left|the number) after adding <e>",
    "where do i land if i start at <a> and (go|count|move|step) (up|forward) <b>",
    "<a> (steps |places |)after <b> (is|comes) what",
    "starting (from|at|with) <a>(,|) (add|count up|go up) <b>(.|:|,) (what do you get|result|answer|where "
    "are you)", "(so|then) <p>",
    "(do you know|can you solve|can you compute|can you calculate|can you do|can you work out|could you "
    "solve|are you able to do) <p>", "could you (calculate|compute|evaluate|solve|work out|do|find) <p>",
    "what (comes out of|results from|is the outcome of|is the value of) <p>",
    "i (have|got|had) <a> and (get|add|then get|receive) <b>( more|)(,|.) (what is the total|how many in "
    "all|total|how many now|how much now)", "what sum do <a> and <b> (make|give|form)", "how do you add <e>",
    "how much do (you|we|i) (get|have) (from|with) <p>", "<p>, what does (it|that) (make|equal|give)",
    "<p>: what is (it|that|the result|the answer|the sum)", "what answer do (you|i) get for <p>",
    "what should i write for <p>", "what goes after the equals sign in <p>",
    "is <p> something you can (do|solve|compute)", "what is the addition of <e>", "how would you solve <p>",]
SUM_INDIRECT = ["what <p> (is|makes|equals|gives|comes to|adds up to)",
    "how much <p> (is|makes|gives|equals|comes to)", "what the (sum|total|result) of <e> is",
    "the (sum|total|result|answer) of <e>", "the (sum|total|result|answer|value) of <p>",
    "what you get (if|when) you add <e>", "how much <a> and <b> (is|make|are)( together| in total|)",
    "what is <p>", "the (answer|solution|result) (to|for|of) <p>",
    "what <a> and <b> (add up to|make|give|sum to|equal)( together|)",]
SUM_ORDER = [
    "(add|sum|total|combine|sum up|add up|add together|tally|tot up|join|put together) <e>( together| up|)",
    "add <a> (to|onto|with|plus) <b>", "add the numbers <e>",
    "add (these|the) (two |)numbers( together|)(:|) <e>",
    "(compute|calculate|evaluate|solve|work out|do|figure out|determine|find|give me|tell me|answer|"
    "simplify|finish|" "complete|resolve|process|show|state|say|output|print|return|count) <p>( for me|)",
    "(compute|calculate|find|give me|tell me|work out|determine|figure out|get|return|write|state|output|"
    "name|print|show me|take) the " "(sum|total|addition) of <e>",
    "(compute|calculate|find|give me|tell me|work out|figure out|write) the (result|answer|value|outcome) "
    "(of|for|to) <p>", "do the (sum|math|maths|addition|arithmetic|calculation)(:|,| of| for|) <p>",
    "start with <a> and (add|count up|go up by|put) <b>", "take <a> and add <b>( to it|)",
    "take <a>(,| and then|, then) add <b>", "(increase|raise|increment|grow) <a> by <b>",
    "count <a> (up|on|forward|upwards) from <b>", "put <a> and <b> together",
    "solve( this|)(:| the sum| the equation|) <p>",
    "(fill in|complete)( the blank| this|)(:|) <p>( = _| = ?| = ...|)",
    "(reply|answer|respond) with the (sum|result|total) of <e>", "make the sum of <e>",
    "let x be <a> and y be <b>, (give|find|compute) x + y",
    "(run|execute|perform) (this|the) (addition|calculation|sum)(:|) <p>",]
SUM_BARE = ["<p>", "<p>", "<p>", "<p> =", "<p>=", "<p> = ?", "<p>=?", "<p> is", "<p> equals", "<p> makes",
    "(sum|total|addition)(:|) <p>", "sum of <e>", "the sum of <e>", "total of <e>", "<e> in total",
    "<e> together", "<e> added( together| up|)", "the total of <e>",
    "(result|answer|value|solution)( of| to| for|:) <p>", "<p> (please|pls|now|quickly|fast)", "= <p>",
    "sum{<a>, <b>}", "add{<a>, <b>}",
    "(addition|sum|math|maths|arithmetic|calculation) (question|problem|task|exercise|quiz)(:| -|) <p>",
    "<a>, <b>: (sum|total)(?|)", "(calc|calculator|eval|compute|math)(:|) <p>", "<p> = ___", "<p> -> ?",
    "x = <p>(, x| ; x|. x| what is x|, what is x| find x|)",]
SUM_STORY = [
    "(i|we) (have|own|had|see|hold|bought|found|got) <a> <t> and (get|buy|find|receive|am given|are given|"
    "pick up|take|collect) <b> (more|extra|others)"
    "(.|,|;) how many( <t>|) (do (i|we) have|are there|is that|does that make|have (i|we) got)( now| in "
    "total| altogether| in all|)",
    "(if|suppose|say|imagine) (i|you|we) have <a> <t> and (get|buy|find|add|are given) <b> more(,|) how "
    "many( <t>|) (do i have|do you have|are there|in all|is that)" "( now| in total|)",
    "<n> has <a> <t> and <m> has <b>( <t>|)(.|,) how many( <t>|) (do they have|are there|is that)( "
    "together| in total| altogether| in all|)",
    "<n> has <a> <t>(.|,|;) (<m> gives (him|her|them) <b> more|(he|she) (buys|finds|gets|receives) <b> "
    "more)(.|,) " "how many( <t>|) does (he|she|<n>) have( now| in total|)",
    "there are <a> <t> (in the box|on the table|in the bag|here|in the room) and (i add|we add|you add|i "
    "put in|<n> adds|<n> brings) <b>( more|)(.|,) "
    "how many( <t>|)( are there| now| are there now| in total|)",
    "<a> <t> (plus|and|with|and another) <b> <t>(, how many| is how many| makes how many| are how many|)",
    "(what is|how many (is|are|make)) <a> <t> (plus|and) <b> <t>",
    "how many <t> are <a> <t> and <b> <t>( together|)",
    "<n> (ate|read|sold|saw|made) <a> <t> (today|on monday|in the morning) and <b> "
    "(yesterday|on tuesday|in the evening)(.|,) how many( <t>|) (in all|in total|altogether|together|is "
    "that)",
    "a (box|bag|basket|shop|farm) has <a> (red|big|old) <t> and <b> (blue|small|new)( ones| <t>|)(.|,) how "
    "many (<t>|) (in total|in all|does it have|are there)",
    "i am <a> years old(.|,) how old will i be in <b> years",
    "<n> is <a>(.|,) how old will (he|she|<n>) be in <b> years",
    "(i walked|i ran|we drove) <a> (miles|km) and then <b>( more|)(.|,) how (far|many) (in total|is that|"
    "altogether)", "a cluster has <a> nodes and <b> (more |)join(.|,) how many( nodes|)( now| are there|)",]
SUM_THREE = ["what is <x>", "<x>", "(calculate|compute|add|solve) <x>", "how much is <x>", "<x> = ?",
    "what's <x>", "the sum of <l>", "add <l>", "what is the sum of <l>", "sum <l>",
    "add up (the numbers|) <l>", "what do <l> (make|add up to)", "total of <l>"]
ONLY = [
    "(answer|reply|respond)( only|) with (just |only |)(the |a |one |)(number|result|digits)(.|:| only.|) "
    "<q>",
    "<q> (just|only|give just|give only|reply with just|answer with just|answer only with|say only) the "
    "(number|result|digits)", "(just|only) the number(:|,|.) <q>", "<q> (number|digits) only",
    "no explanation, just the number(:|.|,) <q>", "<q> no words, (just|only) the number",
    "<q> (answer|reply) with (a|one) (single |)number( only|)"]


def numeral(rng, n, words):
    if not words or n > 100:
        return str(n)
    return number_words(n, "-" if rng.random() < 0.7 else " ")


def pair_forms(rng, a, b, op="+"):
    """Slots: <a>, <b>, <p> (an expression), <e> (a pair joined by 'and')."""
    r = rng.random()
    wa = r < 0.24 or 0.94 < r < 0.97
    wb = r < 0.24 or r >= 0.97
    sa, sb = numeral(rng, a, wa), numeral(rng, b, wb)
    if op == "+":
        plus = "(plus|plus|plus|+|and|added to)" if wa or wb else "( + | + | + | + |+|+|+|+|+ | +| plus | plus | plus | and | added to | plus the number | with | & | ＋ )"
    elif op == "-":
        plus = "(minus|less|-|minus)" if wa or wb else "( - | - |-|-| minus | minus | less | take away | − | – )"
    elif op == "*":
        plus = "(times|multiplied by|x|*)" if wa or wb else "( * | x |*|x| times | times | multiplied by | × |×| X )"
    else:
        plus = "(divided by|over|/)" if wa or wb else "( / |/| divided by | over | ÷ |÷| : )"
    joint = expand(rng, plus.replace("( ", "(").replace("| ", "|").replace(" |", "|")) if wa or wb else None
    if joint is not None:
        p = sa + " " + joint + " " + sb
    else:
        glue = plus.strip("()").split("|")
        p = sa + glue[int(rng.random() * len(glue))] + sb
    e = sa + rng.choice((" and ", " and ", " and ", ", ", " & ", " with ", " and the number ", " plus ")) + sb
    return dict(a=sa, b=sb, p=p, e=e)


def _operands(rng):
    r = rng.random()
    if r < 0.72:
        return int(rng.random() * 21), int(rng.random() * 21)
    if r < 0.80:
        return int(rng.random() * 11), int(rng.random() * 11)
    return int(rng.random() * 101), int(rng.random() * 101)


def sum_prompt(rng, a, b):
    s = pair_forms(rng, a, b)
    s["t"], s["n"], s["m"] = rng.choice(THINGS), rng.choice(NAMES), rng.choice(NAMES)
    r = rng.random()
    end = "?"
    if r < 0.40:
        text = polite(rng, expand(rng, rng.choice(SUM_QUESTION), **s))
    elif r < 0.50:
        text = expand(rng, BEFORE_INDIRECT) + " " + expand(rng, rng.choice(SUM_INDIRECT), **s)
        if rng.random() < 0.1:
            text += " " + expand(rng, AFTER_ANY).lstrip()
    elif r < 0.70:
        text, end = polite(rng, expand(rng, rng.choice(SUM_ORDER), **s), order=True), rng.choice("..?")
    elif r < 0.86:
        text = expand(rng, rng.choice(SUM_BARE), **s)
        if rng.random() < 0.15:
            text = polite(rng, text)
    else:
        text = polite(rng, expand(rng, rng.choice(SUM_STORY), **s))
    return text, end


def make_sum(rng):
    a, b = _operands(rng)
    if rng.random() < 0.05:
        return _make_three(rng)
    text, end = sum_prompt(rng, a, b)
    answer = "%d + %d = %d." % (a, b, a + b)
    if rng.random() < 0.04 and len(text) < 60:
        question = restyle(rng, text, end=end)
        return restyle(rng, expand(rng, rng.choice(ONLY), q=question), end="."), str(a + b)
    return restyle(rng, text, end=end), answer


def _make_three(rng):
    n = [int(rng.random() * 11) for _ in range(3)]
    words = rng.random() < 0.15
    t = [numeral(rng, v, words) for v in n]
    x = rng.choice((" + ", "+", " plus ")).join(t) if not words else " plus ".join(t)
    lst = rng.choice(("%s, %s and %s", "%s and %s and %s", "%s, %s, %s", "%s, %s, and %s")) % tuple(t)
    text = polite(rng, expand(rng, rng.choice(SUM_THREE), x=x, l=lst))
    return restyle(rng, text), "%d + %d + %d = %d." % (n[0], n[1], n[2], sum(n))


DIFF = ["(what is|what's|whats|how much is|what does) <p>( equal| make|)", "what is <p>", "<p>", "<p> =",
    "<p> = ?", "<p>=?", "<p>=", "(compute|calculate|evaluate|solve|work out|do|find|give me|tell me) <p>",
    "what do you get (if|when) you (subtract|take|take away) <b> from <a>",
    "(subtract|take|deduct|remove|take away) <b> from <a>", "what is <a> (reduced|decreased|lowered) by <b>",
    "what is <b> (less|fewer|smaller) than <a>", "what is the difference (between|of) <a> and <b>",
    "difference (between|of) <a> and <b>", "how much is (left|it) if (i|you) take <b> from <a>",
    "how many are left (if|when) (i|you|we) take (away |)<b> from <a>", "(decrease|reduce|lower) <a> by <b>",
    "start at <a> and go (down|back) <b>", "count (down|back) <b> from <a>", "<a> take away <b>",
    "<a> (less|without|minus) <b>( is| makes| equals| gives|)( what|)", "the result of <p>",
    "what is the result of <p>", "what number is <b> (less|below|smaller than) <a>" ,
    "what remains of <a> (after|if) (removing|i remove) <b>",
    "(i|we) (have|had) <a> <t> and (lose|give away|eat|sell|use|spend) <b>(.|,) how many( <t>|) (are left|"
    "do i have|remain|do i have left|are there now|are left now)",
    "<n> has <a> <t> and (gives away|loses|sells|eats) <b>(.|,) how many( <t>|) (are left|remain|does (he|"
    "she|<n>) have( left| now|))",
    "if (i|you) have <a> <t> and (lose|give away|eat|use) <b>, how many (are left|remain|do (i|you) have)",
    "there are <a> <t> (in the box|on the table|here) and <n> takes <b>(.|,) how many( <t>|) (are left|"
    "remain)", "a cluster has <a> nodes and <b> (leave|stop|fail)(.|,) how many (are left|remain)( nodes|)",
    "what is left of <a> minus <b>",]
PROD = ["(what is|what's|whats|how much is|how much are|what does) <p>( equal| make|)", "what is <p>", "<p>",
    "<p> =", "<p> = ?", "<p>=?", "<p>=",
    "(compute|calculate|evaluate|solve|work out|do|find|give me|tell me) <p>",
    "(multiply|times) <a> (by|with|and|times) <b>", "what is the product of <a> and <b>",
    "the product of <a> and <b>", "product of <a> and <b>",
    "what do you get (if|when) you multiply <a> (by|and|with) <b>", "the result of <p>",
    "<a> (groups|bags|boxes|rows|packs) of <b>( <t>|)(, how many( <t>|)( in total|)| is how many| make how "
    "many|)",
    "(i|we) have <a> (bags|boxes|packs|rows) with <b> <t> each(.|,) how many <t>( in total| are there| do "
    "i have|)", "what is <a> times <b>", "how much is <a> times <b>",
    "<n> buys <a> (boxes|packs) of <b> <t>(.|,) how many <t>",]
QUOT = ["(what is|what's|whats|how much is|what does) <p>( equal| make|)", "what is <p>", "<p>", "<p> =",
    "<p> = ?", "<p>=?", "(compute|calculate|evaluate|solve|work out|do|find|give me|tell me) <p>",
    "divide <a> by <b>", "what do you get (if|when) you divide <a> by <b>",
    "how many times does <b> (go|fit) (into|in) <a>", "the result of <p>",
    "(split|share|divide) <a> <t> (among|between|by|for) <b> (people|friends|children)",
    "<a> <t> (shared|split|divided) (by|among|between) <b>( people| friends|)(. how many each|, how many "
    "(each|for each)|)", "what is the quotient of <a> and <b>",]
DOUBLE = ["(what is|what's|how much is|compute|calculate|give me|tell me) (double|twice|two times) <a>",
    "(double|twice) <a>", "(double|twice) the number <a>", "what do you get (if|when) you double <a>",
    "can you double <a>", "double (up |)<a>( please|)"]
HALF = ["(what is|what's|how much is|compute|calculate|give me|tell me) half (of |)<a>", "half of <a>",
    "halve <a>", "what do you get if you halve <a>", "(split|divide|cut) <a> in (half|two)",
    "<a> (divided|split) in (half|two)"]
NEXT = ["(what|which) (number |)comes (right |)after <a>",
    "(what|which) is the (next number|number) after <a>", "the number after <a>",
    "(what is|give me|tell me) the (next number after|number following|successor of) <a>", "what follows <a>",
    "add one to <a>", "(count|go) one up from <a>", "what is one more than <a>"]
PREV = ["(what|which) (number |)comes (right |)before <a>",
    "(what|which) is the (number|previous number) before <a>", "the number before <a>", "what precedes <a>",
    "subtract one from <a>", "what is one less than <a>", "(give me|tell me) the number just before <a>"]
BIGGER = ["(which|what) (number |one |)is (bigger|larger|greater|higher|more)(,|:|) <a> or <b>",
    "is <a> or <b> (bigger|larger|greater|higher|more)",
    "(which|what) is the (bigger|larger|greater|biggest|largest|greatest|higher)( number|)( of| between|:|"
    ",|) <a> (or|and) <b>", "(larger|bigger|greater|max|maximum|the larger|the bigger) of <a> and <b>",
    "which is more, <a> or <b>", "what is the (maximum|max) of <a> and <b>",
    "(compare|pick the larger of|pick the bigger of|choose the larger of) <a> and <b>"]
SMALLER = ["(which|what) (number |one |)is (smaller|lower|less|lesser)(,|:|) <a> or <b>",
    "is <a> or <b> (smaller|lower|less)",
    "(which|what) is the (smaller|lower|smallest|lowest)( number|)( of| between|:|,|) <a> (or|and) <b>",
    "(smaller|lower|min|minimum|the smaller) of <a> and <b>", "which is less, <a> or <b>",
    "what is the (minimum|min) of <a> and <b>", "pick the smaller of <a> and <b>"]
GREATER_YN = ["is <a> (bigger|larger|greater|higher|more) than <b>", "is <a> > <b>", "<a> > <b>",
    "is the number <a> (greater|bigger|larger) than <b>"]
LESS_YN = ["is <a> (smaller|lower|less) than <b>", "is <a> < <b>", "<a> < <b>",
    "is the number <a> (less|smaller) than <b>"]
EQUAL_YN = ["is <p> (equal to |)<r>", "does <p> (equal|make|give) <r>",
    "is it true that <p> (is|equals|=) <r>", "is <p> = <r>",
    "<p> (is|equals|=) <r>, (right|correct|true|is that right|isn't it)",
    "(true or false|right or wrong|correct or not)(:|,|?) <p> (=|is|equals) <r>",
    "(am i right that|do you agree that|is it correct that|can you confirm that) <p> (is|=|equals) <r>",
    "i (think|believe|say) <p> (is|=|equals) <r>(. (am i right|is that right|correct)|, right|)"]
EVEN = ["is <a> (even|odd)",
    "is <a> (even or odd|odd or even|an even or an odd number|an odd or even number)",
    "is <a> an (even|odd) number", "(even or odd|odd or even)(:|,|?|) <a>",
    "is the number <a> (even|odd|even or odd|odd or even)",
    "tell me (if|whether) <a> is (even|odd|even or odd)"]


def _render(rng, templates, slots, order=False):
    text = polite(rng, expand(rng, rng.choice(templates), **slots), order=order)
    if rng.random() < 0.07:
        text = expand(rng, BEFORE_INDIRECT) + " " + text
    return restyle(rng, text)


def make_other(rng):
    """Arithmetic beside sums."""
    r = rng.random()
    things = dict(t=rng.choice(THINGS), n=rng.choice(NAMES))
    if r < 0.34:
        a, b = int(rng.random() * 21), int(rng.random() * 21)
        if rng.random() < 0.25:
            a, b = int(rng.random() * 101), int(rng.random() * 101)
        if a < b and rng.random() < 0.75:
            a, b = b, a
        return _render(rng, DIFF, dict(pair_forms(rng, a, b, "-"), **things)), "%d - %d = %d." % (a, b, a - b)
    if r < 0.54:
        a, b = int(rng.random() * 13), int(rng.random() * 13)
        return _render(rng, PROD, dict(pair_forms(rng, a, b, "*"), **things)), "%d * %d = %d." % (a, b, a * b)
    if r < 0.62:
        b, q = 1 + int(rng.random() * 12), int(rng.random() * 13)
        return _render(rng, QUOT, dict(pair_forms(rng, b * q, b, "/"), **things)), "%d / %d = %d." % (b * q,
            b, q)
    a, b = int(rng.random() * 101), int(rng.random() * 101)
    if rng.random() < 0.5:
        a, b = a % 21, b % 21
    s = pair_forms(rng, a, b)
    if r < 0.66:
        a = a % 51
        return _render(rng, DOUBLE, pair_forms(rng, a, b)), "%d + %d = %d." % (a, a, 2 * a)
    if r < 0.69:
        a -= a % 2
        return _render(rng, HALF, pair_forms(rng, a, b)), "%d / 2 = %d." % (a, a // 2)
    if r < 0.73:
        return _render(rng, NEXT, s), "%d + 1 = %d." % (a, a + 1)
    if r < 0.76:
        a = max(a, 1)
        return _render(rng, PREV, pair_forms(rng, a, b)), "%d - 1 = %d." % (a, a - 1)
    if r < 0.90:
        return _compare(rng, r, a, b, s)
    if r < 0.95:
        a, b = a % 21, b % 21
        right = rng.random() < 0.5
        said = a + b if right else max(0, a + b + rng.choice((-3, -2, -1, 1, 2, 3, 10)))
        s = pair_forms(rng, a, b)
        s["r"] = numeral(rng, said, rng.random() < 0.1)
        verdict = "Yes" if said == a + b else "No"
        return _render(rng, EQUAL_YN, s), "%s: %d + %d = %d." % (verdict, a, b, a + b)
    return _render(rng, EVEN, s), "%d is %s." % (a, "odd" if a % 2 else "even")


def _compare(rng, r, a, b, s):
    if a == b:
        a += 1
        s = pair_forms(rng, a, b)
    if r < 0.80:
        return _render(rng, BIGGER, s), "%d is larger than %d." % (max(a, b), min(a, b))
    if r < 0.84:
        return _render(rng, SMALLER, s), "%d is smaller than %d." % (min(a, b), max(a, b))
    if r < 0.87:
        return _render(rng, GREATER_YN, s), ("Yes: %d is larger than %d." % (a, b) if a > b else
                                             "No: %d is smaller than %d." % (a, b))
    return _render(rng, LESS_YN, s), ("Yes: %d is smaller than %d." % (a, b) if a < b else
                                      "No: %d is larger than %d." % (a, b))
