# timeline.awk: farswap's tracepoints (tracefs's trace) to an SVG: above, each page-in at its time, how long it took (logarithmic);
# below, pages sent out in each bin.
/farswap_(load|window):/ {
	for (i = 1; i <= NF; i++)
		if ($i ~ /^farswap_/) {
			t = $(i - 1) + 0
			kind = $i
			break
		}
	if (first == "")
		first = t
	t -= first
	if (t > last)
		last = t
	if (kind == "farswap_load:") {
		load_t[++loads] = t
		load_us[loads] = value("ns") / 1000
	} else {
		out_t[++outs] = t
		out_pages[outs] = value("pages")
	}
}

function value(name, s) {
	s = $0
	sub(".* " name "=", "", s)
	return s + 0
}

function x(t) { return left + t / last * width }
function log10(v) { return log(v) / log(10) }
function y(us) { return top + height - (log10(us < low ? low : us > high ? high : us) - log10(low)) / log10(high / low) * height }

function text(tx, ty, anchor, s) {
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", tx, ty, anchor, s
}

function line(x1, y1, x2, y2, colour) {
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, colour
}

# the ticks of both parts' time axis, and the upper part's scale
function axes(us, t, step) {
	for (us = low; us <= high; us *= 10) {
		line(left, y(us), left + width, y(us), "#ddd")
		text(left - 6, y(us) + 4, "end", us < 1000 ? us " us" : us / 1000 " ms")
	}
	step = last > 8 ? 2 : last > 4 ? 1 : 0.5
	for (t = 0; t <= last; t += step) {
		line(x(t), top, x(t), below + depth, "#eee")
		text(x(t), below + depth + 16, "middle", t " s")
	}
}

function bins(i, b, n, most) {
	n = 120
	for (i = 1; i <= outs; i++)
		sum[int(out_t[i] / last * (n - 1))] += out_pages[i]
	for (b = 0; b < n; b++)
		if (sum[b] > most)
			most = sum[b]
	for (b = 0; b < n; b++)
		if (sum[b])
			printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#c60\"/>\n", left + b * width / n,
				below + depth - sum[b] / most * depth, width / n - 0.5, sum[b] / most * depth
	text(left - 6, below + 10, "end", sprintf("%.0f /s", most / (last / n)))
	text(left - 6, below + depth, "end", "0")
}

END {
	left = 70; top = 30; width = 880; height = 260; below = 330; depth = 90; low = 10; high = 100000
	if (!loads || !last) {
		print "timeline.awk: no page-in in the trace" > "/dev/stderr"
		exit 1
	}
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 970 450\" font-family=\"sans-serif\" font-size=\"12\">\n"
	print "<rect width=\"970\" height=\"450\" fill=\"white\"/>"
	axes()
	text(left, 20, "start", "each page-in: from entering the module to verified")
	text(left, below - 8, "start", "pages sent out")
	every = int(loads / 4000) + 1	# dots enough for an eye
	printf "<path stroke=\"#06c\" stroke-opacity=\"0.5\" stroke-width=\"2.4\" stroke-linecap=\"round\" d=\""
	for (i = 1; i <= loads; i += every)
		printf "M%.1f %.1fh0%s", x(load_t[i]), y(load_us[i]), i % 10 ? "" : "\n"
	print "\"/>"
	bins()
	print "</svg>"
}
