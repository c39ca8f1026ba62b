# SPDX-License-Identifier: MIT OR Apache-2.0
"""Small language tools for the corpus: phrase grammar, numbers in words, typos, word lists.

Everything takes the random generator as an argument, so that one seed gives one corpus.
"""

import re

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen").split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(n, joiner="-"):
    """0..100 in English words."""
    if n < 0:
        return "minus " + number_words(-n, joiner)
    if n < 20:
        return ONES[n]
    if n == 100:
        return "one hundred"
    tens, ones = divmod(n, 10)
    return TENS[tens] + (joiner + ONES[ones] if ones else "")


def _parse(text, pos, closing):
    """Reads alternatives separated by '|' up to `closing`; returns (list of sequences, pos)."""
    options, current, literal = [], [], []

    def flush():
        if literal:
            current.append("".join(literal))
            literal.clear()

    while pos < len(text):
        ch = text[pos]
        if ch == "(":
            flush()
            inner, pos = _parse(text, pos + 1, True)
            current.append(inner)
            continue
        if ch == ")" and closing:
            flush()
            options.append(current)
            return options, pos + 1
        if ch == "|":
            flush()
            options.append(current)
            current = []
        else:
            literal.append(ch)
        pos += 1
    flush()
    options.append(current)
    return options, pos


_cache = {}


def _pick(rng, options):
    chosen = options[int(rng.random() * len(options))]
    return "".join(part if isinstance(part, str) else _pick(rng, part) for part in chosen)


def expand(rng, template, **slots):
    """Expands '(a|b|)' alternatives at random, then fills <slot> names; '{' and '}' stand for parentheses."""
    tree = _cache.get(template)
    if tree is None:
        tree = _cache[template] = _parse(template, 0, False)[0]
    text = _pick(rng, tree).replace("{", "(").replace("}", ")")
    for name, value in slots.items():
        if "<" + name + ">" in text:
            text = text.replace("<" + name + ">", value)
    return re.sub(r"  +", " ", text).strip()


NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm",
                      "wa qes wrd etf ryg tuh yij uok ipl ol qsz awdx sefc drgv fthb gyjn hukm jil kop "
                      "asx zcd xvf cbg vhn bjm nk".split()))


def typo(rng, text):
    """One mild typing error inside a word of at least four letters; digits are never touched."""
    spots = [m for m in re.finditer(r"[A-Za-z]{4,}", text)]
    if not spots:
        return text
    word = spots[int(rng.random() * len(spots))]
    i = word.start() + 1 + int(rng.random() * (len(word.group()) - 2))
    kind = rng.random()
    if kind < 0.3:
        return text[:i] + text[i + 1:]
    if kind < 0.55:
        return text[:i] + text[i] + text[i:]
    if kind < 0.8:
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    near = NEIGHBOURS.get(text[i].lower(), text[i])
    return text[:i] + near[int(rng.random() * len(near))] + text[i + 1:]


def _sentence_case(text):
    return text[:1].upper() + text[1:]


# Characters of private use stand for text that must reach the prompt untouched (a word to reverse).
MARK = "\ue000"


def restyle(rng, text, keep="", end="?"):
    """Gives a phrase the case, punctuation and slips of different writers.

    `text` holds MARK wherever `keep` belongs; `keep` itself is never altered.
    """
    r = rng.random()
    if r < 0.50:
        text = _sentence_case(text)
    elif r < 0.55:
        text = text.upper()
    elif r < 0.57:
        text = text.title()
    if rng.random() < 0.12:
        text = typo(rng, text)
        if rng.random() < 0.2:
            text = typo(rng, text)
    if rng.random() < 0.12:
        text = re.sub(r"(?<=[A-Za-z])'(?=[A-Za-z])", rng.choice(("", "\u2019", "\u2019")), text)
    if text and text[-1].isalnum() or text.endswith((MARK, '"', "'", ")")):
        r = rng.random()
        if r < 0.55:
            text += end
        elif r < 0.62:
            text += "."
        elif r < 0.65:
            text += "!"
        elif r < 0.67:
            text += end + end
        elif r < 0.69:
            text += " " + end
        elif r < 0.70:
            text += "..."
    if rng.random() < 0.02:
        text = " " + text
    if rng.random() < 0.03:
        text += rng.choice((" ", "\n", "\n\n", "  "))
    return text.replace(MARK, keep)


