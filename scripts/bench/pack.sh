#!/usr/bin/env bash
# Packs what gpu.sh needs on a machine without toolchain and network: the
# stripped binary, the data, the scripts, and a Vulkan loader.
#
#     bash scripts/bench/pack.sh DATA [ARCHIVE]
#
# DATA is what data.py wrote (ml-1m and gowalla). ARCHIVE is recsys-bench.tar.gz
# unless given. RECSYS names the binary; otherwise the release build is made.
# Fails when the archive is larger than 60 MB.
set -eu

[ $# -ge 1 ] || { echo "usage: pack.sh DATA [ARCHIVE]" >&2; exit 2; }
here="$(cd "$(dirname "$0")" && pwd)"
data="$(cd "$1" && pwd)"
archive="${2:-recsys-bench.tar.gz}"
limit=60000000

if [ -z "${RECSYS:-}" ]; then
    (cd "$here/../.." && cargo build --release --locked --bin recsys)
    RECSYS="${CARGO_TARGET_DIR:-$here/../../target}/release/recsys"
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
folder="$work/recsys-bench"
mkdir -p "$folder/lib" "$folder/data"

cp "$RECSYS" "$folder/recsys"
strip "$folder/recsys"
cp "$here"/*.py "$here"/*.toml "$here/gpu.sh" "$folder/"
for name in ml-1m gowalla; do
    [ -e "$data/$name/$name.train.inter" ] || { echo "pack.sh: no $name in $data; write it with data.py" >&2; exit 1; }
    cp -r "$data/$name" "$folder/data/"
done
loader="$(ldconfig -p 2>/dev/null | awk '/libvulkan\.so\.1 / { print $NF; exit }')"
if [ -n "$loader" ]; then
    cp -L "$loader" "$folder/lib/libvulkan.so.1"
else
    echo "pack.sh: no Vulkan loader here, so the archive has none; the GPU machine needs its own" >&2
fi

tar -C "$work" -c recsys-bench | gzip -9 >"$archive.part"
size="$(stat -c %s "$archive.part")"
if [ "$size" -gt "$limit" ]; then
    rm "$archive.part"
    echo "pack.sh: the archive would have $size bytes, more than $limit; build with fewer features" >&2
    exit 1
fi
mv "$archive.part" "$archive"
echo "$archive: $size bytes"
