/* Expressions and statements, and what Jinja 3.1 makes of them with trim_blocks and lstrip_blocks.
 */
#define GLOBALS                                                                                    \
	"{\"messages\": [{\"role\": \"system\", \"content\": \"Be  nice.\"}, {\"role\": "          \
	"\"user\", \"cont"                                                                         \
	"ent\": \" Hi \\\"you\\\" \\n\"}, {\"role\": \"assistant\", \"content\": \"it's ok\"}, "   \
	"{\"role\": \""                                                                            \
	"user\", \"content\": [{\"type\": \"text\", \"text\": \"\\u00e9\\u65e5\\u672c\"}, "        \
	"{\"type\": \"ima"                                                                         \
	"ge\"}]}], \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_generation_prompt\": "   \
	"true,"                                                                                    \
	" \"n\": null, \"i\": 7, \"f\": 2.5, \"z\": 0, \"d\": {\"b\": 1, \"a\": [1, 2, {\"x\": "   \
	"null}], \"i"                                                                              \
	"tems\": 5}, \"s\": \"h\\u00e9llo w\\u00f6rld\", \"e\": \"\", \"l\": [3, 1, 2], \"t\": "   \
	"true, \"ne"                                                                               \
	"sted\": {\"a\": {\"b\": {\"c\": 1}}}, \"tools\": [{\"name\": \"f\", \"q\": \"a <b> & "    \
	"\\\"c\\\" \\u00e"                                                                         \
	"9\\n\"}]}"

