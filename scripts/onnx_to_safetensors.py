"""The weights of a quantised ONNX graph as a safetensors file that `bench-shadows audit` reads.

    python scripts/onnx_to_safetensors.py model.onnx FOLDER [--config config.json]

An ONNX file is a program: exporters name its matrices by number, and keep a layer's name only at its bias. So
each integer tensor is followed over its scale (`Cast` and `Mul`, or `DequantizeLinear`) into the
`MatMul` that uses it and the `Add` behind that, and gets the bias' name. Values are what the graph computes with:
integers times scale, in float32, [out, in] as torch keeps them. What cannot be followed is counted. Needs the
extra `peers`.
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], int]:
    """name -> float32 matrix [out, in] of every quantised product, and how many tensors could not be followed."""
    graph = onnx.load(path).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found, lost = {}, 0
    for name, tensor in values.items():
        if len(tensor.dims) == 2 and tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
            matrix = numpy_helper.to_array(tensor).astype(np.float32)
            layer = next(_followed(name, matrix, values, users), None)
            if layer is None:
                lost += 1
            else:
                found[layer[0]] = layer[1]
    return _without_common_part(found), lost


def _followed(
    name: str, matrix: np.ndarray, values: dict[str, Any], users: dict[str, list[Any]]
) -> Iterator[tuple[str, np.ndarray]]:
    """The layer's name and its matrix, for every way from a tensor to a bias."""
    for node in users.get(name, ()):
        constants = [
            numpy_helper.to_array(values[other]) for other in node.input if other != name and other in values
        ]
        output = node.output[0]
        if node.op_type == "Cast":
            yield from _followed(output, matrix, values, users)
        elif node.op_type == "Mul" and constants:
            yield from _followed(output, matrix * constants[0], values, users)
        elif node.op_type == "DequantizeLinear" and constants:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            scale, zero = constants[0], constants[1] if len(constants) > 1 else np.zeros((), np.int8)
            shape = [-1 if i == axis % 2 else 1 for i in range(2)] if scale.ndim else []
            scaled = (matrix - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)
            yield from _followed(output, scaled, values, users)
        elif node.op_type == "MatMul" and node.input[1] == name:
            for after in users.get(output, ()):
                biases = [other for other in after.input if other in values and other.endswith(".bias")]
                if after.op_type == "Add" and biases:
                    yield biases[0].removesuffix("bias") + "weight", np.ascontiguousarray(matrix.T)


def _without_common_part(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the first part of the names where a wrapper gave it to all of them."""
    first = {name.partition(".")[0] for name in found}
    wrapped = len(first) == 1 and first & {"inner", "model", "module", "auto_model", "0"}
    return {name.partition(".")[2]: matrix for name, matrix in found.items()} if wrapped else found


def main() -> None:
    """Parses, converts, prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, help="a config.json to put beside the weights")
    args = parser.parse_args()
    weights, lost = read_weights(args.onnx)
    args.folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, args.folder / "model.safetensors")
    if args.config:
        shutil.copyfile(args.config, args.folder / "config.json")
    print(
        f"{len(weights)} matrices in {args.folder}; {lost} integer tensors are no named product (embeddings, say)"
    )


if __name__ == "__main__":
    main()
