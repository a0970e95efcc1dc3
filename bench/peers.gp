# peers.gp: bench/peers' pictures. dir: where its data is; names: of the contenders; write_bw, nvme_out: MiB/s
do for [format in "svg png"] {
	if (format eq "svg") { set terminal svg size 760,440 dynamic background "white" } else { set terminal pngcairo size 760,440 }
	set termoption noenhanced
	set grid
	set key outside right

	set output dir."/latency.".format
	set title "page-in at random, one thread: time by percentile"
	set logscale xy
	set xlabel "1 - percentile"
	set ylabel "us"
	set xrange [1:0.0001]
	plot for [n in names] dir."/latency.".n using (1 - $1 / 100):2 with linespoints pointsize 0.4 title n

	set output dir."/copies.".format
	unset logscale
	set title "page-out and page-in in order, by copies"
	set xlabel "copies"
	set ylabel "MiB/s"
	set xrange [0.5:3.5]
	set xtics 1
	set yrange [0:*]
	plot dir."/copies" using 1:2 with linespoints title "pages out", "" using 1:3 with linespoints title "on the wire", \
		"" using 1:4 with linespoints title "pages in", write_bw title "WRITEs of 64 KiB" dashtype 2, nvme_out title "out, NVMe by RDMA" dashtype 3
	set xtics autofreq

	set output dir."/zipf.".format
	set title "the mixed Zipf load under a memory limit"
	set style data histogram
	set style fill solid 0.6
	set xlabel ""
	set ylabel "s"
	set xrange [*:*]
	set xtics rotate by -30
	plot dir."/zipf" using 2:xtic(1) title "half of the memory", "" using 3 title "a quarter"
	unset xtics
	set xtics
	set yrange [*:*]
}
