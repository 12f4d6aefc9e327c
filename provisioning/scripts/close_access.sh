# Take the one-time key out of this user's authorized_keys. Parameter: KEY (the base64 part of the public key).
set -eu
umask 077
file="$HOME/.ssh/authorized_keys"
[ -e "$file" ] || exit 0
fresh="$file.chapek"
grep -vF -e "$KEY" "$file" >"$fresh" || [ $? -eq 1 ]
cat "$fresh" >"$file"
rm -f "$fresh"
if grep -qF -e "$KEY" "$file"; then exit 1; fi
