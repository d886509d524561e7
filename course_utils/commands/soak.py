"""`make soak`: kill training, start it twice, damage and rename its checkpoints, fill its disk; compare what comes out.

A small run is killed at random moments: a third inside a save and a third outside one with SIGKILL (told apart by the
unfinished folder that the save left), a third with SIGINT, SIGTERM and SIGHUP in turn, which must lose no finished
step. Each time the same command is started again, without help. In the end its weights, AdamW's moments, random states
and metrics must be, bit for bit, those of a run that was never stopped.
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

from course_utils import flags, streams

DAMAGES = ("missing", "truncated", "one bit flipped")
PACKAGE = Path(__file__).resolve().parents[2]
WINDOWS = os.name == "nt"
ASKED = (
    ("kills", 1, 60, "of the small run; a third inside a save"),
    ("real-kills", 0, 3, "of a LoRA run on the base model; 0 leaves it out"),
    ("rl-kills", 0, 20, "of a reward model's run, and as many of PPO; 0: none"),
    ("pretrain-kills", 0, 20, "of a pre-training run; 0: none"),
    ("together", 0, 12, "times that two processes share a folder; 0: none"),
    ("renamed", 0, 8, "runs whose checkpoints change names; 0: none"),
    ("seed", 0, 0, "of the moments"),
)
MORE = {"pretrain": "pretrain_kills", "reward": "rl_kills", "ppo": "rl_kills", "real": "real_kills"}  # job → option


def signals(windows=WINDOWS, known=signal):
    """(the signal that ends a process at once, those that let it save first).

    On Windows another process cannot be asked to save: every signal ends it at once, and there is no SIGKILL.
    """
    return (known.SIGTERM, []) if windows else (known.SIGKILL, [known.SIGINT, known.SIGTERM, known.SIGHUP])


KILL, SIGNALS = signals()


def main(argv=None):
    """Run what is asked for; 0 when every count is full."""
    parser = argparse.ArgumentParser(prog="python -m course_utils soak", description=__doc__.split("\n")[0])
    for name, least, usual, meaning in ASKED:
        parser.add_argument(f"--{name}", type=flags.whole(least), default=usual, help=meaning)
    parser.add_argument("--job", choices=("small", *MORE), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--meet", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if bool(options.job) != bool(options.output):
        parser.error("--job and --output belong together: one run, and the folder that it writes to")
    if options.job:
        return run_job(options.job, options.output, options.meet)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return _soak(options, Path(folder))


def _soak(options, folder):
    from course_utils import runtime
    from course_utils.commands import soak_jobs

    found = {"small": kill(folder / "small", "small", options.kills, random.Random(options.seed))}
    reference, draw = folder / "small" / "reference", random.Random(options.seed)
    found |= soak_jobs.meddle(folder / "meddled", reference, options.together, options.renamed, draw)
    found["full_disk"] = full_disk(folder / "full", reference)
    for name, asked in MORE.items():
        if kills := getattr(options, asked):
            found[name] = kill(folder / name, name, kills, random.Random(options.seed))
    runtime.results().mkdir(parents=True, exist_ok=True)
    (runtime.results() / "soak.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(table(found))
    whole = all(part["passed"] for part in found.values())
    print("All counts are full." if whole else "A count is not full; see results/soak.json.")
    return 0 if whole else 1


def table(found):
    """One line for each count: what is counted, how many of how many held."""
    rows = []
    for name, part in found.items():
        counts = part.get("counts", {"kept and went on": (int(part["passed"]), 1)})
        if "skipped" in part:
            rows.append((f"{name}: left out", part["skipped"]))
        else:
            rows += [(f"{name}: {what}", f"{held}/{of}") for what, (held, of) in counts.items()]
    width = max(len(what) for what, _ in rows)
    return "\n".join(f"{what:<{width}}  {count}" for what, count in rows)


def run_job(name, output, meet=None):
    """Train the small or the real run in this process, or go on with it; 0 when it ended."""
    from course_utils.commands import soak_jobs
    from course_utils.engine.checkpoint import CheckpointError

    for number in SIGNALS:  # a shell may leave some ignored, as nohup does
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        if meet:
            soak_jobs.wait_for_the_other(meet)
        soak_jobs.JOBS[name](output)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def start(job, output, *more, log=None):
    """The process of a job that begins, or goes on, in a folder; what it says goes into a log, by default beside it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])}
    with open(log or output.parent / f"{output.name}.log", "a", encoding="utf-8") as said:
        return subprocess.Popen([*_command(job, output), *more], stdout=said, stderr=said, env=environment)


def _command(job, output):
    """The words that start it; what it prints is written at once, so that a kill loses none of it."""
    return [sys.executable, "-u", "-m", "course_utils.commands.soak", "--job", job, "--output", str(output)]


def newest_name(output):
    """The newest checkpoint's folder name; it ends in the hash of all it holds."""
    return max((path.name for path in (output / "checkpoints").glob("step-*")), default=None)


