#!/usr/bin/env python3
"""The commands as a shell sees them: which node is meant, what goes to which stream, and with which
status. Usage: test_cli.py GATE"""
import json, os, pty, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request

GATE = sys.argv[1]
HOME = tempfile.mkdtemp(prefix="gate-cli-")
ENV = {k: v for k, v in os.environ.items() if not k.startswith("GATE_")} | {"GATE_HOME": HOME}
OK, FAILED, USAGE, NO_NODE, DENIED, NOT_FOUND, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 124, 130
NOBODY = 65534
nodes = []


def gate(*args, env={}, **options):
    return subprocess.run([GATE, *args], env=ENV | env, capture_output=True, text=True,
                          timeout=30, stdin=options.pop("stdin", subprocess.DEVNULL), **options)


def check(done, status, *texts):
    assert done.returncode == status, f"{done.args}: {done.returncode}\n{done.stdout}{done.stderr}"
    for text in texts:
        assert text in done.stdout + done.stderr, f"no {text!r} in:\n{done.stdout}{done.stderr}"
    return done


def refused(done, status):
    """What --json prints of a failure: one document, and nothing else."""
    check(done, status)
    error = json.loads(done.stdout)["error"]
    assert set(error) == {"code", "message"} and error["code"] and error["message"], error
    return error


def start(label, model="none"):
    log = open(f"{HOME}/{label}.log", "w")
    node = subprocess.Popen([GATE, "start", "--node-id", label, "--model", model, "--no-mdns",
                             "--port", "0", "--http-port", "0", "--control-port", "0",
                             "--listen", "127.0.0.1"], env=ENV, stderr=log)
    nodes.append(node)
    for _ in range(200):
        if gate("status", "--node-id", label).returncode == OK:
            return node
        assert node.poll() is None, open(log.name).read()
        time.sleep(0.05)
    raise AssertionError(f"{label} did not come up:\n" + open(log.name).read())


def without_a_node():
    for command in ("status", "peers", "models", "id", "stop"):
        done = check(gate(command), NO_NODE, "no node is running", "gate start")
        assert done.stdout == ""
    check(gate("status", "--node-id", "nobody"), NO_NODE, f"{HOME}/nobody")
    error = json.loads(check(gate("status", "--json"), NO_NODE).stdout)["error"]
    assert error["code"] and "no node is running" in error["message"]
    check(gate("status", env={"GATE_HOME": "/nonexistent"}), NO_NODE)


def usage():
    check(gate(), USAGE, "Usage: gate COMMAND")
    check(gate("help"), OK, "Usage: gate COMMAND")
    check(gate("status", "--help"), OK, "gate status", "--timeout")
    assert "--temperature" not in gate("status", "--help").stdout
    assert "--temperature" in gate("ask", "--help").stdout
    check(gate("sttus"), USAGE, 'unknown command "sttus"')
    check(gate("status", "--model", "x"), USAGE, "unknown flag --model (see gate status --help)")
    check(gate("status", "--json=yes"), USAGE, "--json takes no value")
    check(gate("status", "--timeout"), USAGE, "--timeout: the value is missing")
    for value in ("0", "-1", "x", "1s", "86401", ""):
        check(gate("status", "--timeout", value), USAGE, "--timeout:")
    check(gate("ask"), USAGE, "nothing to ask")
    check(gate("ask", ""), USAGE, "nothing to ask")
    check(gate("ask", *["w"] * 65), USAGE, "put the prompt in quotes")
    check(gate("help", "peers"), OK, "gate peers [list", "--all")
    check(gate("help", "start"), OK, "Usage: gate start")
    check(gate("help", "frob"), USAGE, 'unknown command "frob"')
    check(gate("help", "ask", "peers"), USAGE)
    check(gate("version"), OK, "gate ")
    assert json.loads(check(gate("version", "--json"), OK).stdout)["version"]


