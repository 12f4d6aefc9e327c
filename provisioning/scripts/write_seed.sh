# A last partition with the NoCloud seed: meta-data, user-data, vendor-data.
# Parameters: JOB, META_DATA, USER_DATA, VENDOR_DATA. Status 66: no image was written by this job in this boot.
set -eu
umask 077
cd "${TMPDIR:-/tmp}/chapek-$JOB" || exit 66
disk=$(cat disk) || exit 66
printf '%s' "$META_DATA" >meta-data
printf '%s' "$USER_DATA" >user-data
printf '%s' "$VENDOR_DATA" >vendor-data
number=$(sgdisk -p "$disk" | awk '$1 ~ /^[0-9]+$/ { if ($NF == "cidata") seed = $1; last = $1 } END { print seed ? -seed : last + 1 }')
case $number in
    -*) number=${number#-} ;;
    *)
        # The image is smaller than the drive: first move the second partition table to the drive's end.
        sgdisk -e "$disk" >/dev/null
        sgdisk -n "$number:-64M:0" -t "$number:0700" -c "$number:cidata" "$disk" >/dev/null
        partprobe "$disk"
        ;;
esac
case $disk in
    *[0-9]) part="${disk}p$number" ;;
    *) part="$disk$number" ;;
esac
[ -e "$part" ] || part="${disk}p$number"
tries=50
while [ ! -e "$part" ] && [ "$tries" -gt 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
done
mkfs.vfat -n CIDATA "$part" >/dev/null
mcopy -o -i "$part" meta-data user-data vendor-data ::
mcopy -i "$part" ::meta-data - | cmp -s - meta-data || { echo "the seed does not read back" >&2; exit 1; }
sync
rm -f meta-data user-data vendor-data
