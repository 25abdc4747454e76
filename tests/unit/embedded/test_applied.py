from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from frugal.embedded.applied import AppliedFiles, claim_folders
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Change, Store
from frugal.loop.ports import ObjectKey

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {key: VALUE}\n"


def config(name: str, value: str = "1") -> str:
    return CONFIG.replace("NAME", name).replace("VALUE", f"'{value}'")


def world(root: Path) -> tuple[Store, AppliedFiles, Path]:
    folder = StateFolder(root / "state")
    folder.lock()
    folder.unlock()
    files = root / "manifests"
    files.mkdir(exist_ok=True)
    store = Store(folder, lambda: datetime.now(UTC))
    return store, AppliedFiles([files], store), files


def value(store: Store, name: str) -> str | None:
    found = store.get(ObjectKey("ConfigMap", "default", name))
    return found["data"]["key"] if found is not None else None


async def test_a_changed_file_is_applied_again_and_a_removed_document_deletes_its_object(tmp_path: Path) -> None:
    store, applied, files = world(tmp_path)
    (files / "a.yaml").write_text(config("one") + "---\n" + config("two"))
    applied.sync()
    stop, is_applied = asyncio.Event(), asyncio.Event()

    def notice(_: Change) -> None:
        if (value(store, "one"), value(store, "two")) == ("2", None):
            is_applied.set()

    store.subscribe(notice)
    following = asyncio.create_task(applied.follow(stop))
    await asyncio.sleep(0.3)  # until the watch is set up

    (files / "a.yaml").write_text(config("one", "2"))

    async with asyncio.timeout(10):
        await is_applied.wait()
    stop.set()
    await following


def test_what_left_its_file_while_nobody_watched_goes_at_the_next_start(tmp_path: Path) -> None:
    store, applied, files = world(tmp_path)
    (files / "a.yaml").write_text(config("one"))
    (files / "b.yaml").write_text(config("two"))
    applied.sync()

    (files / "b.yaml").unlink()
    after, again, _ = world(tmp_path)
    again.sync()

    assert (value(after, "one"), value(after, "two")) == ("1", None)
    assert value(store, "two") == "1"  # the first store is of a process that is gone


def test_a_file_broken_by_an_edit_deletes_nothing(tmp_path: Path) -> None:
    store, applied, files = world(tmp_path)
    (files / "a.yaml").write_text(config("one") + "---\n" + config("two"))
    applied.sync()

    (files / "a.yaml").write_text(config("one", "2") + "---\n{")
    applied.sync()

    assert (value(store, "one"), value(store, "two")) == ("2", "1")
    assert len(applied.faults) == 1


def test_a_claim_is_a_folder_of_the_state_or_where_its_annotation_or_the_flag_says(tmp_path: Path) -> None:
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: NAME\n"
    store, applied, files = world(tmp_path)
    annotated = claim.replace("NAME", "noted") + "  annotations: {frugal.dev/path: ../data}\n"
    (files / "a.yaml").write_text(
        "---\n".join([claim.replace("NAME", "plain"), annotated, claim.replace("NAME", "flag")])
    )
    applied.sync()

    folders = claim_folders(store, StateFolder(tmp_path / "state"), {"flag": tmp_path / "given"})

    assert folders["plain"] == tmp_path / "state/volumes/plain"
    assert folders["noted"].resolve() == tmp_path / "data"
    assert folders["flag"] == tmp_path / "given"
    assert all(folder.is_dir() for folder in folders.values())
