"""Checks what headers and sources may include.

usage: check_headers.py --compiler COMPILER --public FILE

FILE lists the public headers, one per line. Run in the root of the repository. The rules:

- A lower layer does not include a higher one.
- A project header is included by its path from the root.
- Every header is either public, and then in FILE, or says "private" in its first line.
- A public header includes public headers only, directly and indirectly, since nothing else is installed.
- A public header does not bring in CAF, Asio, Beast or another heavy library. Users would pay for it
  in every file, and read its types in their error messages.
"""
import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys

# From the lowest to the highest. The longest matching folder counts, so that runtime/distribution
# is not runtime. Tests and benchmarks may see everything, but nothing may include them.
LAYERS = [
    "runtime",
    "runtime/distribution",
    "runtime/discovery",
    "supervision",
    "channels",
    "operations",
    "examples",
    "bench",
    "tests",
]

HEAVY = re.compile(r"/(caf|boost/asio|boost/beast|boost/json|yaml-cpp|simdjson|spdlog)(/|\.h)")

# The door for those who mix CAF actors in, and say so by including it. No other header includes it.
MAY_BE_HEAVY = {"runtime/caf.hpp"}


def layer_of(path):
    matches = [name for name in LAYERS if path.startswith(name + "/")]
    return LAYERS.index(max(matches, key=len)) if matches else None


def sources():
    folders = sorted({name.split("/")[0] for name in LAYERS})
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp") and "node_modules" not in path.parts:
                yield path.as_posix()


def check_includes(path):
    own = layer_of(path)
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not match:
            continue
        target = match.group(1)
        other = layer_of(target)
        if not pathlib.Path(target).exists():
            yield f'{path}:{number}: expected "{target}" to be a path from the root of the repository'
        elif other is not None and other > own:
            yield f"{path}:{number}: {LAYERS[own]} must not include {target}, which lies above it"


def check_kind(path, public):
    if not path.endswith(".hpp") or layer_of(path) >= LAYERS.index("examples"):
        return
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    private = bool(lines) and "private" in lines[0]
    if private and path in public:
        yield f"{path}:1: says private, but CMakeLists.txt names it under PUBLIC_HEADERS"
    if not private and path not in public:
        yield (f'{path}:1: expected to be under PUBLIC_HEADERS in CMakeLists.txt, '
               'or to say "private" in its first line')


def check_dependencies(header, public, compiler):
    result = subprocess.run([compiler, "-std=c++20", "-I.", "-M", "-x", "c++", header],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        return [f"{header}: does not compile\n{result.stderr}"]
    found = []
    paths = result.stdout.replace("\\\n", " ").split()[1:]
    heavy = [path for path in paths if HEAVY.search(path) and path not in public]
    if heavy and header not in MAY_BE_HEAVY:
        found.append(f"{header}: brings in {heavy[0]} ({len(heavy)} such files; "
                     f"`{compiler} -std=c++20 -I. -H -fsyntax-only {header}` shows the way)")
    for path in paths:
        path = path.removeprefix("./")
        if layer_of(path) is not None and path not in public:
            found.append(f"{header}: brings in {path}, which is not installed")
        if path in MAY_BE_HEAVY and header not in MAY_BE_HEAVY:
            found.append(f"{header}: brings in {path}, which is only for those who ask for it")
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--public", required=True, type=pathlib.Path)
    options = parser.parse_args()
    public = set(options.public.read_text(encoding="utf-8").split())

    problems = []
    for path in sources():
        problems += check_includes(path)
        problems += check_kind(path, public)
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for found in pool.map(lambda h: check_dependencies(h, public, options.compiler),
                              sorted(public)):
            problems += found
    print("\n".join(problems) or f"{len(public)} public headers are clean")
    return 1 if problems else 0


sys.exit(main())