# Nothing runs: whatever gets as far as to look for a node answers NO_NODE.
WRONG = [["id", "x"], ["status", "x"], ["models", "x"], ["stop", "x"], ["version", "x"],
         ["invite", "x"], ["peers", "frob"], ["peers", "accept"], ["peers", "accept", ""],
         ["peers", "accept", "a", "b"], ["peers", "list", "x"], ["doctor", "a", "b"],
         ["doctor", ""], ["pair", "12345"], ["pair", "1234567"], ["pair", "abc", "def"],
         ["pair", "123", "456", "7"], ["invite", "--expires", "1"], ["invite", "--uses", "0"],
         ["invite", "--uses", "65"], ["invite", "--uses", "x"], ["invite", "--list", "--revoke", "a"],
         ["invite", "--list", "--uses", "2"], ["ask", "--seed", "x", "hi"],
         ["ask", "--temperature", "2.5", "hi"], ["ask", "--temperature", "-1", "hi"],
         ["ask", "--max-tokens", "0", "hi"], ["ask", ""], ["join"], ["completion"],
         ["completion", "tcsh"], ["completion", "bash", "zsh"], ["help", "frob"], ["frob"],
         ["status", "--frob"], ["status", "--timeout", "x"], ["status", "--data-dir", ""]]


def usage_before_anything_else():
    for words in WRONG:
        done = check(gate(*words), USAGE)
        assert done.stdout == "" and done.stderr.startswith("gate"), words
        done = gate(*words, "--json")
        refused(done, USAGE)
        assert done.stderr.count("\n") == 1, done.stderr
    refused(gate("--json"), USAGE)
    done = subprocess.run([GATE, "ask", "--json", b"\xff"], env=ENV, capture_output=True, timeout=30)
    assert done.returncode == USAGE and "error" in json.loads(done.stdout)
    check(gate("status", env={"GATE_DATA_DIR": "x" * 2000}), USAGE, "GATE_DATA_DIR")


def no_permission():
    """A socket of somebody else's is not called absent."""
    folder = f"{HOME}/locked"
    os.makedirs(f"{folder}/alpha")
    open(f"{folder}/alpha/control.sock", "w").close()
    os.chmod(f"{folder}/alpha", 0o700)
    program = f"{HOME}/gate"
    shutil.copy(GATE, program)
    os.chmod(HOME, 0o755)
    who = {}
    if os.getuid() == 0:
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    else:
        os.chmod(f"{folder}/alpha", 0)
    for words in (["--data-dir", f"{folder}/alpha"], ["--node-id", "alpha"], []):
        done = subprocess.run([program, "status", "--json", *words], env=ENV | {"GATE_HOME": folder},
                              capture_output=True, text=True, timeout=30, cwd="/", **who)
        error = refused(done, DENIED)
        assert "permission denied" in error["message"] and "sudo -u" in error["message"], error
        assert "no node is running" not in done.stderr
    os.chmod(f"{folder}/alpha", 0o700)
    shutil.rmtree(folder)
    os.remove(program)


def one_node():
    start("alpha")
    status = json.loads(check(gate("status", "--json"), OK).stdout)
    assert status["label"] == "alpha" and status["data_dir"] == f"{HOME}/alpha"
    assert status["cluster"]["joined"] and status["models"] == [] and status["peers"] == 0
    network = status["network"]
    assert network["connections"]["limit"] == 512
    assert network["memory"]["limit"] == 256 << 20
    assert network["streams"]["used"] <= network["streams"]["limit"]
    assert network["connections"]["for_strangers"] < network["connections"]["limit"]
    assert set(status["jobs"]) == {"running", "queued", "completed", "failed", "cancelled",
                                   "retried"}
    identity = json.loads(check(gate("id", "--json"), OK).stdout)
    assert set(identity) == {"node_id", "peer_id", "label", "addresses"}
    assert gate("id").stdout.strip() == identity["node_id"] == status["node_id"]
    assert json.loads(check(gate("models", "--json"), OK).stdout) == []
    assert json.loads(check(gate("peers", "--json", "--all"), OK).stdout) == []
    for command, text in (("models", "no node of the cluster serves a model"),
                          ("peers", "no peers yet")):
        done = check(gate(command), OK, text)
        assert done.stdout == "", "data alone goes to stdout"
    check(gate("status", "--data-dir", f"{HOME}/alpha"), OK)
    check(gate("status", env={"GATE_DATA_DIR": f"{HOME}/alpha"}), OK)
    check(gate("status", env={"GATE_NODE_ID": "alpha"}), OK)
    check(gate("status", env={"GATE_NODE_ID": "", "GATE_DATA_DIR": ""}), OK)
    check(gate("status", env={"GATE_NODE_ID": "nobody"}), NO_NODE)
    check(gate("status", "--node-id", "alpha", env={"GATE_NODE_ID": "nobody"}), OK)


