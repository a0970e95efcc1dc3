# guest.sh: what a command that runs in a guest can call; every shell of the agent has it.
# shellcheck shell=bash
unset BASH_ENV

# rxe_on DEV: rxe0 over that interface, and what user space needs to use it
rxe_on() {
	modprobe -a crc32_generic rdma_rxe rdma_ucm ib_uverbs &&
		rdma link add rxe0 type rxe netdev "$1"
}

# net_one N: the one-VM shape: 10.77.0.1..N and fd77::1..N on dummy0, rxe0 over it
net_one() {
	local n
	if [ ! -d /sys/class/net/dummy0 ]; then
		modprobe dummy numdummies=0 && ip link add dummy0 type dummy || return
	fi
	ip link set dummy0 mtu 4200 up
	for n in $(seq "$1"); do
		ip addr replace "10.77.0.$n/24" dev dummy0
		ip addr replace "fd77::$n/64" dev dummy0 nodad
	done
	[ -d /sys/class/infiniband/rxe0 ] || rxe_on dummy0
}

# net_node: the shape of one VM per node: init calls it
net_node() {
	modprobe virtio_net
	ip addr add "10.77.0.$NODE/24" dev eth0
	ip addr add "fd77::$NODE/64" dev eth0 nodad
	ip link set eth0 up
	rxe_on eth0
}

# load_farswap [PARAMETER=VALUE...]: insmod, after what it depends on
load_farswap() {
	local deps
	deps=$(modinfo -F depends /farswap/farswap.ko | tr , ' ')
	# shellcheck disable=SC2086 # they are several
	[ -z "$deps" ] || modprobe -a $deps || return
	# shellcheck disable=SC2046 # nothing, or one
	insmod /farswap/farswap.ko $(cat /farswap/stalls 2> /dev/null) "$@"
}

# leftovers: prints what a test must not leave behind
leftovers() {
	grep -s '^farswap ' /proc/modules
	pgrep -a farswapd
	tail -n +2 /proc/swaps
}

# jq: with -e, no answer is a failure; jq 1.6 takes it for success, and so a check would pass if the command that it looks at had failed
jq() {
	local said
	case " $* " in
	*' -e'*)
		said=$(command jq "$@"; echo ":$?")
		printf '%s' "${said%:*}"
		[ "${said%:*}" ] && return "${said##*:}" ;;
	*)
		command jq "$@" ;;
	esac
}

# for farswapd with stalls
if [ -f /farswap/stalls ]; then
	FARSWAP_STALL_SEED=$(cut -d= -f2 /farswap/stalls)
	export FARSWAP_STALL_SEED
fi

. /farswap/cluster.sh
