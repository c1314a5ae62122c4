# packages.sh - which Debian packages the build and the tests need, and how they are installed.
# Sourced by ./start and ./check. shellcheck shell=bash

build_packages="autoconf automake libtool pkg-config gcc libc6-dev make libevent-dev libexpat1-dev libssl-dev libpq-dev
	libsqlite3-dev libicu-dev libidn2-dev libyaml-dev libjansson-dev libsystemd-dev libstrophe-dev openssl"
test_packages="clang llvm check ccache postgresql python3 python3-venv xz-utils"

# need PACKAGE...: installs what is not there; needs root, or sudo.
need() {
	local missing=() known package as=()

	command -v dpkg-query >/dev/null || { echo "This is no Debian: install by hand what the build misses." >&2; return 0; }
	known=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')
	for package; do
		grep -qxF "$package" <<<"$known" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || { echo "Please install as root: apt-get install ${missing[*]}" >&2; return 1; }
		as=(sudo)
	fi
	echo "Installing ${missing[*]}" >&2
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2 &&
		"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
			-o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# module_dirs BUILD: the folders in which make leaves the modules, as server.module_dir wants them.
module_dirs() { echo "$1/xep/.libs:$1/modules/.libs"; }

# module_names BUILD: the modules of a build, by name.
module_names() {
	local file

	for file in "$1"/xep/.libs/*.so "$1"/modules/.libs/*.so; do
		[ ! -e "$file" ] || basename "$file" .so | sed 's/^xep[0-9]\{4\}_//'
	done
}
