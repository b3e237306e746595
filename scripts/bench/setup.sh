#!/usr/bin/env bash
# Makes the virtual environment that the peers of the benchmarks run in.
#
#     bash scripts/bench/setup.sh [DIR]
#
# DIR is ${XDG_CACHE_HOME:-$HOME/.cache}/recsys/bench-venv unless given. PYTHON
# names the interpreter (3.11 was used). Takes 6 GB: PyTorch's wheel does not
# load without the CUDA libraries that it brings along, GPU or not.
#
# The pins are one set that all peers work with. RecBole 1.2.1 uses names that
# NumPy 2 and pandas 3 no longer have; it is installed without its dependencies,
# since those include ray, which only its hyperparameter search uses.
set -eu

dir="${1:-${XDG_CACHE_HOME:-$HOME/.cache}/recsys/bench-venv}"
python="${PYTHON:-python3}"

[ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
pip=("$dir/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" \
    torch==2.15.0 implicit==0.7.3 \
    numpy==1.26.4 scipy==1.15.3 pandas==2.3.3 threadpoolctl==3.8.0 \
    scikit-learn==1.7.2 tqdm pyyaml tensorboard tabulate texttable psutil plotly \
    colorlog==4.7.2 colorama==0.4.4
"${pip[@]}" --no-deps recbole==1.2.1 thop==0.1.1.post2209072238

# Everything that the benchmarks import, so that a broken set shows here.
"$dir/bin/python" - <<'PYTHON'
from importlib.metadata import version

import implicit.cpu.als, implicit.cpu.bpr, implicit.cpu.topk  # noqa: F401, E401
import recbole.trainer, recbole.data, recbole.model.general_recommender  # noqa: F401, E401
import torch

names = ("implicit", "recbole", "torch", "numpy", "scipy", "pandas")
print("peers:", ", ".join(f"{name} {version(name)}" for name in names))
print("GPU for PyTorch:", torch.cuda.get_device_name() if torch.cuda.is_available() else "none")
PYTHON
echo "$dir"
