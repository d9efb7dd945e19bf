"""Models of the package as ONNX files, for runtimes that know nothing of it.

Only standard operators are used. `graph` is what nodes are put into, `export` goes through a model
layer by layer, and the other modules write a kind of layer each.
"""

from fastfood_np.onnx_export.export import export_onnx, onnx_bytes

__all__ = ["export_onnx", "onnx_bytes"]
