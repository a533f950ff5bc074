#!/bin/sh
# Take from an installed environment what the server never reads: slim-image.sh /opt/tollgate
# The tools that built the wheel, tests and headers of dependencies; then check that all still fits.
set -eu

environment=$1
# hatchling and what only hatchling needs (the group `build` of pyproject.toml)
pip --python "$environment/bin/python" uninstall --quiet --yes \
    hatchling pathspec pluggy tomlkit trove-classifiers
cd "$environment"/lib/python3.*/site-packages
rm -rf onnx/fuzz onnx/backend/test onnx/test onnxruntime/transformers onnxruntime/quantization \
    onnxruntime/tools onnxruntime/datasets
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find . -type d -name include -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.c' -o -name '*.cc' -o -name '*.cpp' \
    -o -name '*.proto' -o -name '*.a' \) -delete
find "$environment/bin" -mindepth 1 ! -name 'python*' ! -name tollgate -delete
"$environment/bin/tollgate" --help >/dev/null
