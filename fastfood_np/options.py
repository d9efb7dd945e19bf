"""The command line's options: their types, their help, and one-line errors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from fastfood_np.validation import check_int, check_path, check_rate, check_real

DATASETS = ("sample", "mnist", "fashion", "cifar10")
LAYERS = (
    *("dense", "low-rank", "hashed", "block-circulant"),
    *("circulant", "circulant-random", "circulant-ones", "sorf", "fastfood"),
)
PENALTIES = ("two-values", "binary", "group-lasso")
BENCHMARKS = (
    *("fwht", "fastfood", "circulant", "quantized"),
    *("lenet", "kernel_approximation", "gpu"),
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line and exits with 2; options not given leave no attribute."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("argument_default", argparse.SUPPRESS)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        fail(message, self.prog)


def fail(message: str, program: str = "fastfood-np") -> NoReturn:
    """Print one line to standard error and exit with 2."""
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


def _typed(read: Callable[[str], Any], kind: str, check: Callable[[Any, str], Any]) -> Any:
    def convert(text: str) -> Any:
        try:
            value = read(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {kind}, got {text!r}") from None
        try:
            return check(value, "value")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix("value ")) from None

    return convert


MOST_FEATURES = 1 << 24  # S, G and B of more would not fit into most memories


def whole(minimum: int, maximum: int | None = None) -> Any:
    """An integer of at least `minimum` and, if given, at most `maximum`."""

    def check(value: int, name: str) -> int:
        return check_int(value, name, minimum=minimum, maximum=maximum)

    return _typed(int, "an integer", check)


def _names(known: tuple[str, ...]) -> Any:
    """Some of the known names, separated by commas, each once, in the order they are known in."""

    def convert(text: str) -> tuple[str, ...]:
        names = text.split(",")
        if not set(names) <= set(known):
            raise argparse.ArgumentTypeError(
                f"must be some of {', '.join(known)}, separated by commas, got {text!r}"
            )
        return tuple(name for name in known if name in names)

    return convert


def _budgets(text: str) -> tuple[int, ...]:
    """Numbers of weights, separated by commas."""
    try:
        return tuple(sorted({check_int(int(part), "value", minimum=1) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be positive integers, separated by commas, got {text!r}"
        ) from None


def _layers(text: str) -> tuple[str, ...]:
    """Names of layers, separated by commas."""
    return tuple(text.split(","))


def _channels(text: str) -> tuple[int, int]:
    """Two positive integers, separated by a comma."""
    try:
        first, second = (check_int(int(part), "value", minimum=1) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be two positive integers, separated by a comma, got {text!r}"
        ) from None
    return first, second


POSITIVE = _typed(float, "a number", lambda value, name: check_real(value, name, above=0.0))
NOT_NEGATIVE = _typed(float, "a number", lambda value, name: check_real(value, name, minimum=0.0))
RATE = _typed(float, "a number", check_rate)
PATH = _typed(str, "a path", check_path)


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Where the images come from."""
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        help="sample: 10,000 digits that come with the package (default); mnist, fashion, "
        "cifar10: the full sets, looked for in $FASTFOOD_NP_DATA, the system's share/datasets and "
        "the cache; cifar10 is for the network cifar10_quick, all others are for LeNet",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=PATH,
        help="folder of the four IDX files, raw or gzip (mnist, unless --dataset says otherwise), "
        "or of cifar10's binary version, unpacked or not",
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch the data set if it is not found; not cifar10",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """How many threads; never changes a result."""
    parser.add_argument("--threads", type=whole(1), metavar="N", help="threads (default: all CPUs)")


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Every field of `experiments.settings.TrainSettings`, and where to write."""
    add_data_options(parser)
    parser.add_argument(
        "--model",
        choices=("lenet", "cifar10_quick", "fried"),
        help="train only the reference (cifar10_quick with cifar10, else lenet) or the deep-fried "
        "net",
    )
    net = parser.add_argument_group("deep-fried net")
    features = whole(1, MOST_FEATURES)
    net.add_argument("--features", type=features, metavar="N", help="Fastfood outputs (1024)")
    net.add_argument("--sigma", type=POSITIVE, metavar="S", help="bandwidth (20)")
    adaptive = net.add_mutually_exclusive_group()
    adaptive.add_argument("--adaptive", action="store_true", help="train S, G and B (default)")
    adaptive.add_argument("--fixed", dest="adaptive", action="store_false", help="leave them drawn")
    net.add_argument("--dropout", type=RATE, metavar="P", help="after the ReLU (0); not cifar10")
    net.add_argument("--dropout-inside", type=RATE, metavar="P", help="on Pi H B x, equation 7 (0)")
    net.add_argument(
        "--dropout-input", type=RATE, metavar="P", help="on the layer's input (0); not cifar10"
    )
    both = parser.add_argument_group("both models")
    both.add_argument(
        "--channels", type=_channels, metavar="N,N", help="outputs of LeNet's convolutions (20,50)"
    )
    both.add_argument("--conv-relu", action="store_true", help="ReLU after LeNet's convolutions")
    both.add_argument("--augment", action="store_true", help="random affine changes of the images")
    length = both.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(1), metavar="N", help="on the sample 16")
    length.add_argument("--steps", type=whole(1), metavar="N", help="on the full sets 10000")
    both.add_argument("--batch", type=whole(1), metavar="N", help="rows in a batch (64)")
    both.add_argument("--lr", type=POSITIVE, metavar="R", help="base rate (cosine 0.03, else 0.01)")
    both.add_argument(
        "--schedule",
        choices=("inv", "cosine", "step", "constant"),
        help="inv for Caffe's own LeNet, cosine for all others",
    )
    both.add_argument(
        "--clip-norm", type=NOT_NEGATIVE, metavar="C", help="gradient norm, 0: off (cosine 2)"
    )
    both.add_argument("--weight-decay", type=NOT_NEGATIVE, metavar="D", help="5e-4")
    both.add_argument(
        "--penalty", choices=PENALTIES, help="a term of the cost that makes weights compress better"
    )
    both.add_argument(
        "--penalty-weight", type=NOT_NEGATIVE, metavar="A", help="its coefficient (by kind)"
    )
    both.add_argument(
        "--penalty-value", type=NOT_NEGATIVE, metavar="C", help="pull to -C and C (mean of |w|)"
    )
    both.add_argument(
        "--penalty-on", type=_layers, metavar="NAMES", help="layers, as ip1,ip2 (all dense ones)"
    )
    both.add_argument("--seed", type=whole(0), metavar="N", help="fixes every bit (0)")
    both.add_argument("--dtype", choices=("float32", "float64"), help="float32")
    both.add_argument(
        "--val-fraction",
        type=RATE,
        metavar="F",
        help="hold out this part of the training set and keep the best model on it (0)",
    )
    add_threads(parser)
    parser.add_argument("--out", type=PATH, metavar="DIR", help="runs/<date-time>")
    parser.add_argument("--resume", type=PATH, metavar="DIR", help="go on with the run in DIR")


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Every field of `experiments.comparison.ComparisonSettings`, how, and where to write."""
    add_data_options(parser)
    parser.add_argument(
        "--layers",
        type=_names(LAYERS),
        metavar="NAMES",
        help=f"some of {','.join(LAYERS)} (all but circulant-random and circulant-ones)",
    )
    parser.add_argument(
        "--budgets",
        type=_budgets,
        metavar="NUMBERS",
        help="most weights of a layer and the softmax behind it (6656,13312,53248)",
    )
    parser.add_argument("--seeds", type=whole(1), metavar="N", help="runs of each (3)")
    parser.add_argument(
        "--no-reference",
        dest="reference",
        action="store_false",
        help="leave out the network with its own dense layer",
    )
    parser.add_argument("--conv-relu", action="store_true", help="ReLU after LeNet's convolutions")
    parser.add_argument(
        "--augment", action="store_true", help="random affine changes of the images"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(1), metavar="N", help="on the sample 16")
    length.add_argument("--steps", type=whole(1), metavar="N", help="on the full sets 10000")
    parser.add_argument("--batch", type=whole(1), metavar="N", help="rows in a batch (64)")
    parser.add_argument("--lr", type=POSITIVE, metavar="R", help="base rate (0.03)")
    parser.add_argument(
        "--processes", type=whole(1), metavar="N", help="trainings at a time (one a CPU)"
    )
    parser.add_argument("--out", type=PATH, metavar="DIR", help="runs/compare-<date-time>")
    parser.add_argument("--resume", type=PATH, metavar="DIR", help="go on with the runs in DIR")


def _product_quantised(text: str) -> tuple[str, int, int]:
    """A layer, the length of its sub-vectors and their centroids, separated by colons."""
    try:
        name, length, centroids = text.split(":")
        return (
            name,
            check_int(int(length), "value", minimum=1),
            check_int(int(centroids), "value", minimum=2, maximum=256),
        )
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be the name of a layer, the length of a sub-vector and a number of centroids "
            f"from 2 to 256, as ip1:4:16, got {text!r}"
        ) from None


def add_compress_options(parser: argparse.ArgumentParser) -> None:
    """Every field of `experiments.compression.CompressSettings`, and where to write."""
    parser.add_argument(
        "model", type=PATH, metavar="MODEL", help="a .npz that train wrote, or a .ffnp"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--target-bytes", type=whole(1), metavar="N", help="the best model in so many bytes"
    )
    target.add_argument(
        "--max-error",
        type=NOT_NEGATIVE,
        metavar="E",
        help="the smallest model with at most this validation error, in percent",
    )
    add_data_options(parser)
    parser.add_argument(
        "--val-fraction",
        type=RATE,
        metavar="F",
        help="part of the training set to choose by (that which the model was trained without)",
    )
    parser.add_argument(
        "--pq",
        type=_product_quantised,
        action="append",
        metavar="LAYER:LENGTH:CENTROIDS",
        help="product-quantise a dense layer, as ip1:4:16; may be repeated",
    )
    parser.add_argument(
        "--steps", type=whole(0), metavar="N", help="of each fine-tuning, 0: none (four epochs)"
    )
    parser.add_argument("--lr", type=POSITIVE, metavar="R", help="its base rate (0.01)")
    parser.add_argument("--batch", type=whole(1), metavar="N", help="rows in a batch (64)")
    parser.add_argument("--weight-decay", type=NOT_NEGATIVE, metavar="D", help="5e-4")
    parser.add_argument(
        "--augment", action="store_true", help="random affine changes of the images"
    )
    parser.add_argument("--seed", type=whole(0), metavar="N", help="fixes every bit (0)")
    add_threads(parser)
    parser.add_argument(
        "--out", type=PATH, metavar="FILE", help="MODEL with the suffix .ffnp; a picture, too"
    )


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Every field of `experiments.compression_study.StudySettings`, and where to write."""
    add_data_options(parser)
    parser.add_argument("--penalty", choices=PENALTIES, help="two-values")
    parser.add_argument(
        "--penalty-weight", type=NOT_NEGATIVE, metavar="A", help="its coefficient (by kind)"
    )
    parser.add_argument(
        "--penalty-value", type=NOT_NEGATIVE, metavar="C", help="pull to -C and C (mean of |w|)"
    )
    parser.add_argument(
        "--model", choices=("lenet", "fried"), help="study only the reference or the deep-fried net"
    )
    parser.add_argument("--seeds", type=whole(1), metavar="N", help="pairs of each network (10)")
    parser.add_argument("--conv-relu", action="store_true", help="ReLU after LeNet's convolutions")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(1), metavar="N", help="on the sample 16")
    length.add_argument("--steps", type=whole(1), metavar="N", help="on the full sets 10000")
    parser.add_argument(
        "--processes", type=whole(1), metavar="N", help="trainings at a time (one a CPU)"
    )
    parser.add_argument("--out", type=PATH, metavar="DIR", help="runs/study-<date-time>")


def add_bench_options(parser: argparse.ArgumentParser) -> None:
    """Which benchmarks are run, how long, against whom, and where to write."""
    parser.add_argument("--smoke", action="store_true", help="tiny and quick: do they still run?")
    parser.add_argument(
        "--turns", type=whole(1), metavar="N", help="timed turns of each contender (15)"
    )
    parser.add_argument(
        "--only",
        type=_names(BENCHMARKS),
        metavar="NAMES",
        help=f"some of {','.join(BENCHMARKS)} (all)",
    )
    parser.add_argument(
        "--ffht",
        type=PATH,
        metavar="LIB",
        help="a native FFHT to compare fwht with; bench_fwht.py --help says how to build it",
    )
    parser.add_argument(
        "--mnist",
        type=PATH,
        metavar="DIR",
        help="MNIST's four IDX files, to take kernel_approximation through the full set as well",
    )
    parser.add_argument("--out", type=PATH, metavar="DIR", help="runs/bench-<date-time>")
