# SPDX-License-Identifier: MIT OR Apache-2.0
"""Terser and freer ways of asking, stories around sums, and words that repeat their letters.

`enrich` adds to the tables of the other modules; corpus.py calls it once. KEYS gives, for a fact named by the
beginning of its answer, things to do (after "to") and things to ask about.
"""

import corpus_beyond
import corpus_facts
import corpus_lang
import corpus_sums
import corpus_tasks

DO = ["how (do|can|would|could|should|shall|must|might) (i|we|one|you|a user|somebody|people|a beginner) <k>",
    "how to <k>", "how does one <k>",
    "(i|we) (want|would like|need|wish|have|am trying|plan|hope|tried|am going) to <k>", "i'd like to <k>",
    "(what|which) command (do i use|do i need|is used|lets me|is there|should i use|helps me|would i use|"
    "must i type) to <k>",
    "what (is the way|is the best way|is the right way|is the command|are the steps|do i need|must i do|"
    "should i do|do i have to do|do i type|is needed|does it take) to <k>",
    "is (it|there a way|there a command|it possible|it easy) to <k>", "(can|could|may) (i|we|one) <k>", "<k>",
    "<k>(,|) how", "<k> (please|now|help|steps|command|example|guide|howto)", "(help|assist) me (to |)<k>",
    "(steps|commands|instructions|a guide|the command) to <k>",
    "(explain|show me|tell me|describe|teach me|remind me|let me know) how (to|i can|i could|do i|i should|"
    "one can) <k>", "i (don't|do not) know how to <k>", "(what|how) about if i <k>", "where do i <k>",
    "i cannot <k>", "my (goal|task|plan) is to <k>", "what if i (want|need) to <k>", "let us <k>",
    "can you (help me|show me how to|explain how to) <k>", "does (gate|opengateway|it) let me <k>",
    "do you know how to <k>", "what (lets|helps) me <k>"]
ABOUT = ["what (is|are|'s) <k>", "<k>", "<k>", "(tell me|say something|talk|teach me) about <k>",
    "(info|information|details|facts|documentation|docs|help|a question|question|more|something) (about|on|"
    "for|regarding) <k>", "what about <k>", "how about <k>",
    "(explain|describe|define|clarify) <k>( to me| for me| briefly|)", "i have a question about <k>",
    "(do you know|do you have|is there|are there|have you got|is it about|what do you know about|what can "
    "you say about|i want to know about|i need|give me|show me|i am looking for|looking for|i'm interested "
    "in|i want to learn about|what does it say about|and|so) <k>",
    "<k> (info|please|details|explained|question|help|meaning)",
    "(can|could) you (explain|describe|tell me|tell me about) <k>", "(where|how) (is|are) <k>",
    "i (don't|do not) understand <k>", "what do you mean by <k>",
    "what is (meant by|the deal with|the idea of|the purpose of|the point of) <k>", "how does <k> work",
    "how do <k> work", "why <k>", "what exactly (is|are) <k>", "any (info|details) on <k>"]

