# cluster.sh: a farswap cluster in the guests, of both shapes: nodes node1..nodeN at 10.77.0.1..N. guest.sh reads it.
# shellcheck shell=bash

# cluster_conf N [KEY=VALUE...]: /etc/farswap of N nodes; node1 lends nothing, the others 16 slabs. The key is the same everywhere. In one
# machine all nodes see the host page out: it lends all the same. NET=fd77:: for IPv6, SIZE=512M of the device.
cluster_conf() {
	local n nodes=$1
	shift
	mkdir -p /etc/farswap /run/farswap
	[ -f /etc/farswap/key ] || (umask 077; printf '%064d\n' 77 > /etc/farswap/key)
	{
		printf '[cluster]\n'
		printf '%s\n' key=/etc/farswap/key slab=32M reserve=64M size=${SIZE:-512M} lend_while_borrowing=yes "$@"
		for n in $(seq "$nodes"); do
			printf '[node node%s]\naddress=%s%s\nlend=%s\n' "$n" "${NET:-10.77.0.}" "$n" \
				"$([ "$n" = 1 ] && echo 0 || echo 16)"
		done
	} > /etc/farswap/cluster.conf
}

# alone N...: these know of no other node from their file; the tool goes on with the one of all
alone() {
	local n
	for n; do
		awk -v me="[node node$n]" '/^\[/ { out = $0 == "[cluster]" || $0 == me } out' /etc/farswap/cluster.conf > "/etc/farswap/node$n.conf"
	done
}
conf_of() { [ ! -f "/etc/farswap/node$1.conf" ] || echo "--config /etc/farswap/node$1.conf"; }

# daemons N...: starts farswapd for these nodes and waits until they serve
daemons() {
	local n
	for n; do
		rm -f "/run/farswap/node$n.sock"
		farswapd --node "node$n" $(conf_of "$n") >> "/tmp/farswapd-node$n.log" 2>&1 &
		echo $! > "/tmp/farswapd-node$n.pid"
	done
	for n; do
		until [ -S "/run/farswap/node$n.sock" ]; do
			kill -0 "$(daemon_pid "$n")" 2> /dev/null || { tail -5 "/tmp/farswapd-node$n.log"; return 1; }
			sleep 0.1
		done
	done
}

# kept N...: the same, under fdkeep.c; kept_restart N...: planned, with what it lent; kept_end N...: and its keeper
kept() {
	local n
	for n; do
		rm -f "/run/farswap/node$n.sock"
		fdkeep "/tmp/farswapd-node$n.pid" farswapd --node "node$n" $(conf_of "$n") >> "/tmp/farswapd-node$n.log" 2>&1 &
		echo $! > "/tmp/fdkeep-node$n.pid"
	done
	for n; do until [ -S "/run/farswap/node$n.sock" ]; do sleep 0.1; done; done
}

kept_restart() {
	local n old
	for n; do
		old=$(daemon_pid "$n")
		kill -HUP "$(cat "/tmp/fdkeep-node$n.pid")"
		while [ "$(daemon_pid "$n")" = "$old" ] || ! farswap --node "node$n" > /dev/null 2>&1; do sleep 0.1; done
	done
}

kept_end() {
	local n
	for n; do
		kill "$(cat "/tmp/fdkeep-node$n.pid")"
		while kill -0 "$(cat "/tmp/fdkeep-node$n.pid")" 2> /dev/null; do sleep 0.1; done
	done
}

daemon_pid() { cat "/tmp/farswapd-node$1.pid"; }

# daemons_end N...: and waits until they are gone
daemons_end() {
	local n
	for n; do kill "$(daemon_pid "$n")" 2> /dev/null || true; done
	for n; do
		while kill -0 "$(daemon_pid "$n")" 2> /dev/null; do sleep 0.1; done
	done
}

# etcd_starts: the machine has its program already; by numbers, as "localhost" is no name here
etcd_starts() {
	local client=http://127.0.0.1:2379 peer=http://127.0.0.1:2380
	etcd --name one --data-dir /tmp/etcd --listen-client-urls $client --advertise-client-urls $client --listen-peer-urls $peer \
		--initial-advertise-peer-urls $peer --initial-cluster one=$peer >> /tmp/etcd.log 2>&1 &
	echo $! > /tmp/etcd.pid
}

