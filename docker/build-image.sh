#!/usr/bin/env bash
# `make image`: builds docker/Dockerfile and runs Django's deployment check inside.
# With CHAPEK_BASE_IMAGE set, that image is the base. Otherwise the base is made here by debootstrap and the build uses
# buildah with chroot isolation, so that neither a container engine nor a registry is needed (root is).
set -euo pipefail
cd "$(dirname "$0")/.."

tag=${CHAPEK_IMAGE:-chapek:latest}
work=${CHAPEK_STATE_DIR:-$PWD/.chapek}/image
suite=bookworm
say() { printf 'image: %s\n' "$*" >&2; }

command -v buildah >/dev/null || { say "buildah is missing: apt-get install buildah"; exit 2; }
mkdir -p "$work"
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
store=(--root "$work/store" --runroot "$work/run")
options=()

if [ -n "${CHAPEK_BASE_IMAGE:-}" ]; then
    base=$CHAPEK_BASE_IMAGE
else
    [ "$(id -u)" = 0 ] || { say "making a base image needs root; or set CHAPEK_BASE_IMAGE to an image you have"; exit 2; }
    command -v debootstrap >/dev/null || { say "debootstrap is missing: apt-get install debootstrap"; exit 2; }
    base=localhost/chapek-base:$suite
    if ! buildah "${store[@]}" inspect --type image "$base" >/dev/null 2>&1; then
        say "making a Debian $suite base"
        rm -rf "$work/root"
        mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" 2>/dev/null | head -n 1)
        debootstrap --variant=minbase --include=python3,python3-venv,openssh-client,ipmitool,ca-certificates \
            "$suite" "$work/root" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 \
            || { say "debootstrap failed; the end of its log:"; tail -n 5 "$work/debootstrap.log" >&2; exit 1; }
        rm -rf "$work/root/var/cache/apt/archives/"*.deb "$work/root/var/lib/apt/lists/"*
        container=$(buildah "${store[@]}" from scratch)
        buildah "${store[@]}" copy -q "$container" "$work/root" / >/dev/null
        buildah "${store[@]}" commit -q "$container" "$base" >/dev/null
        buildah "${store[@]}" rm "$container" >/dev/null
        rm -rf "$work/root"
    fi
    # Wheels are fetched by the base's own Python, with this machine's package index settings lent for the moment.
    say "fetching wheels"
    mkdir -p "$work/wheels"
    lent=(--volume "$work/wheels:/wheels")
    while read -r file; do
        [ -f "$file" ] && lent+=(--volume "$file:$file:ro")
    done < <(printf '%s\n' /etc/pip.conf "$HOME/.config/pip/pip.conf" "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" | sort -u)
    container=$(buildah "${store[@]}" from --pull-never "$base")
    buildah "${store[@]}" copy -q "$container" requirements-run.lock /requirements-run.lock >/dev/null
    buildah "${store[@]}" run "${lent[@]}" "$container" -- env HOME="$HOME" ${PIP_CERT:+PIP_CERT="$PIP_CERT"} \
        ${SSL_CERT_FILE:+SSL_CERT_FILE="$SSL_CERT_FILE"} sh -c 'python3 -m venv /venv && /venv/bin/pip download -q \
        --require-hashes --only-binary=:all: --no-deps -d /wheels -r /requirements-run.lock' \
        || { buildah "${store[@]}" rm "$container" >/dev/null; say "a wheel could not be fetched"; exit 1; }
    buildah "${store[@]}" rm "$container" >/dev/null
    options=(--volume "$work/wheels:/wheels:ro" --build-arg PIP_OPTIONS="--no-index --find-links /wheels")
fi

say "building $tag on $base"
buildah "${store[@]}" build --layers=false --pull-never=false --build-arg BASE_IMAGE="$base" "${options[@]}" \
    --ignorefile docker/ignore -f docker/Dockerfile -t "$tag" .

say "manage.py check --deploy inside"
container=$(buildah "${store[@]}" from --pull-never "$tag")
trap 'buildah "${store[@]}" rm "$container" >/dev/null' EXIT
buildah "${store[@]}" run --user 10001:10001 "$container" -- env \
    CHAPEK_PUBLIC_URL=https://chapek.invalid CHAPEK_ALLOWED_HOSTS=chapek.invalid CHAPEK_STATE_DIR=/tmp/state \
    CHAPEK_TLS_TERMINATED=1 python manage.py check --deploy --fail-level WARNING
buildah "${store[@]}" run --user 10001:10001 "$container" -- sh -c 'test "$(id -u)" = 10001 && test ! -w /app && echo "image: runs as uid 10001, /app is read-only to it"'
