#!/bin/bash
# Builds both images without a Docker engine and runs them as the cluster does: no root, nothing written, no capability.
# As root on Debian 12, with: apt-get install buildah podman runc debootstrap. About five minutes of a processor, 3 GB below build/images.
# Where a proxy stands between here and PyPI, TRUSTED names the file with the certificates that it is known by.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/build/images
mkdir -p "$folder"
store=(--root "$folder/store" --runroot "$folder/run")
base=docker.io/library/debian:bookworm-slim

if ! buildah "${store[@]}" inspect --type image "$base" > /dev/null 2>&1; then
    debootstrap --variant=minbase bookworm "$folder/base" http://deb.debian.org/debian > "$folder/base.log"
    printf 'deb http://deb.debian.org/debian bookworm main\n' > "$folder/base/etc/apt/sources.list"
    printf 'deb http://deb.debian.org/debian-security bookworm-security main\n' >> "$folder/base/etc/apt/sources.list"
    rm -rf "$folder/base/var/cache/apt/archives" "$folder/base/var/lib/apt/lists"
    tar -C "$folder/base" --one-file-system -cf "$folder/base.tar" .
    scratch=$(buildah "${store[@]}" from scratch)
    buildah "${store[@]}" add --quiet "$scratch" "$folder/base.tar" / > /dev/null
    buildah "${store[@]}" config --cmd bash "$scratch"
    buildah "${store[@]}" commit --quiet --rm "$scratch" "$base"
    rm -rf "$folder/base" "$folder/base.tar"
fi

trusted=()
if [ -n "${TRUSTED:-}" ]; then
    printf '[global]\ncert = /run/trusted.crt\n' > "$folder/pip.conf"
    trusted=(--volume "$TRUSTED:/run/trusted.crt:ro" --volume "$folder/pip.conf:/etc/pip.conf:ro")
fi
for target in gateway models; do
    buildah "${store[@]}" build --layers --isolation chroot --format docker --pull-never --target "$target" \
        --tag "epm-$target" "${trusted[@]}" . | grep -E '^(\[|[0-9]+ compiled|Successfully tagged)' || true
done
buildah "${store[@]}" images

podman=(podman "${store[@]}" --runtime runc --cgroup-manager cgroupfs)
closed=(--rm --read-only --read-only-tmpfs=false --user 65532:65532 --cap-drop ALL --security-opt no-new-privileges
    --network host --no-healthcheck --ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" --ulimit nproc=4096:4096)

mkdir -p "$folder/models"
chown 65532:65532 "$folder/models"
"${podman[@]}" run "${closed[@]}" --volume "$folder/models:/target" localhost/epm-models

began=$(date +%s%N)
"${podman[@]}" run "${closed[@]}" --detach --name epm-gateway-tried --volume "$folder/models:/models:ro" \
    localhost/epm-gateway --host 127.0.0.1 --grpc-port 18500 --http-port 18501 > /dev/null
trap '"${podman[@]}" stop --time 30 epm-gateway-tried > /dev/null' EXIT
until "${podman[@]}" logs epm-gateway-tried 2> /dev/null | grep -q '^ready '; do sleep 0.1; done
echo "ready after $((($(date +%s%N) - began) / 1000000)) ms"
curl --fail --silent --data '{"inputs": {"hours": [40]}}' http://127.0.0.1:18501/v1/models/performance_model:predict
echo
curl --fail --silent http://127.0.0.1:18501/metrics \
    | grep -E '^(epm_jit_|epm_ready|process_resident_memory_bytes|process_cpu_seconds_total)'
for path in / /tmp /var/cache/epm; do
    "${podman[@]}" exec epm-gateway-tried touch "$path/written" 2> /dev/null && { echo "$path can be written"; exit 1; }
done
"${podman[@]}" exec epm-gateway-tried sh -c 'id; grep -E "CapEff|NoNewPrivs" /proc/self/status'
