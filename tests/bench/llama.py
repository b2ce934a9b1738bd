"""One thread of this engine's CPU backend beside one of llama.cpp, on the same GGUF file: `./build.sh bench llama`.

Both read the same number of rows and then decode the same number of tokens, in turns whose order alternates; the
medians are compared. Every run is a process of its own. What ours computes is checked by `bench` before it is timed.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path


def theirs(file, rows, tokens):
    """Rows and tokens per second of llama.cpp, after one run that brings the file into memory."""
    from llama_cpp import Llama

    model = Llama(str(file), n_ctx=rows + tokens + 1, n_batch=rows, n_threads=1, n_threads_batch=1, verbose=False)
    times = []
    for _ in range(2):
        model.reset()
        begun = time.perf_counter()
        model.eval([1] + [300 + row for row in range(rows - 1)])
        read = time.perf_counter()
        for token in range(tokens):
            model.eval([400 + token])
        times = [rows / (read - begun), tokens / (time.perf_counter() - read)]
    return times


def ours(bench, folder, rows, tokens):
    """Rows and tokens per second of this engine, the better of two runs, as `bench` has them."""
    options = ["--backend", "cpu", "--threads", "1", "--repeat", "2", "--rows", str(rows), "--tokens", str(tokens)]
    written = subprocess.run([bench, "--model", folder, *options], capture_output=True, text=True, check=True).stdout
    lines = [line for line in written.splitlines() if not line.startswith("#")]
    ms = {line["what"]: float(line["ms"]) for line in csv.DictReader(lines) if line["part"] == "stage"}
    return [rows * 1e3 / ms["prefill"], 1e3 / ms["decode"]]


def processor():
    names = [line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{len(names)} × {names[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", help="this engine's program")
    parser.add_argument("folder", type=Path, help="a GGUF file and its mmproj")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--first", choices=["ours", "llama.cpp"], default="ours", help="who begins")
    parser.add_argument("--theirs", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    file = next(path for path in sorted(given.folder.glob("*.gguf")) if "mmproj" not in path.name)
    if given.theirs:
        print(json.dumps(theirs(file, given.rows, given.tokens)))
        return
    again = [sys.executable, __file__, *sys.argv[1:], "--theirs"]
    found = {"ours": [], "llama.cpp": []}
    for turn in range(given.turns):
        for name in sorted(found, key=lambda name: (name == given.first) == (turn % 2 == 1)):
            if name == "ours":
                run = ours(given.bench, str(given.folder), given.rows, given.tokens)
            else:
                run = json.loads(subprocess.run(again, capture_output=True, text=True, check=True).stdout)
            print(f"{name}: prefill {run[0]:.2f}, decode {run[1]:.2f} tokens/s", file=sys.stderr)
            found[name].append(run)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True).stdout
    print(f"commit {commit.strip()}, llama-cpp-python {version('llama-cpp-python')} (Python {platform.python_version()}),")
    print(f"{file.name}, {os.path.getsize(file)} bytes; one thread of {processor()}")
    print(f"\n| {given.rows} rows, {given.tokens} tokens, {given.turns} turns | prefill, tokens/s | decode, tokens/s |\n|---|---|---|")
    medians = {name: [statistics.median(column) for column in zip(*runs)] for name, runs in found.items()}
    for name, (prefill, decode) in medians.items():
        print(f"| {name} | {prefill:.2f} | {decode:.2f} |")
    shares = [a / b for a, b in zip(medians["ours"], medians["llama.cpp"])]
    print(f"| ours is × as fast | {shares[0]:.2f} | {shares[1]:.2f} |")


main()