KEYS = [("OpenGateway lets", "understand opengateway|know what opengateway is|get to know opengateway",
        "opengateway|this opengateway thing|the opengateway project|the opengateway software|the whole "
        "thing|the gateway project|opengateway in general|the idea of opengateway|the thing called "
        "opengateway"),
    ("Run `gate start` to",
        "use opengateway|get started|begin|use gate|work with gate|operate gate|make use of opengateway|"
        "get going",
        "the usage of gate|the commands of gate|the first steps|how to get started|the command line|usage|"
        "basic usage|the gate commands|a quick start|all commands|the most important commands"),
    ("`gate start` starts a node:",
        "start a node|run a node|launch a node|start gate|start the server|bring up a node|start my node|"
        "launch the daemon|get a node running|boot my node|make my node run|start the gateway|run gate|run "
        "the node",
        "gate start|the start command|starting a node|the command gate start|launching a node|running a "
        "node"),
    ("`gate ask",
        "ask a question|send a prompt|ask a prompt|ask the model|prompt the model|ask something|query the "
        "network|send a question to the cluster|put a question to the model|ask from the terminal|talk to "
        "the model from the shell",
        "gate ask|the ask command|asking questions|sending a prompt|the command gate ask|asking a question "
        "on the command line"),
    ("`gate peers`",
        "see my peers|list peers|see who is connected|list the nodes|show the peers|see the other nodes|"
        "list all peers|check who is connected|see which nodes are connected|see the members of my cluster",
        "gate peers|the list of peers|my peers|the connected nodes|the peers command|the nodes around me|a "
        "list of nodes|who is connected"),
    ("`gate models`",
        "list models|see the models|see which models there are|list the available models|show models|find "
        "the models i can use|see what models my peers have",
        "gate models|the available models|the list of models|the models command|which models i can ask|"
        "models i can use|the models of my peers"),
    ("`gate status`",
        "see the status|check my node|check the state of my node|see if my node works|see how my node is "
        "doing|check that my node runs|see whether my node is healthy",
        "gate status|the status of my node|the state of my node|the status command|my node's condition|the "
        "health of my node|node status"),
    ("`gate id`",
        "see my node id|print my identity|find my peer id|show the id of my node|get the identity of my "
        "node|look up my node id", "gate id|the id command|my node's id|the id of my node|my own peer id"),
    ("`gate version`",
        "see the version|find the version|print the version|check which version i have|know my version",
        "gate version|the version|the version number|the version of gate|my version of gate|which version "
        "i have"),
    ("The API is at",
        "use the api|connect an openai client|use the openai client|connect my app|set up the openai sdk|"
        "point a client at my node|use curl|call the api|use python with it|reach the api|connect a chat "
        "program|use it from my program|configure my client",
        "the api|the api address|the base url|the openai api|the openai sdk|openai compatibility|the http "
        "api|the endpoint of the api|the url of the api|client setup|the openai client|the address for "
        "clients|the api key|using the openai library|the api location"),
    ("P2P uses port",
        "change the port|set the ports|use another port|pick a different port|change the http port|choose "
        "the p2p port",
        "the ports|the port numbers|the default ports|the http port|the p2p port|the control port|which "
        "ports are used|ports|port numbers|the port of the api|the listening port"),
    ("Another program has",
        "fix the port conflict|solve the bind error|deal with a port in use|get rid of the bind error",
        "the error failed to bind|a port in use|a port that is taken|the bind error|address already in use|"
        "an occupied port|the message failed to bind to port"),
    ("A cluster is", "understand clusters|know what a cluster is",
        "a cluster|clusters|the notion of a cluster|the definition of cluster|the word cluster|the meaning "
        "of cluster|the cluster concept|members of a cluster|definition of a cluster"),
    ("Start your node with the address",
        "join a cluster|join the cluster|connect to another node|connect two nodes|add a second machine|"
        "add another computer|connect my laptop to the cluster|get into a cluster|join my friend's cluster|"
        "link two machines|bring a new node into the cluster|connect several computers|enter a cluster|"
        "accept a peer|let a node in|add a node",
        "--bootstrap|bootstrap|the bootstrap option|joining a cluster|joining|bootstrapping|the bootstrap "
        "address|the bootstrap flag|pending peers|gate peers accept|connecting two nodes"),
    ("`gate start --cluster",
        "create a cluster|make my own cluster|start a new cluster|set up a cluster|found a cluster|have a "
        "cluster of my own|name a cluster|make a network of my own|begin a new cluster",
        "--cluster|the cluster option|the cluster flag|a new cluster|an own cluster|creating a cluster|an "
        "open cluster|a cluster of my own|a named cluster"),
    ("An invitation",
        "invite a friend|invite someone|invite people|invite my sister|send an invitation|create an invite|"
        "invite others|invite a colleague to my cluster|use an invitation|make an invitation|share an "
        "invite",
        "invitations|invites|an invitation|an invite link|inviting friends|an invite code|pairing codes|"
        "inviting somebody"),
    ("A node is", "know what a node is",
        "a node|nodes|the notion of a node|the meaning of node|the word node|the definition of a node|node|"
        "the role of a node"),
    ("A peer is", "know what a peer is",
        "a peer|peers|the notion of a peer|the meaning of peer|the word peer|the definition of a peer|peer"),
    ("A provider is",
        "use ollama|connect ollama|use lm studio|use another backend|add a provider|use my own openai "
        "server as a backend",
        "a provider|providers|ollama|lm studio|backends|the provider interface|ollama support|other "
        "backends|other inference servers"),
    ("Start the node with `gate start --model",
        "use my own model|load a model|load a gguf file|run a bigger model|use another model|change the "
        "model|serve a model|use a llama model|load a different model|add a model|offer a model|run a "
        "better model|use a gguf file|pick a model file",
        "--model|the model option|gguf|gguf files|gguf support|supported models|model formats|llama models|"
        "a larger model|a bigger model|my own model|other models|the model flag|supported formats|a gguf "
        "model"),
    ("Connections between nodes",
        "keep my prompts private|protect my data|send prompts safely|encrypt my traffic|be sure my data is "
        "safe",
        "privacy|security|encryption|the safety of my data|the privacy of my prompts|private data|data "
        "protection|my privacy|the secrecy of prompts|how safe it is|eavesdropping|safety of prompts|who "
        "can read my prompts"),
    ("This small model is built in",
        "use it offline|work without internet|run it without a connection|run without downloading a model|"
        "use it with no network|answer offline",
        "offline use|use without internet|the default model|the built-in model|the embedded model|working "
        "offline|offline mode|no internet|running without a network"),
    ("Nodes talk over", "know how nodes talk|let nodes communicate",
        "libp2p|the protocol|the network protocol|yamux|the protocol between nodes|peer to peer "
        "communication|the wire protocol|the network stack|the transport|communication between nodes|the "
        "protocol that connects peers|p2p networking"),
    ("On one local network",
        "find peers|discover nodes|find other nodes|let nodes find each other|make my node find peers|"
        "locate the other nodes",
        "mdns|discovery|peer discovery|how nodes find each other|finding peers|automatic discovery|node "
        "discovery|local discovery"),
    ("Options come from",
        "configure gate|set options|use environment variables|write a config file|change the configuration|"
        "use a toml file|configure my node|change settings",
        "configuration|the config file|environment variables|the settings|the toml file|--config|the "
        "configuration file|the precedence of options|options|the configuration|env vars"),
    ("Each node keeps its key and state",
        "change the data directory|find my data|move the data directory|find the key file|see where my "
        "data is stored",
        "the data directory|--data-dir|the data folder|the place of the key file|where data is kept|the "
        "location of my data|storage of data|the key file|where my key is"),
    ("Give each node its own label",
        "run two nodes on one machine|run several nodes on one computer|start three nodes here|run many "
        "nodes on my laptop|have two nodes on one laptop|name my node|label a node|run a second node on "
        "the same machine",
        "--node-id|the node id flag|several nodes on one machine|two nodes on one laptop|multiple nodes|"
        "node labels|a second node on this computer|the label of a node"),
    ("Add --json",
        "get json|get machine readable output|parse the output|print json|use the output in a script",
        "--json|json output|the json flag|machine readable output|output for scripts|json"),
    ("--log-level sets",
        "see the logs|change the log level|see more logs|get debug output|read the log|make gate verbose|"
        "get json logs",
        "the logs|logging|--log-level|--log-format|the log level|log output|debug output|verbose output|"
        "the log format|log files"),
    ("Press Ctrl-C",
        "stop my node|stop gate|quit gate|shut down the node|end the server|exit gate|stop the server|turn "
        "the node off|kill the node|terminate gate|quit the program|shut it down",
        "stopping a node|shutdown|a clean shutdown|ctrl-c|sigterm|the stop command|quitting gate|ending "
        "the program"),
    ("Send the header X-Target-Node",
        "choose the node that answers|ask a particular node|force a node|pick a node for my request|send a "
        "request to one node|target one node|select a specific node",
        "x-target-node|the x-target-node header|the target header|choosing a node|a specific node|"
        "X-Target-Node|a particular peer for my prompt"),
    ("GET /health", "check the health over http|list the endpoints|monitor my node|call the health check",
        "the health check|/health|the endpoints|api paths|http routes|the health endpoint|the routes of "
        "the api|a list of endpoints|/v1/models|/v1/chat/completions"),
    ("Streaming works",
        "stream answers|stream tokens|get tokens one by one|enable streaming|use streaming|receive a stream",
        "streaming|server-sent events|sse|token streaming|streamed answers|the stream option|a stream of "
        "tokens"),
    ("`make demo`",
        "see a demo|run the demo|try it out|see it in action|run an example|try opengateway quickly",
        "the demo|make demo|a demo|a demonstration|an example run|the proof of concept|the poc script"),
    ("Clone the repository",
        "install opengateway|build gate|compile gate|build from source|install it|compile it from source|"
        "get the program|install the dependencies|build it on debian|download gate",
        "installation|the build|building from source|the install script|install-deps|compiling|setup "
        "instructions|the dependencies|install instructions|compilation"),
    ("OpenGateway is free", "use it for free|use it commercially|know the licence",
        "the licence|the license|the price|the cost|open source|the license terms|costs|what it costs|"
        "copyright|the mit license|is it free"),
    ("OpenGateway is written", "know what language it is written in",
        "the programming language|the language of the code|the source language|the build system|meson|c11|"
        "the code language|the implementation language"),
    ("A market with",
        "earn money|get paid|sell answers|pay for prompts|pay with lightning|make money with my node|earn "
        "bitcoin|charge for inference",
        "the market|payments|lightning payments|receipts|quotes|bitcoin in opengateway|earning money with "
        "a node|money with my node|lightning|paid prompts|the marketplace"),
    ("The club is", "join the club|share work in the club",
        "the club|reputation|the monthly pool|divided tasks|club accounts|the reputation system|shared "
        "work in the club"),
    ("A relay gives",
        "make my node public|reach my node from outside|expose my node at home|get public https|publish my "
        "node|put my node on the internet",
        "the relay|relays|a relay|public https|a public address for my node|access from the internet|the "
        "relay server|nat traversal at home"),
    ("No GPU is needed", "run it without a gpu|run it on a cpu|run it on an old computer",
        "gpu|a gpu|the gpu requirement|graphics cards|cuda|the hardware requirements|cpu only use|gpu "
        "support|the required hardware|a graphics card|avx2"),
    ("OpenGateway runs on Linux",
        "run it on linux|use it on ubuntu|run it on my mac|use it on windows|run it on debian",
        "linux|platforms|supported systems|mac support|windows support|the operating system|supported "
        "platforms|ubuntu|debian|macos|linux support|os support"),
    ("Each node has an Ed25519", "know what a peer id is",
        "the node id|a peer id|the peerid|the nodeid|ed25519|the node key|the identity of a node|the "
        "difference between nodeid and peerid|node identity|the public key of a node"),
    ("If no token has come yet", "survive a crash|handle a dead node|deal with a failing node",
        "a node crash|a crash of a node|failover|failures|a dead node|a node that dies|fault tolerance|"
        "retry|reconnects|a lost node|a peer that goes away|node failure"),
    ("The local model answers",
        "know who answers|route a prompt|ask without a model of my own|understand how it works inside",
        "routing|the choice of the node|how a prompt is routed|the way of a prompt|who answers my prompt|"
        "what happens with a prompt|inner workings|the path of a request"),
    ("To use your own machines", "know why i need opengateway|benefit from opengateway",
        "the benefits of opengateway|the advantages|the use of opengateway|the purpose of opengateway|"
        "reasons to use opengateway|the point of opengateway|why to use opengateway|the benefit"),
    ("`make test`", "run the tests|test the program|start the test suite|check that the build works",
        "the tests|make test|the test suite|testing|test results"),
    ("--max-queue", "limit the queue|set the queue length|limit waiting prompts",
        "--max-queue|the queue|the queue limit|waiting prompts|a busy node|the queue length|too many "
        "prompts"),
    ("It is a small Unix socket", "know how commands reach the node",
        "control.sock|the control socket|the socket in the data directory|the control.sock file"),
    ("`gate engine`", "sandbox the model|isolate the engine",
        "gate engine|the engine|the engine process|the sandbox|the child process|the model process|the "
        "inference engine|protection against bad model files"),]

