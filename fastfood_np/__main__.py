"""``python -m fastfood_np``."""

import sys

from fastfood_np.cli import main

if __name__ == "__main__":
    sys.exit(main())
