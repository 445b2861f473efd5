"""Compiles one mistake of a file and passes when it fails with the expected sentences.

usage: check_compile_error.py FILE MISTAKE COMPILER [ARGUMENT...]

The mistake `none` must compile. Any other must not, and the output must contain what follows each
`// expect: ` between `#ifdef MISTAKE_<name>` and the first `#endif`, before a second error: what
comes first is what people read.
"""
import re
import subprocess
import sys


def expected_sentences(text, mistake):
    block = re.search(rf"^#ifdef MISTAKE_{mistake}\s*$(.*?)^#endif", text, re.M | re.S)
    return re.findall(r"^\s*// expect: (.*?)\s*$", block.group(1), re.M) if block else []


def main(file, mistake, *compiler):
    command = [*compiler, "-fsyntax-only", file]
    if mistake != "none":
        command.append(f"-DMISTAKE_{mistake}")
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    if mistake == "none":
        if result.returncode != 0:
            return f"expected {file} to compile without a mistake\n{result.stdout}"
        return None

    sentences = expected_sentences(open(file, encoding="utf-8").read(), mistake)
    if not sentences:
        return f"expected MISTAKE_{mistake} in {file} to have a line `// expect: sentence`"
    if result.returncode == 0:
        return f"expected MISTAKE_{mistake} in {file} not to compile, but it does"
    first_error = "error:".join(result.stdout.split("error:")[:2])
    missing = [sentence for sentence in sentences if sentence not in first_error]
    if missing:
        return "expected the compiler to say first: " + "\n  and: ".join(missing) + f"\n{result.stdout}"
    return None


sys.exit(main(*sys.argv[1:]))
