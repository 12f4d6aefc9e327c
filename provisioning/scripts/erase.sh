# One round of erasing: begin what has not begun, go on with what goes on by parts, and report every drive.
# Parameters: JOB, MARK (a line nobody else could have written), SLICE_S (seconds to spend on overwriting),
# DRIVES (lines "path serial method bytes offset,offset,..." with offsets in blocks of 4096 bytes).
# Output: lines "serial state began now", and a section per NVMe sanitize log. Status 70: a marker could not be planted.
set -u
umask 077
work="${TMPDIR:-/tmp}/chapek-$JOB"
mkdir -p "$work"
{ printf '%s\n' "$MARK"; head -c 4096 /dev/zero; } | head -c 4096 >"$work/marker"

plant() {
    for offset in $(echo "$2" | tr ',' ' '); do
        dd if="$work/marker" of="$1" bs=4096 seek="$offset" count=1 conv=notrunc,fsync 2>/dev/null || return 1
    done
    for offset in $(echo "$2" | tr ',' ' '); do
        dd if="$1" bs=4096 skip="$offset" count=1 2>/dev/null | cmp -s - "$work/marker" || return 1
    done
}

overwrite() {
    # path bytes state-prefix: zeros from where the last round stopped, for at most SLICE_S seconds.
    at=$(cat "$3.at" 2>/dev/null || echo 0)
    blocks=$(($2 / 67108864 + 1))
    stop=$(($(date +%s) + SLICE_S))
    while [ "$at" -lt "$blocks" ] && [ "$(date +%s)" -lt "$stop" ]; do
        left=$((($2 - at * 67108864) / 4096))
        [ "$left" -le 16384 ] || left=16384
        [ "$left" -le 0 ] || dd if=/dev/zero of="$1" bs=4096 seek=$((at * 16384)) count="$left" conv=notrunc 2>/dev/null || return 1
        at=$((at + 1))
        echo "$at" >"$3.at"
    done
    if [ "$at" -ge "$blocks" ]; then sync; : >"$3.sent"; fi
}

begin() {
    case $2 in
        nvme_sanitize_block) nvme sanitize "$1" -a 2 >&2 ;;
        nvme_sanitize_crypto) nvme sanitize "$1" -a 4 >&2 ;;
        nvme_format_crypto) nvme format "$1" -s 2 >&2 ;;
        nvme_format_user_data) nvme format "$1" -s 1 >&2 ;;
        ata_secure_erase)
            hdparm --user-master u --security-set-pass chapek "$1" >&2 || return 1
            hdparm --user-master u --security-erase-enhanced chapek "$1" >&2 \
                || hdparm --user-master u --security-erase chapek "$1" >&2
            ;;
        *) return 1 ;;
    esac
}

echo "==drives=="
echo "$DRIVES" | while read -r path serial method bytes offsets; do
    [ -n "$path" ] || continue
    mine="$work/$serial"
    if [ ! -e "$mine.began" ]; then
        plant "$path" "$offsets" || { echo "$serial unplanted 0 0"; continue; }
        date +%s >"$mine.began"
    fi
    began=$(cat "$mine.began")
    if [ ! -e "$mine.sent" ]; then
        if [ "$method" = overwrite ]; then
            overwrite "$path" "$bytes" "$mine" || { echo "$serial failed $began $(date +%s)"; continue; }
            [ -e "$mine.sent" ] || { echo "$serial running $began $(date +%s)"; continue; }
        else
            begin "$path" "$method" || { echo "$serial failed $began $(date +%s)"; continue; }
            : >"$mine.sent"
        fi
    fi
    case $method in
        nvme_sanitize_*)
            echo "$serial asked $began $(date +%s)"
            echo "==sanitize $serial=="; nvme sanitize-log "$path" -o json
            echo "==drives=="
            ;;
        *) echo "$serial done $began $(date +%s)" ;;
    esac
done
exit 0
