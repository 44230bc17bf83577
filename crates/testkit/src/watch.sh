# Watches one throwaway server. Started by testkit with `sh -c`, in a session of its own.
#
#   $1 state folder: `users`, `keep`, `private` and the files written here
#   $2 seconds unused before it stops
#   $3 signal that stops the server
#   $4 its folder, removed at the end
#   $5... its command
#
# A process that uses the server holds a shared lock on `users`. Taking that lock exclusively proves
# that nobody does; it is held while the server stops, so that nobody can join meanwhile.
state=$1 unused_max=$2 signal=$3 instance=$4
shift 4
echo "$$" >"$state/watchdog.pid.new" && mv "$state/watchdog.pid.new" "$state/watchdog.pid"

"$@" </dev/null >>"$state/server.log" 2>&1 &
server=$!
echo "$server" >"$state/server.pid.new" && mv "$state/server.pid.new" "$state/server.pid"

# Forgets the server, unless another watchdog starts it again or has done so. Whoever starts one holds
# the lock on `starting` meanwhile.
forget() {
    [ -d "$state" ] || return
    exec 8>>"$state/starting"
    flock 8
    if [ "$(cat "$state/watchdog.pid" 2>/dev/null)" = "$$" ]; then
        rm -f "$state/server.json" "$state/server.pid" "$state/watchdog.pid"
    fi
    exec 8>&-
}

finish() {
    forget
    kill -s "$signal" "$server" 2>/dev/null
    wait "$server"
    rm -rf "$instance" "$state/keep"
    [ -e "$state/private" ] && rm -rf "$state"
    exit 0
}
trap finish TERM INT

unused=0
while kill -0 "$server" 2>/dev/null; do
    sleep 1
    if [ -e "$state/keep" ] || ! flock --nonblock "$state/users" true; then
        unused=0
        continue
    fi
    unused=$((unused + 1))
    if [ "$unused" -ge "$unused_max" ]; then
        exec 9>>"$state/users"
        flock --nonblock 9 && finish
        exec 9>&-
        unused=0
    fi
done
# The server ended by itself, or a test killed it and may start it again on the same data, which brings
# another watchdog. A private server that nobody starts again goes with the test.
forget
[ -e "$state/private" ] || exit 0
while [ -d "$state" ] && [ ! -e "$state/watchdog.pid" ]; do
    flock --nonblock "$state/users" true && rm -rf "$instance" "$state"
    sleep 1
done
