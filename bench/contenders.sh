# shellcheck shell=bash
# contenders.sh: in the guest, what operators use as swap today. NAME_on SIZE prints the device, ready to be swapped to, of SIZE MiB; NAME_off takes it
# away. All but zram and farswap keep their pages in one RAM disk (NBD with the page cache over it); those on the network reach it by 10.77.0.1.

contenders_begin() {
	local nvmet=/sys/kernel/config/nvmet subsystem port=0 kind
	modprobe -a brd nvmet-rdma nvmet-tcp nvme-rdma nvme-tcp nbd
	mountpoint -q /sys/kernel/config || mount -t configfs config /sys/kernel/config
	modprobe -r brd
	modprobe brd rd_nr=1 rd_size=$(($1 * 1024))
	subsystem=$nvmet/subsystems/ram
	mkdir "$subsystem"
	echo 1 > "$subsystem/attr_allow_any_host"
	mkdir "$subsystem/namespaces/1"
	echo /dev/ram0 > "$subsystem/namespaces/1/device_path"
	echo 1 > "$subsystem/namespaces/1/enable"
	for kind in rdma tcp; do
		port=$((port + 1))
		mkdir "$nvmet/ports/$port"
		echo ipv4 > "$nvmet/ports/$port/addr_adrfam"
		echo 10.77.0.1 > "$nvmet/ports/$port/addr_traddr"
		echo $kind > "$nvmet/ports/$port/addr_trtype"
		echo $((4419 + port)) > "$nvmet/ports/$port/addr_trsvcid"
		ln -s "$subsystem" "$nvmet/ports/$port/subsystems/ram"
	done
	printf '[generic]\nlistenaddr = 10.77.0.1\n[ram]\nexportname = /dev/ram0\n' > /tmp/nbd.conf
	nbd-server -C /tmp/nbd.conf
}

ramdisk_on() { echo /dev/ram0; }
ramdisk_off() { :; }

zram_on() {
	modprobe zram num_devices=1
	echo lz4 > /sys/block/zram0/comp_algorithm
	echo "$1M" > /sys/block/zram0/disksize
	echo /dev/zram0
}
zram_off() {
	echo 1 > /sys/block/zram0/reset
	rmmod zram
}

# nvme_on KIND PORT
nvme_on() {
	local tries
	nvme connect -t "$1" -a 10.77.0.1 -s "$2" -n ram > /dev/null
	for tries in $(seq 100); do
		set -- /dev/nvme?n1
		[ ! -b "$1" ] || { echo "$1"; return; }
		sleep 0.1
	done
	echo "no NVMe device came in $tries tries" >&2
	return 1
}
nvme_rdma_on() { nvme_on rdma 4420; }
nvme_rdma_off() { nvme disconnect -n ram > /dev/null; }
nvme_tcp_on() { nvme_on tcp 4421; }
nvme_tcp_off() { nvme disconnect -n ram > /dev/null; }

nbd_on() {
	nbd-client -N ram 10.77.0.1 /dev/nbd0 -swap > /dev/null 2>&1
	echo /dev/nbd0
}
nbd_off() {
	nbd-client -d /dev/nbd0 > /dev/null
	blockdev --flushbufs /dev/ram0	# nbd-server goes through the page cache: nothing of it is left to be written when others have the disk
}

# farswap_on COPIES [CODEC]
farswap_on() {
	load_farswap scrub=0
	farswap --node node1 up farswap0 --copies "$1" > /dev/null
	echo "${2:-none}" > /sys/block/farswap0/farswap/codec
	echo /dev/farswap0
}
farswap_off() {
	farswap --node node1 down farswap0
	rmmod farswap
}
farswap1_on() { farswap_on 1; }
farswap1_off() { farswap_off; }
farswap2_on() { farswap_on 2; }
farswap2_off() { farswap_off; }
farswap3_on() { farswap_on 3; }
farswap3_off() { farswap_off; }
farswap3z_on() { farswap_on 3 lz4; }
farswap3z_off() { farswap_off; }
