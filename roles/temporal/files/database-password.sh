#!/bin/sh
# Written by Ansible; changes made here are lost. Prints the password for one new connection to the database.
# While the password is rotated there are two, of which PostgreSQL takes one. A connection that is refused is tried again,
# so they take turns, by the clock: there is never a time at which none can be opened. A server that starts needs many at
# once, so until it is 10 seconds old it stays with one of them; if that is the wrong one, it ends and is started again.
cd /run/secrets/temporal || exit
read -r now _ </proc/uptime
now=${now%.*}${now#*.}
stat=$(cat "/proc/$PPID/stat")
# shellcheck disable=SC2086 # in words, of which the 20th after the name is when it was started, in the same unit
set -- ${stat##*) }
[ $((now - ${20})) -ge 1000 ] || now=${20}
set -- database-password*
shift $((now % $#))
cat "$1"
