#!/bin/sh
# Runs the two scripts beside this one, which hand work to each other through a word, and checks what came out.
#
#   FUTEX=target/release/futex crates/futex-cli/examples/relay/run.sh
#
# Without FUTEX it takes the `futex` in the PATH. It prints "verified", or what is wrong.
set -eu

futex=${FUTEX:-futex}
here=$(dirname "$0")
jobs=20

# A name that no other run has. The object is made before the scripts start, so neither has to wait for it.
object=relay-$$
directory=$(mktemp -d)
"$futex" create "$object" 4K
consumer=
trap '"$futex" rm "$object"; rm -r "$directory"; [ -z "$consumer" ] || kill "$consumer"' EXIT
trap 'exit 1' HUP INT TERM

sh "$here/consumer.sh" "$object" "$directory" &
consumer=$!
sh "$here/producer.sh" "$object" "$directory" "$jobs"
wait "$consumer"
consumer=

job=1
while [ "$job" -le "$jobs" ]; do
    echo "$((job * job))"
    job=$((job + 1))
done >"$directory/expected"

if cmp "$directory/expected" "$directory/results"; then
    echo "verified: $jobs jobs"
else
    echo "the results are not the squares of 1 to $jobs, in order" >&2
    exit 1
fi
