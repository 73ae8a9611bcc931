#!/bin/sh
# Squares the numbers that the producer hands over, and adds a line to DIRECTORY/results for each.
#
#   consumer.sh OBJECT DIRECTORY
#
# producer.sh says what the word at offset 0 means.
set -eu

futex=${FUTEX:-futex}
object=$1 directory=$2

while :; do
    # `wait` prints the value that ended it.
    turn=$("$futex" wait "$object" 0 --until '!=0' --timeout 30s)
    if [ "$turn" -eq 2 ]; then
        exit 0
    fi
    read -r job <"$directory/job"
    echo "$((job * job))" >>"$directory/results"
    "$futex" set "$object" 0 0 >/dev/null
done
