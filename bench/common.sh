# shellcheck shell=bash
# What the benchmarks in a virtual machine share; $dir is where a run keeps what it found, $times how often each is measured.

step() { printf '[%3d s] %s\n' $((SECONDS - start)) "$*"; }

# ---- measures: a line "NAME VALUE" each in $dir/measures ----

shopt -s inherit_errexit

# measure NAME VALUE: a number, or the run is over
measure() {
	[[ $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "$1 was not measured: '$2' is no number; $dir/log has what was said"
	echo "$1 $2" >> "$dir/measures"
}
# all NAME: its values in order
all() { awk -v n="$1" '$1 == n { print $2 }' "$dir/measures" | sort -g; }
median() { all "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
spread() { all "$1" | awk 'NR == 1 { low = $1 } END { printf "%s [%s..%s]", "'"$(median "$1")"'", low, $1 }'; }
# calc EXPRESSION: three digits
calc() { awk "BEGIN { printf \"%.3f\", $1 }"; }
# turns EXPRESSION of measures: worked out for each turn apart, as the host's speed changes from one to the next; the median. LEAST(a, b), MOST(a, b)
turns() {
	awk 'function LEAST(a, b) { return a < b ? a : b }
	function MOST(a, b) { return a > b ? a : b }
	{ v[$1, ++n[$1]] = $2 }
	END { for (i = 1; i <= '$times'; i++) print '"$(sed -E 's/[a-z][a-z0-9_]*/v["&", i]/g' <<< "$1")"' }' "$dir/measures" |
		sort -g | awk '{ v[NR] = $1 } END { printf "%.3f", v[int((NR + 1) / 2)] }'
}

# stolen: milliseconds that the machine waited for a CPU of this host, so far: those of the thread that ran most, which with
# emulation is the one that runs all of the guest's CPUs
stolen() {
	cat "/proc/$(cat "$VM_DIR/1/pid")/task/"*/schedstat | awk '$1 >= most { most = $1; wait = $2 } END { printf "%.0f\n", wait / 1e6 }'
}

# timed COMMAND: on CPU 0, or $CPUS; its lines into $dir/said, each with what was stolen since the one before. An emulator that runs the
# guest's CPUs in turns adds milliseconds wherever one of them waits for another, so everything that is timed stays on one.
timed() {
	local line now before
	before=$(stolen)
	on 1 "${RUN:-} taskset -c ${CPUS:-0} $*" | while IFS= read -r line; do
		now=$(stolen)
		echo "$line stolen=$((now - before))"
		before=$now
	done > "$dir/said"
	cat "$dir/said" >> "$dir/log"
}
swapbench() { timed swapbench "$@"; }

# said PHASE KEY: of the last phase of that name
said() { sed -nE "s/^$1 .*\b$2=([0-9.]+).*/\1/p" "$dir/said" | tail -n 1; }
# mib_per_s PHASE MIB: in the time that the host left to the machine; rate PHASE KEY: of so many pages
mib_per_s() { calc "$2 / ($(said "$1" seconds) - $(said "$1" stolen) / 1000)"; }
rate() { mib_per_s "$1" "$(calc "$(said "$1" "$2") / 256")"; }

# perftest COMMAND N: seconds that N operations of 'ib_...' take on this machine's own interface, by the clock: what perftest tells is by the
# processor's cycles, whose rate it does not know under emulation. Two runs, as it takes a while to begin; less what was stolen.
perftest() {
	local few many
	few=$(perftest_once "$1" $(($2 / 10)))
	many=$(perftest_once "$1" $(($2 / 10 + $2)))
	calc "($many - $few) / 1000"
}

# perftest_p50 COMMAND N: microseconds, the median of N operations one by one: what perftest tells for it over what it tells for their mean, which
# is known by the clock
perftest_p50() {
	local seconds
	seconds=$(perftest "$1" "$2")
	calc "$seconds * 1000000 / $2 * $(on 1 "awk '\$2 ~ /^[0-9]+$/ && NF >= 9 { print \$5 / \$6 }' /tmp/client")"
}

# Those that poll for completions only run when nothing else wants the CPU: from 6.2 on soft-RoCE is threads, which they would keep waiting.
polling='chrt -i 0'

# perftest_once COMMAND N: ms
perftest_once() {
	local wait ms command="$polling taskset -c 0 $1 -d rxe0 -F -n $2"
	on 1 "$command > /tmp/server 2>&1 & sleep 1; ss -ltn | grep -q :18515" || die "$1 does not start: see /tmp/server in the machine"
	wait=$(stolen)
	ms=$(on 1 "t=\${EPOCHREALTIME/./}; $command 10.77.0.1 > /tmp/client 2>&1; echo \$(((\${EPOCHREALTIME/./} - t) / 1000))") ||
		die "$1 failed: $(on 1 'tail -n 2 /tmp/client')"
	echo $((ms - $(stolen) + wait))
}
