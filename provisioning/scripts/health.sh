# What the GPUs say of themselves. Parameters: SUDO ("sudo -n" or empty), DIAGNOSIS (level of dcgmi diag, 0 for none).
set -u
echo "==system=="; uname -r
echo "==nvidia-smi=="; $SUDO nvidia-smi -q -x || echo "==failed=="
echo "==xid=="; $SUDO dmesg 2>/dev/null | grep 'NVRM: Xid' | tail -n 50
if [ "$DIAGNOSIS" != 0 ]; then
    echo "==diagnosis=="
    $SUDO dcgmi diag -r "$DIAGNOSIS" -j
    status=$?
    echo "==diagnosis-status=="
    echo "$status"
fi
exit 0