def newest_step(output):
    """The step in the newest checkpoint's name, 0 before there is one."""
    return int((newest_name(output) or "step-0").split("-")[1])


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
        {"kills", "inside", "outside", "signals", "resumed", "runs", "identical", "counts", "passed"}; "identical" has
        the runs that ended as the reference did, "counts" the kills in such runs and the signals that lost no step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reference = folder / "reference"
    if start(job, reference).wait() or newest_name(reference) is None:
        raise RuntimeError(f"The run that nobody kills failed; see {reference}.log")
    wanted = {"inside": count // 3, "signals": count // 3 if SIGNALS else 0}
    wanted["outside"] = count - sum(wanted.values())
    met, runs, identical, resumed, harmless, kept = dict.fromkeys(wanted, 0), 0, 0, 0, 0, 0
    while any(met[kind] < wanted[kind] for kind in wanted):
        output = folder / f"run-{runs}"
        runs, before = runs + 1, sum(met.values())
        for _ in range(a_run):
            open_kinds = [kind for kind in wanted if met[kind] < wanted[kind]]
            if not open_kinds:
                break
            kind = draw.choice(open_kinds)
            number = SIGNALS[met["signals"] % len(SIGNALS)] if kind == "signals" else KILL
            kind = kill_once(job, output, kind, number, draw)
            if kind is None:  # it ended first
                break
            met[kind] += 1
            kept += kind == "signals" and newest_step(output) == lines_of(output / "metrics.jsonl")
        ended = start(job, output).wait() == 0
        same = ended and same_end(output, reference)
        resumed, identical, harmless = resumed + ended, identical + same, harmless + same * (sum(met.values()) - before)
        say(
            f"{job}: {sum(met.values())} kills, {met['inside']} inside a save, {met['signals']} by signals; runs ended "
            f"{resumed}/{runs}, bit-identical {identical}/{runs}"
        )
        if same:
            shutil.rmtree(output)
    counts = {
        "kills, the end bit-identical": (harmless, count),
        "signals, no finished step lost": (kept, met["signals"]),
    }
    return {
        "kills": sum(met.values()), **met, "runs": runs, "resumed": resumed, "identical": identical, "counts": counts,
        "passed": identical == runs and harmless == count and kept == met["signals"],
    }  # fmt: skip


def kill_once(job, output, kind, number, draw):
    """Start the run and send it a signal; how it was met ("inside", "outside", "signals"), None if it ended first."""
    process = start(job, output)
    metrics = output / "metrics.jsonl"
    here, later = lines_of(metrics), draw.randint(0, 6)
    # at least one step beyond what the last process reached, so that the run gets on
    while process.poll() is None and lines_of(metrics) <= here + later:
        time.sleep(0.001)
    while process.poll() is None and kind != "signals" and _unfinished(output) != (kind == "inside"):
        time.sleep(0.0002)
    time.sleep(draw.random() * 0.03)
    if process.poll() is None:
        with contextlib.suppress(OSError):  # Windows: it ended meanwhile
            os.kill(process.pid, number)
    if process.wait() != (number if WINDOWS else -number):
        if process.returncode:
            raise RuntimeError(f"A resumed run failed with status {process.returncode}; see {output}.log")
        return None
    if kind == "signals":
        return kind
    return "inside" if _unfinished(output) else "outside"


def lines_of(path):
    """How many lines a file has, 0 before there is one."""
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def same_end(output, reference):
    """Whether two runs have the same bytes in their last checkpoints and their metrics."""
    if newest_name(output) != newest_name(reference):
        return False
    return (output / "metrics.jsonl").read_bytes() == (reference / "metrics.jsonl").read_bytes()


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


def damaged(reference, output, name, kind):
    """Damage a file of a run's newest checkpoint: is it named in one line and the one before used, is the end alike?"""
    from course_utils.commands import soak_jobs

    said = []
    shutil.copytree(reference, output)
    damage(output / "checkpoints" / newest_name(reference) / name, kind)
    result = soak_jobs.small(output, say=said.append)
    return (
        len(said) == 1 and name in said[0] and result.resumed_from == soak_jobs.BEFORE_LAST,
        same_end(output, reference),
    )


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
    done = streams.heard(command, environment, stderr=subprocess.PIPE)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("status", "step-"))]
    if len(lines) != 4:
        return {"skipped": (done.stderr or done.stdout)[-200:], "passed": True}
    message = Path(f"{output}.said").read_text(encoding="utf-8")
    stopped = lines[0] == "status 1" and "disk is full" in message and "whole and kept" in message
    passed = stopped and lines[2:] == ["status 0", newest.name]
    say(f"full disk: one error {stopped}, {lines[1]} kept, went on with more room and ended alike {passed}")
    return {"message": message, "kept": lines[1], "identical": lines[3] == newest.name, "passed": passed}


if __name__ == "__main__":
    sys.exit(main())
