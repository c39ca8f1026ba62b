#!/usr/bin/env bash
# Three nodes, one cluster, one prompt: NodeA serves the model, NodeB joins through NodeA, NodeC has
# no model, sees both and asks. Everything runs on loopback, ends by itself and leaves nothing behind.
#
#   scripts/run-poc.sh                                run from anywhere inside or outside the clone
#   POC_CLUSTER_ID=my-cluster scripts/run-poc.sh      another cluster
#   POC_PROMPT="What is 3+4?" scripts/run-poc.sh      another prompt
#   POC_KEEP=1 scripts/run-poc.sh                     keep data and logs
#   curl … | POC_REPO=<git url> bash                  without a clone: clones into ./opengateway
#
# Exit status 0 when NodeC got an answer from another node.
set -euo pipefail

cluster=${POC_CLUSTER_ID:-gatewayai-poc}
prompt=${POC_PROMPT:-What is 2+2?}
wait_s=30
began=$(date +%s%N)

find_repository() {
    local here=
    if [[ -n ${BASH_SOURCE[0]:-} && -f ${BASH_SOURCE[0]} ]]; then
        here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    elif [[ -f meson.build && -f scripts/run-poc.sh ]]; then
        here=$PWD
    elif [[ -n ${POC_REPO:-} ]]; then
        [[ -d opengateway ]] || git clone --depth 1 "$POC_REPO" opengateway >&2
        here=$PWD/opengateway
    else
        echo "run-poc: not inside a clone. Clone the repository and run scripts/run-poc.sh there, or" >&2
        echo "set POC_REPO to the address to clone from." >&2
        return 1
    fi
    echo "$here"
}

repository=$(find_repository)
gate=${GATE:-$repository/build/gate}
[[ $gate = /* ]] || gate=$repository/$gate
if [[ ! -x $gate ]]; then
    make -C "$repository" all
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/gate-poc.XXXXXX")
declare -A pid=()
declare -a labels=()
current=

cleanup() {
    local status=$? label
    trap - EXIT INT TERM
    if ((status != 0)) && [[ -n $current && -s $work/$current.log ]]; then
        echo "---- last log lines of $current"
        tail -n 25 "$work/$current.log"
    fi
    for label in "${labels[@]}"; do kill -TERM "${pid[$label]}" 2>/dev/null || true; done
    for label in "${labels[@]}"; do end_of "${pid[$label]}"; done
    if [[ -n ${POC_KEEP:-} ]]; then
        echo "kept: $work"
    else
        rm -rf "$work"
    fi
    exit "$status"
}

# Waits for one of our children; after 12 s it is killed.
end_of() {
    local i
    for ((i = 0; i < 120; i++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# field JSON EXPRESSION: a Python expression over the document d.
field() {
    python3 -c 'import json, sys; d = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$1" "$2"
}

ask_node() {
    local label=$1
    shift
    timeout 60 "$gate" "$1" --data-dir "$work/$label" --json "${@:2}"
}

start_node() {
    local label=$1
    shift
    current=$label
    "$gate" start --node-id "$label" --data-dir "$work/$label" --cluster "$cluster" \
        --port 0 --http-port 0 --control-port 0 "$@" </dev/null >"$work/$label.log" 2>&1 &
    pid[$label]=$!
    labels+=("$label")
    local end=$((SECONDS + wait_s)) status
    until status=$(ask_node "$label" status 2>/dev/null); do
        kill -0 "${pid[$label]}" 2>/dev/null || fail "$label ended while starting"
        ((SECONDS < end)) || fail "$label did not answer within $wait_s s"
        sleep 0.1
    done
    echo "[$label] Joined cluster $(field "$status" 'd["cluster"]["id"]')"
    echo "[$label] node id $(field "$status" 'd["node_id"]')"
}

# The labels of the peers that a node sees as usable, sorted.
peers_of() {
    field "$(ask_node "$1" peers)" \
        '", ".join(sorted(p["label"] for p in d if p["state"] == "member"))'
}

wait_for_peers() {
    local label=$1 wanted=$2 end=$((SECONDS + wait_s)) seen=
    until seen=$(peers_of "$label") && [[ $seen == "$wanted" ]]; do
        ((SECONDS < end)) || fail "$label sees [$seen], not [$wanted], after $wait_s s"
        sleep 0.1
    done
    echo "[$label] Peers: [$seen]"
}

echo "OpenGateway: three nodes, one cluster, one prompt"
echo "Cluster ID: $cluster"
echo "Repository: $repository"
echo "Program:    $("$gate" version)"
echo

start_node NodeA
address=$(field "$(ask_node NodeA status)" 'next(a for a in d["addresses"] if "127.0.0.1" in a)')
echo "[NodeA] Listening for peers on $address"
start_node NodeB --bootstrap "$address" --model none
wait_for_peers NodeB "NodeA"
start_node NodeC --bootstrap "$address" --model none
wait_for_peers NodeC "NodeA, NodeB"
echo

echo "Request:     $prompt"
answer=$(ask_node NodeC ask "$prompt") || fail "NodeC got no answer: ${answer:-}"
current=NodeA
label=$(field "$answer" 'd["node"]["label"]')
echo "Answer:      $(field "$answer" 'd["answer"]')"
echo "Answered by: $label, node id $(field "$answer" 'd["node"]["node_id"]')"
echo "Model:       $(field "$answer" 'd["model"]')"
echo "Request id:  $(field "$answer" 'd["request_id"]')"
echo "Time taken:  $(field "$answer" 'd["duration_ms"]') ms"

[[ $label == NodeA ]] || fail "the answer came from $label, but only NodeA has a model"
if [[ $prompt == "What is 2+2?" ]]; then
    [[ $(field "$answer" 'd["answer"]') == *4* ]] || fail "that is not what 2+2 is"
fi
echo
echo "Done in $((($(date +%s%N) - began) / 1000000)) ms."
