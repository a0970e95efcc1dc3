# lib.sh: what a test in tests/vm/*.test can call; tests/README.md has the headers it can declare.
# shellcheck shell=bash
#
# The test runs on the host under bash -Eeuo pipefail: a command that fails fails the test. The
# machines run already. $KERNEL, $NODES and $VM_DIR (its directory, removed at the end) are set.

# on NODE COMMAND: runs shell commands in that guest under set -e, output as it comes, exit code passed on.
# Its time is $ON_TIMEOUT seconds, 60 unless set: then 124. 125 if the guest is gone. What it leaves
# in the background stays, and must have its output redirected.
on() { "$VM_TELL" "$VM_DIR/$1" "${ON_TIMEOUT:-60}" "set -e; $2"; }

# on_in NODE COMMAND: the same, with our standard input
on_in() { "$VM_TELL" -i "$VM_DIR/$1" "${ON_TIMEOUT:-60}" "set -e; $2"; }

# each COMMAND: on every node, one after the other
each() {
	local n
	for n in $(seq "$NODES"); do on "$n" "$1"; done
}

# push NODE FILE PATH, pull NODE PATH FILE
push() { on_in "$1" "cat > '$3'" < "$2"; }
pull() { on "$1" "cat '$2'" > "$3"; }

say() { echo "$*"; }
fail() { echo "failed: $*"; exit 1; }

# skip REASON: fails the run unless tests/allowed-skips has this test and this reason
skip() { echo "skipped: $*"; echo "$*" > "$VM_DIR/skip"; exit 77; }

# same NAME GOT WANTED
same() {
	[ "$2" = "$3" ] || fail "$1 is '$2', not '$3'"
	say "$1 is '$2'"
}

# fails_with CODE NODE COMMAND: it must exit so; prints its output, both streams
fails_with() {
	local code=0
	on "$2" "$3" 2>&1 || code=$?
	[ "$code" = "$1" ] || fail "exit code $code, not $1: $3"
}

# wait_for SECONDS NODE COMMAND: until it succeeds there
wait_for() {
	local end=$((SECONDS + $1))
	until on "$2" "$3" > /dev/null 2>&1; do
		[ $SECONDS -lt $end ] || fail "node $2: not within $1 s: $3"
		sleep 0.2
	done
}

# power_off NODE: as if the plug was pulled; power_on NODE: boots it again and waits for it
power_off() { vm_kill "$1"; touch "$VM_DIR/$1/off"; }
power_on() { vm_start "$1"; vm_wait "$1" 120; }

# pause NODE, resume NODE: the machine stands still, its network stays up
pause() { kill -STOP "$(cat "$VM_DIR/$1/pid")"; }
resume() { kill -CONT "$(cat "$VM_DIR/$1/pid")"; }

# in_net COMMAND...: in the namespace of the machines' bridge br0 and its ports tap1, tap2, ...
in_net() { ip netns exec "$VM_NET" "$@"; }

# unplug NODE, plug NODE: its network link
unplug() { in_net ip link set "tap$1" down; }
plug() { in_net ip link set "tap$1" up; }

# wire_start [SEED]: from here on frames go through wire.c in place of the bridge. wire COMMAND: tells it, prints its answer (see there).
# wire_end: the bridge again, as it is after each test anyway
wire_start() {
	mkdir -p "$VM_DIR/keep"
	in_net ip link set br0 down
	# shellcheck disable=SC2046
	ip netns exec "$VM_NET" "$top/.build/vm/wire" "$VM_DIR/wire" "${1:-1}" $(seq -f tap%g "$NODES") > "$VM_DIR/keep/wire.log" 2>&1 &
	wire_pid=$!
	until wire 1 2 whole > /dev/null 2>&1; do
		kill -0 "$wire_pid"
		sleep 0.1
	done
}
wire() { "$top/.build/vm/wire" "$VM_DIR/wire" "$*"; }
wire_end() {
	kill "$wire_pid"
	wait "$wire_pid" || true
	in_net ip link set br0 up
}

# write_ms FROM TO MESSAGES: how long ib_write_bw takes for that many WRITEs of 64 KiB, ms
write_ms() {
	on "$2" "ib_write_bw -d rxe0 -F -s 65536 -n $3 > /tmp/server 2>&1 & sleep 1; ss -ltn | grep -q :18515"
	on "$1" "t=\${EPOCHREALTIME/./}; ib_write_bw -d rxe0 -F -s 65536 -n $3 10.77.0.$2 > /tmp/client; echo \$(((\${EPOCHREALTIME/./} - t) / 1000))"
}

# write_rate FROM TO: MiB/s of such WRITEs by the clock. What ib_write_bw tells is by the processor's cycles, whose rate it does not know under
# emulation: it was 0.00 once. Two runs, as it takes a while to begin.
write_rate() {
	local few many
	few=$(write_ms "$1" "$2" 200)
	many=$(write_ms "$1" "$2" 2200)
	[ "$many" -gt "$((few + 100))" ] || fail "2,200 WRITEs took $many ms, 200 took $few"
	awk "BEGIN { printf \"%.1f\\n\", 125000 / ($many - $few) }"
}
