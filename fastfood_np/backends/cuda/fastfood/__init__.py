"""The Fastfood transform and its gradients: fused where a thread block can hold a row."""

from fastfood_np.backends.cuda.fastfood.backward import fastfood_backward as fastfood_backward
from fastfood_np.backends.cuda.fastfood.backward import fastfood_scratch as fastfood_scratch
from fastfood_np.backends.cuda.fastfood.forward import fastfood_forward as fastfood_forward
