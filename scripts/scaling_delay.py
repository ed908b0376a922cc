#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network link that takes time: two TUN devices and what carries packets between them.

    scaling_delay.py MILLISECONDS NAME_A NAME_B

Makes the devices NAME_A and NAME_B and passes each packet that leaves one to the other,
MILLISECONDS later; how many there are at a time is not limited. The caller moves the devices to
their network namespaces; they are gone when this ends. For kernels without netem: unlike a proxy
for TCP, this delays all of it, handshakes and acknowledgements too, as a long cable does.
"""
import collections
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
LARGEST_PACKET = 65536


def open_tun(name):
    """A descriptor whose reads and writes are the packets of a new device."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_WITHOUT_HEADER))
    return fd


def take(fd, ready_at, queue, other):
    """Reads all packets there are into the queue."""
    while True:
        try:
            queue.append((ready_at, other, os.read(fd, LARGEST_PACKET)))
        except BlockingIOError:
            return


def deliver(queue):
    """Writes the packets whose time has come; one that finds no room is lost, as on a wire."""
    now = time.monotonic()
    while queue and queue[0][0] <= now:
        _, fd, packet = queue.popleft()
        try:
            os.write(fd, packet)
        except OSError:
            pass


def main():
    delay = float(sys.argv[1]) / 1000
    a, b = (open_tun(name) for name in sys.argv[2:4])
    other = {a: b, b: a}
    queue = collections.deque()  # the delay is the same for all: the order stays
    print("ready", flush=True)
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        for fd in select.select([a, b], [], [], wait)[0]:
            take(fd, time.monotonic() + delay, queue, other[fd])
        deliver(queue)


if __name__ == "__main__":
    main()
