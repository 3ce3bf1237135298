#!/bin/sh
# copy-models TARGET [SOURCE]: copies a model repository (/models of the image epm-models) into the folder TARGET and
# checks each version there against its SHA256SUMS. Where both are the same folder (a volume) it only checks. Exit status 1,
# and no pod, when a digest is wrong or missing.
set -eu
target=$1
source=${2:-/models}

[ "$source" = "$target" ] || cp -R "$source/." "$target"
checked=0
for version in "$target"/*/[0-9]*/; do
    [ -d "$version" ] || continue
    [ -f "${version}SHA256SUMS" ] || { echo "${version#"$target"/}: no SHA256SUMS, expected one in every version" >&2; exit 1; }
    (cd "$version" && sha256sum --check --strict --quiet SHA256SUMS) ||
        { echo "${version#"$target"/}: what was copied is not what SHA256SUMS says" >&2; exit 1; }
    checked=$((checked + 1))
done
[ "$checked" -gt 0 ] || { echo "$source: no version of any model, expected MODEL/NUMBER/SHA256SUMS" >&2; exit 1; }
echo "$checked versions, every digest is right"
