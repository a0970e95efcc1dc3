# use.awk: lines "POLICY RANK USE" of the simulator, USE over the mean, to an SVG: a line for each policy, its donors from the fullest to the
# emptiest.
!($1 in known) {
	known[$1] = ++policies
	name[policies] = $1
}
{
	use[known[$1], $2] = $3
	if ($2 + 0 > last)
		last = $2 + 0
	if ($3 + 0 > most)
		most = $3 + 0
}

function x(rank) { return left + rank / last * width }
function y(value) { return top + height - value / most * height }

END {
	if (!last) {
		print "use.awk: no donors" > "/dev/stderr"
		exit 1
	}
	left = 60; top = 30; width = 640; height = 330
	split("#06c #c33 #c60 #396", colour, " ")
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 970 420\" font-family=\"sans-serif\" font-size=\"12\">\n"
	print "<rect width=\"970\" height=\"420\" fill=\"white\"/>"
	for (value = 0; value <= most; value += 0.5) {
		printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\"/>\n", left, y(value), left + width, y(value),
			value == 1 ? "black" : "#ddd"
		printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>\n", left - 6, y(value) + 4, value
	}
	printf "<text x=\"%d\" y=\"18\">use over the mean, %d donors from the fullest to the emptiest, by placement policy</text>\n", left, last + 1
	for (p = 1; p <= policies; p++) {
		printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour[p]
		for (rank = 0; rank <= last; rank++)
			printf "%.1f,%.1f ", x(rank), y(use[p, rank])
		print "\"/>"
		printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"2\"/>\n", left + width + 20, top + p * 22,
			left + width + 44, top + p * 22, colour[p]
		printf "<text x=\"%d\" y=\"%d\">%s</text>\n", left + width + 50, top + p * 22 + 4, name[p]
	}
	print "</svg>"
}