# A sum met in a sentence of its own, with a question behind it; and sums told by what happens to the numbers.
SUM_SAID = ["(i|we|you|he|she|<n>|my <r>|the <r>|somebody|someone) (wrote|put|entered|saw|read|found|said|got|"
    "heard|noticed|keyed in|punched in|drew|scribbled|printed|noted|whispered|shouted) <p>( on the (board|"
    "screen|wall|paper|page|calculator|phone|form|test)| in (my|the|a) (notebook|book|exam|spreadsheet|cell|"
    "homework|machine|app|box)| today| yesterday| at school|)(.|,|;|:) (what|which number|how much) (is|was|"
    "comes out|should come out|should it be|does it say|does that make|should it show|appeared|came out|do i "
    "read|did it give|goes there|must it be|is the right answer|was the answer|was the result)",
    "(my <r>|the <r>|<n>|a friend|somebody|our <r>) (asks|wants to know|wonders|needs to know|asked|asked me|"
    "would like to know|keeps asking)(:|,|) (what|how much|what number) <p> (is|makes|gives|equals|will be|"
    "comes to)", "(my <r>|the <r>|<n>|a friend) (asks|says|wonders|asked)(:|,) (what is|how much is|what's) <p>",
    "(on|in) (my|the|a) (test|exam|homework|page|card|sheet|quiz|book|board) (it says|there is|i see|i have|"
    "stands) <p>(.|,|:) (what|which) (is|do i write|is the answer|goes there|number is it|number fits)",
    "the (question|task|problem|riddle|exercise|sum|line|homework) (is|says|reads|was|asks)(:| |) <p>(. what "
    "is the answer|. answer| . the result|, so|. help me|. can you do it|)",
    "(here|there|these) (are|go|follow|have you|you have) (two|the|my|some) (numbers|figures|values|integers)(:|,|"
    " -|) <e>(.|;|,) (add them|their total|what is their (sum|total)|sum them|and their (sum|total)|what do they "
    "(make|give|add up to)|how much (is that|together)|total|the sum|now add them|what is it together)",
    "(two|the|my|your|our) numbers(:| are|,) <e>(.|;|,) (add them|their total|what is their (sum|total)|sum "
    "them|the (sum|total) is|what do they (make|give|add up to)|put them together|together they make)",
    "(the first|one|a) number is <a>(,| and|;|.) the (second|other|next)( one| number|) is <b>(.|,|;) (add them|"
    "what is (the|their) (sum|total)|what do they make( together|)|their sum|total|and both|sum)",
    "(numbers|values|input|inputs|operands|args)(:| are|) <e>(.|,|;) (sum|total|result|output|add|added)"]
