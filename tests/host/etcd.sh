# etcd.sh: a real etcd for host tests, on the test's own ports, and what daemons know from it. To be sourced after lib.sh and good_conf.
# shellcheck shell=bash
"$(dirname "${BASH_SOURCE[0]}")/../../scripts/install-packages" etcd

etcd_at=http://127.0.0.1:$((port + 1))
# etcd_conf LINE...: the daemons use it, with a lease of 3 s
etcd_conf() {
	local lines
	lines=$(printf '\\n%s' "etcd=$etcd_at" etcd_name=test etcd_ttl=3 "$@")
	sed -i "s|^copies=.*|&$lines|" "$conf"
}
start_etcd() {
	local peer=http://127.0.0.1:$((port + 2))
	etcd --name one --data-dir "$TMPDIR/etcd" --listen-client-urls "$etcd_at" --advertise-client-urls "$etcd_at" \
		--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "one=$peer" >> "$TMPDIR/etcd.log" 2>&1 &
	etcd=$!
	pids+=("$etcd")
}
base64_of() { printf %s "$1" | base64 -w 0; }
# etcd_put KEY VALUE, etcd_delete KEY, etcd_get KEY
etcd_put() { curl -s "$etcd_at/v3/kv/put" -d "{\"key\":\"$(base64_of "/farswap/test/$1")\",\"value\":\"$(base64_of "$2")\"}" > /dev/null; }
etcd_delete() { curl -s "$etcd_at/v3/kv/deleterange" -d "{\"key\":\"$(base64_of "/farswap/test/$1")\"}" > /dev/null; }
etcd_get() { curl -s "$etcd_at/v3/kv/range" -d "{\"key\":\"$(base64_of "/farswap/test/$1")\"}" | jq -r '.kvs[0].value // "" | @base64d'; }

# nodes NODE: the names of those that it knows and that have not left
nodes() { tool "$1" -j | jq -r '[.members.nodes[] | select(.left | not) | .name] | sort | join(" ")'; }
# wait_nodes NODE NAMES SECONDS
wait_nodes() {
	local t=$SECONDS
	until [ "$(nodes "$1")" = "$2" ]; do
		[ $((SECONDS - t)) -lt "$3" ] || fail "after $3 s node $1 knows '$(nodes "$1")' instead of '$2'"
		sleep 0.1
	done
}
pid_of() { cat "$TMPDIR/$1.pid"; }
start_node() { start "$1"; echo "${pids[-1]}" > "$TMPDIR/$1.pid"; }
