"""The Vagrantfile's way tried for real, not in CI.

In a machine under QEMU: ``python3 -m tests.vagrant``; on Debian 13 and Ubuntu 24.04, in a directory:
``python3 -m tests.vagrant.chroot``.
"""
