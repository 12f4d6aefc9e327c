# What stands here. Parameters: none. Output: one section per source.
set -u
echo "==serial=="; dmidecode -s system-serial-number
echo "==bios=="; dmidecode -s bios-version
echo "==processors=="; nproc
echo "==memory=="; free -b
echo "==links=="; ip -j link
echo "==drives=="; lsblk -J -b -d -o NAME,PATH,SERIAL,MODEL,SIZE,TYPE,TRAN
echo "==gpus=="; nvidia-smi --query-gpu=index,name,serial,uuid,memory.total --format=csv,noheader,nounits
exit 0
