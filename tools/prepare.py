"""Prepare a clone for `make demo` and `make test`: check what is there, make the .venv, install into it.

Standard library only, and its syntax is that of Python 3.6, so that an old Python can say it is too old.
"""

import os
import shutil
import sys
import sysconfig

OLDEST = (3, 11)
NEWEST_FIRST = ["python3.%d" % minor for minor in (14, 13, 12, 11)]
CLONE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def fail(what, package):
    """End with one line that says what is missing and which package brings it."""
    sys.stderr.write("setup: %s is missing. On Debian or Ubuntu: sudo apt install %s\n" % (what, package))
    sys.exit(2)


def choose_python():
    """Go on under a Python that is new enough, if this one is not."""
    if sys.version_info >= OLDEST:
        return
    for name in NEWEST_FIRST:
        if shutil.which(name):
            os.execvp(name, [name, *sys.argv])
    fail(
        "Python %d.%d or later (this is %d.%d)" % (OLDEST + sys.version_info[:2]),
        "python3.11 python3.11-venv",
    )


def check_prerequisites():
    """Name each missing prerequisite together with the package that brings it."""
    version = "%d.%d" % sys.version_info[:2]
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        fail("the venv module", "python%s-venv" % version)
    for command in ("gcc", "g++"):
        if not shutil.which(command):
            fail(command, "build-essential")
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        fail("Python.h", "python%s-dev" % version)


def main():
    """Make the environment named on the command line ready for use."""
    choose_python()
    check_prerequisites()
    sys.path.insert(0, CLONE)
    from pycuda_guard.progress import StepError, run_step

    folder = sys.argv[1]
    python = os.path.join(folder, "bin", "python")
    try:
        if not os.path.exists(python):
            run_step("a virtual environment in %s" % folder, [sys.executable, "-m", "venv", folder])
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install"]
        run_step("pycuda_guard and its development tools", [*pip, "-e", "%s[cpu,dev]" % CLONE])
    except StepError as error:
        sys.exit("setup: %s" % error)
    os.execv(python, [python, "-m", "pycuda_guard", "setup"])


if __name__ == "__main__":
    main()