# known N: the nodes that node N knows and that have not left
known() { farswap --node "node$1" -j | jq -r '[.members.nodes[] | select(.left | not) | .name] | sort | join(" ")'; }

# knows N NAMES: waits until they are these
knows() {
	local t=$SECONDS
	until [ "$(known "$1")" = "$2" ]; do
		[ $((SECONDS - t)) -lt 60 ] || { echo "after 60 s node$1 knows '$(known "$1")', not '$2'"; return 1; }
		sleep 0.3
	done
}

# fails PID ADDRESS: the page that the process has there fails in hardware, as the kernel pretends
fails() {
	local entry frame
	entry=$(dd if="/proc/$1/pagemap" bs=8 skip=$(($2 / 4096)) count=1 2> /dev/null | od -An -tu8)
	frame=$((entry & ((1 << 55) - 1)))
	[ $frame != 0 ] || { echo "no page at $2 of process $1"; return 1; }
	# it says EBUSY when somebody else holds the page, too, and has done it
	echo $((frame * 4096)) > /sys/devices/system/memory/hard_offline_page || true
}

# limited SIZE COMMAND...: in a control group with that memory limit, swap unlimited
limited() {
	local group=/sys/fs/cgroup/limited
	mkdir -p "$group"
	echo "$1" > "$group/memory.max"
	shift
	(echo "$BASHPID" > "$group/cgroup.procs" && exec "$@")
}

# placed PID: every extent that the device can have is placed (so it must be small); fails if that process ends before
placed() {
	until farswap --node node1 -j | jq -e '.device.extents == .device.extents_needed' > /dev/null; do
		kill -0 "$1" || return
		sleep 0.2
	done
}

# load SIZE MIB PROCESSES SEED: swapcheck's load under that limit, until load_ends. What it says is no page of its control group: such are swapped.
load() {
	limited "$1" swapcheck load "$2" "$3" "$4" 2>&1 | cat > /tmp/load &
	echo $! > /tmp/load.pid
	placed $!
}

# and no page was wrong or lost
load_ends() {
	kill -0 "$(cat /tmp/load.pid)" || { cat /tmp/load; return 1; }
	pkill -o -x swapcheck
	while kill -0 "$(cat /tmp/load.pid)" 2> /dev/null; do sleep 0.2; done
	cat /tmp/load
	grep -q 'pages_verified=[1-9].* wrong=0 .* lost=0 died=0' /tmp/load
}

# beside COMMAND...: while the load runs; what it reads meanwhile, and up to 10 s later, is timed apart
beside() {
	local pid code=0
	(while :; do pkill -USR1 -o -x swapcheck; sleep 5; done) &
	pid=$!
	"$@" || code=$?
	kill "$pid"
	return $code
}

# p99_ratio: of the ended load: the 99th percentile of its reads timed apart over that of the others
p99_ratio() {
	sed -n 's/.* quiet_p99_ms=\([0-9.]*\) .* failover_p99_ms=\([0-9.]*\) .*/\1 \2/p' /tmp/load |
		awk '{ if ($1 > 0 && $2 > 0) printf "%.2f\n", $2 / $1 }'
}

# hold SIZE MIB ROUNDS THREADS [SEED]: swapcheck under that limit; fails if a byte was wrong. It then keeps its pages, all in swap and
# listed in /tmp/dump, until release.
hold() {
	rm -f /tmp/hold
	mkfifo /tmp/hold
	exec 3<> /tmp/hold
	limited "$1" swapcheck "$2" "$3" "$4" "${5:-1}" /tmp/dump < /tmp/hold > /tmp/swapcheck 2>&1 &
	echo $! > /tmp/hold.pid
	until grep -q 'pages in swap' /tmp/swapcheck; do
		kill -0 "$(cat /tmp/hold.pid)" 2> /dev/null || break
		sleep 0.2
	done
	cat /tmp/swapcheck
	# 6.12 leaves some in the swap cache, not written yet: reclaim writes them
	echo 0 > /sys/fs/cgroup/limited/memory.high
	echo max > /sys/fs/cgroup/limited/memory.high
	for _ in $(seq 300); do
		[ "$(counter staged)" != 0 ] || break
		sleep 0.2
	done
	grep -q 'wrong_bytes=0' /tmp/swapcheck && grep -q 'pages in swap' /tmp/swapcheck
}

