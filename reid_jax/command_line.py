"""How the programs start and end: flags in, one line out when something is wrong."""

import os
import sys
from collections.abc import Callable

from absl import app, flags, logging


def run(main: Callable[[], None]) -> None:
    """Parse the flags and run `main`; what the user can mend ends in one line.

    Exit status: 0 when done or interrupted by a signal after saving, 1 for an error,
    2 for flags that cannot be, 130 for Ctrl-C outside training. With --verbosity=1 an
    error keeps its traceback.
    """
    quieten()
    app.run(lambda argv: _run(main, argv), flags_parser=_parse)


def quieten() -> None:
    """Keep TensorFlow, where it is imported later, from talking about itself."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.set_verbosity(logging.ERROR)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except (
        flags.Error,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        _fail(error, status=2)
    except (ImportError, SyntaxError) as error:
        _fail(f"the config file cannot be read: {error}", status=2)


def _run(main: Callable[[], None], argv: list[str]) -> None:
    if len(argv) > 1:
        _fail(f"unknown argument {argv[1]!r}; flags look like --name=value.", status=2)
    try:
        main()
    except KeyboardInterrupt:
        _fail("interrupted.", status=130)
    except (ValueError, OSError, FloatingPointError) as error:
        if flags.FLAGS.verbosity > 0:
            raise
        _fail(error, status=1)


def _fail(error: object, status: int) -> None:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(status)
