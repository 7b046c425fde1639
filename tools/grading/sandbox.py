"""The sandbox that a submission runs in: bubblewrap, with setpriv and prlimit inside.

A submission sees an empty machine: the system's programs, Python and its packages, the course's
package, all read-only, and an empty /tmp in memory. No network, no other process, no file of the
teacher's (the solutions and the other submissions among them), no environment variable.
Needs no root where the system allows user namespaces; root gives its rights away inside.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ganvae_lessons

AGENT = Path(__file__).with_name("agent.py")
NOBODY = "65534"
ENVIRONMENT = {
    "HOME": "/tmp",
    "USER": "student",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
    "PYTHONPATH": "/package",
    "PYTHONDONTWRITEBYTECODE": "1",
    "GANVAE_BUDGET": "smoke",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OPENBLAS_NUM_THREADS": "1",
    "JOBLIB_MULTIPROCESSING": "0",  # there is no shared memory to warn about
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "IPYTHONDIR": "/tmp/ipython",
}


@dataclass(frozen=True)
class Limits:
    """What a submission may use; seconds of wall-clock time, bytes."""

    cell_seconds: float = 40
    test_seconds: float = 20
    total_seconds: float = 180
    memory: int = 4 * 2**30  # of each process, and of all together
    files: int = 2**28  # all of /tmp, which is memory too
    processes: int = 256  # threads count
    answer: int = 2**26  # one reply of the agent


def command(limits=None):
    """Return the command line that starts an agent in a sandbox; it talks on stdin and stdout."""
    limits = limits or Limits()
    root = os.geteuid() == 0
    words = ["bwrap", "--die-with-parent", "--new-session", "--clearenv"]
    words += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--cap-drop", "ALL"]
    if root:  # a namespace of root's would still be root's to the limit on processes
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user", "--hostname", "sandbox"]
    for name, value in {**ENVIRONMENT, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin"}.items():
        words += ["--setenv", name, value]
    words += [*_system(), "--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--size", str(limits.files), "--tmpfs", "/tmp"]
    package = Path(ganvae_lessons.__file__).resolve().parent
    bound = {path: path for path in _python()}
    bound.update({str(package): "/package/ganvae_lessons", str(AGENT): "/package/agent.py"})
    words += _parents(bound.values())
    for source, target in bound.items():
        words += ["--ro-bind", source, target]
    words += ["--remount-ro", "/", "--chdir", "/tmp"]
    if root:
        words += ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
        words += ["--inh-caps=-all", "--no-new-privs", "--"]
    words += ["prlimit", f"--data={limits.memory}", f"--nproc={limits.processes}"]
    words += [f"--fsize={limits.files}", "--core=0", "--nofile=512", "--"]
    return [*words, os.path.abspath(sys.executable), "-u", "/package/agent.py"]


def _system():
    """Bind /usr and what the loader needs; /bin and its like as they are here."""
    words = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            words += ["--ro-bind", name, name]
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts"):
        words += ["--ro-bind-try", name, name]
    return words


def _python():
    """The environment, and the Python it was made from where that is not the system's."""
    places = {str(Path(sys.prefix).resolve()), str(Path(sys.base_prefix).resolve())}
    places.add(str(Path(sys.prefix)))
    return sorted(place for place in places if not place.startswith("/usr/") and place != "/usr")


def _parents(targets):
    """Make the folders above the targets, for everybody to pass: bubblewrap's are root's alone."""
    above = {str(parent) for target in targets for parent in Path(target).parents} - {"/"}
    words = []
    for folder in sorted(above, key=lambda folder: (folder.count("/"), folder)):
        words += ["--perms", "0755", "--dir", folder]
    return words


def missing():
    """Return what keeps the sandbox from working here and how to mend it, or None."""
    programs = ["bwrap", "prlimit"] + (["setpriv"] if os.geteuid() == 0 else [])
    for program in programs:
        if shutil.which(program) is None:
            package = "bubblewrap" if program == "bwrap" else "util-linux"
            return (
                f"{program} is not installed; on Debian or Ubuntu, 'make system-packages' or "
                f"'apt-get install {package}'. Other systems: use a Linux machine or container."
            )
    python = os.path.abspath(sys.executable)
    words = command()
    words = words[: words.index(python)]
    result = subprocess.run([*words, "true"], capture_output=True, text=True)
    if result.returncode == 0:
        trial = [*words, python, "-c", "import IPython, ganvae_lessons.checks"]
        result = subprocess.run(trial, capture_output=True, text=True)
        if result.returncode == 0:
            return None
        return (
            "Python does not start in the sandbox, or not with this environment: "
            f"{result.stderr.strip()[-300:]!r}. Everybody must be able to read {sys.prefix}."
        )
    return (
        f"bubblewrap cannot make a sandbox here: {result.stderr.strip()!r}. Where user namespaces "
        "are switched off (Ubuntu 24.04, some containers), an administrator allows them with "
        "'sysctl kernel.apparmor_restrict_unprivileged_userns=0' or "
        "'sysctl kernel.unprivileged_userns_clone=1'; a container needs --privileged."
    )