release() {
	echo > /tmp/hold
	while kill -0 "$(cat /tmp/hold.pid)" 2> /dev/null; do sleep 0.2; done
}

# lent N: slabs that node N has lent, as its daemon says
lent() { farswap --node "node$1" -j | jq .lent.slabs; }

# counter NAME: of the device, from sysfs
counter() { cat "/sys/block/farswap0/farswap/$1"; }

# whole: every extent has all its copies, and no peer is or was lost that the kernel still knows of
whole() {
	farswap --node node1 -j | jq -e '.device.extents_degraded == 0 and .device.repair.extents == 0 and all(.peers[]; .state == "live")' > /dev/null
}

# audited [N...]: every held page has three good copies, as the module says, and as the donors' memory (nodes 2 to 4) says of the pages of hold
audited() {
	local n donors=()
	[ $# != 0 ] || set -- 2 3 4
	for n; do donors+=("node$n=$(daemon_pid "$n")"); done
	farswap audit farswap0 && farswap map farswap0 -j > /tmp/map || return
	auditbytes /tmp/dump /tmp/map "${donors[@]}" > /tmp/audit 2>&1 ||
		{ tail -n 20 /tmp/audit; return 1; }
	cat /tmp/audit
	grep -q "copies=3 wrong=0" /tmp/audit
}

# flip_mended: one byte flipped at node 3, of the pages of hold, is found by an audit, node3 is named, and it is mended; another is by the scrub
flip_mended() {
	local scrub=/sys/module/farswap/parameters/scrub code=0 corrupt
	echo 0 > $scrub
	auditbytes --flip /tmp/dump /tmp/map "node3=$(daemon_pid 3)" || return
	farswap audit farswap0 > /tmp/found || code=$?
	cat /tmp/found
	[ $code = 3 ] && grep -q '^bad: .*node3' /tmp/found || return 1
	until [ "$(counter missed)" = 0 ]; do sleep 0.2; done
	corrupt=$(counter corrupt)
	auditbytes --flip /tmp/dump /tmp/map "node3=$(daemon_pid 3)" || return
	echo 10000 > $scrub
	until [ "$(counter corrupt)" = $((corrupt + 1)) ] && [ "$(counter missed)" = 0 ]; do sleep 0.2; done
	echo "the scrub found it among $(counter scrubbed) pages"
	farswap audit farswap0
}

# swap_gone [N...]: swapoff and down; no donor (nodes 2 to 4) has lent a slab any more
swap_gone() {
	local n
	[ $# != 0 ] || set -- 2 3 4
	swapoff /dev/farswap0 && farswap --node node1 down farswap0 || return
	for n; do
		[ "$(lent "$n")" = 0 ] || { echo "node$n still lends $(lent "$n") slabs"; return 1; }
	done
}

# verify_with CODEC MIB: a device with that codec from up to down, MIB of pages of all kinds under half as much memory, audited. The
# module and the daemons of nodes 1 to 4 are there.
verify_with() {
	local t=$SECONDS
	farswap --node node1 up farswap0 --swapon --priority 100 > /dev/null || return
	echo "$1" > /sys/block/farswap0/farswap/codec &&
		hold "$(($2 / 2))M" "$2" 1 2 1009 > /tmp/held || { cat /tmp/held; return 1; }
	audited > /tmp/audited || { cat /tmp/audited; return 1; }
	release
	echo "codec=$1 $(tail -n 1 /tmp/audited) stores=$(counter stores) seconds=$((SECONDS - t))"
	swap_gone
}
