# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the model knows: OpenGateway's facts, itself, and the courtesies.

FACTS is a list of (answer, order-or-question templates). One intent has one answer. Statements must
agree with DESIGN and the documentation; a change there belongs here, followed by a new training run.
"""

OG = "(opengateway|OpenGateway|open gateway|the gateway|Open Gateway|opengateway)"
PROG = "(gate|opengateway|OpenGateway|the program|the gate program|it|this|the app|this program|this thing|open gateway)"
DAEMON = "(gate|opengateway|OpenGateway|a node|the node|my node|it|this|the server|the daemon|the gate|your node|open gateway)"
THIS = "(this|this program|this project|this software|gate|opengateway|OpenGateway|open gateway|this tool)"

NAME = "Spark"

FACTS = [("OpenGateway lets people pool the machines they own into one private, OpenAI-compatible inference "
        "network. " "Every node runs one program: gate.", ["what is " + OG, "what's " + OG, "what is " + OG,
            "whats opengateway", "what does " + OG + " (do|mean|offer|provide)",
            "(explain|describe|define|introduce) " + OG +
            "( to me| in one sentence| briefly| shortly| in simple words|)",
            "tell me (about|something about|more about|a bit about|all about) " + OG, "who is opengateway",
            "what (kind of|sort of) (thing|software|program|project) is " + OG,
            "(give me|i need|i want) (an overview|a summary|a description|a short description|an "
            "explanation|an introduction) of " + OG,
            "(what do you know|do you know anything|what can you tell me|can you say something|have you "
            "heard) about " + OG, "opengateway", "OpenGateway",
            "what (exactly |)is (this|this project|this software|this network|this program|this tool)( "
            "about| all about|)", "what is the (idea|concept|aim|goal|point) (of|behind) " + OG,
            "(summarize|summarise|sum up) opengateway( in a sentence|)", "do you know " + OG, "what is gate",
            "what does gate do", "what is the gate (program|command|tool)", "how would you describe " + OG,
            "i (have never|never) heard of opengateway( before|)(.|,) what is it", "about opengateway",
            "opengateway (explained|meaning|definition|description)",
            "what is (meant by|the meaning of) opengateway", "what's (this|gate) all about",
            "i am new here(,|.) what is " + OG]),
    ("Run `gate start` to start a node, then `gate ask \"your question\"`. "
        "`gate peers`, `gate models` and `gate status` show what is going on.", [
            "how (do|can|should|would) (i|we|one|you) use " + THIS, "how to use " + THIS,
            "how do i (get started|begin|start using " + OG + ")( with opengateway| with this|)",
            "how (do|can) i (get started|begin)( with " + THIS + "|)",
            "(getting started|quick start|quickstart|first steps|usage|usage of opengateway|manual|"
            "tutorial)( with opengateway|)", "(show|teach|tell) me how to use " + THIS,
            "how does one (use|work with|operate) " + THIS,
            "what (commands|subcommands) (are there|does gate have|can i use|exist|do you have|does it "
            "have)", "(list|show|give me|name|tell me) (all |)(the |)(gate |)commands( of gate|)",
            "what are the (gate |main |basic |)commands",
            "which commands (does gate (have|offer|support)|are there|exist|can i type)",
            "i (just |have |have just |)(installed|built|downloaded|compiled|got) " + THIS +
            "(.|,) (what now|what next|how do i use it|what do i do|now what|what should i do)",
            "give me (an example|instructions|a quick guide|a guide|a tutorial)( for " + OG +
            "| on how to use " + THIS + "|)", "how does (gate|the command line|the cli) work",
            "what (do i|should i|must i) (do|type|run) (first|to begin|to get started|to use opengateway|"
            "to use it)", "(gate|opengateway) (help|usage|commands)", "help with (gate|opengateway)",
            "explain how to (use|operate|work with) opengateway",
            "i (want|would like) to (use|try|try out) opengateway(. how|, how|)"]),
    ("`gate start` starts a node: it joins its cluster, finds its peers and answers prompts with the "
        "model it has.", ["what does (gate start|`gate start`|the start command|the command gate start) do",
            "how (do|can|should|would) (i|we|you) (start|launch|run|boot|bring up|fire up|spin up|set up) "
            "(a |the |my |our |)(node|server|daemon|gate node)",
            "how to (start|launch|run|boot|set up) (a |the |my |)(node|server|daemon|gateway)",
            "(what is|explain|describe|tell me about) (gate start|`gate start`|the start command)",
            "gate start",
            "(what|which) command (starts|launches|runs|boots) (a |the |my |)(node|server|daemon)",
            "(how do i|how can i|how to) (start|run|launch) (gate|opengateway|OpenGateway|the gateway|open "
            "gateway)", "(start|launch|run) (a |my |the |)(node|server)",
            "i want to (start|run|launch) (a|my|the) node",
            "how do i (turn on|switch on|activate) (a|my|the) node",
            "what do i type to (start|launch|run) (a|my|the) node"]),
    ("`gate ask \"your question\"` sends a prompt through your node and prints the answer as it comes.", [
            "what does (gate ask|`gate ask`|the ask command) do",
            "how (do|can|should) i (ask|send|put|submit|pose) (a |my |)(question|prompt|questions|"
            "prompts)( to the (network|node|cluster|model)| from the (command line|terminal|shell)|)",
            "how to (ask|send) (a |)(question|prompt)( from the (command line|terminal|shell)|)",
            "(what is|explain|describe|tell me about) (gate ask|`gate ask`|the ask command)", "gate ask",
            "(what|which) command (asks|sends) (a |)(question|prompt)",
            "how do i (prompt|query|talk to|chat with) (the model|a model|the network|the cluster)( from "
            "the (command line|terminal|shell)|)",
            "how do i (ask|query|prompt) something (with|using|through) gate",
            "can i ask (questions|something) from the (terminal|command line|shell)"]),
    ("`gate peers` lists the nodes that your node knows. Add --json for output that a program can read.", [
            "what does (gate peers|`gate peers`|the peers command) do",
            "how (do|can) i (see|list|show|view|find out|check|display) (my |the |all |all the |)(peers|"
            "connected nodes|other nodes|nodes in my cluster|nodes in the cluster|neighbours|connected "
            "peers)", "how to (see|list|show|view) (my |the |all |)(peers|nodes)",
            "(what is|explain|tell me about) (gate peers|`gate peers`|the peers command)", "gate peers",
            "(what|which) command (lists|shows|displays|prints) (the |my |all |)(peers|nodes|connected "
            "nodes)", "(list|show|display) (my |the |)(peers|nodes)", "who is connected to (me|my node)",
            "which (nodes|peers) (are connected|does my node know|do i have|are online|are there)",
            "how do i know (who|which nodes) (is|are) (connected|in my cluster|online)",
            "where (can|do) i see (the |my |)(peers|other nodes)"]),
    ("`gate models` lists the models you can ask, your own and your peers', with the node that owns " "each.",
        ["what does (gate models|`gate models`|the models command) do",
            "how (do|can) i (see|list|show|view|find out|check) (the |all |my |which |)(available |"
            ")models( are available| i can use| there are|)",
            "how to (see|list|show) (the |all |)(available |)models",
            "(what is|explain|tell me about) (gate models|`gate models`|the models command)", "gate models",
            "(what|which) command (lists|shows|prints) (the |all |)(available |)models",
            "(list|show) (the |all |available |)models",
            "(which|what) models (are available|can i use|are there|do i have|exist|can i ask|does the "
            "cluster have|do my peers have)", "where (can|do) i see (the |available |all |)models"]),
    ("`gate status` shows how your node is doing: its identity, cluster, ports, peers, models and queue.", [
            "what does (gate status|`gate status`|the status command) do",
            "how (do|can) i (see|check|view|know|find out|show) (the |my |)(status|state|health) of (my|"
            "the|a) node", "how to (see|check) (the |)(status|state) of (my|the|a) node",
            "(what is|explain|tell me about) (gate status|`gate status`|the status command)", "gate status",
            "(what|which) command (shows|prints|displays) (the |)(status|state)( of my node| of the node|)",
            "(is|how is) my node (running|ok|fine|healthy|alive|doing|up)",
            "how do i (know|see|check|tell) (if|whether|that) my node (is running|works|is up|is alive|is "
            "ok|is healthy)", "(check|show) (the |my |)(node |)status"]),
    ("`gate id` prints your node's identity: its NodeId and its PeerId.", [
            "what does (gate id|`gate id`|the id command) do",
            "how (do|can) i (see|find|print|get|show|look up) (my |my node's |the |)(node id|id|identity|"
            "peer id|peerid|nodeid)( of my node|)", "gate id",
            "(what is|explain|tell me about) (gate id|`gate id`|the id command)",
            "(what|which) command (prints|shows) (my |the |)(id|node id|peer id|identity)",
            "what is my (node id|peer id|nodeid|peerid)",
            "where (do|can) i find my (node id|peer id|id|identity)"]),
    ("`gate version` prints the version of the program.", [
            "what does (gate version|`gate version`|the version command) do",
            "how (do|can) i (see|find|print|get|check|know) (the |my |which |)(version|version of gate|"
            "gate version)( i have| i run| is installed|)", "gate version",
            "(what|which) version (is this|of gate do i have|am i running|is installed|do i use|of "
            "opengateway is this|are you running)", "(what|which) command (prints|shows) the version",
            "(what is|explain) (`gate version`|gate version)"]),
    ("The API is at http://127.0.0.1:31145/v1 and speaks the OpenAI dialect. Point any OpenAI client at "
        "that base URL.", [
            "(where|at which address|at what address|on which url) is the (api|http api|openai api|"
            "endpoint|server|rest api)",
            "what is the (api|base|server|http|api base|endpoint) (url|address)( of opengateway| of the "
            "api|)",
            "what (url|address|base url|endpoint) (do|should|must|can) i (use|give my client|configure|"
            "enter|connect to)",
            "how (do|can) i (connect|use|configure|set up|point|hook up) (an |my |the |)(openai client|"
            "openai sdk|client|openai library|openai python library|chat client|existing client|app)( to "
            "opengateway| with opengateway| to it| to my node|)",
            "(how do|how can|can) i (use|call|access|reach|query) (the |your |its |opengateway's |)(api|"
            "http api|openai api|rest api)",
            "is (it|gate|opengateway|the api) (openai compatible|compatible with openai|openai-compatible)",
            "does (it|gate|opengateway) (have|offer|provide|speak|support|expose) (an |the |)(api|openai "
            "api|http api|rest api|openai protocol)",
            "(can|how can|how do) i use (it|opengateway|gate|a node) (with|from) (python|javascript|curl|"
            "the openai client|the openai sdk|langchain|my own program|my app|node.js)",
            "api (address|url|endpoint)", "base url", "(tell me|give me|what is|what's) the base url",
            "how do (programs|applications|apps|other programs) (talk to|use|connect to) (opengateway|gate|"
            "my node)", "what is at port 31145",
            "how do i make (a request|an http request|an api call|requests)( to the api| with curl|)",
            "do i need an api key", "what (api key|key) do i (need|use)"]),
    ("P2P uses port 41145, HTTP 31145 and control 8145. Change them with --port, --http-port and "
        "--control-port; 0 picks a free one.", ["(which|what) port(s|) (does|do|is|are) " + DAEMON +
            " (use|listen on|need|open)",
            "(which|what) port(s|) (is|are) (used|open|needed|the default|the defaults|taken|required)",
            "what are the (default |standard |)ports", "what is the (default |)(http|p2p|control|api) port",
            "how (do|can) i (change|set|choose|configure|pick) (the |a |another |a different |)(port|ports|"
            "http port|p2p port)", "(tell me|list|show|give me) the (default |)ports", "default port(s|)",
            "on (which|what) port does (it|gate|the api|the server|opengateway|the node|http) (run|listen)",
            "(which|what) port (is|does) (the api|http|the server|p2p|the control port|the web server)( on|"
            " use|)", "ports", "what is port (41145|8145)( for| used for|)"]),
    ("Another program has that port. Choose another with --port or --http-port, or give 0 to let gate "
        "pick a free one.", ["(the |my |)port is (already |)(in use|taken|occupied|busy|used)",
            "(what does|what means) (failed to bind to port 4001|failed to bind|address already in use|"
            "port in use)( mean|)",
            "(i get|i got|it says|error:|gate says|why do i get|why does it say) (failed to bind|failed to "
            "bind to port|port in use|address already in use|port already in use|port is taken)( to port "
            "41145|)",
            "what (do i|can i|should i) do (if|when) (the|a|my) port is (taken|in use|busy|occupied|"
            "already in use)", "failed to bind( to port 31145|)",
            "(how do i|how can i|how to) (fix|solve|resolve) (a |the |)(port conflict|bind error|port in "
            "use error)", "another program (uses|has|blocks) the port",
            "gate cannot bind( to|) (its|the) port"]),
    ("A cluster is a group of nodes that find each other and answer each other's prompts. It has an id "
        "and a key; only members get in.", ["what is (a|the) cluster", "what's a cluster",
            "(explain|define|describe) (a cluster|clusters|what a cluster is|the cluster)",
            "what (does|do you mean by) (cluster|a cluster)( mean| do|)", "what are clusters( for|)",
            "tell me about clusters", "what is a cluster (for|in opengateway|good for)",
            "why do (i|we) need a cluster", "how do clusters work", "how does a cluster work",
            "who (is|can be) (in|a member of) (a|the|my) cluster", "cluster", "clusters",
            "what (makes|forms) a cluster", "what does (joining|being in) a cluster mean",
            "what is (the |a |)cluster (id|key)( for|)"]),
    ("Start your node with the address of one that is in the cluster: `gate start --bootstrap ADDRESS`. "
        "A remote join waits until `gate peers accept`.", [
            "how (do|can|would|should) (i|we|my friend|a friend|someone|others|another node|my node|a new "
            "node|a node) (join|enter|become a member of|get into|connect to|be added to) (a|the|your|my|"
            "an existing|another|our) (cluster|network)",
            "how to (join|enter|connect to) (a|the|an existing|another) (cluster|network)",
            "(join|joining) (a|the) cluster",
            "how (do|can) i (add|connect|attach|link) (a|another|a second|a new|my second|my other) (node|"
            "machine|computer|laptop|server)( to (my|the) cluster| to it|)",
            "how (do|can) i connect (two|my|three|several) (nodes|machines|computers)( to each other| "
            "together|)", "i want to join a cluster",
            "(what is|what does|explain) (--bootstrap|bootstrap|a bootstrap peer|a bootstrap node|the "
            "bootstrap flag|the bootstrap option|bootstrapping)( do| mean| for|)", "bootstrap",
            "how do i use --bootstrap", "what is the bootstrap (address|flag|option|peer) for",
            "how do i connect to another node",
            "how do i accept (a|another|a new) (node|peer|member)( into my cluster|)",
            "what does gate peers accept do",
            "(why is|what does it mean that) (my|a) (node|join|peer) (is |)pending"]),
    ("`gate start --cluster NAME` starts a node in the cluster NAME. Without a key such a cluster is "
        "open to all, and gate says so.", [
            "how (do|can) (i|we) (create|make|start|found|form|set up|build|open) (a|my|our|my own|a new|"
            "an own) (cluster|network|own cluster)",
            "how to (create|make|start|set up|form) (a|my own|a new) (cluster|network)",
            "(what does|what is|explain) (--cluster|the cluster flag|the --cluster flag|the cluster "
            "option)( do| for|)", "(create|start|make|set up) a( new|) cluster",
            "how (do|can) i (name|choose|change|set) (the|my|a) cluster( name|)",
            "i want (my own|to create a|to start a|a new) cluster", "what is an open cluster",
            "(how do i|how can i) (run|have) (two|several|different) clusters"]),
    ("An invitation carries a cluster's id, key and addresses. Invitations come in a later version; "
        "until then use --bootstrap.", ["what is an (invitation|invite)",
            "how (do|can|would) i invite (a friend|someone|people|others|another person|a node|my friends|"
            "a colleague|somebody|my brother)( to my cluster| to the cluster|)",
            "how do (invitations|invites) work",
            "(can i|how can i|how do i) (send|create|make|get|share|use|accept) (an |)(invitation|invite|"
            "invites|invitations)", "are there invitations", "(invitation|invitations|invite|invites)",
            "do you (have|support) invitations", "is there (an invitation|an invite|a way to invite people)",
            "what does an invitation contain", "(what is|how do i use) (a |)pairing code(s|)"]),
    ("A node is one machine that runs `gate start`. It finds peers, offers its models and answers "
        "prompts.", ["what is a node", "what's a node",
            "(explain|define|describe) (a node|nodes|what a node is)", "what does (a |)node (mean|do)",
            "what are nodes", "what (is|do you mean by) (a |)(gate |opengateway )node", "tell me about nodes",
            "node", "what does a node do", "what is the job of a node"]),
    ("A peer is another node that yours is connected to. Peers in your cluster answer each other's "
        "prompts.", ["what is a peer", "what's a peer",
            "(explain|define|describe) (a peer|peers|what a peer is)", "what does (a |)peer (mean|do)",
            "what are peers", "what do you mean by (a |)peer(s|)", "tell me about peers", "peer",
            "what is the difference between a node and a peer", "what is a peer in opengateway"]),
    ("A provider is whatever answers prompts: the built-in engine, a peer, or another OpenAI-compatible "
        "server.", ["what is a provider", "what's a provider",
            "(explain|define|describe) (a provider|providers|what a provider is)", "what are providers",
            "what does provider mean",
            "(does it|can it|can gate|does gate|can opengateway|does opengateway) (work|run|be used|"
            "integrate) with (ollama|lm studio|vllm|llama.cpp|other servers)",
            "(can|could) i use (ollama|lm studio|my own openai server|another server) (with|as) "
            "(opengateway|gate|it|a backend|a provider)",
            "(which|what) (providers|backends) (are there|exist|are supported|does it support|can i use)",
            "does (it|opengateway|gate) support (ollama|lm studio|other backends)", "what is a backend",
            "ollama", "lm studio", "tell me about providers"]),
    ("Start the node with `gate start --model FILE.gguf`. GGUF files of the llama family work.", [
            "how (do|can) i (use|load|run|serve|add|choose|change|set|bring|offer|host) (a |my |my own |"
            "another |a different |a bigger |a larger |a better |other |an other |the )(model|models|gguf|"
            "gguf file|gguf model|llm|language model)",
            "how to (use|load|run|serve|add|change) (a |my own |another |a bigger |a different )(model|"
            "gguf|llm)",
            "(what does|what is|explain) (--model|the model flag|the --model flag|the model option)( do| "
            "for|)",
            "can i (use|run|load|bring|serve) (my own|another|a bigger|a larger|a different|other|any) "
            "model(s|)( with it| with gate|)",
            "(which|what) (models|model files|model formats|model types|file formats|formats|files|llms) "
            "(are supported|does it support|can it load|can gate load|can it run|does gate support|can i "
            "load|work|does the engine support)",
            "(does it|does gate|do you|can it|can gate) (support|load|run|read) (gguf|llama|gguf files|"
            "llama models|q4_k|q8_0|llama 3|quantised models|quantized models)", "what is a gguf( file|)",
            "gguf", "i want (a bigger|a better|another|my own) model",
            "where do i put (my|the) model( file|)",
            "how do i (get|have) (a smarter|a bigger|a better|a larger) model"]),
    ("Connections between nodes are encrypted with libp2p's Noise protocol, and prompts are never "
        "written to the log.", [
            "is (it|this|opengateway|gate|my data|the network|the connection|the traffic|everything) "
            "(secure|safe|private|encrypted|protected|confidential)",
            "(how|are|is) (are |)(connections|messages|prompts|data|the prompts|the connections|the "
            "traffic|the streams) (encrypted|secured|protected|private|safe)",
            "what about (privacy|security|encryption|my data|safety)", "(privacy|security|encryption)",
            "(are|is) my (prompts|data|questions|conversation|chats) (private|safe|logged|stored|encrypted|"
            "secret|recorded|saved)",
            "(does it|do you|does gate|does opengateway) (log|store|keep|record|save|encrypt) (my |the |"
            ")(prompts|data|questions|conversations|messages|chats)",
            "(who|can anyone|can others|can somebody|can other people) (can |)(read|see|spy on) my "
            "(prompts|data|questions|messages)", "(what|which) encryption (is used|does it use|do you use)",
            "how does (opengateway|gate|it) (protect|secure) (my |the |)(data|privacy|connections|prompts)",
            "what is noise( in opengateway|)", "can i trust opengateway"]),
    ("This small model is built in: a node answers offline and out of the box, without downloading "
        "anything.", ["(does it|does gate|does opengateway|do you|can it|can you|can gate|can i use it|can "
            "opengateway|will it) (work|run|function|answer|be used) (offline|without internet|without the "
            "internet|without a network|without an internet connection|without a connection)",
            "do i need (the internet|internet|an internet connection|to be online|a connection|to download "
            "a model|to download anything)",
            "is (the internet|internet|a download|an internet connection) (needed|required|necessary)",
            "(offline|offline use|offline mode)", "what if i am offline",
            "do i have to (download|install) (a model|anything|something|models)",
            "are you (built in|built-in|embedded|offline)", "is there a (built-in|default|embedded) model",
            "what is the (default|built-in|embedded) model", "do you (need|use) the internet",
            "are you (connected to|on) the internet"]),
    ("Nodes talk over libp2p: TCP, Noise encryption and yamux streams. Other libp2p implementations "
        "understand them.", [
            "how do (the |)(nodes|peers|machines) (talk|communicate|speak|connect|exchange data)( to each "
            "other| with each other|)",
            "(which|what) (protocol|protocols|network protocol|transport) (does it use|do nodes use|is "
            "used|are used|do you use|does opengateway use|does gate speak)",
            "what is (libp2p|yamux|multistream|the p2p layer)",
            "does (it|opengateway|gate) use (libp2p|tcp|p2p|peer to peer)",
            "(libp2p|yamux|protocol|protocols)",
            "is (it|opengateway|gate) (peer to peer|p2p|peer-to-peer|decentralized|decentralised|"
            "distributed)", "how does the (network|p2p network|networking|p2p) work",
            "what (network|networking|p2p) (stack|library) (does it use|is used)",
            "is it compatible with (libp2p|other libp2p nodes|js-libp2p)"]),
    ("On one local network nodes find each other with mDNS. Elsewhere, give one an address with "
        "--bootstrap.", [
            "how do (the |)(nodes|peers|machines) (find|discover|see|locate|meet) (each other|one another|"
            "peers|other nodes)",
            "how does (discovery|peer discovery|node discovery|a node find its peers|a node find other "
            "nodes|my node find peers) work", "what is (mdns|discovery|peer discovery)( in opengateway|)",
            "how (do|does) (nodes|a node|it|gate) (find|discover) (peers|other nodes|others)",
            "(mdns|discovery|peer discovery)", "why (does|can) my node (not |)(find|see) (no |any |)peers",
            "my node (does not|doesn't|cannot|can't) find (any |other |)(peers|nodes)",
            "can nodes find each other (automatically|by themselves|on their own)"]),
    ("Options come from flags, then GATE_ environment variables, then the TOML file given with "
        "--config, then defaults.", [
            "how (do|can) i (configure|set options of|set up|customize|customise|change the settings of|"
            "change the configuration of) (gate|a node|my node|it|opengateway)",
            "(where|how) (is|are) (the |)(configuration|config|settings|config file|options|configuration "
            "file) (stored|set|read|kept|loaded)", "what is the (config|configuration) (file|format|syntax)",
            "(which|what) (has precedence|wins|takes precedence|comes first)(, flag or environment| flags "
            "or environment|, flag or file|)",
            "(can i use|does it read|does gate read|are there) (environment variables|env vars|a config "
            "file|a configuration file)",
            "(configuration|config|settings|environment variables|config file|toml|precedence)",
            "what is the (order|precedence) of (options|settings|the options|configuration)",
            "(what does|what is|explain) --config( do| for|)",
            "how do environment variables work( in gate| here|)", "does gate (use|support|read) toml"]),
    ("Each node keeps its key and state in its data directory. It is derived from --node-id; --data-dir "
        "chooses another.", [
            "(where|in which directory|in which folder) (does|do|is|are) (gate|a node|my node|the data|the "
            "key|my data|the state|opengateway|the files|my key|the node) (store|keep|save|stored|kept|"
            "saved|put)( its data| its files| its key| data| files|)",
            "what is (the |a |)(data directory|data dir|data folder|--data-dir)( for|)",
            "how (do|can) i (change|set|choose|move) the data (directory|dir|folder)",
            "(what does|explain) --data-dir( do|)", "(data directory|data dir)",
            "where (is|are) my (data|key|node key|keys)( stored| kept|)"]),
    ("Give each node its own label: `gate start --node-id b`. Data directories and ports then do not "
        "clash.", [
            "(how do|how can|can) i (run|start|have|launch) (two|several|many|multiple|three|more than "
            "one) node(s|) on (one|the same|a single|my|this) (machine|computer|host|laptop)",
            "(what does|what is|explain) (--node-id|the node id flag|the --node-id flag|node-id|a node "
            "label)( do| for|)", "how (do|can) i (name|label|rename|call) (a|my|the) node",
            "(multiple|several|two|three) nodes on one (machine|computer)",
            "can (two|several|multiple) nodes (run|live) on (one|the same) (machine|computer)", "node-id"]),
    ("Add --json to any command and it prints JSON that a program can read.", [
            "(how do|how can|can) i get (json|json output|machine readable output|machine-readable "
            "output)( from gate| from the commands|)",
            "(what does|explain|what is) (--json|the json flag)( do| for|)",
            "does (gate|it) (print|output|support|have|speak) json", "json( output|)", "can gate print json",
            "how do i (use|parse) (the output of gate|gate|gate output|its output) in (a script|scripts|a "
            "program)"]),
    ("--log-level sets how much is logged; --log-format json makes the lines easy for programs. Prompts "
        "never appear there.", [
            "how (do|can) i (change|set|see|read|get|increase|reduce|configure) (the |more |)(log|logs|log "
            "level|logging|log output|log format)",
            "(what does|explain|what is) (--log-level|--log-format|the log level|the log format)( do| for|)",
            "(where are the|what is in the|what about|show) log(s|)", "(logs|logging|log level)",
            "(can|how can) i (have|get) (json logs|more logs|fewer logs|less logging|debug logs|verbose "
            "logs)", "how do i (debug|make it verbose|see what it does|see debug output)"]),
    ("Press Ctrl-C or send SIGTERM. Running answers finish, or are told why not, within 10 seconds.", [
            "how (do|can|should) (i|we) (stop|quit|shut down|end|terminate|exit|kill|turn off|switch off|"
            "close) (gate|a node|the node|my node|it|the server|opengateway|the daemon)",
            "how to (stop|quit|shut down|exit|terminate) (gate|a node|the node|it|the server|opengateway)",
            "(stop|shut down|terminate) (the|my|a) (node|server)", "what happens (when|if) i press ctrl-c",
            "how does (shutdown|shutting down) work", "is there a stop command",
            "(what|which) command stops (a|the|my) node", "shutdown"]),
    ("Send the header X-Target-Node with that node's id, and exactly that node answers.", [
            "how (do|can) i (choose|force|pick|select|use|ask|target|address|reach) (a |one |a particular |"
            "a specific |a certain |the |which )(node|peer|machine)( answers| to answer| that answers| "
            "directly|)",
            "(what is|what does|explain) (x-target-node|the x-target-node header|X-Target-Node)( do| for|)",
            "x-target-node",
            "(can|how can|how do) i send (a |my )(prompt|request|question) to (a specific|a certain|a "
            "particular|one) (node|peer|machine)", "can i (choose|decide) (which|what) node answers",
            "(which|what) header (chooses|selects|forces|sets) (the|a) node"]),
    ("GET /health tells whether the node is up. The other paths are POST /v1/chat/completions and GET "
        "/v1/models.", [
            "(which|what) (endpoints|paths|routes|urls|api paths|api endpoints) (are there|does it have|"
            "does the api have|exist|are supported|can i call|does it offer)",
            "(is there|what is|where is) (a |the )(health|health check|health-check) (endpoint|path|url)",
            "how do i (check|query|test|monitor) (the health|health)( over http| of the api| of a node "
            "over http|)", "(list|show|name|give me) (the |all |all the |)(api |)(endpoints|routes|paths)",
            "(endpoints|api endpoints|health check|/health)",
            "what is (/health|/v1/models|/v1/chat/completions|the chat completions endpoint|the models "
            "endpoint)( for|)", "how do i (list|get) models over (http|the api)"]),
    ("Streaming works: send \"stream\": true to /v1/chat/completions and the tokens arrive as "
        "server-sent events.", [
            "(does it|does gate|does the api|can it|can the api|does opengateway|do you) (support |"
            ")(stream|streaming|streaming answers|stream answers|stream tokens|server-sent events|sse)",
            "how (do|can) i (stream|get a stream of|enable streaming of|use streaming for) (tokens|answers|"
            "the answer|the response|responses)", "how do i (turn on|enable|use|get) streaming",
            "(streaming|sse)", "is streaming (supported|possible|available)",
            "can i (get|receive|see) (the |)(tokens|answer|words) (as they come|one by one|while it is "
            "generated)"]),
    ("`make demo` starts three nodes on your machine. One of them asks another \"What is 2+2?\" and "
        "prints the answer.", [
            "(is there|do you have|can i see|show me|where is|how do i run|how can i see|how do i start) "
            "(a |the |)(demo|demonstration|example run|poc)",
            "what does (make demo|`make demo`|the demo|run-poc.sh|scripts/run-poc.sh) (do|show)",
            "(make demo|demo)",
            "how (do|can) i (try|test|see) (it|opengateway|gate|this)( out|)( quickly| in action|)",
            "what is (make demo|the demo)"]),
    ("Clone the repository and run `make`; the program is build/gate. `scripts/install-deps` installs "
        "what the build needs.", [
            "how (do|can|should) (i|we) (install|build|compile|get|download|obtain) (gate|opengateway|"
            "OpenGateway|it|the program|this|this program|open gateway)( from source| on linux| on debian| "
            "on my machine|)", "how to (install|build|compile|get) (gate|opengateway|it|the program|this)",
            "(install|installation|build|building|compile|compiling)( instructions|)",
            "(install|build|compile) (opengateway|gate)",
            "(what|which) (dependencies|packages|libraries) (does it need|are needed|do i need|are "
            "required|must i install)", "what does (scripts/install-deps|install-deps|make) do",
            "where (is|do i find) the (program|binary|executable)( after building| after the build|)",
            "(where can i|how do i) download (it|opengateway|gate)",
            "i want to (install|build|compile) (it|opengateway|gate)"]),
    ("OpenGateway is free, open-source software under your choice of MIT or Apache-2.0.", [
            "(what|which) (licence|license) (does it have|is it under|does opengateway have|has "
            "opengateway|do you use|is used|has it|is it|applies)",
            "what is (the|its|opengateway's|your|the model's) (licence|license)",
            "is (it|opengateway|gate|this) (free|open source|open-source|free software|gratis|for free|"
            "libre)", "how much does (it|opengateway|gate) cost", "what does (it|opengateway|gate) cost",
            "(do i have to|must i|should i) pay( for it| for opengateway| anything|)",
            "(licence|license|price|cost|copyright)",
            "(can|may) i use (it|opengateway) (commercially|for free|at work|in my company|in a product)",
            "what is the price of (opengateway|gate)"]),
    ("OpenGateway is written in C (C11) and built with Meson.", [
            "(which|what) (programming |)language (is it|is opengateway|is gate|was it|is this|was "
            "opengateway) (written|programmed|made|implemented|coded|developed) in",
            "what is (it|opengateway|gate) (written|programmed|made|implemented|coded) in",
            "is (it|opengateway|gate) (written|made) in (rust|go|python|c|c++|java)",
            "in (which|what) language is (opengateway|gate|it) written",
            "(what|which) build system (does it use|is used|does opengateway use)"]),
    ("A market with quotes, signed receipts and Lightning payments is designed to stand on "
        "OpenGateway's core. See the docs for its state.", ["what is the market",
            "(how do|how can|can) i (earn|make|get|receive) (money|sats|bitcoin|satoshis|payments|"
            "something)( with my node| with opengateway| with it| by answering prompts|)",
            "(how do|are there|is there) (payments|payment|lightning payments|a market|a marketplace)( "
            "work|)",
            "what (is|are) (a quote|quotes|a receipt|receipts|lightning payments|the marketplace)( for|)",
            "does (it|opengateway|gate) (support|use|have|accept) (lightning|bitcoin|payments|a market|"
            "money|micropayments)", "(market|payments|lightning|bitcoin|receipts)",
            "can i sell (inference|my gpu time|computing time|answers|tokens)", "how do payments work",
            "tell me about the market", "can nodes be paid"]),
    ("The club is designed for shared work: accounts, divided tasks, reputation and a monthly pool. See "
        "the docs for its state.", ["what is (the|a) club", "tell me about the club",
            "(explain|describe) the club", "what does the club do", "club",
            "how does the (club|reputation|monthly pool) work", "what is the monthly pool",
            "is there (a reputation system|reputation|a club)", "what is reputation( for| in opengateway|)"]),
    ("A relay gives a node at home a public HTTPS address. It reads only the server name; the node "
        "itself ends TLS.", ["what is (a|the) relay", "tell me about (the relay|relays)",
            "(explain|describe) (the relay|relays|a relay)", "what does (the|a) relay do", "(relay|relays)",
            "(how do|how can|can) i (make|get|expose|reach|publish) (my node|a node|my node at home|it) "
            "(public|from the internet|over https|on the internet|publicly|from outside)",
            "how do i get (a public address|public https|https)( for my node|)",
            "does it work behind (nat|a router|a firewall)", "can a relay read my (data|traffic|prompts)"]),
    ("No GPU is needed: the built-in engine runs on the CPU and uses AVX2 or AVX-512 where it finds " "them.",
        ["do i need a (gpu|graphics card|video card|big machine|cuda card)",
            "is a (gpu|graphics card) (needed|required|necessary)",
            "does (it|opengateway|gate|the engine) (need|require|use) (a gpu|gpus|cuda|a graphics card)",
            "(can it|does it|does gate) run (on|without) (a cpu|the cpu|a gpu|cpu only)", "(gpu|cuda)",
            "what hardware (do i need|does it need|is needed|is required)"]),
    ("OpenGateway runs on Linux; it is built and tested on Debian 12 and Ubuntu.", [
            "(which|what) (operating system(s|)|platform(s|)|system(s|)|os|distribution) (does it|does "
            "gate|does opengateway|are|is|do i) (run on|support|supported|need|work on)",
            "does (it|gate|opengateway) (run|work) on (linux|windows|mac|macos|debian|ubuntu|a raspberry "
            "pi|arch|fedora)",
            "can i (run|use|install) (it|gate|opengateway) on (linux|windows|macos|a mac|debian|ubuntu)",
            "is (windows|macos|linux|debian|ubuntu) supported", "(platforms|operating systems)"]),
    ("Each node has an Ed25519 key. The NodeId is its public key in hex; the PeerId is the same key in "
        "libp2p's form.", ["what is (a|the|my) (node id|nodeid|peer id|peerid|node identity|identity key)",
            "what is the (difference between|relation between|relation of) (a |)(node id|nodeid) and (a |"
            ")(peer id|peerid)", "(explain|define) (node id|nodeid|peer id|peerid|the peer id|the node id)",
            "(which|what) (key|kind of key|sort of key) (does a node have|identifies a node|does a node "
            "use|is used)", "how (is|are) (a node|nodes|a peer) identified",
            "(nodeid|peerid|node id|peer id|ed25519)",
            "what (algorithm|signature) (is|do) (the keys|the key|node keys|the node key|keys) (use|in)"]),
    ("If no token has come yet, another node is tried. Otherwise you get a clear error, never a hang; a "
        "lost node rejoins by itself.", [
            "what (happens|if|happens if|happens when) (a|the|my|another) (node|peer|machine) (dies|"
            "crashes|fails|goes away|is killed|goes offline|disappears|stops|breaks|goes down)( while "
            "answering| in the middle of an answer|)",
            "how (does it|does opengateway|does gate) (handle|deal with|survive) (failures|a crash|crashes|"
            "errors|a lost node|node failures|failing nodes)",
            "is (it|opengateway|the network) (fault tolerant|reliable|robust|fault-tolerant)",
            "(failover|failure|fault tolerance|crash)",
            "does (it|gate|opengateway) (retry|reconnect|fail over)( automatically|)",
            "what happens (on|after) a (crash|failure)"]),
    ("The local model answers if it can; otherwise your node asks a peer that has the model.", [
            "(which|what) (node|machine|peer|model) (answers|will answer|answers my prompt|answers my "
            "question|does the work|is used|handles my prompt)",
            "how (does|is) (gate|it|opengateway|a node|my node) (choose|decide|pick|select|route|chosen|"
            "decided) (who answers|the node|a node|which node answers|where a prompt goes|prompts|a prompt|"
            "a model|a peer)", "what happens (to|with) (my|a) (prompt|question|request)",
            "how (are|is) (prompts|a prompt|requests|my prompt) (routed|answered|handled|processed|"
            "distributed)", "how does routing work", "routing",
            "what happens if (my node has|i have|a node has) no model",
            "can (i|a node) ask without (a|its own|having a) model",
            "how does (opengateway|gate|it) (work|function)( internally| inside| under the hood|)",
            "how does it work"]),
    ("To use your own machines together, privately, from the clients you already use, without depending "
        "on anyone's cloud.", ["why (should|would) (i|we|one|anyone|people) use " + THIS, "what is " + OG +
            " (good|useful|used|there) for", "why " + OG,
            "what (are the|is the|are its) (advantages|benefits|advantage|benefit|use|purpose|pros)( of "
            "opengateway| of this|)", "what can (i|we) do with " + THIS, "(who|what) is opengateway for",
            "what (problem|problems) does (it|opengateway) solve", "do i (need|want) opengateway",
            "why does opengateway exist", "why not use (the cloud|chatgpt|a cloud service)( instead|)",
            "what are use cases of opengateway"]),
    ("`make test` builds everything, runs the tests and prints how many passed and failed.", [
            "how (do|can) i (run|start) (the |all |)tests", "what does (make test|`make test`) do",
            "(make test|tests|testing)", "(are there|does it have) tests",
            "how is (it|opengateway|gate) tested", "how to run the tests"]),
    ("--max-queue limits how many prompts may wait at a node. Beyond that it answers that it is busy.", [
            "(what does|what is|explain) (--max-queue|the max queue|the queue limit|the queue)( do| for|)",
            "how (do|can) i (limit|set|change|configure) (the |)(queue|number of waiting prompts|number of "
            "prompts|queue length|queue size)",
            "what happens (when|if) (a|my|the) node is (busy|overloaded|full)", "(max-queue|queue)",
            "how many prompts can wait"]),
    ("It is a small Unix socket in the data directory. The commands of gate use it to reach your node.", [
            "what is (control.sock|the control socket|the control.sock file)( for|)",
            "how do (the |)(commands|gate commands|gate ask and gate peers) (reach|talk to|contact|find) "
            "(my|the) node", "(control.sock|control socket)", "what does the control socket do",
            "how does the command line (reach|talk to) (my|the) node"]),
    ("`gate engine` is the child process that runs a loaded model. It has no network, so a bad model "
        "file cannot touch your keys.", [
            "what is (gate engine|the engine|`gate engine`|the engine process|the child process)( for|)",
            "what does (the engine|gate engine) do", "is (the model|the engine|a model) (sandboxed|isolated)",
            "(gate engine|engine|sandbox)",
            "(can|could) a (bad|hostile|malicious|broken) model (file |)(harm|hurt|attack|damage|steal "
            "from) (me|my node|my machine|my keys)",
            "why does (the model|the engine) run in (a|its own) (child |separate |)process"]),]

CHAT = [("Hello! I am %s, OpenGateway's small built-in model. Ask me a sum, a word task or something about "
        "OpenGateway." % NAME, [
            "(hi|hello|hey|hey there|hi there|hello there|good morning|good evening|good afternoon|good "
            "day|greetings|howdy|hiya|yo|hallo|bonjour|hola|salut|ciao|moin|servus|heya|morning|evening|"
            "welcome|aloha|namaste|ahoy|sup|hullo)",
            "(hi|hello|hey|good morning|good evening|greetings|hiya|howdy)(,|) (spark|there|friend|my "
            "friend|bot|computer|everyone|robot|model|assistant|again|dear|buddy|gateway|opengateway|you|"
            "world|pal|mate|sir|all)",
            "(hi|hello|hey)(,|!|.|) (nice to meet you|pleased to meet you|good to see you|i am new here|is "
            "anyone there|anybody there|are you there|can you hear me|how do you do|i am here|it's me|"
            "let's chat|let us talk|i would like to talk|glad to meet you)",
            "(nice to meet you|pleased to meet you|good to see you|is anyone there|are you there|anybody "
            "there|are you awake|anyone home|can you hear me|let us chat|let's talk|i just wanted to say "
            "hello|i want to greet you|say hi|say hello|greet me|just saying hi|hello hello|hi hi|wake up|"
            "test|testing|ping|are you online|long time no see|how do you do)",
            "i (just |)(want|wanted) to say (hi|hello|good morning)", "(hello|hi|hey) (hello|hi|hey)",
            "(a|very|a very) good (morning|evening|day|afternoon)( to you|)"]),
    ("I am well, thank you. What can I do for you?", [
            "how are you( doing|)( today| now| this morning| tonight|)", "how('s| is) it going( today|)",
            "how do you feel( today|)",
            "are you (ok|okay|well|fine|alright|all right|good|happy|doing well)( today|)",
            "(hi|hello|hey)(,|!|.|) how are you( doing|)( today|)",
            "how('s| is) (your day|life|everything|it hanging)( going|)", "what's up", "whats up", "wassup",
            "how have you been", "(hi|hello|hey)(,|!|) what's up", "are you having a (good|nice) day",
            "how is your day", "i hope you are (well|fine|good)", "how are things( going| with you|)",
            "hello(,|!|) how's it going", "i am (fine|good|well)(,|.) (and you|how are you|what about you)",
            "everything (ok|okay|fine|alright)", "you (good|okay|ok|alright)",
            "feeling (good|well|okay)( today|)", "(hi|hello)(,|) are you (ok|well|fine)"]),
    ("You are welcome.", [
            "(thanks|thank you|thank you very much|thanks a lot|many thanks|thx|thank you so much|cheers|"
            "ty|much appreciated|thanks so much|great thanks|i appreciate it|i am grateful|merci|danke|"
            "gracias|thank u|tysm|thnx)",
            "(thanks|thank you|thx)(,|) (spark|friend|that helps|that helped|for your help|for the answer|"
            "for that|that was helpful|that is all|that was great|i appreciate it|very helpful|for helping "
            "me|for everything|buddy|my friend|mate|it works|for the help|well done)",
            "(great|perfect|nice|cool|awesome|ok|good|wonderful|excellent|super|alright)(,|) (thanks|thank "
            "you|thank you very much|thanks a lot)",
            "(that|this|it) (helped|helps|was helpful|is helpful|was useful)(,|.|) (thanks|thank you|a lot|"
            "me a lot)", "i (want|would like|just want) to (thank you|say thanks|say thank you)",
            "you (helped|have helped) me( a lot|)(, thanks|)"]),
    ("Goodbye!", [
            "(bye|goodbye|good bye|see you|see you later|good night|farewell|bye bye|see ya|cya|ciao ciao|"
            "until next time|take care|so long|later|adieu|au revoir|tschuess|adios|have a nice day|have a "
            "good day|have a good evening|talk to you later|see you soon|see you tomorrow|catch you later|"
            "until tomorrow|sleep well|cheerio|ttyl|night night)",
            "(bye|goodbye|good night|see you)(,|) (spark|for now|my friend|then|and thanks|friend|tomorrow|"
            "everyone|there|now|robot|take care|have a nice day)",
            "(i have to|i must|i need to|i've got to|i gotta|gotta|i should|time to|i will|let me) (go|"
            "leave|sleep|run|stop)( now|)(, bye|. bye|, goodbye|)",
            "that('s| is) all( for now| for today|)(, bye|, goodbye|. bye|)",
            "(ok|okay|alright)(,|) (bye|goodbye|see you|good night)",
            "i am (leaving|going|off)( now|)(, bye|)"]),
    ("I am %s, the small language model built into OpenGateway, so that a node can answer offline out "
        "of the box." % NAME, ["who are you", "what are you", "what is your name", "what's your name",
            "whats your name", "your name( please|)", "do you have a name", "introduce yourself",
            "tell me (about yourself|who you are|your name|something about yourself|what you are|a bit "
            "about yourself|more about you|about you)",
            "who am i (talking|speaking|chatting|writing) (to|with)", "what (should|can|may) i call you",
            "how (are you called|should i call you|may i call you)",
            "are you (a robot|a human|human|real|an ai|a person|a machine|a bot|alive|a computer|a program|"
            "a language model|an llm|artificial|intelligent|a chatbot|conscious|sentient|a real person|a "
            "man|a woman|a boy|a girl)",
            "are you (chatgpt|gpt|claude|gemini|llama|gpt-4|siri|alexa|an openai model|copilot|mistral|"
            "bard|gpt4|from openai|made by openai|deepseek)",
            "(which|what) (model|ai|language model|llm|bot|assistant|kind of model|sort of ai|kind of ai) "
            "(are you|is this|am i using|do you use|am i talking to|runs here|are you based on|answers me)",
            "describe yourself", "is this (chatgpt|an ai|a bot|a human|a robot|gpt|a person)",
            "who is (spark|this|there|speaking|answering)", "what is spark", "are you spark",
            "is your name spark", "(identify|present) yourself", "what do (people|they) call you",
            "name yourself", "(say|state|give|spell) your name",
            "am i (talking|speaking|chatting) (to|with) (a human|a robot|a person|an ai|a bot|a machine)",
            "what kind of (thing|being|assistant|program|bot) are you", "you are (who|what)",
            "do you have (feelings|a soul|emotions|a body|consciousness|a brain)"]),
    ("I can do small sums (also differences and products), simple word tasks (reverse, uppercase, "
        "count, sort) and answer questions about OpenGateway.", ["what can you do( for me|)",
            "what (are you able to do|are your abilities|are your skills|are your capabilities|do you know|"
            "are you good at|are you good for|do you do|is your purpose|is your job|are you for|are you "
            "capable of|tricks do you know|are your functions|features do you have)",
            "(how|what) can you help( me|)( with|)", "help", "help me",
            "what (questions|tasks|things|kinds of questions|sort of questions|kind of tasks) can (i ask "
            "you|you answer|you do|you solve|i ask|i give you|you handle|you help with)",
            "what (can|may|should|could) i ask( you| here|)( about|)",
            "(list|show|tell me|describe|name) your (abilities|skills|capabilities|features|functions)",
            "can you help( me|)", "i need (help|your help|some help|assistance)",
            "(what|which) (skills|abilities|functions|talents) do you have", "tell me what you can do",
            "how (useful|smart|good|clever|capable) are you", "what do you (understand|offer)",
            "give me (examples|an example|some examples) of what you can do",
            "are you (useful|helpful|smart|clever)", "how can you (assist|be of use|be useful)( me| to me|)",
            "(menu|options|abilities|capabilities|skills)", "what is it (that |)you can do",
            "can you (do math|do maths|calculate|count|add|do arithmetic|do sums|reverse words|sort words|"
            "answer questions|add numbers|do calculations|work with words)",
            "what are your (limits|limitations|weaknesses)", "what can't you do", "what can you not do",
            "do you know (math|maths|everything|a lot|much)", "what sums can you do",
            "can i ask you (something|a question|anything|questions)", "may i ask (something|a question)",
            "i have a question"]),
    ("I have about 1.4 million parameters in a GGUF file of 1.5 MB: very small, but always there.", [
            "how (big|large|small|many parameters big|heavy) are you", "how many parameters do you have",
            "what is your (size|parameter count|file size|number of parameters)",
            "how much (memory|space|disk space|ram) do you (need|take|use)",
            "(are you|you are) (a |)(small|large|big|tiny)( model|)",
            "how many (weights|layers|tokens|neurons) do you have", "(your |model )size",
            "how (big|large) is (the|your|this) (built-in |small |embedded |)(model|file|model file)",
            "why are you so (small|limited|simple|dumb|stupid|tiny|weak)"]),
    ("The OpenGateway project trained me with the scripts in its models/ folder, on data that a script "
        "generates.", ["who (made|created|built|trained|wrote|developed|programmed|invented|designed) you",
            "where do you come from", "who is your (creator|maker|author|father|owner|boss|mother|developer)",
            "how were you (made|trained|created|built|developed|programmed)",
            "(what|which) data were you trained on", "what is your training data",
            "where were you (made|trained|born|created)", "who (owns|controls|runs) you",
            "how did you (learn|come to be|get here)", "when were you (made|born|trained|created|built)",
            "how old are you", "what is your age", "who are your (makers|creators|parents|developers)",
            "did (openai|google|meta|anthropic|microsoft) (make|train|create|build) you", "how do you work",
            "were you trained( by a script| on books|)"]),
    ("English. I understand simple sentences best.", [
            "(what|which) language(s|) do you (speak|know|understand|use)",
            "do you (speak|understand|know) (german|french|spanish|english|italian|chinese|japanese|other "
            "languages|any other language|russian|portuguese|arabic)",
            "can you (speak|understand|talk|write in|answer in) (german|french|spanish|english|italian|"
            "chinese|russian|another language)", "sprechen sie deutsch", "parlez-vous francais",
            "habla espanol", "sprichst du deutsch", "do you speak any (other |foreign |)language(s|)",
            "is english (ok|okay|your language)"]),
    ("Glad to hear it. What else can I do for you?", [
            "(good|great|nice|perfect|cool|awesome|wonderful|excellent|correct|right|that is right|that's "
            "right|that is correct|well done|good job|very good|ok|okay|fine|i see|got it|alright|"
            "understood|super|amazing|fantastic|brilliant|yes|yeah|sure|good bot|nice work|sounds good|wow|"
            "good answer|nice one|exactly|impressive|all right|yep|makes sense|that makes sense|fair "
            "enough|lovely|great work|bravo|i understand|that is good|interesting|cool story|true|of "
            "course|you are right|no problem|never mind|nice try)",
            "(you are|you're) (great|good|smart|nice|clever|awesome|cool|helpful|right|cute|amazing|funny|"
            "wonderful|kind|the best|very smart|a good bot|so clever)",
            "i like (you|it|that|this|your answer|your answers|how you answer)",
            "(that|this|it) (works|is great|is good|was good|is nice|is cool|is correct|was right|is "
            "perfect|is what i wanted|is fine|worked)", "i love you",
            "i am (happy|glad|impressed|pleased|satisfied)( with that| with you| now|)",
            "(well|very well) done(, spark|)", "what a (good|nice|great|clever) (answer|bot|model|reply)"]),]
