# shellcheck shell=bash
# workloads.sh: in the guest, programs whose memory is swapped. Each prints one line "NAME KEY=VALUE...".

# fio_raw DEVICE MIB: the device without swap, READs at random one after the other
fio_raw() {
	fio --name=fill --filename="$1" --rw=write --bs=64k --size="$2M" --ioengine=psync --direct=1 --end_fsync=1 > /dev/null
	fio --name=raw --filename="$1" --rw=randread --bs=4k --size="$2M" --io_size=16M --ioengine=psync --direct=1 --output-format=json |
		jq -r '.jobs[0].read | "fio_raw iops=\(.iops) p50=\(.clat_ns.percentile["50.000000"] / 1000) p99=\(.clat_ns.percentile["99.000000"] / 1000)"'
}

# fio_mmap MIB LIMIT: a file in memory that is mapped, 70 of 100 accesses are reads
fio_mmap() {
	mkdir -p /mnt/fio
	mount -t tmpfs -o size=$(($1 * 2))M tmpfs /mnt/fio
	limited "$2" fio --name=mmap --directory=/mnt/fio --ioengine=mmap --size="$1M" --io_size="$1M" --rw=randrw --rwmixread=70 --bs=4k --randseed=7 \
		--output-format=json | jq -r '.jobs[0] | "fio_mmap iops=\(.read.iops + .write.iops) p99=\(.read.clat_ns.percentile["99.000000"] / 1000)"'
	umount /mnt/fio
}

# redis_ops MIB: values of 1 KiB, GETs at random, with the memory that all of it takes, three quarters and half of that
redis_ops() {
	local keys=$(($1 * 1024 * 10 / 13)) group=/sys/fs/cgroup/limited all percent	# a key and its value take 1.3 KiB
	limited max redis-server --port 7379 --bind 127.0.0.1 --save '' --appendonly no --daemonize no > /tmp/redis.log &
	until redis-cli -p 7379 ping > /dev/null 2>&1; do sleep 0.1; done
	redis-cli -p 7379 eval "local value = string.rep('v', 1024)
		for i = 0, $keys - 1 do redis.call('SET', string.format('key:%012d', i), value) end" 0 > /dev/null	# the names that redis-benchmark asks for
	all=$(awk '$1 == "anon" { print $2 }' $group/memory.stat)
	redis-benchmark -p 7379 -c 4 -n 2000 -r "$keys" --csv get 'key:__rand_int__' > /dev/null
	for percent in 100 75 50; do
		echo $((all * percent / 100)) > $group/memory.max
		redis-benchmark -p 7379 -c 4 -n 8000 -r "$keys" --csv get 'key:__rand_int__' |
			tail -n 1 | tr -d '"' | awk -F, '{ print "redis'$percent' ops=" $(NF - 6) " p50=" $(NF - 3) * 1000 " p99=" $(NF - 1) * 1000 }'
	done
	redis-cli -p 7379 shutdown nosave
	while redis-cli -p 7379 ping > /dev/null 2>&1; do sleep 0.1; done
}

# sort_lines MIB LIMIT: that much of lines, all in the memory of the one who sorts
sort_lines() {
	local t
	[ -f /tmp/lines ] || corpus random $(($1 * 1024 / 10)) | od -An -v -tx8 -w16 > /tmp/lines	# 35 characters for 16 bytes
	t=${EPOCHREALTIME/./}
	LC_ALL=C limited "$2" sort -S "$(($1 * 4))M" --parallel=1 /tmp/lines -o /dev/null
	echo "sort seconds=$(awk "BEGIN { print (${EPOCHREALTIME/./} - $t) / 1000000 }")"
}
