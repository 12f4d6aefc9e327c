# Stream the image onto the drive and check what was streamed.
# Parameters: JOB, URL, SHA256, COMPRESSION (zstd, gzip, none), DRIVE_SERIAL.
# Status 65: the stream does not have the checksum. 66: no such drive. 67: the download or unpacking broke off.
set -eu
umask 077
work="${TMPDIR:-/tmp}/chapek-$JOB"
mkdir -p "$work"
cd "$work"
if [ -e "image.$SHA256" ]; then
    cat disk
    exit 0
fi
disk=$(lsblk -d -n -r -o PATH,SERIAL | awk -v serial="$DRIVE_SERIAL" '$2 == serial { print $1; exit }')
[ -n "$disk" ] || { echo "no drive $DRIVE_SERIAL" >&2; exit 66; }
case $COMPRESSION in
    zstd) unpack="zstd -dcq" ;;
    gzip) unpack="gzip -dc" ;;
    *) unpack=cat ;;
esac
rm -f stream sum broken
mkfifo stream
sha256sum <stream >sum &
summer=$!
{ curl -fsS --connect-timeout 10 --speed-limit 65536 --speed-time 60 "$URL" || : >broken; } \
    | tee stream | { $unpack || : >broken; } | dd of="$disk" bs=4M iflag=fullblock conv=fsync 2>/dev/null
wait "$summer"
[ ! -e broken ] || { echo "the image did not arrive whole" >&2; exit 67; }
[ "$(cut -d ' ' -f 1 sum)" = "$SHA256" ] || { echo "checksum differs: $(cut -d ' ' -f 1 sum)" >&2; exit 65; }
printf '%s\n' "$disk" >disk
: >"image.$SHA256"
cat disk
