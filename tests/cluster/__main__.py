"""`python -m tests.cluster`: build, start, look at and stop the test node by hand or from make and CI.

Every verb is a function of the package; here is only the command line.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.cluster import build, images, lifecycle, places, runtime
from tests.cluster.errors import ClusterError
from tests.cluster.instance import Instance
from tests.cluster.interpreter import base_image
from tests.cluster.processes import is_alive

logger = logging.getLogger(__name__)


def main(words: list[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, or 1 with the reason on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], None] = arguments.run
    try:
        run(arguments)
    except ClusterError as error:
        logger.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument(
        "--name", default=lifecycle.NODE_INSTANCE, help="which instance; several control planes may run at once"
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text)
        added.set_defaults(run=run)
        return added

    made = verb("build", _build, "build Kubernetes into the cache (root on Debian 12, 5 to 9 minutes, once)")
    made.add_argument("--if-possible", action="store_true", help="say why it cannot be built and end well")
    started = verb("up", _up, "start, wait until ready, print the path of the kubeconfig")
    started.add_argument("--control-plane-only", action="store_true", help="no node; needs no root")
    verb("down", _down, "stop everything, leave nothing behind")
    verb("status", _status, "say what runs, and how much memory it takes")
    advertised = verb("gpus", lambda chosen: lifecycle.set_gpus(Instance(chosen.name), chosen.count), "fake GPUs")
    advertised.add_argument("count", type=int)
    loaded = verb("load-image", _load_image, "give an image to the node that is up")
    loaded.add_argument("image", help="operator, jobs or serve, or the name for --archive")
    loaded.add_argument("--as", dest="alias", metavar="NAME", help="another name for our own image")
    loaded.add_argument("--archive", type=Path, help="an OCI or docker image archive instead of our own image")
    based = verb("base-image", _base_image, "write an OCI archive of this interpreter as a base image, with pip")
    based.add_argument("archive", type=Path)
    return parser


def _build(chosen: argparse.Namespace) -> None:
    reason = build.objection()
    if chosen.if_possible and reason and not places.is_built():
        logger.info("tests on a real Kubernetes will be skipped: %s", reason)
        return
    build.build()


def _up(chosen: argparse.Namespace) -> None:
    instance = Instance(chosen.name)
    lifecycle.up(instance, is_full=not chosen.control_plane_only)
    sys.stdout.write(f"{instance.kubeconfig}\n")


def _down(chosen: argparse.Namespace) -> None:
    instance = Instance(chosen.name)
    lifecycle.down(instance)
    if left := lifecycle.residue(instance):
        raise ClusterError("left behind:\n" + "\n".join(left))


def _status(chosen: argparse.Namespace) -> None:
    instance = Instance(chosen.name)
    record = instance.must_record()
    kind = "full node" if record.is_full else "control plane"
    ready = "ready" if record.is_ready else "not ready"
    sys.stdout.write(f"{kind} at {record.server}, {ready}, in {instance.run}\n")
    for name, process in record.processes.items():
        state = "running" if is_alive(process) else "dead"
        mebibytes = lifecycle.memory_bytes(process) >> 20
        sys.stdout.write(f"  {name:26} {process.pid:>8}  {state}  {mebibytes} MiB\n")


def _load_image(chosen: argparse.Namespace) -> None:
    instance = Instance(chosen.name)
    instance.must_record()
    if chosen.archive:
        runtime.load_archive(instance, chosen.archive, chosen.image)
        return
    from tests.cluster.app_images import app_image  # needs a package, and `build` runs before there are any

    image = app_image(chosen.image)
    image = replace(image, name=chosen.alias or image.name)
    runtime.load(instance, image)
    sys.stdout.write(f"{image.name}\n")


def _base_image(chosen: argparse.Namespace) -> None:
    image = base_image("frugal.local/python-pip:3.11", with_pip=True)
    with chosen.archive.open("wb") as stream:
        images.write_archive(image, stream)


if __name__ == "__main__":
    sys.exit(main())
