"""The Vagrantfile tried for real, in a machine under QEMU: ``python3 -m tests.vagrant``. Not in CI."""
