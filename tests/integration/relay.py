"""A relay in user space between two servers: what goes through it can be delayed, stopped, and cut at any moment."""
import contextlib
import random
import selectors
import socket
import struct
import threading
import time


class Relay:
    """Listens on self.port, connects to 127.0.0.1:target. One thread; all times in seconds."""

    def __init__(self, target, delay=0.0, jitter=0.0, seed=1):
        self.target, self.delay, self.jitter = target, delay, jitter
        self.random = random.Random(seed)
        self.server = socket.create_server(('127.0.0.1', 0))
        self.port = self.server.getsockname()[1]
        self.selector, self.pairs, self.lock = selectors.DefaultSelector(), {}, threading.Lock()
        self.later = []                        # (when, socket, bytes), in order for each socket
        self.last = {}                         # socket: when the last bytes for it are due
        self.stopped = self.closed = False
        self.refusing = False
        self.count = 0                         # connections so far
        self.server.setblocking(False)
        self.selector.register(self.server, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # -- what a test does -----------------------------------------------------------------------------

    def cut(self):
        """Every connection is reset, with all that is under way on it."""
        with self.lock:
            for sock in list(self.pairs):
                self.reset(sock)

    def stop(self, stopped=True):
        """Nothing goes through any more, and nobody is told; or it does again."""
        with self.lock:
            self.stopped = stopped

    def refuse(self, refusing=True):
        """New connections are reset at once."""
        with self.lock:
            self.refusing = refusing

    def connections(self):
        with self.lock:
            return len(self.pairs) // 2

    def close(self):
        self.closed = True
        self.thread.join(5)
        self.cut()
        self.server.close()

    # -- the thread ------------------------------------------------------------------------------------

    def reset(self, sock):
        other = self.pairs.pop(sock, None)
        for one in (sock, other):
            if one is None:
                continue
            self.pairs.pop(one, None)
            self.last.pop(one, None)
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(one)
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            one.close()

    def accept(self):
        with contextlib.suppress(OSError):
            one = self.server.accept()[0]
            if self.refusing:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                one.close()
                return
            try:
                other = socket.create_connection(('127.0.0.1', self.target), 5)
            except OSError:
                one.close()
                return
            self.count += 1
            self.pairs[one], self.pairs[other] = other, one
            for sock in (one, other):
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.selector.register(sock, selectors.EVENT_READ)

    def read(self, sock):
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b''
        if not data and not any(item[1] is self.pairs.get(sock) for item in self.later):
            self.reset(sock)
            return
        if not data:                           # what is under way arrives before the end does
            self.selector.unregister(sock)
        other = self.pairs[sock]
        when = max(time.monotonic() + self.delay + self.random.uniform(0, self.jitter), self.last.get(other, 0))
        self.last[other] = when
        self.later.append((when, other, data))

    def write(self, now):
        waiting = []
        for when, sock, data in self.later:
            if sock not in self.pairs:
                continue
            if when > now or any(sock is item[1] for item in waiting):
                waiting.append((when, sock, data))
                continue
            if not data:
                self.reset(sock)
                continue
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.reset(sock)
                continue
            if sent < len(data):
                waiting.append((when, sock, data[sent:]))
        self.later = waiting

    def run(self):
        while not self.closed:
            events = self.selector.select(0.005)
            with self.lock:
                if self.stopped:
                    continue
                for key, _ in events:
                    if key.fileobj is self.server:
                        self.accept()
                    elif key.fileobj in self.pairs:
                        self.read(key.fileobj)
                self.write(time.monotonic())
