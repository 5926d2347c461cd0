#!/usr/bin/env bash
# apt: a package that dpkg was about to call unpacked when the power failed is repaired by no "install" and by no "-f".
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Version    apt 2.6.1 with dpkg 1.21.22 (Debian 12), apt 3.0.4 with dpkg 1.22.22 (Debian 13)
# Guess      dpkg --configure -a and apt-get -f install finish whatever was interrupted, as apt's own message says
# Seen       dpkg marks a package "reinstreq" while it unpacks it, and takes that away after the state has become
#            "unpacked". Between the two, dpkg --configure -a refuses the package, and each "install" and "-f install" of
#            whatever package ends with 100, as apt has it configured and not unpacked again. With "install --reinstall" of
#            that package all is well
# So         after an interruption, ask dpkg-query for packages whose ${db:Status-Abbrev} ends with R, and reinstall them
#
# Usage: apt-does-not-repair-what-dpkg-wants-again.sh    needs root and apt of Debian 12 or 13; works in a directory of its
# own, with two empty packages; exits 1 when the behaviour has changed
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cd "$place"
mkdir -p repository root/var/lib/dpkg/{info,updates,triggers,alternatives} root/var/lib/apt/lists/partial \
  root/var/cache/apt/archives/partial root/etc/apt/{apt.conf.d,preferences.d,trusted.gpg.d} root/var/log/apt root/tmp
touch root/var/lib/dpkg/{status,available}
for name in half other; do
  mkdir -p "$name/DEBIAN"
  printf '%s\n' "Package: $name" "Version: 1" "Architecture: all" "Maintainer: a <a@example.org>" "Description: $name" \
    >"$name/DEBIAN/control"
  dpkg-deb --build "$name" repository >/dev/null
done
for deb in repository/*.deb; do
  dpkg-deb -f "$deb"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$deb")" "$(stat -c %s "$deb")" "$(sha256sum <"$deb" | cut -d' ' -f1)"
done >repository/Packages
echo "deb [trusted=yes] file:$place/repository ./" >root/etc/apt/sources.list
apt() {
  LC_ALL=C apt-get -qq -y -o Dir="$place/root" -o Dir::State::status="$place/root/var/lib/dpkg/status" \
    -o Dpkg::Options::="--root=$place/root" -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@" >said 2>&1
}
code() { # code ARGUMENT...: how apt-get ends with them
  local code=0
  apt "$@" || code=$?
  echo "$code"
}
state() { sed -i "/^Package: half$/,/^$/s/^Status: .*/Status: $1/" root/var/lib/dpkg/status; }
echo "version: $(apt-get --version | head -1); $(dpkg --version | head -1)"
apt update
apt install half
state "install reinstreq unpacked"
seen="$(code install other) $(code -f install) $(code install half) $(code install --reinstall half) $(code install other)"
echo "install other, -f install, install half, install --reinstall half, install other: $seen"
[ "$seen" = "100 100 100 0 0" ] || { echo "changed: expected 100 100 100 0 0"; exit 1; }
