# Read back where the markers were planted. Parameters: JOB, MARK, DRIVES as for erase.sh.
# Output: lines "serial checked survived".
set -u
umask 077
work="${TMPDIR:-/tmp}/chapek-$JOB"
mkdir -p "$work"
{ printf '%s\n' "$MARK"; head -c 4096 /dev/zero; } | head -c 4096 >"$work/marker"
echo "$DRIVES" | while read -r path serial method bytes offsets; do
    [ -n "$path" ] || continue
    checked=0
    survived=0
    [ -e "$work/$serial.sent" ] || { echo "$serial 0 0"; continue; }
    for offset in $(echo "$offsets" | tr ',' ' '); do
        dd if="$path" bs=4096 skip="$offset" count=1 of="$work/sample" 2>/dev/null || continue
        [ "$(wc -c <"$work/sample")" -eq 4096 ] || continue
        checked=$((checked + 1))
        if grep -qF -a -e "$MARK" "$work/sample"; then survived=$((survived + 1)); fi
    done
    echo "$serial $checked $survived"
done
exit 0
