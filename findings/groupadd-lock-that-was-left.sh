#!/usr/bin/env bash
# groupadd and useradd: a lock that an ended one has left is for ever, if it is empty or its process number runs again.
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    passwd (shadow) 1:4.13+dfsg1-1+deb12u2 and 1:4.17.4-2, the ones of Debian 12 and 13
# Guess      a lock that nobody holds is taken over, as that of apt is
# Seen       group.lock with the number of a process that has ended: taken over, exit 0. With the number of any process
#            that runs, whatever it is: "already used by PID", exit 10, each time. Empty, as it is between being made and
#            being written: "without a PID", exit 10, each time
# So         after a power failure a host may never again make an account, and each package that wants one fails; process
#            numbers of a start are much like those of the last. All of these programs hold a lock of the kernel on
#            /etc/.pwd.lock meanwhile, which ends with its process: whoever gets that one may remove the others
#
# Usage: groupadd-lock-that-was-left.sh    needs apt-get of Debian 12 or 13; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
apt-get -qq download passwd 2>/dev/null
dpkg-deb -x passwd_*.deb program
echo "version: $(dpkg-deb -f passwd_*.deb Version)"
mkdir -p root/etc
printf 'root:x:0:\n' >root/etc/group
printf 'root:*::\n' >root/etc/gshadow
code() { # code GROUP: how groupadd ends
  local code=0
  program/usr/sbin/groupadd --prefix "$place/root" "$1" >&2 || code=$?
  echo "$code"
}
ended=$(bash -c 'echo $$')
free=$(code one)
printf '%s' "$ended" >root/etc/group.lock
left=$(code two)
printf '%s' "$$" >root/etc/group.lock
again=$(code three)
: >root/etc/group.lock
empty=$(code four)
echo "no lock: $free; of a process that has ended: $left; of one that runs: $again; empty: $empty"
[ "$free $left $again $empty" = "0 0 10 10" ] || { echo "changed: expected 0 0 10 10"; exit 1; }