SUM_MOVED = ["(adding|putting|stacking|piling|heaping|placing|throwing|pouring|laying|counting) <b> (to|onto|on|"
    "over|upon) <a> (gives|makes|results in|yields|produces|brings|is|equals|ends with|comes to|means|gets me) "
    "(what|how much|what number|which number|what total)",
    "(what|how much|which number|what total) (do|will|would|did|should) (i|you|we|one|he|<n>) (get|have|reach|"
    "see|find|end up with|obtain|arrive at|be left with|hold) (by|when|after|if|from) (adding|putting|stacking|"
    "throwing in|placing|counting) <b> (to|onto|on|over) <a>",
    "<b> (added|joined|put|stacked|tacked) (to|onto|on) <a>( is| makes| gives| equals|)( what| how much|)",
    "(combining|joining|adding|summing|merging|uniting|putting together|bringing together|pooling|totalling) "
    "<e>(,|) (gives|makes|results in|yields|produces|is|equals|leads to|brings|means) (what|how much|what number|"
    "which number|which total|what result)",
    "(when|if|as|once|after|suppose|say|imagine|let us say|assume) <a> (and <b> (are|get|were) (added|combined|"
    "joined|merged|put together|united|counted together|piled up|poured together)|gets <b> more|grows by <b>|"
    "is joined by <b>|is added to <b>|goes up by <b>|is raised by <b>|and <b> (come|go|stand|are taken) together"
    ")(,| then| ,|) (what|how much|which number|what total|which total) (is it|is that|do we have|results|comes "
    "out|is there|will it be|do you get|is the sum|is the result|do they make|would it be)",
    "(merge|unite|join|bring|pile|pool|mix|lump|gather|melt|squeeze|fuse) <e>( together|)( into one|)( number|"
    "| total| sum|)(, what is it|)", "<a> (joined|followed|increased|enlarged|topped|extended|raised|helped) by "
    "(another |)<b>(, what is the total| is| makes| gives| is how much| comes to what| equals what|)",
    "<a> (on top of|together with|along with|besides|in addition to|next to|combined with|in union with|as well "
    "as) <b>(, what is (it|the total|the sum)| is| makes| gives| is how much| equals what|)",
    "(how|what) (big|large|high|total|great) (is|would be|will be) the (sum|total|result) (of|from|for) <e>",
    "(could|can|may|might) (i|we) (get|have|see|know|hear|ask for) the (sum|total|result|answer) (of|for|from) <e>",
    "(is|are) (you|the computer|spark) able to (add|sum|join|put together|combine|total) <e>( for me|)",
    "(time to add|let's add|now add|we add|i add|you add|she adds|<n> adds)(:|,|) <e>( what is it| result|)",
    "(add|sum|total|plus)(:| -| =|) <a> <b>", "(sum|total|add|count up|add up) (these|those|the following|both|"
    "the two|this)( numbers|)(:|,| -|) <a> <b>", "<a> <b>(,|:| -) (sum|total|add them|added|plus)",
    "(addition|maths|sum|math|calculating|counting) (time|test|now|please|game|hour|practice|challenge)(!|:|.) <p>"]
