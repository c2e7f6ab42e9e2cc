"""One command in a bare user-mode Linux, whose root is the host's file system: a kernel with netem anywhere.

It needs the packages ``user-mode-linux`` and ``kmod``, and leaves nothing: the machine is a process
namespace, so whatever ends its first process, or the one that started it, ends all of it. It has one CPU and
no network to the outside; its /run is in its memory.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MEMORY_MB = 768
KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
NEEDED = ("veth", "bridge", "ifb", "sch_netem", "sch_ingress", "cls_matchall", "act_mirred")
WANTED = ("tcp_bbr",)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POWER_OFF = 0x4321FEDC  # reboot(2)


def lacks() -> str | None:
    """What the host lacks to start one, in a sentence."""
    packages = {KERNEL: "user-mode-linux", "modprobe": "kmod", "unshare": "util-linux"}
    for command, package in packages.items():
        if shutil.which(command, path=_PATH) is None:
            return f"{command} is not installed; install the package {package}"
    return None


def run_in_uml(argv: Sequence[str], timeout_s: float) -> str:
    """What ``argv``, run as root in a machine of its own, printed; the machine is gone afterwards.

    Raises:
        RuntimeError: it did not start, did not end in ``timeout_s``, or the command failed.
    """
    with tempfile.TemporaryDirectory(prefix="testbed-uml-") as scratch:
        for number, argument in enumerate(argv):
            Path(scratch, f"argument{number}").write_text(argument)
        process = subprocess.Popen(
            _kernel_command(scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env={"PATH": _PATH, "TMPDIR": _memory_directory(scratch)},
            start_new_session=True,
        )
        try:
            process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            said, _ = process.communicate()  # ends when nobody can write to it any more: all are gone
        status, output = Path(scratch, "status"), Path(scratch, "output")
        printed = output.read_text() if output.exists() else ""
        if not status.exists() or status.read_text() != "0":
            words = f"{printed}{said.decode(errors='replace')}"
            raise RuntimeError(f"the command in user-mode Linux failed or did not end:\n{words}")
        return printed


def _kernel_command(scratch: str) -> list[str]:
    """On one CPU, for kernel and processes take turns, and before what else wants it: it is to be in time."""
    cpu = max(os.sched_getaffinity(0))
    here = Path(__file__)
    inside = [f"init={os.path.realpath(sys.executable)}", "--", "-I", "-S", "-B", str(here), scratch]
    return [
        *("setpriv", "--pdeathsig", "KILL", "--", *_precedence(), "taskset", "-c", str(cpu)),
        *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *(KERNEL, f"mem={MEMORY_MB}M", f"uml_dir={scratch}", "rootfstype=hostfs", "rw", "quiet", "panic=-1"),
        *("noreboot", "selinux=0", "con=null", "ssl=null", "con0=null,fd:1", *inside),
    ]


def _precedence() -> list[str]:
    """Real-time priority, where the host grants it: in a session of its own, niceness would mean nothing."""
    words = ["chrt", "--rr", "5"]
    asked = subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False)
    return words if asked.returncode == 0 else []


def _memory_directory(scratch: str) -> str:
    """Where the file goes that is the machine's memory, and has no name: a container's /dev/shm is small."""
    fits = shutil.disk_usage("/dev/shm").free > MEMORY_MB << 20
    return "/dev/shm" if fits else scratch


def _as_first_process(scratch: Path) -> None:
    """Inside: prepare what a kernel leaves to user space, run the command, write down what became of it."""
    for kind, target in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
        _mount(kind, target)
    _mount("tmpfs", "/run")
    os.environ.update(PATH=_PATH, TMPDIR="/run")
    modules = Path("/run/modules/lib/modules", os.uname().release)
    modules.parent.mkdir(parents=True)
    modules.symlink_to(MODULES / os.uname().release)
    probe = ["modprobe", "-d", "/run/modules", "-a"]
    subprocess.run([*probe, *NEEDED], check=True)
    subprocess.run([*probe, *WANTED], check=False)
    argv = [
        file.read_text() for file in sorted(scratch.glob("argument*"), key=lambda file: int(file.name[8:]))
    ]
    with Path(scratch, "output").open("wb") as output:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=None, check=False)
        os.fsync(output.fileno())
    with Path(scratch, "status").open("w") as status:
        status.write(str(done.returncode))
        status.flush()
        os.fsync(status.fileno())


def _mount(kind: str, target: str) -> None:
    if ctypes.CDLL(None, use_errno=True).mount(kind.encode(), target.encode(), kind.encode(), 0, None) != 0:
        number = ctypes.get_errno()
        if kind != "devtmpfs":  # which the kernel may have mounted itself
            raise OSError(number, f"mounting {kind} on {target}: {os.strerror(number)}")


if __name__ == "__main__":
    try:
        _as_first_process(Path(sys.argv[1]))
    except Exception as error:
        print(error, flush=True)
    ctypes.CDLL(None).reboot(_POWER_OFF)
    time.sleep(60)  # process 1 must not return
