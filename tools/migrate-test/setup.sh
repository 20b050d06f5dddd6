#!/bin/sh
# Install what migrate-test needs on Debian, as far as it is missing, and print
# the path of Courier's imapd. courier-imap cannot be installed beside
# dovecot-imapd (both are "imap-server"), so it is only unpacked, into the
# directory given; what it needs is installed.
set -eu
dir=${1:?usage: setup.sh DIRECTORY}
export DEBIAN_FRONTEND=noninteractive
need=
command -v dovecot >/dev/null || need="$need dovecot-core"
[ -x /usr/lib/dovecot/imap ] || need="$need dovecot-imapd"
command -v mbsync >/dev/null || need="$need isync"
imapd=$dir/root/usr/bin/imapd
if [ ! -x "$imapd" ]; then
	need="$need courier-authlib libgamin0 libgdbm6 libidn12 libcourier-unicode4"
fi
if [ -n "$need" ]; then
	apt-get update -qq >&2
	# shellcheck disable=SC2086
	apt-get install -y --no-install-recommends $need >&2
fi
if [ ! -x "$imapd" ]; then
	mkdir -p "$dir"
	(cd "$dir" && apt-get download -qq courier-imap >&2 && dpkg -x courier-imap_*.deb root)
fi
echo "$imapd"