SUM_LIVED = ["(i|we|<n>|my <r>|the <r>|you|he|she|they|a <r>) <d> <a> <t> <1>(,|) and <b>( more|| more <t>| of them| others) "
    "<2>(.|,|;) how many( <t>|)( is that| was that| were there| did (i|we|they|you|he|she) <z>| in all| in total| "
    "altogether| does that make)( in all| in total| altogether| together|)",
    "there (are|were|stand|lie|sit|live) <a> <t> (in|on|under|at|near|behind) the <l>(.|,|;| and) <b> (more|others|new "
    "ones|more <t>|other <t>) (come|arrive|appear|join|are added|follow|are brought|came|turned up|show up)( later|"
    " too|)(.|,|;) how many( <t>|) (are|are there|are there now|do we see|are in the <l>( now|))( in total| now| in "
    "all|)", "(a|the|my) <r> (has|owns|keeps|had|holds|counts|carries) <a> <t>( and|.|,|;)( then|) (buys|gets|finds|"
    "receives|collects|picks|wins|adds|orders|is given|takes) <b>( more|| more <t>| others)(.|,|;) how many( <t>|) "
    "(does the <r> have( now|)|has the <r>( now|| got)|are there( now|)|is that( now|)|in total|in all)",
    "(one|the first|my|the left|the small|the red) (box|bag|shelf|room|table|hand|drawer|basket|jar) (has|holds|contains) "
    "<a> <t>(,|;| and) (the other|another|the second|the right one|the big one|yours) (has |holds |contains |)<b>(.|,"
    "|;| :) how many( <t>|)( are there| do we have| is that|) (in both|together|in all|in total|altogether)",
    "(i|we|<n>|she|he) (ate|walked|ran|drew|read|washed|swam|counted|wrote|climbed|scored|drove|biked) <a> (<t>|miles|"
    "pages|rounds|metres|points|minutes|hours|steps|stairs|lengths) <1> and <b> <2>(.|,|;) (how many( in all| in "
    "total| altogether| together|| is that| was that)|what is the total|what total is that)"]
