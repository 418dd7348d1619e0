#!/usr/bin/env bash
# Trains the sample models again from random weights, by `lathe train` alone.
#
#   rebuild.sh OUTPUT_FOLDER [MODEL ...]       LATHE=program, if not .build/release/lathe
#
# Takes the structure from the files beside this script and the training images from the Debian package dataset-fashion-mnist.
# Weights are those of the last epoch: no choice depends on the validation or test images.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lathe=${LATHE:-$here/../.build/release/lathe}
out=${1:?usage: rebuild.sh OUTPUT_FOLDER [MODEL ...]}
shift
models=("$@")
[ ${#models[@]} -gt 0 ] || models=(lenet-300-100 lenet-5 resnet-8 ds-cnn transformer lstm)
mkdir -p "$out"

train() { # MODEL EPOCHS PEAK_RATE
    "$lathe" train "$here/$1.onnx" --data "$here/data/fashion-mnist.yaml" --output "$out/$1.onnx" --initialize --epochs "$2" --learning-rate "$3" \
        --batch 128 --set schedule=one-cycle --set shift=1 --set flip=true --set keep=last
}

for model in "${models[@]}"; do
    case $model in
    lenet-300-100) train "$model" 40 0.002 ;;
    lenet-5) train "$model" 16 0.002 ;;
    resnet-8 | ds-cnn) train "$model" 12 0.01 ;;
    transformer) train "$model" 18 0.002 ;;
    lstm) train "$model" 18 0.004 ;;
    *)
        echo "rebuild.sh: there is no sample model '$model'" >&2
        exit 2
        ;;
    esac
done
