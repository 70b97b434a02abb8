"""Workers on this machine, as one process starts and stops them."""

from pathlib import Path

from jobpool.execution.local import LocalSettings, LocalWorkers
from jobpool.pool import Pool
from tests.support.builders import a_pool


def test_a_worker_that_is_stopped_while_it_starts_has_not_failed(tmp_path: Path) -> None:
    local = LocalWorkers(Pool(a_pool(tmp_path, 2)), LocalSettings(workers=2))

    local.start()
    local.stop()

    ended = local.ended()
    assert (ended.failed, ended.left, ended.n_done) == ((), (), 0)
