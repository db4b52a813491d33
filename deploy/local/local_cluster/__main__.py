"""Run a stand-in cluster: `python -m local_cluster --kubeconfig FILE`.

It prints its address on the first line once it answers, and ends at SIGINT or SIGTERM.
"""

import argparse
import asyncio
import json
import logging
import shlex
import signal
from pathlib import Path

from local_cluster.cluster import Cluster, running
from local_cluster.pod_processes import Program
from local_cluster.pod_scripts import Script


def _program(text: str) -> tuple[str, Program]:
    image, _, command = text.partition("=")
    if not command:
        raise argparse.ArgumentTypeError(f"{text} is not IMAGE=COMMAND")
    return image, Program(shlex.split(command))


def _script(text: str) -> tuple[str, Script]:
    image, _, fields = text.partition("=")
    try:
        return image, Script(**json.loads(fields))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} is not IMAGE=JSON with the fields of a Script: {error}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_cluster",
        description="A stand-in for a Kubernetes cluster, for tests and demonstrations.",
    )
    parser.add_argument("--port", type=int, default=0, help="of the API on loopback; 0: one that is free")
    parser.add_argument("--kubeconfig", type=Path, help="file to write for kubectl, as administrator")
    parser.add_argument("--namespace", action="append", default=[], help="create this namespace; may be repeated")
    parser.add_argument(
        "--program",
        action="append",
        default=[],
        type=_program,
        metavar="IMAGE=COMMAND",
        help="run pods of this image, or pattern, as processes; may be repeated",
    )
    parser.add_argument(
        "--script",
        action="append",
        default=[],
        type=_script,
        metavar="IMAGE=JSON",
        help='how pods of this image behave, such as shop:v2={"never_ready": true}; may be repeated',
    )
    parser.add_argument("--logs", type=Path, help="folder for what pods print that are processes")
    parser.add_argument("--no-tls", action="store_true", help="plain HTTP; kubectl then sends no token")
    return parser.parse_args()


def _prepare(cluster: Cluster, options: argparse.Namespace) -> None:
    for image, program in options.program:
        cluster.programs.set(image, program)
    for image, script in options.script:
        cluster.scripts.set(image, script)
    for name in options.namespace:
        cluster.add_namespace(name)
    if options.kubeconfig:
        cluster.write_kubeconfig(options.kubeconfig)


async def _run(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with running(port=options.port, tls=not options.no_tls, logs=options.logs) as cluster:
        _prepare(cluster, options)
        print(cluster.url, flush=True)
        await ended.wait()


def main() -> None:
    """Run until asked to end."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(_arguments()))


if __name__ == "__main__":
    main()