def asking():
    done = check(gate("ask", "what", "is", "2+2?"), NOT_FOUND, "serves a model")
    assert done.stdout == ""
    done = check(gate("ask", "--json", "hello"), NOT_FOUND)
    assert json.loads(done.stdout)["error"]["code"] == "model_not_found"
    check(gate("ask", "--target", "nobody", "hello"), NOT_FOUND, 'no node called "nobody"')
    check(gate("ask", "--seed", "", "hi"), USAGE, "--seed: the value is empty")
    for flags in (["--seed", "1e3"], ["--seed", "x"], ["--max-tokens", "2.5"],
                  ["--seed", "99999999999999999999"]):
        check(gate("ask", *flags, "hello"), USAGE, flags[0], "is not a whole number")
    for value in ("warm", "nan", "inf", "1e999"):
        check(gate("ask", "--temperature", value, "hello"), USAGE, "--temperature", "is not a number")
    check(gate("ask", "--temperature", "9", "hello"), USAGE, "--temperature")
    check(gate("ask", "--max-tokens", "0", "hello"), USAGE, "--max-tokens")
    check(gate("ask", "--", "--json"), NOT_FOUND)
    with open("/dev/zero", "rb") as endless:
        check(gate("ask", stdin=endless), USAGE)
    done = subprocess.run([GATE, "ask"], env=ENV, input=b"\xff\xfe", capture_output=True, timeout=30)
    assert done.returncode == USAGE and b"UTF-8" in done.stderr
    done = subprocess.run([GATE, "ask", "-"], env=ENV, input=b"hi\n", capture_output=True, timeout=30)
    assert done.returncode == NOT_FOUND


def oversized():
    """What is too large is refused in words, not by cutting the connection."""
    with tempfile.TemporaryFile() as prompt:
        prompt.write(b"\x01" * 4_000_000)  # 24 MB once escaped
        prompt.seek(0)
        assert refused(gate("ask", "--json", stdin=prompt), FAILED)["code"] == "request_too_large"
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{HOME}/alpha/control.sock")
        s.settimeout(30)
        for _ in range(40):
            s.sendall(b"x" * 1_000_000)
        s.sendall(b'\n{"jsonrpc":"2.0","id":7,"method":"models.list"}\n')
        lines = s.makefile()
        refusal, answer = json.loads(lines.readline()), json.loads(lines.readline())
        assert refusal["id"] is None and refusal["error"]["data"]["code"] == "request_too_large"
        assert answer["id"] == 7 and answer["result"] == [], answer


def interrupt_at_the_prompt():
    """Ctrl-C while standard input is awaited ends the program at once."""
    main, other = pty.openpty()
    ask = subprocess.Popen([GATE, "ask"], env=ENV, stdin=other, stdout=other, stderr=other)
    time.sleep(0.3)
    assert ask.poll() is None
    ask.send_signal(signal.SIGINT)
    assert ask.wait(5) == INTERRUPTED
    os.close(main)
    os.close(other)