WHEN = [("today", "tomorrow"), ("yesterday", "today"), ("in the morning", "in the evening"), ("before noon", "after noon"),
    ("first", "then"), ("before dinner", "after dinner"), ("on monday", "on friday"), ("at home", "at work"),
    ("this week", "last week"), ("in may", "in june"), ("at school", "at home"), ("early", "late"),
    ("here", "there"), ("in one go", "in another"), ("before school", "after school"), ("outside", "inside")]
ROLES = """teacher son daughter brother sister mother boss neighbour friend uncle aunt colleague baker doctor gardener
king pupil student shop child girl boy driver painter sailor cook tailor butcher hunter woman man""".split()
PLACES = """house street yard park pool school kitchen tree bus boat market forest field lake cage stable shop
hall library train attic cellar pond bowl sky tent camp""".split()
VERBS = [("bought", "buy"), ("found", "find"), ("saw", "see"), ("sold", "sell"), ("made", "make"), ("read", "read"),
    ("caught", "catch"), ("picked", "pick"), ("counted", "count"), ("painted", "paint"), ("lost", "lose"),
    ("packed", "pack"), ("carried", "carry"), ("washed", "wash"), ("fixed", "fix"), ("met", "meet")]
# What people say before they come to the point; it holds no number and changes no answer.
ASIDE = ["(my|our|the) <r> (is|was|looks|seems) (tired|happy|late|here|away|ill|hungry|funny|new|busy) (today|again|now)",
    "i (am|was) (at|in|near) the <l> (today|now|again|with my <r>)", "(we|i) (love|like|need|enjoy|hate|learn) (numbers|sums|"
    "maths|school|this|it|counting)", "this is (easy|hard|for you|important|a test|my homework|fun|for my <r>)",
    "(listen|look|think|attention|careful|wait|okay then|let us begin|let us see|let me think|here we go|well now)",
    "i (forgot|lost) my (calculator|glasses|notes|phone|pen)", "(my|the) <r> (sent|told|asked|made) me( to ask you|)"]

DIFF = ["take <b> off <a>", "<b> off <a>", "<b> (subtracted|taken|taken away|removed|deducted) from <a>",
    "(what is|how much is|what's) <b> (subtracted|taken|taken away|off|removed) (from|of) <a>",
    "(what is|how much is) <a> less <b>",
    "(what is|what's) left (if|when|after) (you|i) (take|remove) <b> (from|off) <a>",
    "(if|when) (i|you) (remove|subtract|take) <b> from <a>, what (is left|remains|do i get)",
    "<a> (reduced|decreased|lowered) by <b>", "go <b> (down|back) from <a>",
    "how much (bigger|larger|more) is <a> than <b>",
    "(what|how much) do i have if i have <a> and (spend|lose|give away) <b>"]
DOUBLE = ["<a> doubled", "(what is|how much is|what's) <a> doubled", "two times the number <a>",
    "the double of <a>", "twice as much as <a>"]
HALF = ["<a> halved", "(what is|what's) <a> halved", "the half of <a>", "one half of <a>",
    "(what is|how much is) the half of <a>"]
PROD = ["(multiply|take) <a> (by|times) <b>", "(what are|how many are) <a> times <b>",
    "<a> times <b> (equals|is|makes) what", "<a> by <b>, multiplied",
    "(what|how much) do i get for <a> times <b>"]

