# bars.awk: the rows with a bound of path's table (NAME VALUE le|ge BOUND ...) as bars in an SVG; the line is where the bound is, so
# a number that must not exceed its bound ends left of it, and one that must reach it ends right of it.
$3 != "-" {
	name[++n] = $1
	value[n] = $2
	bound[n] = $4
	least[n] = $3 == "ge"
	good[n] = $5 == "yes"
}

END {
	left = 190; unit = 240; most = 2.2; height = n * 30 + 60
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 970 %d\" font-family=\"sans-serif\" font-size=\"12\">\n", height
	printf "<rect width=\"970\" height=\"%d\" fill=\"white\"/>\n", height
	for (i = 1; i <= n; i++) {
		share = value[i] / bound[i]
		if (share > most)
			share = most
		y = 20 + i * 30
		printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left - 8, y, name[i]
		printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"18\" fill=\"%s\"/>\n", left, y - 13, share * unit,
			good[i] ? "#396" : "#c33"
		printf "<text x=\"%.1f\" y=\"%d\">%s (%s %s)</text>\n", left + (share > 1 ? share : 1) * unit + 6, y, value[i],
			least[i] ? "at least" : "at most", bound[i]
	}
	printf "<line x1=\"%d\" y1=\"24\" x2=\"%d\" y2=\"%d\" stroke=\"black\" stroke-dasharray=\"4 3\"/>\n", left + unit, left + unit, height - 20
	printf "<text x=\"%d\" y=\"18\" text-anchor=\"middle\">the bound</text>\n</svg>\n", left + unit
}