def interrupted():
    """Ctrl-C is a failure like others: at the prompt, and while the node works."""
    for words in (["ask"], ["join", "-"], ["pair"]):
        command = subprocess.Popen([GATE, *words, "--json"], env=ENV, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        time.sleep(0.4)
        assert command.poll() is None, words
        command.send_signal(signal.SIGINT)
        out = command.stdout.read()
        assert command.wait(5) == INTERRUPTED, words
        assert json.loads(out)["error"]["code"] == "cancelled", out
        command.stdin.close()
    reader, writer = os.pipe()  # that nobody writes to
    done = gate("ask", "--json", "--timeout", "1", stdin=reader)
    assert refused(done, TIMEOUT)["code"] == "timeout"
    os.close(reader)
    os.close(writer)


def pairing_tells():
    """The search for a code takes its time: it says so, and ends when it is told to."""
    done = check(gate("pair", "123456", "--timeout", "2"), TIMEOUT, "Looking for the node nearby")
    assert done.stdout == "" and "\r" not in done.stderr
    done = gate("pair", "123", "456", "--json", "--timeout", "7")
    refused(done, TIMEOUT)
    assert "Still looking after 6 s\n" in done.stderr, done.stderr


def itself():
    """A node's own names mean itself."""
    status = json.loads(check(gate("status", "--json"), OK).stdout)
    for name in (status["label"], status["node_id"], status["peer_id"]):
        done = gate("doctor", "--json", name)
        assert done.returncode in (OK, FAILED), done.stderr
        hops = {f["hop"] for f in json.loads(done.stdout)["findings"]}
        assert "listening" in hops, hops
    check(gate("doctor", "nobody"), NOT_FOUND)


def peers():
    check(gate("peers", "accept"), USAGE, "which peer?")
    check(gate("peers", "accept", "nobody"), NOT_FOUND, 'no peer called "nobody"')
    check(gate("peers", "reject", "nobody"), NOT_FOUND)
    check(gate("peers", "frobnicate"), USAGE, "frobnicate")
    check(gate("peers", "list"), OK)


def api(path, key=None):
    """The status of a GET of the first node's API."""
    url = json.loads(gate("status", "--node-id", "alpha", "--json").stdout)["http"] + path
    request = urllib.request.Request(url, headers={"x-api-key": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def keys():
    done = check(gate("keys"), OK, "there are no keys")
    assert done.stdout == "" and json.loads(gate("keys", "--json").stdout) == []
    assert api("/models") == 200
    done = check(gate("keys", "create", "laptop", "--scopes", "models,inference", "--models",
                      "tiny*", "--requests-per-minute", "60", "--expires", "7d"), OK,
                 "It is shown this once")
    key = done.stdout.strip()
    assert key.startswith("og-") and len(key) == 59 and key not in done.stderr
    assert api("/models") == 401 and api("/models", key) == 200 and api("/models", key[:-1]) == 401
    check(gate("status"), OK, "/v1 (wants a key)")
    listed = check(gate("keys", "list"), OK, "laptop", "valid", "inference,models", "tiny*",
                   "60 requests/min").stdout
    assert key not in listed and listed.splitlines()[1].startswith(key[3:11]), listed
    assert "key" not in json.loads(gate("keys", "--json").stdout)[0]
    made = json.loads(check(gate("keys", "create", "ci", "--json"), OK).stdout)
    assert made["key"].startswith("og-" + made["id"]) and made["expires_ms"] is None
    assert refused(gate("keys", "create", "ci", "--json"), FAILED)["code"] == "already_exists"
    for words, text in ((["create"], "create NAME"), (["revoke"], "revoke ID"), (["x"], "revoke"),
                        (["create", "a", "b"], "too much"), (["list", "--models", "x"], "flags"),
                        (["create", "a", "--scopes", "x"], "is no scope"),
                        (["create", "a", "--concurrent", "x"], "not a number"),
                        (["create", "a", "--expires", "soon"], "is no time")):
        check(gate("keys", *words), USAGE, text)
    check(gate("keys", "revoke", "nobody"), NOT_FOUND)
    check(gate("keys", "revoke", made["id"]), OK, "revoked")
    assert api("/models", made["key"]) == 401 and api("/models", key) == 200
    # Whatever happens to the node, its keys are what they were.
    nodes[0].kill()
    nodes[0].wait()
    nodes[0] = start("alpha")
    nodes.pop()
    assert api("/models") == 401 and api("/models", key) == 200
    check(gate("keys", "revoke", "laptop"), OK, "no key is left")
    assert api("/models", key) == 200 and api("/models") == 200
    assert [k["state"] for k in json.loads(gate("keys", "--json").stdout)] == ["revoked"] * 2


def trust():
    check(gate("peers", "trusted"), OK, "no peer has rights of its own")
    peer = "12D3KooWEsGK4VtBPaz9xayuC4UAJmn57LGD79KP6Ly7wYQjhUKq"
    check(gate("peers", "trust", peer, "--name", "attic", "--scopes", "none"), OK, "trusted")
    check(gate("peers", "trusted"), OK, "attic", "none")
    check(gate("peers", "trust", peer, "--tokens-per-minute", "5"), OK)
    (one,) = json.loads(gate("peers", "trusted", "--json").stdout)
    assert one["scopes"] == ["inference", "embeddings", "models"], one
    assert one["limits"]["tokens_per_min"] == 5 and one["peer_id"] == peer
    check(gate("peers", "trust"), USAGE, "which peer?")
    check(gate("peers", "untrust", peer, "--scopes", "none"), USAGE)
    check(gate("peers", "untrust", peer), OK)
    check(gate("peers", "untrust", peer), NOT_FOUND)


def records():
    check(gate("requests", "nothing"), NOT_FOUND)
    follower = subprocess.Popen([GATE, "requests", "-f", "--json"], env=ENV, text=True,
                                stdout=subprocess.PIPE)
    time.sleep(0.3)
    check(gate("ask", "what is 2+2?"), NOT_FOUND)
    ended = json.loads(follower.stdout.readline())
    follower.send_signal(signal.SIGINT)
    assert follower.wait(10) == INTERRUPTED
    assert ended["outcome"] == "failed" and ended["source"]["kind"] == "command", ended
    assert ended["error"]["code"] == "model_not_found" and "2+2" not in json.dumps(ended)
    newest = json.loads(check(gate("requests", "--json", "--limit", "1"), OK).stdout)
    assert [r["id"] for r in newest] == [ended["id"]]
    check(gate("requests"), OK, ended["id"], "failed: ")
    check(gate("requests", ended["id"]), OK, ended["prompt_sha256"], "outcome     failed")
    check(gate("requests", "--limit", "0"), USAGE, "--limit")
    check(gate("requests", "x", "-f"), USAGE)
    time.sleep(0.8)  # written by now: the end of the node loses nothing
    nodes[0].kill()
    nodes[0].wait()
    nodes[0] = start("alpha")
    nodes.pop()
    check(gate("requests", ended["id"]), OK, "failed")


def a_damaged_database():
    home = f"{HOME}/hurt"
    node = start("hurt")
    nodes.pop()
    check(gate("stop", "--node-id", "hurt"), OK)
    assert node.wait(10) == OK
    os.chmod(f"{home}/gate.db", 0o644)
    begin = ["start", "--node-id", "hurt", "--model", "none", "--port", "0"]
    check(gate(*begin), FAILED, f"{home}/gate.db can be read by others", "chmod 600")
    os.chmod(f"{home}/gate.db", 0o600)
    with open(f"{home}/gate.db", "r+b") as f:
        f.write(b"nonsense of a kind" * 300)
    check(gate(*begin), FAILED, f"{home}/gate.db", "damaged, or no database", "Move it away")


def complete(line, setup=""):
    """What bash offers for a line that ends at the cursor."""
    script = f"""
        PATH={HOME}/bin:$PATH
        source <(gate completion bash) || exit 1
        {setup}
        COMP_LINE=$1 COMP_POINT=${{#1}}
        _gate
        printf '%s\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script, "bash", line], env=ENV, capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def completion():
    os.mkdir(f"{HOME}/bin")
    os.symlink(os.path.realpath(GATE), f"{HOME}/bin/gate")
    commands = complete("gate ")
    assert {"start", "ask", "peers", "completion", "help"} <= set(commands), commands
    listed = [l.split()[0] for l in gate("help").stdout.splitlines() if l.startswith("  ")]
    assert sorted(listed) == sorted(commands)
    assert complete("gate pe") == ["peers"]
    assert complete("gate peers a") == ["accept"]
    assert complete("gate peers --a") == ["--all"]
    assert complete("gate providers re") == ["remove", "refresh"]
    assert "--temperature" in complete("gate ask --") and "--all" not in complete("gate ask --")
    assert complete("gate start --http-l") == ["--http-listen"]
    assert complete("gate start --log-level w") == ["warn"]
    assert complete("gate start --log-level=w") == ["warn"]
    assert complete("gate completion ") == ["bash", "zsh", "fish"]
    assert complete(f"gate start --config {HOME}/al") == [f"{HOME}/alpha", f"{HOME}/alpha.log"]
    # Names with colons: bash replaces only what stands behind the last one.
    names = "gate() { [[ $2 == models ]] && printf '%s\n' llama3:8b llama3:70b 'odd $(x) name' mist; }"
    assert complete("gate ask --model ", names)[:2] == ["llama3:8b", "llama3:70b"]
    assert complete("gate ask --model llama3:", names) == ["8b", "70b"]
    assert complete("gate ask --model llama3:7", names) == ["70b"]
    assert complete("gate ask --model=mi", names) == ["mist"]
    assert complete("gate ask --model odd", names) == ["odd\\", "\\$\\(x\\)\\", "name"]
    check(gate("completion", "models"), OK)
    check(gate("completion", "peers", env={"GATE_HOME": "/nonexistent"}), OK)
    assert complete(f"gate start --model {HOME}/al", names) == [f"{HOME}/alpha", f"{HOME}/alpha.log"]
    check(gate("completion", "zsh"), OK, "--http-listen")
    check(gate("completion", "fish"), OK, "-l http-listen")
    if shutil.which("zsh"):
        in_zsh(names)
    if shutil.which("fish"):
        in_fish()


def in_zsh(names):
    """As zsh would call it, with its own commands for completion replaced."""
    def offered(*words):
        script = f"""
            PATH={HOME}/bin:$PATH
            compdef() {{ }}; compset() {{ }}; _files() {{ print FILES }}
            compadd() {{ shift; print -rl -- "$@" }}
            source <(gate completion zsh)
            {names}
            words=(gate "$@") CURRENT=$(( $# + 1 ))
            _gate
        """
        done = subprocess.run(["zsh", "-f", "-c", script, "zsh", *words], env=ENV,
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout.splitlines()
    assert {"start", "peers", "completion"} <= set(offered("pe"))
    assert offered("peers", "a") == ["list", "accept", "reject", "trust", "untrust", "trusted"]
    assert offered("ask", "--model", "") == ["llama3:8b", "llama3:70b", "odd $(x) name", "mist"]
    assert offered("start", "--model", "") == ["FILES"]
    assert offered("start", "--log-level=w") == ["trace", "debug", "info", "warn", "error"]
    assert "--temperature" in offered("ask", "--")


def in_fish():
    def offered(line):
        script = "gate completion fish | source; complete -C $argv[1]"
        done = subprocess.run(["fish", "--no-config", "-c", script, line], capture_output=True,
                              text=True, timeout=30, env=ENV | {"PATH": f"{HOME}/bin:/usr/bin:/bin"})
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return [row.split("\t")[0] for row in done.stdout.splitlines()]
    assert "peers" in offered("gate pe")
    assert offered("gate peers a") == ["accept"]
    assert offered("gate start --http-l") == ["--http-listen"]
    assert "warn" in offered("gate start --log-level w")
    assert "--all" in offered("gate peers --a") and "--all" not in offered("gate ask --a")


def colours():
    """QR codes are the one thing with colours; whoever wants none gets none."""
    def qr(**env):
        plain = {k: v for k, v in ENV.items() if k not in ("NO_COLOR", "CLICOLOR_FORCE", "TERM")}
        main, other = pty.openpty()
        done = subprocess.Popen([GATE, "invite", "--qr"], env=plain | env, stdout=other,
                                stderr=subprocess.DEVNULL)
        os.close(other)
        out = b""
        while True:
            try:
                out += os.read(main, 65536) or b""
            except OSError:
                break
        os.close(main)
        assert done.wait(30) == OK
        assert "█".encode() in out
        return b"\033[" in out
    assert qr(TERM="xterm")
    assert not qr(TERM="dumb") and not qr()
    assert not qr(TERM="xterm", NO_COLOR="1") and qr(TERM="xterm", NO_COLOR="")
    assert qr(TERM="dumb", CLICOLOR_FORCE="1") and not qr(TERM="dumb", CLICOLOR_FORCE="0")
    assert not qr(TERM="xterm", NO_COLOR="1", CLICOLOR_FORCE="1")
    assert "\033[" not in gate("invite", "--qr").stdout
    assert "\033[" in gate("invite", "--qr", env={"CLICOLOR_FORCE": "1"}).stdout


def several_nodes():
    for i in range(40):  # folders of nodes that do not run
        os.mkdir(f"{HOME}/old-{i}")
    check(gate("status"), OK)
    start("beta")
    done = check(gate("status"), USAGE, "several nodes are running", "--node-id")
    assert "alpha" in done.stderr and "beta" in done.stderr
    label = json.loads(check(gate("status", "--json", "--node-id", "beta"), OK).stdout)["label"]
    assert label == "beta"


def children(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]


def wait_for(what, condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def engine_in_its_cage():
    """The engine is a process of its own, locked in, and comes back when it is killed."""
    node = start("gamma", "embedded")
    (engine,) = children(node.pid)
    assert os.readlink(f"/proc/{engine}/exe") == os.path.realpath(GATE)
    status = open(f"/proc/{engine}/status").read()
    if b"__asan_init" not in open(GATE, "rb").read():
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status
    ask = ["ask", "--node-id", "gamma", "--max-tokens", "4", "--json", "What is 2+2?"]
    answer = json.loads(check(gate(*ask), OK).stdout)
    assert answer["usage"]["completion_tokens"] <= 4 and answer["node"]["label"] == "gamma"
    os.kill(engine, signal.SIGKILL)
    wait_for("another engine", lambda: children(node.pid) not in ([], [engine]))
    wait_for("an answer", lambda: gate(*ask).returncode == OK)
    assert "signal 9" in open(f"{HOME}/gamma.log").read()
    (engine,) = children(node.pid)
    os.kill(engine, signal.SIGSTOP)
    asker = subprocess.Popen([GATE, *ask], env=ENV, stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    node.send_signal(signal.SIGKILL)  # and it does not outlive its node
    node.wait()
    assert asker.wait(10) == NO_NODE  # who asked hears of it
    assert json.loads(asker.stdout.read())["error"]["code"].startswith("connection_")
    wait_for("the engine's end", lambda: not os.path.exists(f"/proc/{engine}"))


def the_end():
    check(gate("stop", "--node-id", "beta"), OK)
    assert nodes[1].wait(10) == OK
    nodes[0].send_signal(signal.SIGTERM)
    assert nodes[0].wait(10) == OK
    check(gate("status"), NO_NODE)


try:
    for story in (without_a_node, usage, usage_before_anything_else, no_permission, one_node,
                  asking, oversized, interrupt_at_the_prompt, interrupted, pairing_tells, itself, peers,
                  keys, trust, records, a_damaged_database, completion, colours, several_nodes, engine_in_its_cage, the_end):
        story()
        print("ok", story.__name__)
finally:
    for node in nodes:
        if node.poll() is None:
            node.kill()
            node.wait()
    shutil.rmtree(HOME)
