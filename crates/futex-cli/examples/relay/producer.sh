#!/bin/sh
# Hands the numbers 1 to N to the consumer, one at a time.
#
#   producer.sh OBJECT DIRECTORY N
#
# The word at offset 0 of OBJECT says whose turn it is. Only the one whose turn it is reads and writes DIRECTORY/job, and
# changes the word. So no lock is needed.
#
#   0   the producer's: it writes a job
#   1   the consumer's: it does the job
#   2   nobody's: there are no more jobs
set -eu

futex=${FUTEX:-futex}
object=$1 directory=$2 jobs=$3

job=1
while [ "$job" -le "$jobs" ]; do
    # Sleeps while it is the consumer's turn. The kernel compares the word and puts the waiter to sleep in one step, so a turn
    # that comes in between is not missed. If the consumer has died, the wait ends with status 124, and `set -e` the script.
    "$futex" wait "$object" 0 --until '==0' --timeout 30s >/dev/null

    echo "$job" >"$directory/job"

    # Change the word, then wake: `set` does both. It prints how many waiters it woke: none if the consumer is still busy.
    "$futex" set "$object" 0 1 >/dev/null
    job=$((job + 1))
done

"$futex" wait "$object" 0 --until '==0' --timeout 30s >/dev/null
"$futex" set "$object" 0 2 >/dev/null
