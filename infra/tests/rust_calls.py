"""The AWS calls that a service's Rust code makes, found in its sources.

A call is an operation of an SDK's client: `.send_message()` in a file that uses `aws_sdk_sqs`. What a client can be asked
is known from botocore, which has every service's operations; nothing is listed here by hand.

Services call AWS themselves, and through the types of `fleet` (JobQueue, ImageStore, PredictionStore). Of those only the
methods count that the service calls: metric-streamer has a JobQueue and asks it for its depth alone. So:

1. in `fleet`, each method is mapped to the operations in its body, and in the bodies of methods of its own type that it
   calls through `self`;
2. in the service, the names under which it holds a value of such a type are collected (fields, arguments, `let`), and
   `name.method(` counts as a call of that method.

It reads text, not types. It errs on the side of finding too much (another value of the same name), and where it can't
see what is used it fails instead of finding nothing: see `calls_of`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from botocore import xform_name
from botocore.session import get_session

from template import ROOT

_SDK = re.compile(r"\baws_sdk_([a-z0-9]+)\b")


@dataclass(frozen=True)
class Call:
    """An operation, and where the code asks for it."""

    service: str
    operation: str
    where: str


@dataclass
class _Function:
    type_name: str | None
    name: str
    body: str
    file: Path
    line: int


def _operations(service, known={}):
    """The operations of a service, by their name in Rust."""
    if service not in known:
        model = get_session().get_service_model(service)
        known[service] = {xform_name(name): name for name in model.operation_names}
    return known[service]


def code_only(text):
    """Rust without comments, texts and tests; all else stays at its line."""

    def blank(found):
        return re.sub(r"[^\n]", " ", found[0])

    text = re.sub(r'//[^\n]*|/\*.*?\*/|r#".*?"#|b?"(?:\\.|[^"\\])*"' + r"|'(?:\\.|[^'\\])'", blank, text, flags=re.S)
    while tests := re.search(r"#\[cfg\(test\)\]\s*mod\s+\w+\s*\{", text):
        end = _end_of_block(text, tests.end() - 1)
        text = text[:tests.start()] + re.sub(r"[^\n]", " ", text[tests.start():end]) + text[end:]
    return text


def _end_of_block(text, opening):
    depth = 0
    for index in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    raise ValueError(f"a block does not end: {text[opening:opening + 60]!r}")


def _functions(text, file):
    """Every function with a body, and the type that it is of."""
    blocks = []
    for found in re.finditer(r"\bimpl\b(?:<[^{;]*?>)?\s+(?:[\w:<>', ]+?\s+for\s+)?(\w+)[^{;]*\{", text):
        blocks.append((found.end(), _end_of_block(text, found.end() - 1), found[1]))
    for found in re.finditer(r"\bfn\s+(\w+)", text):
        opening = re.compile(r"[{;]").search(text, _end_of_signature(text, found.end()))
        if opening and opening[0] == "{":
            body = text[opening.start():_end_of_block(text, opening.start())]
            inside = [type_name for start, end, type_name in blocks if start <= found.start() < end]
            yield _Function(inside[-1] if inside else None, found[1], body, file, text.count("\n", 0, found.start()) + 1)


def _end_of_signature(text, position):
    """Behind the arguments, whose types may hold a semicolon."""
    depth, index = 0, text.index("(", position)
    while True:
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        index += 1
        if depth == 0:
            break
    # And behind a returned array, as in `-> [u8; 4] {`.
    array = re.compile(r"\s*->[^{;]*\[[^\]]*\]").match(text, index)
    return array.end() if array else index


def _files(crate):
    for file in sorted((ROOT / crate / "src").rglob("*.rs")):
        yield file, code_only(file.read_text())


def _operations_in(text, services):
    """(service, operation, position) of each operation asked for."""
    for found in re.finditer(r"\.\s*(\w+)\s*\(\s*\)", text):
        for service in services:
            if found[1] in _operations(service):
                yield service, _operations(service)[found[1]], found.start()


def _where(file, text, position):
    return f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, position) + 1}"


def direct_calls(crate):
    """What the crate's own code asks AWS for."""
    calls = set()
    files = list(_files(crate))
    everywhere = {service for _, text in files for service in _SDK.findall(text)}
    for file, text in files:
        named = set(_SDK.findall(text))
        for service, operation, position in _operations_in(text, everywhere):
            # In a file that does not name the SDK, `.query()` may be a URL's; `.send_message()` is not.
            if service in named or "_" in xform_name(operation):
                calls.add(Call(service, operation, _where(file, text, position)))
    return calls


def fleet_methods():
    """By (type, method): the calls that it makes. Functions of no type are of the type None."""
    functions, of = [], {}
    for file, text in _files("fleet"):
        services = set(_SDK.findall(text))
        for function in _functions(text, file):
            functions.append(function)
            of.setdefault((function.type_name, function.name), set()).update(
                Call(service, operation, f"{file.relative_to(ROOT)}:{function.line}")
                for service, operation, _ in _operations_in(function.body, services))
    changed = True
    while changed:
        changed = False
        for function in functions:
            own = of[function.type_name, function.name]
            through_self = re.findall(r"\bself\s*\.\s*(\w+)\s*\(|\bSelf::(\w+)\s*\(", function.body)
            for called in {first or second for first, second in through_self}:
                more = of.get((function.type_name, called), set()) - own
                if more:
                    own |= more
                    changed = True
    return {key: calls for key, calls in of.items() if calls}


def calls_of(crate):
    """Every call that the service makes, by itself or through `fleet`."""
    calls = direct_calls(crate)
    methods = fleet_methods()
    types = {type_name for type_name, _ in methods if type_name}
    files = list(_files(crate))
    for type_name in types:
        mentioned = any(re.search(rf"\b{type_name}\b", text) for _, text in files)
        names = set()
        for _, text in files:
            names |= set(re.findall(rf"\b(\w+)\s*:\s*(?:[&\w:<']|mut\s|\s)*?\b{type_name}\b", text))
            names |= set(re.findall(rf"\blet\s+(?:mut\s+)?(\w+)\s*=\s*(?:\w+::)*{type_name}::", text))
        used = set()
        for method in {method for of, method in methods if of == type_name}:
            for file, text in files:
                held = "|".join(map(re.escape, sorted(names))) or "(?!)"
                for found in re.finditer(rf"\b(?:{held})\s*(?:\(\s*\)\s*)?\.\s*{method}\s*\(", text):
                    used.add(method)
                    where = _where(file, text, found.start())
                    calls |= {Call(call.service, call.operation, f"{where} through {type_name}::{method}")
                              for call in methods[type_name, method]}
        if mentioned and not used:
            raise AssertionError(f"{crate} names fleet's {type_name}, but what it does with it can't be seen "
                                 f"(infra/tests/rust_calls.py looks for NAME.method( with NAME one of {sorted(names)})")
    for (type_name, function), made in methods.items():
        if type_name is None and any(re.search(rf"\b{function}\s*\(", text) for _, text in files):
            calls |= made
    return calls
