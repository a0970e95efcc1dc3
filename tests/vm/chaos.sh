# chaos.sh: faults after a schedule while swapcheck runs on the client, node 1; the other nodes are donors. Source it in a test, and call
# shellcheck shell=bash
#
#   chaos SEED SECONDS [KIND...]
#
# chaos-plan makes the schedule (see there). The test fails if a page was wrong or lost, and if a fault did not happen: each
# is seen by what it does, before it is undone, and has a line that says how. tests/README.md tells the rest.

CHAOS_MIB=${CHAOS_MIB:-96}	# of pages, by four processes, and what fits into memory:
CHAOS_LIMIT=${CHAOS_LIMIT:-32M}
slow=1
[ "$KERNEL" != debug ] || slow=4
soon=$((slow * 40))	# s, for what takes a few on an idle machine
patience=$((slow * 5))	# s, for one answer of a daemon
whole_s=$((slow * 180))	# an extent has its copies again so long after the last fault, or never

# status NODE FILTER: of what its daemon knows, by jq; fails, and says nothing, while there is no answer, or null
status() { on "$1" "timeout $patience farswap -j | jq -er '($2) // empty'"; }

# told FILTER: status of the client, as soon as its daemon can say
told() {
	local end=$((SECONDS + soon))
	until status 1 "$1" 2> /dev/null; do
		[ $SECONDS -lt $end ] || fail "no answer of the client's daemon: $1"
		sleep 0.5
	done
}

# peer_of NODE: the number under which the client's kernel reads and writes that donor
peer_of() { told "[.peers[] | select(.name == \"node$1\" and .state == \"live\")] | last | .number"; }

# happened WORDS: what was seen of this fault; without it the run is worth nothing
happened() { clock "$fault happened: $*"; echo "$*" > "$VM_DIR/keep/$fault.happened"; }

# gone NODE NUMBER: the client has lost that peer
gone() {
	wait_for $soon 1 "timeout $patience farswap -j | jq -e '[.peers[] | select(.number == $2 and .state == \"live\")] == []'"
	happened "peer $2 (node$1) lost"
}

# clock WORDS: and when, in seconds since the start
clock() { printf '%4d s  %s\n' $((SECONDS - chaos_start)) "$*"; }

# repairs_noted: of the client's daemon, which counts from its start
repairs_noted() { status 1 '.device.repair.extents_done' >> "$VM_DIR/keep/repairs"; }

daemon_signal() { on "$1" "kill -$2 \$(daemon_pid $1)"; }

# machine_boot NODE: again, with its daemon
machine_boot() {
	vm_start "$1"
	vm_wait "$1" 300
	node_start "$1"
}

node_start() {
	on "$1" "$CHAOS_CONF; daemons $1"
}

# process_state NODE: of its daemon: R, S, T
process_state() { on "$1" "sed 's/.*) //; s/ .*//' /proc/\$(daemon_pid $1)/stat"; }

# Each kind of chaos-plan: makes it, sees it, undoes it. Called with NODE PEER WAY AMOUNT SECONDS, in a shell of its own.

fault_kill() {
	local number
	number=$(peer_of "$1")
	on "$1" "kill -KILL \$(daemon_pid $1); while kill -0 \$(daemon_pid $1) 2> /dev/null; do sleep 0.05; done"
	gone "$1" "$number"
	sleep "$5"
	on "$1" "daemons $1"
}

fault_restart() {
	local number
	number=$(peer_of "$1")
	on "$1" "daemons_end $1"
	gone "$1" "$number"
	sleep "$5"
	on "$1" "daemons $1"
}

# A stopped daemon is not a dead donor.
fault_stop() {
	local number
	number=$(peer_of "$1")
	daemon_signal "$1" STOP
	sleep "$5"
	[ "$(process_state "$1")" = T ] && happened "stopped for $5 s"
	daemon_signal "$1" CONT
	# not at once: the client's own daemon may have just begun, and knows of no peer yet
	wait_for $soon 1 "timeout $patience farswap -j | jq -e '[.peers[] | select(.name == \"node$1\" and .state == \"live\").number] | index($number)'"
}

fault_power() {
	local number
	number=$(peer_of "$1")
	power_off "$1"
	sleep "$5"
	machine_boot "$1"
	gone "$1" "$number"
}

