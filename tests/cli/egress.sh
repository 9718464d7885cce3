#!/usr/bin/env bash
# Runs inside new namespaces (see egress.rs): a network in which nothing but these two addresses can be reached, and which
# name servers and names are asked is decided here. Writes every call of the network by the program to the folder's `trace`.
#
#   egress.sh FOLDER probe
#   egress.sh FOLDER mine PROGRAM ARGUMENTS…     mines beside a practice pool until the run was looked at and has two shares
#   egress.sh FOLDER command PROGRAM ARGUMENTS…
set -euo pipefail
folder=$1 what=$2
shift 2

ip link set lo up
ip address add 198.51.100.7/32 dev lo # the pool
ip address add 192.0.2.53/32 dev lo   # the name server, at which nobody listens
echo 'nameserver 192.0.2.53' > "$folder/resolv.conf"
printf '127.0.0.1 localhost\n198.51.100.7 pool.adit.test\n' > "$folder/hosts"
echo 'hosts: files dns' > "$folder/nsswitch.conf"
for file in resolv.conf hosts nsswitch.conf; do
  mount --bind "$folder/$file" "/etc/$file"
done

# Signals to strace end it alone, so the program's own number is kept.
# shellcheck disable=SC2016
traced() { strace -f -qq -e trace=network -o "$folder/trace" bash -c 'echo $$ > "$0"; exec "$@"' "$folder/pid" "$@"; }

ask() {
  exec 5<> /dev/tcp/127.0.0.1/8080
  printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n' "$1" >&5
  head -n 1 <&5
  exec 5>&-
}

mine() {
  local program=$1 shares=0 shown=0 line
  exec 3< <("$program" pool --listen 198.51.100.7:3333 --difficulty 1e-4 --for 5m --json)
  read -r _ <&3 # it listens
  exec 4< <(traced "$@" 2>&1 || echo "it ended with $?")
  while read -r line <&4; do
    echo "$line"
    case $line in
      *'the run is shown at'*)
        for path in / /v1/status /openapi.json /metrics; do ask "$path"; done
        shown=1
        ;;
      *'share of difficulty'*) shares=$((shares + 1)) ;;
    esac
    if ((shown && shares == 2)); then
      kill -INT "$(cat "$folder/pid")"
    fi
  done
}

case $what in
  probe) traced true ;;
  mine) mine "$@" ;;
  command) traced "$@" ;;
esac
# What could not be sent because no route leads there, counted by the kernel itself.
cat /proc/net/snmp /proc/net/snmp6 > "$folder/counted"