BEYOND = ["(capital|population|president|currency|language|flag|size|history|weather|king) (of|in) <p>",
    "<x> (facts|history|meaning|price|definition|rules|recipe|tips|news|jokes)",
    "(price|history|rules|meaning|origin|inventor|age|weight|cost|recipe|taste|symptoms) of <x>",
    "(recipe|tips|ideas|advice|instructions) for <x>",
    "(flights|trains|a trip|a ticket|directions|the way|a bus) to <p>",
    "(hotels|restaurants|museums|beaches|jobs|weather) in <p>",
    "(make|build|buy|send|bring|order|cook|draw|find|get) me (a|an|some|the best) (<w>|website|pizza|logo|"
    "picture|app|cake|coffee|dress|plan)",
    "is (the earth|the moon|the sun|<x>|<q>|my <w>|a <w>|the <w>) (flat|round|dead|alive|good|real|green|"
    "blue|hot|cold|big|true|dangerous|poisonous)",
    "(are|were) (<x>|the <w>s|there <w>s|dinosaurs|aliens|cats|the romans) (real|blue|dead|dangerous|smart|"
    "in <p>|still alive)", "(2|3|<n>) to the (10th|5th|<n>th|second|third) power", "<n> to the power of <n>",
    "(square|cube|square root|logarithm|sine|factorial) of <n>", "<n> percent of <n>",
    "(can|could) you (cook|drive|see me|hear music|smell|feel pain|think|dream|sleep|fall in love|keep a "
    "secret|read my mind|see the future|learn|count the stars|write code|write poems|speak to animals|play "
    "chess|make coffee|call my mother|check my email|search the web|browse the internet|open a file|run a "
    "program|generate images|remember yesterday)",
    "(will|would) (it rain|i be rich|the world end|you marry me|<p> win|robots rule|ai take over|it snow)( "
    "tomorrow| in <p>| one day|)",
    "(kannst du|können sie|konnten sie) mir (helfen|sagen, wie spät es ist|ein <w> kaufen|etwas über <q> "
    "sagen)", "(wo ist|wer ist|wann war|warum ist|wie geht) (<p>|<q>|der <w>|das <w>|die <w>)",
    "(où est|qui est|quand est|pourquoi|comment va) (<p>|<q>|le <w>|la <w>)",
    "(dónde está|quién es|cuándo es|por qué|cómo es) (<p>|<q>|el <w>|la <w>)",
    "(dov'è|chi è|quando|perché|come sta) (<p>|<q>|il <w>|la <w>)",
    "(name|list|give me) (three|five|ten|some|all) (countries|animals|colors|movies|cities|rivers|songs|"
    "fruits|planets|books|presidents|words with x|famous people|<w>s)( in <p>|)",
    "(how|why) (did|do|does|can|could|would|should) (<q>|people|animals|birds|cats|the <w>|my <w>|a <w>|"
    "scientists|children|the moon) (<w>|die|fly|sleep|win|move|work|grow|exist|dream|cry|laugh|disappear)",
    "what (should|would|could|can|did) (<q>|i|we|my <w>|the <w>) (do|say|eat|wear|buy|learn|think) (about|"
    "with|in|for|after) (<x>|<p>|my <w>|the <w>)",
    "(who|what) (was|is) the (first|last|best|oldest|richest|tallest|fastest) (man|woman|person|king|<w>|"
    "animal|book|city|country|car)( on the moon| in <p>| in the world| of all time| ever|)",
    "(when|where|why) (was|is|were|did) (the <w>|<x>|<q>|my <w>) (<w>|built|born|made|invented|lost|closed|"
    "open|happen)",
    "(convert|change|turn) <n> (<w>|pounds|miles|euros|meters|celsius|gallons) (to|into) (<w>|kilos|km|"
    "dollars|feet|fahrenheit|liters)",
    "my (dog|cat|boss|wife|friend|mother|car|phone|computer|back|head|son|teacher|<w>) (is|hurts|does not|"
    "doesn't|hates|has|wants) (<w>|sick|work|like me|angry|broken|a lot|to sleep|to talk)",
    "(what|which) (<w>|language|music|food|sport|color|country|god|team|brand|phone|car) (do you like|is "
    "better|is the best|should i choose|would you buy|is popular|is healthy)",
    "(solve|prove|integrate|differentiate|factor|simplify|plot|graph) (x^2 - <n> = 0|<n>x + <n> = <n>|sin "
    "x|the riemann hypothesis|x^3|this equation|fermat's theorem|a^2 + b^2)",]