static const struct {
	const char *source;
	const char *text;
} CASES[] = {
    {"{{ 1 + 2 * 3 }}|{{ 7 // 2 }}|{{ -7 // 2 }}|{{ -7 % 3 }}|{{ 7 / 2 }}|{{ 2 ** 10 }}|{{ 2**-1 "
     "}}|{{ 7.5 // 2 }}|{{ -7.5 % 2 }}",
	"7|3|-4|2|3.5|1024|0.5|3.0|0.5"},
    {"{{ 'a' ~ 1 ~ none ~ true ~ 2.0 }}", "a1NoneTrue2.0"},
    {"{{ \"a\\nb\\t\\x41\\u00e9\\q\" }}{{ 'it''s' }}", "a\nb\tA\303\251\\qits"},
    {"{{ [1, 'a', none, true, 2.5, {'k': 'v'}, (1,), (1,2), ()] }}",
	"[1, 'a', None, True, 2.5, {'k': 'v'}, (1,), (1, 2), ()]"},
    {"{{ {'a': 1, 'b': [1,2]} }} {{ {1: 2}[1] }} {{ {} }}", "{'a': 1, 'b': [1, 2]} 2 {}"},
    {"{{ l[0] }}{{ l[-1] }}{{ l[1:] }}{{ l[::-1] }}{{ l[:-1] }}{{ l[5:] }}{{ s[1] }}{{ s[1:4] }}{{ "
     "s[::-1] }}{{ s[-3:] }}{{ l[::2] }}{{ l[2:0:-1] }}{{ l[-100:100] }}",
	"32[1, 2][2, 1, 3][3, 1][]\303\251\303\251lldlr\303\266w oll\303\251hrld[3, 2][2, 1][3, 1, "
	"2]"},
    {"{{ l[9] }}|{{ d.nope }}|{{ nope }}|{{ d['a'][2].x }}", "|||None"},
    {"{{ 1 < 2 < 3 }}{{ 1 < 2 > 5 }}{{ 1 == 1.0 }}{{ true == 1 }}{{ 'a' < 'b' }}{{ [1,2] < [1,3] "
     "}}{{ 'a' != 'b' }}",
	"TrueFalseTrueTrueTrueTrueTrue"},
    {"{{ 1 in l }}{{ 9 not in l }}{{ 'ell' in 'hello' }}{{ 'a' in d }}{{ not 1 in l }}{{ '' in 'a' "
     "}}",
	"TrueTrueTrueTrueFalseTrue"},
    {"{{ 'a' if t else 'b' }}{{ 'a' if z }}|{{ 'x' if z else 'y' if t else 'w' }}", "a|y"},
    {"{{ t and 'x' or 'y' }}{{ z or 'q' }}{{ z and 1 }}{{ not z }}{{ not not t }}", "xq0TrueTrue"},
    {"{{ ' x '|trim }}|{{ 'xxaxx'|trim('x') }}|{{ 'abc'|upper|lower|title|capitalize }}|{{ "
     "s|length }}|{{ l|join(', ') }}|{{ l|join }}",
	"x|a|Abc|11|3, 1, 2|312"},
    {"{{ nope|default('d') }}{{ ''|default('d') }}{{ ''|default('d', true) }}{{ n|default('d') "
     "}}{{ e|d('x', boolean=true) }}",
	"ddNonex"},
    {"{{ 'aXbXc'|replace('X', '-') }}{{ 'aXbXc'.replace('X', '-', 1) }}", "a-b-ca-bXc"},
    {"{{ d|tojson }}|{{ d|tojson(indent=2) }}|{{ '\303\251\"\\\\/\\n\\x7f<&' |tojson }}|{{ "
     "1.0|tojson }}|{{ n|tojson }}|{{ [] | tojson(indent=4) }}|{{ {} | tojson(indent=4) }}",
	"{\"b\": 1, \"a\": [1, 2, {\"x\": null}], \"items\": 5}|{\n  \"b\": 1,\n  \"a\": [\n    "
	"1,\n    2,\n    {\n      \"x\": null\n    }\n  ],\n  \"items\": "
	"5\n}|\"\303\251\\\"\\\\/\\n\177<&\"|1.0|null|[]|{}"},
    {"{{ tools | tojson(indent=4) }}", "[\n    {\n        \"name\": \"f\",\n        \"q\": \"a <b> "
				       "& \\\"c\\\" \303\251\\n\"\n    }\n]"},
    {"{% for t in tools %}{{ t | tojson }}{% endfor %}",
	"{\"name\": \"f\", \"q\": \"a <b> & \\\"c\\\" \303\251\\n\"}"},
    {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{{ "
     "d.keys()|list }}{{ d.values()|list }}{{ d.get('b') }}{{ d.get('q') }}{{ d.get('q', 3) }}",
	"b=1;a=[1, 2, {'x': None}];items=5;baitems['b', 'a', 'items'][1, [1, 2, {'x': None}], "
	"5]1None3"},
    {"{% for k, v in d|items %}{{ k }}{{ v }}{% endfor %}{% for k,v in d|dictsort %}{{ k }}{% "
     "endfor %}",
	"b1a[1, 2, {'x': None}]items5abitems"},
    {"{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ "
     "loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem "
     "}}{{ loop.cycle('a','b') }};{% endfor %}",
	"10TrueFalse3321a;21FalseFalse32132b;32FalseTrue3101a;"},
    {"{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}{% for x in [] "
     "%}x{% else %}empty{% endfor %}",
	"3222empty"},
    {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% for x in l "
     "%}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
	"323"},
    {"{% for x in l %}{% for y in l %}{{ x * y }}{% if y == 1 %}{% break %}{% endif %}{% endfor "
     "%}|{% endfor %}",
	"93|31|62|"},
    {"{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "4231"},
    {"{% set ns = namespace(a=1, b='x') %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ "
     "ns.a }}{{ ns.b }}",
	"7x"},
    {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = (1, 2) %}{{ t }}{% set q %}hi {{ a }}{% endset "
     "%}{{ q }}{% set r | upper %}abc{% endset %}{{ r }}",
	"12(1, 2)hi 1ABC"},
    {"{% macro m(a, b=2, c='z') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ "
     "m(1, c=5) }}{{ m() }}{{ m(b=1,a=2)|upper }}",
	"[12z][13z][125][2z][21Z]"},
    {"{% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n - 1) }}{% endif %}{% endmacro %}{{ rec(5) }}",
	"543210"},
    {"{% macro lp(l) %}{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}{% "
     "endmacro %}{% for q in [1,2] %}{{ lp(l) }};{{ loop.index }}{% endfor %}",
	"3,1,2;13,1,2;2"},
    {"{{ 'a b  c'.split() }}{{ 'a,b,,c'.split(',') }}{{ 'a,b,c'.split(',', 1) }}{{ ' a b c "
     "'.split(none, 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ "
     "'a</think>b</think>c'.split('</think>')[-1] }}{{ 'a\\nb\\r\\nc'.splitlines() }}{{ "
     "''.split(',') }}{{ ''.split() }}",
	"['a', 'b', 'c']['a', 'b', '', 'c']['a', 'b,c']['a', 'b c ']['a,b', 'c']c['a', 'b', "
	"'c'][''][]"},
    {"{{ ' x '.strip() }}|{{ ' x '.lstrip() }}|{{ ' x '.rstrip() }}|{{ '\\nx\\n'.strip('\\n') "
     "}}|{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x','c')) }}{{ 'abc'.find('c') }}{{ "
     "'abc'.find('z') }}{{ 'aba'.rfind('a') }}{{ 'abc'.upper() }}{{ 'aba'.count('a') }}{{ "
     "'-'.join(['a','b']) }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ "
     "'12'.isdigit() }}",
	"x|x | x|x|TrueTrue2-12ABC2a-bbcabTrue"},
    {"{{ nope is defined }}{{ nope is undefined }}{{ n is none }}{{ n is not none }}{{ s is string "
     "}}{{ l is string }}{{ d is mapping }}{{ l is iterable }}{{ l is sequence }}{{ i is number "
     "}}{{ t is boolean }}{{ i is integer }}{{ f is float }}{{ i is odd }}{{ i is even }}{{ 6 is "
     "divisibleby 3 }}{{ i is eq 7 }}{{ i is equalto(7) }}{{ t is true }}{{ t is false }}{{ 1 is "
     "in [1,2] }}{{ range is callable }}{{ strftime_now is defined }}",
	"FalseTrueTrueFalseTrueFalseTrueTrueTrueTrueTrueTrueTrueTrueFalseTrueTrueTrueTrueFalseTrueT"
	"rueTrue"},
    {"{{ l|sort }}{{ l|sort(reverse=true) }}{{ ['b','A','c']|sort }}{{ l|min }}{{ l|max }}{{ l|sum "
     "}}{{ l|first }}{{ l|last }}{{ l|reverse|list }}{{ 'abc'|reverse }}{{ [1,1,2]|unique|list "
     "}}{{ 'abc'|list }}",
	"[1, 2, 3][3, 2, 1]['A', 'b', 'c']13632[2, 1, 3]cba[1, 2]['a', 'b', 'c']"},
    {"{{ messages|selectattr('role','equalto','user')|list|length }}{{ "
     "messages|rejectattr('role','eq','user')|map(attribute='role')|join(',') }}{{ "
     "l|select('odd')|list }}{{ l|reject('odd')|list }}{{ ['a','b']|map('upper')|list }}{{ "
     "messages|map(attribute='content')|list|length }}{{ [0,1,'']|select|list }}",
	"2system,assistant[3, 1][2]['A', 'B']4[1]"},
    {"{{ '3'|int + 1 }}{{ 'x'|int }}{{ '2.5'|float }}{{ 2.7|int }}{{ 3|float }}{{ 2.567|round(2) "
     "}}{{ 2.5|round }}{{ -3|abs }}{{ 3|string ~ 'x' }}",
	"402.523.02.572.033x"},
    {"{{ range(3)|list }}{{ range(1,4)|list }}{{ range(5,0,-2)|list }}{{ dict(a=1)|tojson }}",
	"[0, 1, 2][1, 2, 3][5, 3, 1]{\"a\": 1}"},
    {"{{ 'a\\nb\\n\\nc'|indent(2) }}|{{ 'a\\nb'|indent(3, true) }}|{{ '<a&\"b'|e }}",
	"a\n  b\n\n  c|   a\n   b|&lt;a&amp;&#34;b"},
    {"{{ strftime_now('%d %b %Y') }}{{ strftime_now(\"%Y-%m-%d\") }}", "14 Nov 20232023-11-14"},
    {"{{ (1, 2) + (3,) }}{{ [1] + [2] }}{{ 'ab' * 3 }}{{ -2|abs }}{{ - i }}{{ +i }}",
	"(1, 2, 3)[1, 2]ababab2-77"},
    {"{{ 1.0 }}{{ 0.1 + 0.2 }}{{ 1e20 }}{{ 1e-7 }}{{ 123456789012.5 }}{{ 1e16 }}{{ 100000.0 }}{{ "
     "3.14 }}{{ 1e15 }}",
	"1.00.300000000000000041e+201e-07123456789012.51e+16100000.03.141000000000000000.0"},
    {"{{ \"he said 'x'\" | tojson }}{{ [\"it's\", 'q\"', \"b'\\\"\"] }}",
	"\"he said 'x'\"[\"it's\", 'q\"', 'b\\'\"']"},
    {"{{ messages[0]['content'] }}{{ messages[0].content }}{{ messages[-1].content[0].text }}{{ "
     "messages[1][\"content\"] | trim }}",
	"Be  nice.Be  nice.\303\251\346\227\245\346\234\254Hi \"you\""},
    {"{{ 'x' if messages[0]['role'] == 'system' and messages|length > 2 else 'y' }}", "x"},
    {"{{- ' a ' -}} b {{- 'c' }}", " a bc"},
    {"{% if t -%}  x  {%- endif %} y", "x y"},
    {"  line", "  line"},
    {"end", "end"},
    {"b", "b"},
    {"  {%- if t %} c {% endif -%}", " c "},
    {" d", " d"},
    {"{# comment #}", ""},
    {"after {# c #} x", "after  x"},
    {"   {#- c -#}   z", "z"},
    {"{%+ if t %}k{% endif +%}", "k"},
    {"  {%+ if t %}k{% endif %}", "  k"},
    {"q", "q"},
    {"gen", "gen"},
    {"{% if z %}a{% elif f %}b{% else %}c{% endif %}{% if z %}a{% elif z %}b{% else %}c{% endif "
     "%}{% if z %}a{% endif %}",
	"bc"},
    {"{% filter upper %}abc{{ i }}{% endfilter %}", "ABC7"},
    {"{{ d.a.0 }}{{ l.0 }}{{ nested.a.b.c }}{{ nested['a']['b'] }}", "131{'c': 1}"},
    {"{{ (messages|first).role }}{{ (l|length) - 1 }}{{ l|length - 1 }}", "system22"},
    {"{{ not nope }}{{ nope == none }}{{ nope == '' }}{{ none == false }}", "TrueFalseFalseFalse"},
    {"{% set z2 = 'a' if false %}{{ z2 is defined }}", "False"},
    {"{{ 'abc'[0]|upper }}{{ ('abc' ~ 'd')|length }}{{ \"%s\" }}", "A4%s"},
    {"{{ \"a\" \"b\" }}{{ [1,2,] }}{{ {'a':1,} }}", "ab[1, 2]{'a': 1}"},
    {"{% for m in messages %}{% if loop.index0 == 0 %}{% set sys = m.content %}{% endif %}{{ "
     "sys|default('none') }}{% endfor %}",
	"Be  nice.nonenonenone"},
    {"{% for x in 'abc' %}{{ x }}-{% endfor %}{{ 'abc'|first }}{{ ('a','b')|last }}", "a-b-c-ab"},
    {"{% set ns = namespace(x=none) %}{% if ns.x is none %}N{% endif %}{% set ns.x = [1] %}{{ ns.x "
     "}}",
	"N[1]"},
    {"{{ {'a': {'b': 2}}.a.b }}{{ 'a' in ['a'] and 'b' not in ['a'] }}", "2True"},
    {"{{ 1 if 0 else 2 if 0 else 3 }}{{ (1 if 1) }}", "31"},
    {"{{ i.foo }}|{{ s.foo }}|{{ l.foo }}", "||"},
    {"{{ messages[0].get('content', 'x') }}{{ 'tool_calls' in messages[0] }}{{ "
     "messages[0].tool_calls is defined }}{{ messages[0].tool_calls }}",
	"Be  nice.FalseFalse"},
    {"a {% if t %}\nb\n  {%- if t %} c {% endif -%}\n d{% endif %}", "a b c d"},
    {"  {% if t %}\n  line\n  {% endif %}\nend\n", "  line\nend"},
    {"x\n{# comment #}\nafter {# c #} x\n   {#- c -#}   z", "x\nafter  xz"},
    {"{%+ if t %}k{% endif +%}\n  {%+ if t %}k{% endif %}\n\nq", "k\n  k\nq"},
    {"{% generation %}\ngen\n{% endgeneration %}\n", "gen\n"},
    {"a\015\nb\015c\n\n", "a\nb\nc\n"},
    {"{{ i }}\n\n  {{- i }}\n{{ i -}}\n x", "77\n7x"},
    {"\n\n", "\n"},
    {"{% for x in l %}\n  {{ x }}\n{% endfor %}\n!", "  3\n  1\n  2\n!"},
    {"  {%- set q = 1 %}\n  {{ q }}\n", "  1"},
    {"{% if z %}\n{% elif t %}\n  y\n{% else %}\n{% endif %}", "  y\n"},
};
