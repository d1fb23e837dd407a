"""A world that answers badly on purpose: AWS before an emulator, Telegram, GitHub, and the domain name system.

What is planted is answered; everything else of AWS goes on to the emulator.
"""

import contextlib
import json
import re
import socket
import struct
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class World:
    """What is answered, by AWS's operation ("GetServiceQuota") or by path ("/repos/someone/polybot"): a value, a function of what was
    asked, or Refused."""

    def __init__(self):
        self.answers, self.names = {}, {}
        # What the emulator is asked for, instead of what was asked for.
        self.rewritten = {}


class Refused:
    """An error, as AWS's JSON protocols and the others' web servers say it."""

    def __init__(self, code, message="planted", status=400):
        self.code, self.message, self.status = code, message, status


class Xml(str):
    """An answer of a service that speaks XML."""


@contextlib.contextmanager
def aws(emulator, world):
    """The address at which this world answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.split("?")[0]
            form = re.search(rb"(?:^|&)Action=(\w+)", body)
            operation = self.headers.get("X-Amz-Target", "").partition(".")[2] or (form[1].decode() if form else "")
            for name in (operation, path):
                if name in world.answers:
                    answer = world.answers[name]
                    if callable(answer):
                        answer = answer(json.loads(body or "{}") if "X-Amz-Target" in self.headers else body.decode())
                    if isinstance(answer, Refused):
                        return self._say(answer.status, {"__type": answer.code, "message": answer.message})
                    if isinstance(answer, Xml):
                        return self._send(200, {"Content-Type": "text/xml"}, answer.encode())
                    if answer is not None:
                        return self._say(200, answer)
            if path.startswith(("/bot", "/repos/", "/blob/")):
                return self._say(404, {"ok": False, "message": "Not Found"})
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "accept-encoding", "expect")}
            # Else urllib says that it is a form, and the emulator reads it as one.
            headers.setdefault("Content-Type", "binary/octet-stream")
            forwarded_path = self.path
            for asked, instead in world.rewritten.items():
                forwarded_path = forwarded_path.replace(asked, instead)
            request = urllib.request.Request(emulator + forwarded_path, data=body or None, method=self.command, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as forwarded:
                    self._send(forwarded.status, forwarded.headers, forwarded.read())
            except urllib.error.HTTPError as refused:
                self._send(refused.code, refused.headers, refused.read())

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer

        def _say(self, status, value):
            self._send(status, {"Content-Type": "application/json"}, json.dumps(value).encode())

        def _send(self, status, headers, body):
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_TYPES = {1: "A", 2: "NS", 257: "CAA"}


def _wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


@contextlib.contextmanager
def dns(world):
    """A resolver that knows `world.names`, {(name, kind): values}; "HOST:PORT"."""

    def answer(message):
        at, labels = 12, []
        while message[at]:
            labels.append(message[at + 1:at + 1 + message[at]].decode())
            at += 1 + message[at]
        number, = struct.unpack("!H", message[at + 1:at + 3])
        question = message[12:at + 5]
        values = world.names.get((".".join(labels), _TYPES[number]), [])
        if isinstance(values, int):
            return message[:2] + struct.pack("!HHHHH", 0x8180 | values, 1, 0, 0, 0) + question
        records = b""
        for value in values:
            data = (socket.inet_aton(value) if number == 1 else _wire(value) if number == 2
                    else bytes([0, len(value[0])]) + value[0].encode() + value[1].encode())
            # The name as a pointer to the question's, as servers write it.
            records += struct.pack("!HHHIH", 0xC00C, number, 1, 60, len(data)) + data
        return message[:2] + struct.pack("!HHHHH", 0x8180, 1, len(values), 0, 0) + question + records

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind(("127.0.0.1", 0))
        resolver.settimeout(0.05)
        ended = threading.Event()

        def serve():
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    message, asker = resolver.recvfrom(4096)
                    resolver.sendto(answer(message), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{resolver.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()