# Politeness and small talk around a request. A request is either a question ("what is X"), an
# order ("add X"), or a bare phrase.
BEFORE_ANY = ("(hi|hello|hey|hey there|hi there|good morning|good evening|greetings|yo)(,|!|.|) | "
    "(ok|okay|alright|right|so|well|now|next|then|great|cool|thanks|thank you|nice|fine|hmm|um|and)(,|) |"
    "(quick question|one question|a question|simple question|question|easy one|here is one|"
    "my question|maths|math|problem|task|exercise|request|q|user|try this|next one|test)(:| -) |"
    "(i have a question|i need help|help me|help me out|help|let us try|here is a task|listen|"
    "i have a task for you|excuse me|sorry|sorry to bother you|dear model|bot|computer|spark|assistant|"
    "friend|" "can you help me|could you help me|i am curious|just curious|just checking|let me test you)"
    "(,|.|:|!|?) ")
BEFORE_ORDER = ("please |please, |can you |could you |would you |can you please |could you please |"
                "will you |i want you to |i would like you to |i'd like you to |i need you to |kindly |just |"
                "go ahead and |try to |you should |now please |would you mind, |your task is to |"
                "you must |let's |let us |help me |help me to |i want to |how do i |can we |"
                "are you able to |do me a favour and |be so kind and |do you think you can |"
                "i'm asking you to |your job: |for me, ")
BEFORE_INDIRECT = ("can you tell me |could you tell me |please tell me |tell me |do you know |"
                   "i want to know |i'd like to know |i would like to know |i wonder |i was wondering |"
                   "would you tell me |can you say |any idea |let me know |find out |i need to know |"
                   "could you please tell me |please say |show me |say |can you work out |"
                   "do you happen to know |explain to me |i'm curious |i am curious |please let me know |"
                   "my teacher asks |my son wants to know |someone asked me |i forgot |remind me |"
                   "i am not sure |i don't know |i do not know |can you figure out |figure out |work out |"
                   "give me a hint |help me understand |may i ask |can i ask you |")
AFTER_ANY = (" please| thanks| thank you|, please|, thanks|, thank you| for me|, my friend| now|"
             ", do you know| if you can| quickly| right now|, can you help|, if you don't mind|"
             ", i forgot| in short| exactly| again| again please|, spark|, sir| pls| plz|"
             ", can you tell me|, i need it|, be honest| today| by the way| really|, just curious")


def polite(rng, core, order=False):
    """Wraps a request in everyday courtesy, often not at all."""
    if order and rng.random() < 0.4:
        core = expand(rng, BEFORE_ORDER) + " " + core
    if rng.random() < 0.14:
        sep = " "
        core = expand(rng, BEFORE_ANY) + sep + core
    if rng.random() < 0.14:
        core = core + " " + expand(rng, AFTER_ANY).lstrip() if rng.random() < 0.7 else core + expand(
            rng, ", (please|thanks|thank you|pls|my friend)")
    return re.sub(r"  +", " ", core)


