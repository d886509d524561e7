"""`make soak`: kill training at random moments, damage its checkpoints, fill its disk, and compare what comes out.

A small run is killed at random moments: a third inside a save and a third outside one with SIGKILL (told apart by the
unfinished folder that the save left), a third with a signal that lets it save its step before it ends. Each time the
same command is started again, without help. In the end its weights, AdamW's moments, random states and metrics must
be, bit for bit, those of a run that was never stopped.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
WINDOWS = os.name == "nt"
DAMAGES = ("missing", "truncated", "one bit flipped")


def signals(windows=WINDOWS, known=signal):
    """(the signal that ends a process at once, those that let it save first).

    On Windows another process cannot be asked to save: every signal ends it at once, and there is no SIGKILL.
    """
    return (known.SIGTERM, []) if windows else (known.SIGKILL, [known.SIGINT, known.SIGTERM, known.SIGHUP])


KILL, SIGNALS = signals()


def main(argv=None):
    """Run what is asked for; 0 when every count is full."""
    parser = argparse.ArgumentParser(prog="python -m course_utils soak", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=60, help="of the small run; a third inside a save")
    parser.add_argument("--real-kills", type=int, default=3, help="of a LoRA run on the base model; 0 leaves it out")
    parser.add_argument("--rl-kills", type=int, default=20, help="of a reward model's run, and as many of PPO; 0: none")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--job", choices=("small", "reward", "ppo", "real"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.job:
        return run_job(options.job, options.output)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return _soak(options, Path(folder))


def _soak(options, folder):
    from course_utils import runtime

    found = {"small": kill(folder / "small", "small", options.kills, random.Random(options.seed))}
    found["damages"] = damage_all(folder / "small" / "reference", folder / "damages")
    found["full_disk"] = full_disk(folder / "full", folder / "small" / "reference")
    for name in ("reward", "ppo") if options.rl_kills else ():
        found[name] = kill(folder / name, name, options.rl_kills, random.Random(options.seed))
    if options.real_kills:
        found["real"] = kill(folder / "real", "real", options.real_kills, random.Random(options.seed))
    runtime.results().mkdir(parents=True, exist_ok=True)
    (runtime.results() / "soak.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    whole = all(part["passed"] for part in found.values())
    print("All counts are full." if whole else "A count is not full; see results/soak.json.")
    return 0 if whole else 1


# The run that is killed


def run_job(name, output):
    """Train the small or the real run in this process, or go on with it; 0 when it ended."""
    from course_utils.commands import soak_jobs
    from course_utils.engine.checkpoint import CheckpointError

    try:
        soak_jobs.JOBS[name](output)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _start(job, output):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])}
    with open(output.parent / f"{output.name}.log", "a", encoding="utf-8") as log:
        return subprocess.Popen(_command(job, output), stdout=log, stderr=log, env=environment)


def _command(job, output):
    return [sys.executable, "-m", "course_utils.commands.soak", "--job", job, "--output", str(output)]


def newest_name(output):
    """The newest checkpoint's folder name; it ends in the hash of all it holds."""
    return max((path.name for path in (output / "checkpoints").glob("step-*")), default=None)


def _unfinished(output):
    return any((output / "checkpoints").glob(".saving-*"))


# Kills