WORD_TASKS = [("COUNT", ["(count|tell me|say|find out) how many letters <l><w> has",
            "how many letters <l><w>( has|)", "<w> letters", "<w>, how many letters",
            "how many letters are (there |)in <l><w>", "how many letters in <l><w>",
            "count (up |)the letters (of|in) <l><w>", "letter count (of|for) <l><w>",
            "what's the letter count of <l><w>"]),
    ("OCCUR", ["<q> in <w>, how many", "<q> in <w>: how many( times|)", "(how many|count) <q> in <l><w>",
            "how many letter <q> in <w>", "how many times <q> in <l><w>",
            "count how (often|many times) <q> (is|appears|occurs|comes) in <l><w>",
            "(the |)number of times <q> (is|appears|occurs) in <w>",
            "in <l><w>, how many <q>('s|s|) (are there|do you see)"]),
    ("UPPER", ["<w> all in (caps|capitals|uppercase)", "<w> in all (caps|capitals)",
            "(all caps|capital letters|uppercase) for <m><w>",
            "i (want|need) <m><w> in (capitals|uppercase|capital letters)",
            "(can you|could you) uppercase <m><w>",
            "turn (all letters of |)<m><w> (into|to) (capitals|uppercase|upper case)"]),
    ("LOWER", ["<w> all in lowercase", "i (want|need) <m><w> in (lowercase|small letters)",
            "(can you|could you) lowercase <m><w>", "(all |)lowercase (letters |)for <m><w>"]),
    ("REVERSE", ["i (want|need) <l><w> (backwards|reversed|in reverse)", "(can you|could you) reverse <l><w>",
            "<w>, (backwards|reversed|in reverse)( please|)",
            "<w> from (the end|right to left|back to front)", "spell <l><w> from the end",
            "(how|what) does <w> (look|read) (backwards|in reverse)",
            "put the letters of <w> in reverse( order|)", "reverse the string <w>",
            "reverse this( word|)(:|) <w>", "reverse <w> (for me|please)"]),
    ("SORT", ["(alphabetical|alphabetic|sorted|in order)(:|) <w>", "sort <w>", "order <w>",
            "sort the words <w>", "put <w> in (alphabetical |)order",
            "(can you|could you) (sort|order|alphabetize) <w>", "sort these (words |)alphabetically(:|) <w>",
            "(which order do|in which order do) <w> have in the alphabet"]),
    ("SORTNUM", ["order <w>", "sort <w>", "sort the numbers <w>", "(can you|could you) (sort|order) <w>",
            "put <w> in order", "(ascending|sorted|in order)(:|) <w>",
            "sort these numbers from (small|low) to (large|high)(:|) <w>"]),
    ("WORDCOUNT", ["(count|word count|how many words)(:|) <w>",
            "(count|tell me) how many words (are|there are) in(:|) <w>", "how many words in <w>",
            "words in <w>"]),
    ("REPEAT", ["say <w>", "repeat <w>", "say the word <w>", "(just |)say(:|) <w>",
            "repeat after me(:|,|) <w>", "write <w>", "say <w> (once|please|to me|now)"]),
    ("FIRST", ["first letter( of|) <w>", "what does <w> (start|begin) with",
            "the letter <w> (starts|begins) with"]),
    ("LAST", ["last letter( of|) <w>", "what does <w> end (with|in)", "the letter <w> ends (with|in)"]),
    ("SPELL", ["how is <w> spelled", "how do you spell <l><w>", "spell <w>", "spell it out: <w>",
            "can you spell <l><w>", "spell out <l><w>"])]


def _repetitive(rng):
    """A word of few letters that come back, which cannot be copied by looking at the letter before alone."""
    letters = [chr(97 + int(rng.random() * 26)) for _ in range(rng.choice((2, 3, 3, 4)))]
    return "".join(rng.choice(letters) for _ in range(rng.randint(3, 9)))


def _plainer(old):
    def word(rng):
        return _repetitive(rng) if rng.random() < 0.12 else old(rng)
    return word


def _told(rng, a, b):
    """A sum inside a little story: (text, its end)."""
    slots = corpus_sums.pair_forms(rng, a, b)
    verb, plain = rng.choice(VERBS)
    one, two = rng.choice(WHEN)
    slots.update(t=rng.choice(corpus_sums.THINGS), n=rng.choice(corpus_lang.NAMES), r=rng.choice(ROLES),
        l=rng.choice(PLACES), d=verb, z=plain)
    slots.update({"1": one, "2": two})
    table = (SUM_SAID, SUM_MOVED, SUM_LIVED)[int(rng.random() * 3)]
    text = corpus_lang.polite(rng, corpus_lang.expand(rng, rng.choice(table), **slots))
    return text, "?" if rng.random() < 0.7 else ("" if rng.random() < 0.6 else ".")


def _aside(rng, text):
    said = corpus_lang.expand(rng, rng.choice(ASIDE), r=rng.choice(ROLES), l=rng.choice(PLACES))
    return said + rng.choice((". ", ". ", "! ", ", ", ": ", "... ")) + text


def _freer(old):
    """sum_prompt with stories, and with asides before the question."""
    def sum_prompt(rng, a, b):
        text, end = _told(rng, a, b) if rng.random() < 0.3 else old(rng, a, b)
        return _aside(rng, text) if rng.random() < 0.05 else text, end
    return sum_prompt


def enrich():
    """Adds everything of this module to the corpus; once."""
    extended = []
    for answer, templates in corpus_facts.FACTS:
        for beginning, do, about in KEYS:
            if answer.startswith(beginning):
                keyed = [t.replace("<k>", "(" + do + ")") for t in DO] + [t.replace("<k>", "(" + about + ")")
                    for t in ABOUT]
                extended.append((answer, templates + keyed + templates[:len(keyed) // 3]))
                break
        else:
            raise ValueError("no keys for: " + answer)
    corpus_facts.FACTS[:] = extended
    corpus_sums.sum_prompt = _freer(corpus_sums.sum_prompt)
    corpus_sums.DIFF += DIFF
    corpus_sums.DOUBLE += DOUBLE
    corpus_sums.HALF += HALF
    corpus_sums.PROD += PROD
    corpus_beyond.FRAMES += BEYOND + BEYOND
    for name, templates in WORD_TASKS:
        getattr(corpus_tasks, name).extend(templates)
    corpus_tasks.word = _plainer(corpus_tasks.word)