WORDS = """
able about above acid actor after again agent air alarm album alive amber angel angle animal ankle
apple apron arch arena arm arrow artist ash atlas atom autumn award axis baby back badge bag baker
ball bamboo banana band bank bar barn basil basket bat bath battery beach bean bear beard beast beaver
bed bee bell belt bench berry bike bird biscuit black blade blanket block blue board boat bone book
boot border bottle bowl box boy brain branch brave bread brick bridge brief bright bronze brook broom
brown brush bucket bug build bulb bunny bus bush butter button cabin cable cactus cake calm camel
camera camp canal candle candy canoe canvas cap captain car carbon card carpet carrot cart castle cat
cave cedar chain chair chalk cheese cherry chess chest chicken child chimney circle circus city clay
clean clear clever cliff clock cloud clown club coach coal coast coat cobra cocoa code coffee coin
cold color comet compass cookie cool copper coral corn cotton couch cousin cow crab crane cream creek
cricket crow crown crystal cup curtain cushion cycle daisy dance danger dark dawn deep deer desert
desk diamond dinner dish doctor dog doll dolphin donkey door dragon drawer dream dress drift drum
duck dust eagle early earth east easy echo edge egg elbow elephant elm ember empty engine equal
evening fabric face fact fairy falcon farm fast father feather fence fern ferry field fig finger fire
fish flag flame flash flat flint floor flour flower flute fog folder food foot forest fork fossil
fountain fox frame fresh friend frog frost fruit funny gadget galaxy game garden garlic gate gentle
ghost giant ginger giraffe girl glacier glass globe glove glue goat gold goose grain grape graph grass
gravel gravity green grey ground group guard guitar hair hammer hand happy harbor hat hawk heart heavy
hedge helmet hen hero hill hockey holiday honey hood hook horizon horn horse hotel hour house hungry
ice idea igloo inch ink insect iron island ivory jacket jaguar jam jar jeans jelly jewel juice jump
jungle kettle key king kitchen kite kitten knee knife knight koala ladder lady lake lamb lamp language
lantern large laptop laser lava lawn layer leaf leather left lemon leopard letter level light lily
lime line lion lizard llama lobster lock logic long loud lucky lunch machine magic magnet maple marble
market mask meadow medal melon memory metal middle milk mill mint mirror model monkey moon morning
moss mother motor mountain mouse mouth movie muffin museum mushroom music nail napkin narrow nature
neck needle nest network night noble node noise north nose notebook novel number nurse oak oasis ocean
octopus office olive onion open orange orbit orchard otter oven owl oxygen paint palace panda panel
paper parade park parrot party pasta path peach peanut pear pearl pebble pedal peer pelican pen pencil
penguin pepper phone photo piano pickle picnic picture pie pig pigeon pillow pilot pine pink pipe
pirate pizza planet plant plate plum pocket poem polar pond pony poppy potato prince prize proud
puddle pumpkin puppy purple puzzle queen quick quiet quilt rabbit radio raft rain rainbow random raven
razor red reef ribbon rice rich ring river road robin robot rock rocket rope rose round ruby rug ruler
sad saddle sail salad salmon salt sand sandal saturn sauce scarf school science season secret seed
shadow shark sheep shelf shell ship shirt shoe short shoulder shovel silent silk silver simple singer
sister skate sky sled sleep slow small smart smile smoke snail snake snow soap sock sofa soft soldier
song soup south space spark sparrow spider spoon spring square squirrel stable stage star station
steam steel stick stone storm story stove straw strawberry stream street strong sugar summer sun
sunset swan sweet swift sword table tail tea teacher team temple tennis tent theater thick thin
thread throne thunder tiger timber tiny toast tomato tool tooth torch towel tower toy track train
tree triangle truck trumpet tulip tunnel turkey turtle umbrella uncle valley vanilla velvet village
violet violin volcano wagon walnut walrus warm watch water wave weather web whale wheat wheel whisper
white wide wild willow wind window wine wing winter wire wise wizard wolf wonder wood wool world worm
yacht yellow young zebra zero zipper hello world python linux computer keyboard internet gateway
cluster prompt token server client message banana mississippi bookkeeper committee balloon
programming opengateway elephant butterfly chocolate dictionary
""".split()
WORDS = sorted(set(WORDS))

NAMES = """Anna Ben Carla David Emma Felix Grace Hugo Ines Jack Kate Leo Maria Nina Oscar Paul Rosa Sam Tina
Uma Victor Wendy Yuri Zoe Ali Chen Fatima Igor Jana Kofi Lars Mei Noah Olga Priya Raj Sofia Tom Lucas
Alice Bob Charlie Dora Eve Frank Gina Henry Iris Jonas Karl Lena Max Nora Otto Peter Ravi Sara Theo""".split()


def word(rng):
    """A word of the list, or one made up from syllables or plain letters."""
    r = rng.random()
    if r < 0.6:
        return WORDS[int(rng.random() * len(WORDS))]
    if r < 0.85:
        text = ""
        for _ in range(rng.choice((1, 2, 2, 3, 3, 4))):
            text += rng.choice(("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s",
                                "t", "v", "w", "x", "z", "st", "tr", "ch", "sh", "pl", "th", ""))
            text += rng.choice(("a", "e", "i", "o", "u", "y", "ee", "oo", "ai", "ou"))
            text += rng.choice(("", "", "n", "r", "t", "s", "l", "m", "ck", "ll", "ss", "tt", "ng"))
        return text[:12] or "zed"
    return "".join(chr(97 + int(rng.random() * 26)) for _ in range(rng.choice((2, 3, 4, 5, 6, 7, 8))))
