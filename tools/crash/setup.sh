#!/bin/sh
# Install the mail programs that F18 lets work on a Maildir, as far as they are
# missing; root, Debian.
set -eu
export DEBIAN_FRONTEND=noninteractive
need=
command -v mbsync >/dev/null || need="$need isync"
command -v notmuch >/dev/null || need="$need notmuch"
command -v neomutt >/dev/null || need="$need neomutt"
command -v strace >/dev/null || need="$need strace"
if [ -n "$need" ]; then
	apt-get update -qq >&2
	# shellcheck disable=SC2086
	apt-get install -y --no-install-recommends $need >&2
fi