fault_reset() {
	local number
	number=$(peer_of "$1")
	on "$1" 'echo b > /proc/sysrq-trigger' > /dev/null 2>&1 || true
	for _ in $(seq 100); do
		vm_alive "$1" || break
		sleep 0.1
	done
	power_off "$1"
	machine_boot "$1"
	gone "$1" "$number"
}

fault_pause() {
	pause "$1"
	sleep "$5"
	[ "$(awk '{ print $3 }' "/proc/$(cat "$VM_DIR/$1/pid")/stat")" = T ] && happened "stood still for $5 s"
	resume "$1"
	on "$1" true
}

# The machine is again what it was some seconds ago, its memory too.
fault_rollback() {
	vm_monitor "$1" 'savevm before'
	on "$1" 'echo > /dev/shm/after'
	sleep "$5"
	vm_monitor "$1" 'loadvm before'
	on "$1" '[ ! -e /dev/shm/after ]'
	happened "set back by $5 s"
	vm_monitor "$1" 'delvm before'
}

# on_wire KIND NODE PEER WAY AMOUNT SECONDS: counted by the wire; a ping each way sees to it that there is something to hit
on_wire() {
	local hits=0
	[ "$4" = from ] || wire "$2 $3 $1 $5" > /dev/null
	[ "$4" = to ] || wire "$3 $2 $1 $5" > /dev/null
	on "$2" "ping -q -i 0.05 -w $6 10.77.0.$3 > /dev/null 2>&1 & ping -q -i 0.05 -w $6 fd77::$3 > /dev/null 2>&1 || true; wait"
	[ "$4" = from ] || hits=$(wire "$2 $3 whole")
	[ "$4" = to ] || hits=$((hits + $(wire "$3 $2 whole")))
	[ "$hits" = 0 ] || happened "$hits frames"
}

fault_cut() { on_wire cut "$1" "$2" "$3" 0 "$5"; }
fault_hold() { on_wire hold "$1" "$2" "$3" 0 "$5"; }
fault_flap() { on_wire flap "$@"; }
fault_drop() { on_wire drop "$@"; }
fault_duplicate() { on_wire duplicate "$@"; }
fault_reorder() { on_wire reorder "$@"; }
fault_delay() { on_wire delay "$@"; }

# pages_at NODE NUMBER: the addresses of at most so many of its slots that hold pages
pages_at() {
	on 1 "farswap map farswap0 -j | jq -r 'select(.state == \"stored\") | .members[] | select(.node == \"node$1\" and .live) | .address' |
		awk 'NR % 17 == 1 && n++ < $2' | xargs"
}

# writable NODE: the same one, or another that may be hurt and is under no fault now, if that holds no page; all of them may just be empty
writable() {
	local n end=$((SECONDS + whole_s))
	until [ $SECONDS -gt $end ]; do
		for n in "$1" $(seq 2 "$NODES"); do
			! kill -0 "${running[$n]:-none}" 2> /dev/null && may_go "$n" && [ -n "$(pages_at "$n" 1)" ] && echo "$n" && return
		done
		sleep 1
	done
	echo "$1"
}

