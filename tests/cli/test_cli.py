#!/usr/bin/env python3
"""The commands as a shell sees them: which node is meant, what goes to which stream, and with which
status. Usage: test_cli.py GATE"""
import json, os, pty, shutil, signal, subprocess, sys, tempfile, time

GATE = sys.argv[1]
HOME = tempfile.mkdtemp(prefix="gate-cli-")
ENV = {k: v for k, v in os.environ.items() if not k.startswith("GATE_")} | {"GATE_HOME": HOME}
OK, FAILED, USAGE, NO_NODE, NOT_FOUND, TIMEOUT = 0, 1, 2, 3, 5, 124
nodes = []


def gate(*args, env={}, **options):
    return subprocess.run([GATE, *args], env=ENV | env, capture_output=True, text=True,
                          timeout=30, stdin=options.pop("stdin", subprocess.DEVNULL), **options)


def check(done, status, *texts):
    assert done.returncode == status, f"{done.args}: {done.returncode}\n{done.stdout}{done.stderr}"
    for text in texts:
        assert text in done.stdout + done.stderr, f"no {text!r} in:\n{done.stdout}{done.stderr}"
    return done


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
    assert set(status["jobs"]) == {"running", "queued", "completed", "failed", "retried"}
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
    check(gate("ask", "--temperature", "9", "hello"), USAGE, "temperature")
    check(gate("ask", "--max-tokens", "0", "hello"), USAGE, "max_tokens")
    check(gate("ask", "--", "--json"), NOT_FOUND)
    with open("/dev/zero", "rb") as endless:
        check(gate("ask", stdin=endless), USAGE)
    done = subprocess.run([GATE, "ask"], env=ENV, input=b"\xff\xfe", capture_output=True, timeout=30)
    assert done.returncode == USAGE and b"UTF-8" in done.stderr
    done = subprocess.run([GATE, "ask", "-"], env=ENV, input=b"hi\n", capture_output=True, timeout=30)
    assert done.returncode == NOT_FOUND


def interrupt_at_the_prompt():
    """Ctrl-C while standard input is awaited ends the program at once."""
    main, other = pty.openpty()
    ask = subprocess.Popen([GATE, "ask"], env=ENV, stdin=other, stdout=other, stderr=other)
    time.sleep(0.3)
    assert ask.poll() is None
    ask.send_signal(signal.SIGINT)
    assert ask.wait(5) in (-signal.SIGINT, 130)
    os.close(main)
    os.close(other)


def peers():
    check(gate("peers", "accept"), USAGE, "which peer?")
    check(gate("peers", "accept", "nobody"), NOT_FOUND, 'no peer called "nobody"')
    check(gate("peers", "reject", "nobody"), NOT_FOUND)
    check(gate("peers", "frobnicate"), USAGE, "frobnicate")
    check(gate("peers", "list"), OK)


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
    node.send_signal(signal.SIGKILL)  # and it does not outlive its node
    node.wait()
    wait_for("the engine's end", lambda: not os.path.exists(f"/proc/{engine}"))


def the_end():
    check(gate("stop", "--node-id", "beta"), OK)
    assert nodes[1].wait(10) == OK
    nodes[0].send_signal(signal.SIGTERM)
    assert nodes[0].wait(10) == OK
    check(gate("status"), NO_NODE)


try:
    for story in (without_a_node, usage, one_node, asking, interrupt_at_the_prompt, peers,
                  several_nodes, engine_in_its_cage, the_end):
        story()
        print("ok", story.__name__)
finally:
    for node in nodes:
        if node.poll() is None:
            node.kill()
            node.wait()
    shutil.rmtree(HOME)
