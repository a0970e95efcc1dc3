#!/bin/bash
# systemd.sh: prepares the guest for systemd as its init, and becomes it: for tests with "# boot: farswap.init=systemd". init reads it, with its
# variables set. What a host's disk keeps from boot to boot is made anew here: configuration, enabled units, how modprobe finds the module (depmod
# takes long here). The cluster is node1 to node4, wherever the test runs the last two.
. /farswap/guest.sh
units=/etc/systemd/system

echo "node$node" > /etc/hostname
echo 0123456789abcdef0123456789abcde"$node" > /etc/machine-id
echo "install farswap /bin/bash -c '. /farswap/guest.sh; load_farswap'" > /etc/modprobe.d/farswap.conf
cluster_conf 4 replace_after=60

cat > $units/agents.service <<-END
	[Unit]
	DefaultDependencies=no
	[Service]
	Environment=PATH=$PATH NODE=$node HOME=/root
	WorkingDirectory=/root
	OOMScoreAdjust=-1000
	ExecStart=/bin/bash -c 'modprobe virtio_console; for n in 1 2 3 4 5 6 7 8; do until [ -e /dev/vport0p\$n ]; do sleep 0.1; done; BASH_ENV=/farswap/guest.sh agent /dev/vport0p\$n & done; wait'
END
# ordered as NetworkManager is: after sysinit.target; taken down at the end as ifupdown does
cat > $units/network.service <<-END
	[Unit]
	Wants=network.target
	Before=network.target network-online.target
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	Environment=NODE=$node
	ExecStart=/bin/bash -c '. /farswap/guest.sh; net_node'
	ExecStop=/bin/bash -c 'echo "<4>farswap-test: network down, swaps: \$(grep -c ^/dev /proc/swaps)" > /dev/kmsg; ip link set eth0 down'
	[Install]
	WantedBy=network-online.target
END
# ordered as users' sessions are; its end takes a moment, in which what does not wait for it begins to end too
cat > $units/session.service <<-END
	[Unit]
	After=systemd-user-sessions.service
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/bin/true
	ExecStop=/bin/bash -c 'sleep 1; echo "<4>farswap-test: session ends, farswap@farswap0: \$(systemctl is-active farswap@farswap0)" > /dev/kmsg'
	[Install]
	WantedBy=multi-user.target
END
mkdir -p $units/farswap@.service.d
cat > $units/farswap@.service.d/test.conf <<-END
	[Service]
	ExecStopPost=/bin/bash -c 'echo "<4>farswap-test: farswap@%i: \$SERVICE_RESULT, swaps: \$(grep -c ^/dev /proc/swaps), eth0: \$(cat /sys/class/net/eth0/operstate)" > /dev/kmsg'
END
mkdir -p $units/sysinit.target.wants
ln -s ../agents.service $units/sysinit.target.wants
# what only costs time here: the drivers of everything that QEMU emulates, logins, services of other packages
systemctl -q mask systemd-udev-trigger.service modprobe@dm_mod.service serial-getty@ttyS0.service getty.target \
	redis-server.service apt-daily.timer apt-daily-upgrade.timer
systemctl -q enable network.service session.service farswapd.service
[ "$node" != 1 ] || systemctl -q enable farswap@farswap0.service
systemctl -q set-default multi-user.target
exec /lib/systemd/systemd
