"""What a full node changes of this machine's network and kernel settings, and undoing all of it.

Refuses to start beside another Kubernetes, whose iptables chains have the same names.
"""

import re
from pathlib import Path

from tests.cluster import places
from tests.cluster.errors import NotPossible
from tests.cluster.instance import Instance, Record
from tests.cluster.shell import attempt, run

# Kernel settings that the kubelet and kube-proxy change; a value is what we set ourselves.
SYSCTLS: dict[str, str | None] = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/ipv4/conf/all/route_localnet": None,
    "vm/overcommit_memory": None,
    "vm/panic_on_oom": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
    "kernel/keys/root_maxkeys": None,
    "kernel/keys/root_maxbytes": None,
}
_CHAIN = re.compile(r"(^:| )(KUBE-|CNI-)")


def objection() -> str:
    """Say why no full node can start on this machine's network now; empty where one can."""
    if Path(f"/sys/class/net/{places.BRIDGE}").exists():
        return f"another full node is up (the bridge {places.BRIDGE} exists); `python -m tests.cluster down` ends it"
    if "KUBE-SERVICES" in attempt("iptables-save", "-t", "nat"):
        return "another Kubernetes runs on this machine (iptables has KUBE-SERVICES), and its rules would be lost"
    return ""


def set_up(instance: Instance) -> None:
    """Save the kernel settings, then set ours and make the bridge of the pods.

    Raises:
        NotPossible: another node or Kubernetes is here.
    """
    if reason := objection():
        raise NotPossible(reason)
    attempt("modprobe", "br_netfilter")  # a module on most machines, built in or absent on others
    settings = {name: Path("/proc/sys") / name for name in SYSCTLS}
    present = {name: path for name, path in settings.items() if path.exists()}
    instance.note(sysctls={name: path.read_text().strip() for name, path in present.items()})
    for name, path in present.items():
        if (value := SYSCTLS[name]) is not None:
            path.write_text(value)
    run("ip", "link", "add", places.BRIDGE, "type", "bridge")
    prefix = places.POD_CIDR.split("/")[1]
    run("ip", "addr", "add", f"{places.GATEWAY}/{prefix}", "dev", places.BRIDGE)
    run("ip", "link", "set", places.BRIDGE, "up")


def tear_down(record: Record) -> None:
    """Remove our rules, the bridge and the pods' leases, and put the kernel settings back."""
    if places.binary("kube-proxy").exists():
        attempt(places.binary("kube-proxy"), "--cleanup")
    _drop_chains()
    attempt("ip", "link", "del", places.BRIDGE)
    for name, value in record.sysctls.items():
        (Path("/proc/sys") / name).write_text(value)
    for pattern in ("frugal-node-*", "cni-loopback-*"):
        for lease in Path("/var/lib/cni/results").glob(pattern):
            lease.unlink()


def residue() -> list[str]:
    """Return what is left of a full node's network, one line each."""
    bridge = Path(f"/sys/class/net/{places.BRIDGE}")
    rules = [rule for save in ("iptables-save", "ip6tables-save") for rule in attempt(save).splitlines()]
    left = [rule for rule in rules if _CHAIN.search(rule)]
    return [*(f"network rule {rule}" for rule in left), *([f"bridge {bridge}"] if bridge.exists() else [])]


def _drop_chains() -> None:
    """Drop what `kube-proxy --cleanup` leaves: the kubelet's own chains and the empty KUBE-* and CNI-* ones."""
    for tables in ("iptables", "ip6tables"):
        for table in ("nat", "filter", "mangle"):
            rules = attempt(f"{tables}-save", "-t", table).splitlines()
            kept = [rule for rule in rules if not _CHAIN.search(rule)]
            if len(kept) < len(rules):
                run(f"{tables}-restore", "-T", table, stdin="\n".join(kept) + "\n")
