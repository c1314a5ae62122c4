# packages.sh - which Debian packages the build and the tests need, and how they are installed.
# Sourced by ./start and ./check. shellcheck shell=bash

build_packages="autoconf automake libtool pkg-config gcc libc6-dev make libexpat1-dev libssl-dev libpq-dev
	libsqlite3-dev libicu-dev libidn2-dev libyaml-dev libjansson-dev libcurl4-openssl-dev librdkafka-dev libmaxminddb-dev libqrencode-dev
	libunbound-dev libevent-dev nettle-dev
	libsystemd-dev libstrophe-dev openssl"    # libunbound.pc names libevent and nettle, its package does not bring them
test_packages="clang coturn libclang-rt-14-dev llvm check ccache postgresql procps python3 python3-venv xz-utils"
# Partners of the tests of federation: other servers, and a name server. They are services too.
partner_packages="prosody lua-unbound ejabberd nsd ldnsutils"

# Which of the packages are not there. Where /etc/ssl/certs cannot be written (a container that shares it with its host)
# ca-certificates and ssl-cert cannot be configured, nor what depends on them; unpacked is enough for us then.
absent() {
	local states='installed' known package

	[ -w /etc/ssl/certs ] || [ ! -e /etc/ssl/certs ] || states='installed\|unpacked\|half-configured\|triggers-.*'
	known=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n "s/^\\($states\\) //p") || true
	for package; do
		grep -qxF "$package" <<<"$known" || echo "$package"
	done
}

# need PACKAGE...: installs what is not there; needs root, or sudo.
need() {
	local missing as=() log

	command -v dpkg-query >/dev/null || { echo "This is no Debian: install by hand what the build misses." >&2; return 0; }
	mapfile -t missing < <(absent "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || { echo "Please install as root: apt-get install ${missing[*]}" >&2; return 1; }
		as=(sudo)
	fi
	echo "Installing ${missing[*]}" >&2
	log=$(mktemp)
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get -qq update; apt-get -qq install -y \
		--no-install-recommends -o Dpkg::Use-Pty=0 "$@" || { dpkg --configure -a; false; }' sh "${missing[@]}" >"$log" 2>&1 ||
		[ -z "$(absent "$@")" ] || { tail -n 30 "$log" >&2; rm -f "$log"; return 1; }
	rm -f "$log"
}

# need_partners: installs them without their being started, now or at the next boot.
need_partners() {
	local missing as='' policy=/usr/sbin/policy-rc.d made=''

	command -v dpkg-query >/dev/null || return 0
	# shellcheck disable=SC2086
	mapfile -t missing < <(absent $partner_packages)
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" -eq 0 ] || as=sudo
	if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' | $as tee "$policy" >/dev/null; then
		made=1
		$as chmod 755 "$policy"
	fi
	need "${missing[@]}"
	[ -z "$made" ] || $as rm -f "$policy"
	if command -v systemctl >/dev/null; then
		$as systemctl disable prosody ejabberd nsd >/dev/null 2>&1 || true
	fi
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
