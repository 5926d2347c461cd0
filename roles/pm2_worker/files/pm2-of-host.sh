#!/bin/sh
# Managed by Ansible (durable.temporal.pm2_worker).
# pm2, as everybody types it: each application of this host has a daemon of its own, and this finds it.
#   pm2 status              of the only application, or of all
#   pm2 --app NAME logs     of one of several; so does PM2_APP=NAME in the environment
here=${0%/*}
known=
for file in "$here"/*-pm2; do
  if [ -x "$file" ] && grep -q '^# Managed by Ansible (durable.temporal' "$file"; then
    name=${file##*/}
    known="${known:+$known }${name%-pm2}"
  fi
done
[ -n "$known" ] || { echo "pm2: this host has no application under PM2" >&2; exit 2; }
wanted=${PM2_APP:-}
case ${1:-} in
  --app)
    wanted=${2:-}
    shift $(($# > 1 ? 2 : 1))
    [ -n "$wanted" ] || { echo "pm2: --app needs a name; this host has: $known" >&2; exit 2; }
    ;;
  --app=*) wanted=${1#--app=}; shift ;;
esac
if [ -z "$wanted" ] && [ "${known#* }" = "$known" ]; then wanted=$known; fi
if [ -n "$wanted" ]; then
  for name in $known; do
    [ "$name" != "$wanted" ] || exec "$here/$name-pm2" "$@"
  done
  echo "pm2: this host has no application '$wanted' under PM2; it has: $known" >&2
  exit 2
fi
case ${1:-} in
  list | ls | l | ps | status)
    code=0
    for name in $known; do
      echo "== $name"
      "$here/$name-pm2" "$@" || code=$?
    done
    exit $code
    ;;
esac
echo "pm2: which application? This host has: $known. Say pm2 --app NAME ${1:-COMMAND}, or set PM2_APP" >&2
exit 2
