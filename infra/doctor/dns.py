"""Questions to the domain name system that Python's own library has no function for: NS, CAA and A records (RFC 1035, RFC 8659)."""

import secrets
import socket
import struct

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "CAA": 257}
_NO_ERROR, _NO_SUCH_NAME = 0, 3


class DnsError(Exception):
    """No answer, or one that says that there can be none."""


def default_resolver():
    """The resolver that this machine uses."""
    try:
        with open("/etc/resolv.conf") as lines:
            for line in lines:
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    return words[1]
    except OSError:
        pass
    return None


def ask(name, kind, resolver, timeout=3.0):
    """The values of the name's records of this kind, without those that an alias has on the way; none if there are none."""
    if resolver is None:
        raise DnsError("this machine's /etc/resolv.conf names no resolver; give one with --resolver")
    host, _, port = resolver.rpartition(":") if resolver.count(":") == 1 else (resolver, "", "53")
    identity = secrets.randbelow(1 << 16)
    labels = name.rstrip(".").lower().encode("idna").split(b".")
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack("!HH", TYPES[kind], 1)
    message = struct.pack("!HHHHHH", identity, 0x0100, 1, 0, 0, 0) + question
    try:
        answer = _by_udp((host, int(port)), message, identity, timeout)
        if answer[2] & 0x02:  # truncated
            answer = _by_tcp((host, int(port)), message, timeout)
    except OSError as error:
        raise DnsError(f"the resolver {resolver} does not answer for {name}: {error or 'timed out'}") from None
    code = answer[3] & 0x0F
    if code == _NO_SUCH_NAME:
        return []
    if code != _NO_ERROR:
        raise DnsError(f"the resolver {resolver} answers {name} {kind} with the error {code}")
    try:
        return _values(answer, kind)
    except (IndexError, struct.error):
        raise DnsError(f"the resolver {resolver} answers {name} {kind} with what is no answer") from None


def _by_udp(address, message, identity, timeout):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as question:
        question.settimeout(timeout)
        question.connect(address)
        for attempt in range(2):
            question.send(message)
            try:
                while True:
                    answer = question.recv(4096)
                    if len(answer) >= 12 and struct.unpack("!H", answer[:2])[0] == identity:
                        return answer
            except TimeoutError:
                if attempt:
                    raise


def _by_tcp(address, message, timeout):
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(struct.pack("!H", len(message)) + message)
        stream = connection.makefile("rb")
        length, = struct.unpack("!H", stream.read(2))
        return stream.read(length)


def _values(answer, kind):
    questions, answers = struct.unpack("!HH", answer[4:8])
    at = 12
    for _ in range(questions):
        at = _name(answer, at)[1] + 4
    found = []
    for _ in range(answers):
        _, at = _name(answer, at)
        number, _, _, length = struct.unpack("!HHIH", answer[at:at + 10])
        at += 10
        data = answer[at:at + length]
        if number == TYPES[kind]:
            if kind == "A":
                found.append(socket.inet_ntoa(data))
            elif kind == "CAA":
                tag = data[2:2 + data[1]].decode()
                found.append((tag.lower(), data[2 + data[1]:].decode()))
            else:
                found.append(_name(answer, at)[0])
        at += length
    return found


def _name(answer, at):
    """The name that begins there, in lower case and without the last dot, and where what follows it begins."""
    labels, after, jumps = [], None, 0
    while True:
        length = answer[at]
        if length & 0xC0 == 0xC0:
            after = at + 2 if after is None else after
            at = struct.unpack("!H", answer[at:at + 2])[0] & 0x3FFF
            jumps += 1
            if jumps > 32:
                raise IndexError
        elif length:
            labels.append(answer[at + 1:at + 1 + length].decode("ascii", "replace").lower())
            at += 1 + length
        else:
            return ".".join(labels), at + 1 if after is None else after
