# bring.sh: a group whose pages go to swap, for the tests of farswap bring
# shellcheck shell=bash
group=/sys/fs/cgroup/limited
# squeeze: all but 16 MiB of the group goes to swap
squeeze() {
	for _ in 1 2 3 4 5 6; do
		echo 16M > $group/memory.high
		[ "$(cat $group/memory.current)" -gt $((20 << 20)) ] || return 0
	done
	return 1
}
# fill MIB: touchset begins, and waits in the group
fill() {
	rm -f /tmp/touch; mkfifo /tmp/touch; exec 3<> /tmp/touch
	limited 400M touchset "$1" < /tmp/touch > /tmp/touched 2>&1 &
	until grep -q full /tmp/touched; do sleep 0.2; done
}
# touch_all: and what that took
touch_all() {
	local lines
	lines=$(wc -l < /tmp/touched)
	echo > /tmp/touch
	while [ "$(wc -l < /tmp/touched)" = "$lines" ]; do sleep 0.2; done
	tail -1 /tmp/touched
	tail -1 /tmp/touched | grep -q wrong=0
}
# interrupted WATCH...: a slow bring of all of it, and memory that is made short 3 s later, when 5 MiB or more are back
interrupted() {
	farswap bring --cgroup limited --rate 2 -j > /tmp/brought 2> /tmp/why & bring=$!
	swapwatch $group 3 "$@" > /tmp/watched || cat /tmp/watched
	code=0; wait $bring || code=$?
	cat /tmp/why /tmp/watched; jq -c . /tmp/brought
	[ $code = 4 ] || { echo "bring exits $code"; return 1; }
}
