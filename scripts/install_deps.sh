#!/usr/bin/env bash
# Installs what building and testing need beside Rust: a C compiler for the
# linker, and Mesa's software Vulkan adapter, on which the tests of the wgpu
# device run where there is no GPU. Does nothing where they are present, or
# where there is no apt-get or no right to use it; those tests are then skipped.
set -u

missing=()
command -v cc >/dev/null || missing+=(build-essential)
if [ "$(uname -s)" = Linux ]; then
    ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || missing+=(libvulkan1)
    compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null || missing+=(mesa-vulkan-drivers)
fi
if [ "${#missing[@]}" -eq 0 ]; then
    echo "dependencies: all present"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "dependencies: no apt-get here; install by hand: ${missing[*]}"
    exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "dependencies: no right to install ${missing[*]}"
        exit 0
    fi
    as_root=(sudo -n)
fi
echo "dependencies: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y --no-install-recommends "${missing[@]}")
"${as_root[@]}" "${install[@]}" </dev/null ||
    { "${as_root[@]}" apt-get update </dev/null && "${as_root[@]}" "${install[@]}" </dev/null; } ||
    echo "dependencies: could not install ${missing[*]}"
