# Every drive and what it can do about erasing. Parameters: none.
set -u
drives=$(lsblk -d -n -r -b -o PATH,TYPE,TRAN | awk '$2 == "disk" { print $1 " " $3 }')
echo "==drives=="; lsblk -J -b -d -o NAME,PATH,SERIAL,MODEL,SIZE,TYPE,TRAN
echo "$drives" | while read -r path transport; do
    case $transport in
        nvme) echo "==nvme $path=="; nvme id-ctrl "$path" -o json ;;
        sata | ata) echo "==ata $path=="; hdparm -I "$path" ;;
    esac
done
exit 0
