# vm.sh: starts and stops the virtual machines of one session. Source it after scripts/common.sh.
# shellcheck shell=bash
#
# A session has a directory, $VM_DIR, and in it one directory per node: pid, console (everything
# the guest's kernel said at level warn or worse), port1..port8 (the agents' sockets). All in all:
#
#   trap vm_end EXIT
#   vm_session 6.1 4 1G
#   for n in 1 2 3 4; do vm_start $n; done
#   for n in 1 2 3 4; do vm_wait $n 120; done
#
# and then what lib.sh offers. $MEMORY and $VM_CPUS may change between two vm_start.

# accel: prints QEMU's accelerator flags. /dev/kvm may be there and not work, so KVM is used only
# after a guest has booted with it; the answer holds until the host boots again. One thread for all
# of a guest's CPUs: with one each, QEMU 7.2 sometimes leaves a CPU in int3 for ever while another
# rewrites its code (static keys), and two sessions fill two cores anyway. Without erms the kernel copies
# and clears by words: a byte at a time is what rep movsb is when it is emulated.
accel() {
	local answer
	answer=$cache/kvm-$(cat /proc/sys/kernel/random/boot_id)
	if [ ! -s "$answer" ]; then
		mkdir -p "$cache"
		rm -f "$cache"/kvm-*
		if [ -w /dev/kvm ] && kvm_boots; then
			echo yes > "$answer.$$"
		else
			echo no > "$answer.$$"
		fi
		mv "$answer.$$" "$answer"
	fi
	if [ "$(cat "$answer")" = yes ]; then
		echo "-accel kvm -cpu host"
	else
		# emulated, each of these is slower than what programs do without: CRC-32C 6 times, bit by bit (60 ms for 8 MiB, 10 ms by table)
		echo "-accel tcg,thread=single -cpu max,-erms,-sse4.2,-pclmulqdq"
	fi
}

# The guest has nothing to mount, so a kernel that runs gets as far as the initrd's complaint.
kvm_boots() {
	local dir image pid ok=1
	image=$("$top/scripts/guest-image") || return 1
	dir=$(mktemp -d /tmp/farswap-kvm.XXXXXX)
	qemu-system-x86_64 -accel kvm -cpu host -nodefaults -display none -no-reboot -m 512M \
		-kernel "$image/6.1/vmlinuz" -initrd "$image/6.1/initrd" \
		-append "console=ttyS0 panic=-1" -serial "file:$dir/console" > "$dir/log" 2>&1 &
	pid=$!
	for _ in $(seq 100); do
		grep -qs 'Run /init' "$dir/console" && ok=0 && break
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	kill -9 $pid 2>/dev/null || true
	wait $pid 2>/dev/null || true
	rm -r "$dir"
	return $ok
}

