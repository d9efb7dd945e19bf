"""The fused Fastfood transform and its gradients."""

from fastfood_np.backends.cuda.fastfood.backward import fastfood_backward as fastfood_backward
from fastfood_np.backends.cuda.fastfood.forward import fastfood_forward as fastfood_forward
