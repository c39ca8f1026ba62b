#!/bin/bash
# The HTTP room alone next to nginx, in the same run: five interleaved runs each, medians.
#
#   rate     wrk on GET /health, 64 connections: bench/http-server and nginx `return 200`
#   added    the same with one connection, direct to nginx and through a proxy in front of it: ours
#            and nginx; the difference in median latency is what the proxy adds
#
# One worker each. SECONDS_EACH sets the length of a run (default 3). OG_BUILD names the build folder.
set -euo pipefail
cd "$(dirname "$0")/.."
server=${OG_BUILD:-build}/bench/http-server
runs=5 length=${SECONDS_EACH:-3}
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() {
	for _ in $(seq 100); do
		curl -fs "http://127.0.0.1:$1/health" >/dev/null && return
		sleep 0.05
	done
	echo "nothing answers on port $1" >&2
	exit 1
}

nginx_port=$(free_port) nginx_proxy=$(free_port) ours=$(free_port) ours_proxy=$(free_port)
temp=$(for p in client_body proxy fastcgi uwsgi scgi; do echo "${p}_temp_path $folder/$p;"; done)
cat >"$folder/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $folder/pid; error_log $folder/error.log;
events { worker_connections 1024; }
http {
	access_log off; keepalive_requests 1000000000; $temp
	upstream back { server 127.0.0.1:$nginx_port; keepalive 64; keepalive_requests 1000000000; }
	server {
		listen 127.0.0.1:$nginx_port;
		location = /health { default_type application/json; return 200 '{"status":"ok"}'; }
	}
	server {
		listen 127.0.0.1:$nginx_proxy;
		location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; }
	}
}
CONF
/usr/sbin/nginx -e "$folder/error.log" -p "$folder" -c "$folder/nginx.conf" &
pids+=($!)
"$server" "$ours" >/dev/null &
pids+=($!)
wait_for "$nginx_port"
"$server" "$ours_proxy" "$nginx_port" >/dev/null &
pids+=($!)
for port in "$ours" "$nginx_proxy" "$ours_proxy"; do wait_for "$port"; done

# measure PORT CONNECTIONS: "requests/s median-latency-us", or an end when any request failed.
measure() {
	wrk --latency -t1 -c"$2" -d"${length}s" "http://127.0.0.1:$1/health" >"$folder/wrk"
	if grep -E 'Non-2xx|Socket errors' "$folder/wrk" >&2; then exit 1; fi
	awk '/Requests\/sec/ { rate = $2 }
		/^ *50%/ { v = $2 + 0; if ($2 ~ /ms$/) v *= 1000; else if ($2 !~ /us$/) v *= 1e6 }
		END { print rate, v }' "$folder/wrk"
}

median() {
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

for _ in $(seq $runs); do
	measure "$ours" 64 >>"$folder/ours"
	measure "$nginx_port" 64 >>"$folder/nginx"
	measure "$nginx_port" 1 >>"$folder/direct"
	measure "$ours_proxy" 1 >>"$folder/ours-proxy"
	measure "$nginx_proxy" 1 >>"$folder/nginx-proxy"
	measure "$ours_proxy" 64 >>"$folder/ours-proxy64"
	measure "$nginx_proxy" 64 >>"$folder/nginx-proxy64"
done

column() { cut -d' ' -f"$2" "$folder/$1" | median; }
printf '%s, %s processors\n' "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1)" "$(nproc)"
printf 'requests/s at 64 connections, median of %s runs of %s s:\n' "$runs" "$length"
printf '  %-22s %9.0f\n' 'ours' "$(column ours 1)" 'nginx' "$(column nginx 1)" \
	'ours as a proxy' "$(column ours-proxy64 1)" 'nginx as a proxy' "$(column nginx-proxy64 1)"
direct=$(column direct 2)
printf 'median latency at 1 connection in microseconds: direct %.0f\n' "$direct"
for who in ours nginx; do
	awk -v who="$who" -v p="$(column $who-proxy 2)" -v d="$direct" \
		'BEGIN { printf "  through %-7s %6.0f   added %.0f\n", who, p, p - d }'
done