def kill(folder, job, count, draw, *, a_run=5, say=print):
    """Kill runs, a third inside a save, a third outside, a third by signals that let them save; compare their ends.

    Args:
        folder: an empty place for the runs.
        job: a name in soak_jobs.JOBS.
        count: kills.
        draw: a random.Random for the moments.
        a_run: kills before a run may end; then the next one begins.

    Returns:
        {"kills", "inside", "outside", "signals", "resumed", "runs", "identical", "passed"}; identical counts runs that
        ended as the reference did.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reference = folder / "reference"
    if _start(job, reference).wait() or newest_name(reference) is None:
        raise RuntimeError(f"The run that nobody kills failed; see {reference}.log")
    wanted = {"inside": count // 3, "signals": count // 3 if SIGNALS else 0}
    wanted["outside"] = count - sum(wanted.values())
    met, runs, identical, resumed = dict.fromkeys(wanted, 0), 0, 0, 0
    while any(met[kind] < wanted[kind] for kind in wanted):
        output = folder / f"run-{runs}"
        runs += 1
        for _ in range(a_run):
            open_kinds = [kind for kind in wanted if met[kind] < wanted[kind]]
            if not open_kinds:
                break
            kind = _kill_once(job, output, draw.choice(open_kinds), draw)
            if kind is None:  # it ended first
                break
            met[kind] += 1
        ended = _start(job, output).wait() == 0
        same = ended and _same_end(output, reference)
        resumed, identical = resumed + ended, identical + same
        say(
            f"{job}: {sum(met.values())} kills, {met['inside']} inside a save, {met['signals']} by signals; runs ended "
            f"{resumed}/{runs}, bit-identical {identical}/{runs}"
        )
        if same:
            shutil.rmtree(output)
    return {
        "kills": sum(met.values()), **met, "runs": runs, "resumed": resumed, "identical": identical,
        "passed": identical == runs,
    }  # fmt: skip


def _kill_once(job, output, kind, draw):
    """Start the run, kill it once; how it was met ("inside", "outside" or "signals"), None when it ended by itself."""
    process = _start(job, output)
    metrics = output / "metrics.jsonl"
    here, later = _lines(metrics), draw.randint(0, 6)
    # at least one step beyond what the last process reached, so that the run gets on
    while process.poll() is None and _lines(metrics) <= here + later:
        time.sleep(0.001)
    while process.poll() is None and kind != "signals" and _unfinished(output) != (kind == "inside"):
        time.sleep(0.0002)
    time.sleep(draw.random() * 0.03)
    number = draw.choice(SIGNALS) if kind == "signals" else KILL
    if process.poll() is None:
        with contextlib.suppress(OSError):  # Windows: it ended meanwhile
            os.kill(process.pid, number)
    if process.wait() != (number if WINDOWS else -number):
        if process.returncode:
            raise RuntimeError(f"A resumed run failed with status {process.returncode}; see {output}.log")
        return None
    if kind != "signals":
        return "inside" if _unfinished(output) else "outside"
    if int(newest_name(output).split("-")[1]) != _lines(metrics):
        raise RuntimeError(f"{signal.Signals(number).name} ended a run before its step was saved; see {output}.log")
    return kind


def _lines(path):
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def _same_end(output, reference):
    metrics = [(folder / "metrics.jsonl").read_bytes() for folder in (output, reference)]
    return newest_name(output) == newest_name(reference) and metrics[0] == metrics[1]


# Damages


def damage(path, kind):
    """Remove a file, cut it in half, or flip one bit in its middle."""
    if kind == "missing":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_all(reference, folder, say=print):
    """Damage each file of the newest checkpoint in each way; the one before must be used, and one line said.

    Returns:
        {"damages", "noticed", "identical", "passed"}.
    """
    from course_utils.commands import soak_jobs

    names = sorted(path.name for path in (reference / "checkpoints" / newest_name(reference)).iterdir())
    noticed = identical = 0
    for number, (name, kind) in enumerate((name, kind) for name in names for kind in DAMAGES):
        output, said = folder / str(number), []
        shutil.copytree(reference, output)
        damage(output / "checkpoints" / newest_name(reference) / name, kind)
        result = soak_jobs.small(output, say=said.append)
        noticed += len(said) == 1 and name in said[0] and result.resumed_from == soak_jobs.BEFORE_LAST
        identical += _same_end(output, reference)
        shutil.rmtree(output)
    total = len(names) * len(DAMAGES)
    say(f"damages: {noticed}/{total} noticed, the one before used and one line said; bit-identical {identical}/{total}")
    return {"damages": total, "noticed": noticed, "identical": identical, "passed": noticed == identical == total}


# A full disk


def full_disk(output, reference, say=print):
    """Train on a disk that holds two checkpoints and not three, then make room and go on.

    Returns:
        {"message", "kept", "identical", "passed"}; "skipped" where this system lets no user mount a small disk.
    """
    output.mkdir(parents=True)
    newest = reference / "checkpoints" / newest_name(reference)
    size = sum(path.stat().st_size for path in newest.iterdir())
    job = " ".join(f"'{part}'" for part in _command("small", output / "run"))
    script = (
        f"mount -t tmpfs -o size={int(2.6 * size)} tmpfs '{output}' && {{ {job} 2>'{output}'.said; echo status $?; "
        f"ls '{output}/run/checkpoints' | sort | tail -n 1; mount -o remount,size={10 * size} '{output}'; {job}; "
        f"echo status $?; ls '{output}/run/checkpoints' | sort | tail -n 1; }}"
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    if not shutil.which("unshare"):
        return {"skipped": "no unshare", "passed": True}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("status", "step-"))]
    if len(lines) != 4:
        return {"skipped": (done.stderr or done.stdout)[-200:], "passed": True}
    message = Path(f"{output}.said").read_text(encoding="utf-8")
    stopped = lines[0] == "status 1" and "disk is full" in message and "whole and kept" in message
    passed = stopped and lines[2:] == ["status 0", newest.name]
    say(
        f"full disk: stopped with one error {stopped}, {lines[1]} kept, went on with more room and ended alike {passed}"
    )
    return {"message": message, "kept": lines[1], "identical": lines[3] == newest.name, "passed": passed}


if __name__ == "__main__":
    sys.exit(main())
