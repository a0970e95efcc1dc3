# common.sh: what the scripts share. Source it; it sets $top and $cache.
# shellcheck shell=bash
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${FARSWAP_CACHE:-/var/cache/farswap}

# what no guest and no chroot needs: mmdebstrap's options
slim=()
for path in /usr/share/{doc,man,locale} /lib/modules/\*/kernel/{drivers/gpu,drivers/media,drivers/net/wireless,sound}; do
	slim+=("--dpkgopt=path-exclude=$path/*")
done

die() { echo "${0##*/}: $*" >&2; exit 1; }

# packages SECTION: the names in that section of scripts/packages
packages() {
	awk -v want="[$1]" '/^\[/ { in_it = $1 == want; next } /^[a-z]/ && in_it { print $1 }' \
		"$top/scripts/packages"
}

# kernels all|booted: their names
kernels() {
	awk -v which="$1" '/^[0-9]/ && (which == "all" || $3 != "-") { print $1 }' "$top/scripts/kernels"
}

# kernel_field NAME suite|image|headers|build|cc
kernel_field() {
	awk -v name="$1" -v field="$2" '
		$1 == "#" && $2 == "name" && $3 == "suite" { for (i = 2; i <= NF; i++) col[$i] = i - 1 }
		$1 == name { print $col[field]; found = 1 }
		END { exit !found }' "$top/scripts/kernels" ||
		die "kernel $1 is not in scripts/kernels (there are: $(kernels all | xargs))"
}

# key FILE-OR-TEXT...: one short hash of all of them
key() {
	local a
	for a; do if [ -f "$a" ]; then cat "$a"; else echo "$a"; fi; done | sha256sum | cut -c1-16
}

# cached NAME COMMAND...: prints $cache/NAME; if it is not there, COMMAND (a program, so that its
# set -e holds) makes it in a directory given as its last argument, which then gets that name.
# Two runs wait for each other.
cached() {
	local dir=$cache/$1 tmp lock
	shift
	mkdir -p "$cache" || die "cannot make $cache: set FARSWAP_CACHE to a directory that can be written"
	if [ ! -d "$dir" ]; then
		exec {lock}> "$dir.lock"
		flock "$lock"
		if [ ! -d "$dir" ]; then
			rm -rf "$dir".tmp.*
			tmp=$(mktemp -d "$dir.tmp.XXXXXX")
			chmod 755 "$tmp"
			if ! "$@" "$tmp" {lock}>&- >&2; then
				rm -rf "$tmp"
				return 1
			fi
			mv "$tmp" "$dir"
		fi
		exec {lock}>&-
	fi
	echo "$dir"
}

# need_space MIB DIR WHAT
need_space() {
	local d=$2 have
	while [ ! -d "$d" ]; do d=$(dirname "$d"); done
	have=$(($(df -Pk "$d" | awk 'NR == 2 { print $4 }') / 1024))
	[ "$have" -ge "$1" ] ||
		die "$3 needs $1 MiB of free space in $d and it has $have MiB: make room or set FARSWAP_CACHE"
}

# mirrors SUITE: mmdebstrap's mirror arguments, after the host's own apt sources
mirrors() {
	local uris uri release
	uris=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' \
		'Origin: Debian' 'Component: main' 2>/dev/null | sort -u) || true
	while read -r uri release; do
		case $release in
		bookworm) [ "$1" = bookworm ] && echo "deb $uri bookworm main" || echo "deb $uri $1 main" ;;
		bookworm-*) [ "$1" = bookworm ] && echo "deb $uri $release main" ;;
		esac
	done <<< "$uris" || true
}