# Other bytes in AMOUNT of the node's slots that hold pages; they must then be there.
fault_scribble() {
	local at end=$((SECONDS + soon))
	# it held some a moment ago, but may just be found to have lost its queue pairs by the fault before
	until at=$(pages_at "$1" "$4"); [ -n "$at" ]; do
		[ $SECONDS -lt $end ] || fail "node$1 holds no page"
		sleep 0.5
	done
	on "$1" "n=0; for at in $at; do
			printf 'scribble' | dd of=/proc/\$(daemon_pid $1)/mem bs=8 seek=\$at oflag=seek_bytes conv=notrunc status=none
			[ \"\$(dd if=/proc/\$(daemon_pid $1)/mem bs=8 count=1 skip=\$at iflag=skip_bytes status=none)\" != scribble ] || n=\$((n + 1))
		done; echo \$n; [ \$n -gt 0 ]" > "$VM_DIR/keep/$fault.slots"
	happened "$(cat "$VM_DIR/keep/$fault.slots") slots"
}

# memory_left NODE MIB: takes all but so much; prints the KiB that are left
memory_left() {
	on "$1" "size=\$((\$(awk '/^MemAvailable/ { print \$2 }' /proc/meminfo) / 1024 - $2)); mount -o remount,size=100% /dev/shm
		fallocate -l \${size}M /dev/shm/taken; sleep 1; awk '/^MemAvailable/ { print \$2 }' /proc/meminfo"
}

fault_refuse() {
	memory_left "$1" 80 > /dev/null
	[ "$(status "$1" .lent.room)" != 0 ] || happened "no room"
	sleep "$5"
	on "$1" 'rm /dev/shm/taken'
}

fault_exhaust() {
	local left
	left=$(memory_left "$1" 32)
	[ "$left" -ge 49152 ] || happened "$left KiB available"
	sleep "$5"
	on "$1" 'rm /dev/shm/taken'
}

fault_drain() {
	local before
	before=$(on "$1" "lent $1")
	on "$1" "timeout 1 farswap drain node$1 || true"
	wait_for $soon 1 "timeout $patience farswap -j | jq -e 'any(.peers[]; .name == \"node$1\" and .drained)'"
	sleep "$5"
	happened "told to the client; of $before slabs it has $(on "$1" "lent $1") after $5 s"
	on "$1" "farswap drain node$1 --cancel"
}

fault_unplug() {
	on "$1" 'timeout 30 rdma link del rxe0; [ ! -e /sys/class/infiniband/rxe0 ]'
	happened "rxe0 gone"
	sleep "$5"
	on "$1" 'rdma link add rxe0 type rxe netdev eth0'
	wait_for $soon "$1" 'farswap -j | jq -e .rdma.listening'
}

fault_kill-own() {
	repairs_noted
	on 1 'kill -KILL $(daemon_pid 1); while kill -0 $(daemon_pid 1) 2> /dev/null; do sleep 0.05; done'
	sleep "$5"
	on 1 '! kill -0 $(daemon_pid 1) 2> /dev/null'
	happened "dead for $5 s"
	on 1 'daemons 1'
}

fault_restart-own() {
	repairs_noted
	on 1 'daemons_end 1'
	sleep "$5"
	on 1 '! kill -0 $(daemon_pid 1) 2> /dev/null'
	happened "ended for $5 s"
	on 1 'daemons 1'
}

fault_stop-own() {
	daemon_signal 1 STOP
	sleep "$5"
	[ "$(process_state 1)" = T ] && happened "stopped for $5 s"
	daemon_signal 1 CONT
}

# Locked memory: not even swap helps.
fault_squeeze() {
	local left
	left=$(ON_TIMEOUT=120 on 1 "left() { awk '/^MemAvailable/ { print int(\$2 / 1024) }' /proc/meminfo; }
		stress-ng --vm 1 --vm-bytes \$((\$(left) - 40))M --vm-locked --vm-keep > /tmp/squeeze 2>&1 & pid=\$!; t=\$SECONDS
		until [ \$(left) -lt 64 ] || [ \$((SECONDS - t)) -ge 60 ]; do sleep 0.2; done; left
		sleep $5; kill \$pid; wait \$pid || true")
	[ "$left" -ge 64 ] || happened "$left MiB available"
}

# All donors die, and the load reads what it can. From then on nothing more has to go out: what could not would be the end of the load, killed for want of memory.
# It is frozen meanwhile, or it would have all its pages back before; a signal would not stop a process that is forked just now.
lose_all() {
	local n live
	live=$(told '[.peers[] | select(.state == "live") | .number] | join(" ")')
	clock "lose-all: peers $live"
	on 1 "cd /sys/fs/cgroup/limited; echo 1 > cgroup.freeze; until grep -q 'frozen 1' cgroup.events; do sleep 0.1; done; echo max > memory.max"
	for n in $(seq 2 "$NODES"); do daemon_signal "$n" KILL; done
	wait_for $whole_s 1 "timeout $patience farswap -j | jq -e 'all(.peers[]; .state != \"live\")'"
	on 1 'echo 0 > /sys/fs/cgroup/limited/cgroup.freeze; sleep 3'
	lost_all=yes wanted=' wrong=0 .* lost=[1-9]'
	faults=$((faults + 1))
	echo lose-all >> "$VM_DIR/keep/kinds"
}

# load_start, load_end: swapcheck on the client; at its end every page is verified. What it says is no page of its control group: such are swapped.
load_start() {
	on 1 "limited $CHAOS_LIMIT nice -n 10 swapcheck load $CHAOS_MIB 3 $seed 2>&1 | cat > /tmp/load &"
	wait_for $((slow * 300)) 1 "grep -q 'written and shared' /tmp/load && pgrep -ox swapcheck > /tmp/load.pid"
}

load_end() {
	on 1 'kill -TERM $(cat /tmp/load.pid)'
	wait_for $((slow * 300)) 1 '! kill -0 $(cat /tmp/load.pid) 2> /dev/null'
	on 1 'cat /tmp/load' > "$VM_DIR/keep/load"
	grep '^swapcheck: ' "$VM_DIR/keep/load"
	grep -q '^swapcheck: pages_verified=' "$VM_DIR/keep/load" || fail "the load did not come to its end"
	grep -q "^swapcheck: pages_verified=.*$wanted" "$VM_DIR/keep/load" || bad=yes
}

device_up() {
	ON_TIMEOUT=$((slow * 300)) on 1 'farswap up farswap0 --size 256M --swapon --priority 100 > /dev/null'
	on 1 '(while sleep 1; do cat /sys/block/farswap0/farswap/degraded; done) > /tmp/degraded 2> /dev/null & echo $! > /tmp/sampler'
}

device_down() {
	local n
	repairs_noted
	on 1 'kill $(cat /tmp/sampler)'
	degraded_s=$(on 1 'grep -vc "^0$" /tmp/degraded || true')
	ON_TIMEOUT=$((slow * 300)) on 1 'swapoff /dev/farswap0; farswap down farswap0'
	for n in $(seq 2 "$NODES"); do wait_for $soon "$n" "[ \$(lent $n) = 0 ]"; done
}

# hurt: donors' names that have lost copies which nobody has made again
hurt() { told '[.peers[] | select(.state != "live" and .slabs > 0) | .name] | unique | join(" ")'; }

# may_go NODE: with what the other donors have lost, or are about to, one member of each set is left: the donors are not more than two
may_go() {
	local now
	now=$(hurt) || return
	# shellcheck disable=SC2086 # they are several
	[ "$(printf '%s\n' $now $(printf 'node%s ' "$1" $under_fault) | sort -u | wc -l)" -le 2 ]
}

# whole: all nodes' daemons answer, all donors are peers, and no extent lacks a copy; what was scribbled over is found and written again
whole() {
	local n end=$((SECONDS + whole_s))
	for n in $(seq "$NODES"); do wait_for $soon "$n" "timeout $patience farswap -j > /dev/null"; done
	for n in $(seq 2 "$NODES"); do wait_for $soon 1 "timeout $patience farswap -j | jq -e '[.peers[] | select(.name == \"node$n\" and .state == \"live\")] != []'"; done
	until [ "$(on 1 'counter degraded')" = 0 ] && { [ -z "$scribbled" ] || on 1 'farswap audit farswap0 > /dev/null'; }; do
		[ $SECONDS -lt $end ] || fail "not whole within $whole_s s: $(on 1 'farswap; farswap audit farswap0 || true')"
		sleep 1
	done
	under_fault='' scribbled=''
}

# line NUMBER AT KIND NODE PEER WAY AMOUNT SECONDS COSTS: starts the fault at its time
line() {
	local number=$1 at=$2 kind=$3 node=$4 asked
	shift 3
	sleep "$(awk "BEGIN { left = $began + $at - $EPOCHREALTIME; print (left > 0 ? left : 0) }")"
	wait_on "$node"
	[ "$2" = - ] || wait_on "$2"
	if [ "$kind" = scribble ]; then
		node=$(writable "$node")
		set -- "$node" "${@:2}"
	fi
	asked=$SECONDS
	if [ "$6" = yes ]; then
		until may_go "$node"; do
			[ $((SECONDS - asked)) -lt $whole_s ] || fail "$number $kind node$node could cost the last good copy: hurt are $(hurt), under a fault$under_fault"
			sleep 1
		done
		under_fault+=" $node"
	fi
	case $kind in scribble | rollback) scribbled=yes ;; esac
	on 1 'kill -USR1 $(cat /tmp/load.pid)'
	clock "$number $kind $*"
	(
		fault=$number
		"fault_$kind" "$@"
		clock "$number undone"
		touch "$VM_DIR/keep/$number.undone"
	) > >(tee "$VM_DIR/keep/$number.log") 2>&1 < /dev/null &
	running[node]=$!
	[ "$2" = - ] || running[$2]=$!
	all+=("$number $kind $*")
}

wait_on() {
	[ -z "${running[$1]:-}" ] || wait "${running[$1]}" || true
	unset "running[$1]"
}

# verdicts: of the faults that were begun
verdicts() {
	local number rest n
	for n in "${!running[@]}"; do wait_on "$n"; done
	while read -r number rest; do
		if [ -s "$VM_DIR/keep/$number.happened" ] && [ -e "$VM_DIR/keep/$number.undone" ]; then
			say "fault $number $rest: $(cat "$VM_DIR/keep/$number.happened")"
			faults=$((faults + 1))
			echo "${rest%% *}" >> "$VM_DIR/keep/kinds"
		else
			say "fault $number $rest: it did not happen, or is not undone"
			sed 's/^/    /' "$VM_DIR/keep/$number.log"
			bad=yes
		fi
	done < <(printf '%s\n' "${all[@]}")
	all=()
}

# total NAME: from swapcheck's last line
total() { grep '^swapcheck: pages_verified' "$VM_DIR/keep/load" | tr ' ' '\n' | sed -n "s/^$1=//p"; }

# logs: of a test that failed: what its machines have, for session to keep, and its schedule
logs() {
	local n
	kill "$wire_pid" 2> /dev/null || true
	for n in $(seq "$NODES"); do
		[ ! -e "$VM_DIR/$n/off" ] || continue
		ON_TIMEOUT=10 on "$n" "tail -n 200 /tmp/farswapd-*.log; tail /tmp/load; timeout $patience farswap" > "$VM_DIR/keep/node$n" 2>&1 || true
	done
	cat "$VM_DIR/keep/plan"
	say "$again"
}

chaos() {
	local seed=$1 seconds=$2 n began chaos_start=$SECONDS faults=0 degraded_s under_fault='' scribbled='' bad='' all=() running=() each
	local lost_all='' wanted=' wrong=0 .* lost=0 died=0 '
	shift 2
	mkdir -p "$VM_DIR/keep"
	again="chaos: seed $seed on $KERNEL; again: CHAOS_SEED=$seed CHAOS_SECONDS=$seconds CHAOS_KINDS='$*' make vm TEST=$(basename "$test" .test) KERNEL=$KERNEL"
	say "$again"
	"$top/.build/vm/chaos-plan" "$seed" "$seconds" $((NODES - 1)) "$@" > "$VM_DIR/keep/plan"
	cat "$VM_DIR/keep/plan"
	wire_start "$seed"
	trap logs EXIT
	CHAOS_CONF="cluster_conf $NODES heartbeat=500 replace_after=5"
	for n in $(seq "$NODES"); do node_start "$n" & done
	for n in $(jobs -p); do [ "$n" = "$wire_pid" ] || wait "$n"; done
	on 1 'load_farswap'
	device_up
	load_start
	began=$EPOCHREALTIME
	while read -r -a each; do
		if [ "${each[2]}" = whole ]; then
			verdicts
			[ -z "$bad" ] || break
			whole
			clock whole
			began=$EPOCHREALTIME
		elif [ "${each[2]}" = lose-all ]; then
			lose_all
		else
			line "${each[@]}"
		fi
	done < "$VM_DIR/keep/plan"
	load_end
	[ -z "$lost_all" ] || for n in $(seq 2 "$NODES"); do on "$n" "daemons $n"; done
	device_down
	on 1 'rmmod farswap'
	for n in $(seq "$NODES"); do on "$n" "daemons_end $n"; done
	wire_end
	[ -n "$bad" ] || trap - EXIT
	say "chaos: faults=$faults kinds=$(sort -u "$VM_DIR/keep/kinds" | wc -l) pages_verified=$(total pages_verified)" \
		"wrong=$(total wrong) lost=$(($(total lost) + $(total died)))" \
		"failover_p50_ms=$(total failover_p50_ms) failover_p999_ms=$(total failover_p999_ms)" \
		"repairs=$(awk '{ n += $1 } END { print n }' "$VM_DIR/keep/repairs") degraded_seconds=$degraded_s"
	[ -z "$bad" ] || fail "chaos: seed $seed: wrong, lost or invalid"
}