# vm_session KERNEL NODES MEMORY: makes the session's directory and, for more than one node, its
# network namespace; boots nothing yet
vm_session() {
	KERNEL=$1 NODES=$2 MEMORY=$3
	VM_DIR=$(mktemp -d /tmp/farswap-vm.XXXXXX)
	VM_NET= VM_PARAMS=
	export KERNEL NODES MEMORY VM_DIR VM_NET
	VM_IMAGE=$("$top/scripts/guest-image") || return
	VM_ACCEL=$(accel) || return
	VM_PAYLOAD=$("$top/tests/vm/payload" "$KERNEL") || return
	VM_DEBUG=
	[ "$KERNEL" != debug ] || VM_DEBUG=$("$top/tests/vm/debug-kernel") || return
	if [ "$NODES" -gt 1 ]; then
		VM_NET=farswap-${VM_DIR##*.}
		ip netns add "$VM_NET"
		ip -n "$VM_NET" link add br0 type bridge
		ip -n "$VM_NET" link set br0 mtu 9000 up
	fi
}

# vm_start NODE [QEMU FLAGS]: boots it, without waiting; vm_wait does. Of several machines only the client has the debug kernel: nothing of ours
# is in the donors' kernels. Under KASAN, interpreting ACPI's tables can take longer than ACPI allows.
vm_start() {
	local node=$1 dir=$VM_DIR/$1 cpus=${VM_CPUS:-2} kernel=$KERNEL memory=$MEMORY p flags run=() more=
	if [ "$kernel" = debug ] && [ "$node" = 1 ]; then
		flags=(-kernel "$VM_DEBUG/bzImage")
		more=acpi=off
	else
		[ "$kernel" != debug ] || kernel=6.1 memory=1G
		flags=(-kernel "$VM_IMAGE/$kernel/vmlinuz" -initrd "$VM_IMAGE/$kernel/initrd")
	fi
	shift
	mkdir -p "$dir"
	rm -f "$dir/off"
	flags+=(-nodefaults -no-user-config -display none -no-reboot -m "$memory"
		-drive "file=$VM_IMAGE/image.ext4,format=raw,if=virtio,snapshot=on"
		-drive "file=$VM_PAYLOAD,format=raw,if=virtio,readonly=on"
		-device "virtio-serial-pci,max_ports=16" -monitor "unix:$dir/monitor,server=on,wait=off")
	for p in 1 2 3 4 5 6 7 8; do
		flags+=(-chardev "socket,id=p$p,path=$dir/port$p,server=on,wait=off"
			-device "virtserialport,chardev=p$p,nr=$p")
	done
	if [ "$NODES" -gt 1 ]; then
		cpus=${VM_CPUS:-1}
		run=(ip netns exec "$VM_NET")
		"${run[@]}" ip tuntap add dev "tap$node" mode tap 2>/dev/null || true
		"${run[@]}" ip link set "tap$node" mtu 9000 master br0 up
		flags+=(-netdev "tap,id=n,ifname=tap$node,script=no,downscript=no" -device
			"virtio-net-pci,netdev=n,mac=52:54:00:00:00:0$node,host_mtu=9000,romfile=")
	else
		flags+=(-nic none)
	fi
	if [ -n "${VM_SHELL:-}" ] && [ "$node" = 1 ]; then
		more+=" farswap.shell=1"
		flags+=(-serial mon:stdio)
	else
		flags+=(-chardev "file,id=c,path=$dir/console,append=on" -serial chardev:c)
	fi
	run+=(env "TMPDIR=$VM_DIR" qemu-system-x86_64)
	# shellcheck disable=SC2086
	set -- "${run[@]}" $VM_ACCEL -smp $cpus "${flags[@]}" "$@" -append \
		"console=ttyS0 loglevel=5 printk.time=1 printk.devkmsg=on log_buf_len=4M panic=-1 panic_on_warn=1
		oops=panic hung_task_panic=1 root=/dev/vda rw init=/sbin/farswap-init net.ifnames=0
		mitigations=off audit=0 apparmor=0 no_timer_check trace_clock=local
		rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=30 tsc=reliable
		farswap.node=$node farswap.nodes=$NODES $VM_PARAMS $more"
	if [[ $more = *shell=1 ]]; then
		"$@"
	else
		"$@" < /dev/null > "$dir/qemu" 2>&1 &
		echo $! > "$dir/pid"
		disown
	fi
}

# vm_wait NODE SECONDS: until its agent answers
vm_wait() {
	local end=$((SECONDS + $2))
	until [ -S "$VM_DIR/$1/port8" ]; do
		vm_alive "$1" || { cat "$VM_DIR/$1/qemu" >&2; return 1; }
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
	"$VM_TELL" "$VM_DIR/$1" "$2" true
}

vm_alive() { kill -0 "$(cat "$VM_DIR/$1/pid" 2>/dev/null || echo x)" 2>/dev/null; }

# vm_kill NODE: as if its power went
vm_kill() {
	local pid
	pid=$(cat "$VM_DIR/$1/pid" 2>/dev/null) || return 0
	kill -9 "$pid" 2>/dev/null || true
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	rm -f "$VM_DIR/$1/pid" "$VM_DIR/$1"/{port*,monitor}
}

# vm_end: ends every machine of the session and removes its namespace and directory
vm_end() {
	local dir
	[ -n "${VM_DIR:-}" ] || return 0
	for dir in "$VM_DIR"/[1-9]; do
		[ -d "$dir" ] && vm_kill "${dir##*/}"
	done
	[ -z "$VM_NET" ] || ip netns del "$VM_NET" || true
	rm -rf "$VM_DIR"
	VM_DIR=
}

# vm_monitor NODE COMMAND: of QEMU's monitor
vm_monitor() { "$top/.build/vm/monitor" "$VM_DIR/$1/monitor" "$2"; }

VM_TELL=$top/.build/vm/tell
export VM_TELL
