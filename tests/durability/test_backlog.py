"""A backlog that a start finds on disk: kept while it is not due, sent whole when all of it is."""

from bench.fill import evict, fill
from bench.harness import wait_until

COUNT = 3000
WORKERS = 2


def test_what_is_not_due_stays_and_is_found_by_every_start(site):
    daemon = site.daemon(workers=WORKERS)
    fill(daemon.spool, COUNT, shards=WORKERS, size=700, domains=20)
    daemon.start()
    assert daemon.queued() == COUNT
    assert daemon.metric("penstock_queue_ready_entries") == 0
    daemon.kill()
    evict(daemon.spool)
    daemon.start()
    assert daemon.queued() == COUNT
    found = daemon.recoveries()
    assert [one["entries"] for one in found] == [COUNT // WORKERS] * 2 * WORKERS


def test_all_overdue_at_a_start_goes_out_once_and_new_mail_with_it(site):
    sink = site.open_sink()
    daemon = site.daemon(workers=WORKERS)
    fill(daemon.spool, COUNT, shards=WORKERS, size=700, domains=300, due_s=-4000.0)
    daemon.start()
    load = site.load(daemon, size=700, count=200, domains=20)
    wait_until(lambda: not load.program.running, 60, "new mail is taken while the old goes out")
    daemon.drain(60)
    assert sink.read().messages == COUNT + 200
    balance = site.balance()
    assert balance.acknowledged == 200
    assert not balance.lost
