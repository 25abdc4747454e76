from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from frugal.decisions.snapshot import Manifest
from frugal.embedded.state_folder import StateFolder, StateInUse, StateUnreadable
from frugal.embedded.store import Change, Store, key_of
from frugal.errors import NotFound, Rejected
from frugal.loop.ports import ObjectKey

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def store_in(root: Path) -> Store:
    folder = StateFolder(root)
    folder.lock()
    folder.unlock()
    return Store(folder, lambda: NOW)


def thing(kind: str = "Job", name: str = "a", *, owner: Manifest | None = None, **spec: object) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": "default"}
    if owner is not None:
        uid = owner["metadata"]["uid"]
        reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": uid, "controller": True}
        metadata["ownerReferences"] = [reference]
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


def test_the_generation_grows_with_the_spec_and_with_nothing_else(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    first = store.apply(thing(replicas=1))

    store.set_status(key_of(first), {"phase": "New"})
    again = store.apply({**thing(replicas=1), "metadata": {**thing()["metadata"], "labels": {"x": "y"}}})
    changed = store.apply(thing(replicas=2))

    assert (first["metadata"]["generation"], again["metadata"]["generation"]) == (1, 1)
    assert changed["metadata"]["generation"] == 2
    assert changed["metadata"]["uid"] == first["metadata"]["uid"]
    assert changed["status"] == {"phase": "New"}


def test_what_was_stored_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = store_in(tmp_path).apply(thing(replicas=1))

    assert store_in(tmp_path).get(key_of(first)) == first


def test_a_half_written_file_is_not_seen(tmp_path: Path) -> None:
    first = store_in(tmp_path).apply(thing(replicas=1))
    (tmp_path / "objects/Job/default/.a.json.half").write_text('{"kind": "Jo')

    assert store_in(tmp_path).get(key_of(first)) == first


def test_a_file_that_is_no_object_is_named(tmp_path: Path) -> None:
    store_in(tmp_path).apply(thing())
    (tmp_path / "objects/Job/default/a.json").write_text("{")

    with pytest.raises(StateUnreadable, match=r"a\.json"):
        store_in(tmp_path)


def test_deleting_an_owner_deletes_what_it_owns_and_pods_are_left_to_the_node(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    top = store.apply(thing("CompressionJob"))
    job = store.apply(thing("Job", owner=top))
    pod = store.apply(thing("Pod", owner=job))

    store.delete(key_of(top))

    assert store.get(key_of(top)) is store.get(key_of(job)) is None
    ending = store.get(key_of(pod))
    assert ending is not None
    assert ending["metadata"]["deletionTimestamp"] == "2026-11-24T12:00:00Z"


def test_a_crash_between_owner_and_owned_is_mended_at_the_next_start(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    top = store.apply(thing("CompressionJob"))
    job = store.apply(thing("Job", owner=top))
    (tmp_path / "objects/CompressionJob/default/a.json").unlink()  # the crash came right after this

    after = store_in(tmp_path)
    after.delete_orphans()

    assert after.get(key_of(job)) is None


def test_an_object_with_a_finalizer_goes_when_the_finalizer_does(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    key = key_of(store.apply(thing("CompressionJob")))
    store.set_finalizers(key, ["frugal.dev/artifacts"])

    store.delete(key)
    ending = store.get(key)
    assert ending is not None
    assert "deletionTimestamp" in ending["metadata"]

    store.set_finalizers(key, [])
    assert store.get(key) is None


def test_deleting_spares_a_successor_of_the_same_name(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    key = key_of(store.apply(thing()))

    store.delete(key, uid="of-an-earlier-one")

    assert store.get(key) is not None


def test_writing_what_stands_there_already_is_told_to_nobody(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    told: list[Change] = []
    store.subscribe(told.append)
    key = key_of(store.apply(thing(replicas=1)))
    store.set_status(key, {"ready": 1})

    store.apply(thing(replicas=1))
    store.set_status(key, {"ready": 1})

    assert [change.is_gone for change in told] == [False, False]


def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="lower-case"):
        store_in(tmp_path).apply(thing(name="../../../etc/passwd"))


def test_a_child_of_an_owner_that_is_gone_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    top = store.apply(thing("CompressionJob"))
    store.delete(key_of(top))

    with pytest.raises(NotFound, match="CompressionJob"):
        store.apply(thing("Job", owner=top))


def test_a_file_removed_from_outside_is_noticed(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.apply(thing("Service", "kept"))
    store.apply(thing("Service", "gone"))

    (tmp_path / "objects/Service/default/gone.json").unlink()

    assert store.missing_files() == (ObjectKey("Service", "default", "gone"),)


def test_two_processes_do_not_share_a_state_folder(tmp_path: Path) -> None:
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    first.lock()

    with pytest.raises(StateInUse, match=str(os.getpid())):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_secrets_are_kept_from_other_users(tmp_path: Path) -> None:
    store_in(tmp_path / "state")

    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_files_hold_plain_json(tmp_path: Path) -> None:
    first = store_in(tmp_path).apply(thing(replicas=1))

    assert json.loads((tmp_path / "objects/Job/default/a.json").read_text()) == first
