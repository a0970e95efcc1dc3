# lib.sh: what the host tests share. $FARSWAP_BIN: where the programs are; $TMPDIR: an empty directory.
# shellcheck shell=bash
set -euo pipefail

: "${FARSWAP_BIN:?says where farswapd, farswap and fakepeer are}"
: "${TMPDIR:?says where there is room}"
conf=$TMPDIR/cluster.conf
run=$TMPDIR/run
pids=()
protocol=$(awk '$2 == "FARSWAP_WIRE_VERSION" { print $3 }' "$(dirname "${BASH_SOURCE[0]}")/../../include/farswap_wire.h")

fail() {
	echo "FAIL: $*"
	exit 1
}

# good_conf: three nodes on loopback addresses, ports of this test alone
good_conf() {
	(umask 077 && "$FARSWAP_BIN/farswap" genkey > "$TMPDIR/key")
	port=$((20000 + $$ % 20000))
	cat > "$conf" <<-END
		[cluster]
		key=$TMPDIR/key
		port=$port
		slab=2M
		reserve=0
		copies=2

		[node a]
		address=127.0.0.2
		lend=0

		[node b]
		address=127.0.0.3
		lend=4

		[node c]
		address=127.0.0.4
		lend=4
	END
}

# refuses LINE TEXT: farswapd says "cluster.conf:LINE: ...TEXT...", in one line, and exits 1
refuses() {
	local out code=0
	out=$("$FARSWAP_BIN/farswapd" --config "$conf" --node a --check-config 2>&1) || code=$?
	[ "$code" = 1 ] || fail "exit code $code instead of 1: $out"
	[ "$(wc -l <<< "$out")" = 1 ] || fail "more than one line: $out"
	[[ $out == *"$conf:$1: "*"$2"* ]] || fail "not '$conf:$1: ...$2...' but: $out"
}

# start NODE [PROGRAM ARGUMENT...]: its daemon, until the test ends
start() {
	local node=$1
	"$FARSWAP_BIN/farswapd" --config "$conf" --node "$node" --run-dir "$run" 2> "$TMPDIR/$node.log" &
	pids+=($!)
	for _ in $(seq 100); do
		[ ! -S "$run/$node.sock" ] || return 0
		kill -0 "${pids[-1]}" 2> /dev/null || break
		sleep 0.1
	done
	cat "$TMPDIR/$node.log"
	fail "farswapd of node $node does not start"
}

end() {
	local pid
	for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
	wait || true
}
trap end EXIT

# tool NODE ARGUMENT...
tool() {
	local node=$1
	shift
	"$FARSWAP_BIN/farswap" --config "$conf" --run-dir "$run" --node "$node" "$@"
}

# fake COMMAND ARGUMENT...: node a, misbehaving
fake() { "$FARSWAP_BIN/fakepeer" --config "$conf" --node a "$@"; }

# dropped NODE [CAUSE]: control peers that it dropped
dropped() { tool "$1" -j | sed -n "s/.*\"${2:-total}\": *\([0-9]*\).*/\1/p" | head -1; }

# dropped_becomes NODE NUMBER [CAUSE]: the last of them may still be on its way
dropped_becomes() {
	for _ in $(seq 50); do
		[ "$(dropped "$1" "${3:-total}")" != "$2" ] || return 0
		sleep 0.1
	done
	fail "$(dropped "$1" "${3:-total}") peers dropped instead of $2"
}

# good_peer NODE: an honest greeting is answered
good_peer() { fake hello "$1" "$protocol" | grep -q "WELCOME from $1" || fail "node $1 does not welcome a good peer"; }
