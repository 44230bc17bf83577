//! Statements of the command that the server ends, because of others who want the same rows.

use whimbrel_testkit::TestDatabase;

use super::Run;
use crate::ends::wait_until;

/// A statement of the command, which waits for somebody's lock, is ended by the server, as by a time limit.
pub(super) fn statement_ended(run: &mut Run<'_>) {
    let Run {
        arena,
        following,
        hold,
        ..
    } = run;
    let target = &arena.ends.target;
    let locks = Locks::of(target);
    std::thread::scope(|scope| {
        let locker = scope.spawn(|| target.sql(locks.take));
        wait_until(|| {
            assert!(!locker.is_finished(), "the tables could not be locked");
            !sessions(target, locks.holder).is_empty()
        });
        hold.let_go();
        let (source, workload) = (&arena.ends.source, &mut arena.workload);
        following.wait_until("it waited for a lock", |_| {
            source.sql(&workload.step()).unwrap();
            !sessions(target, locks.waits).is_empty()
        });
        for id in sessions(target, locks.waits) {
            // It may have been the second of two, ended with the first.
            target.sql(&locks.end_statement.replace('$', &id)).ok();
        }
        following.wait_until("it told of it", |it| it.err().contains("tried again"));
        for id in sessions(target, locks.holder) {
            target.sql(&locks.end_session.replace('$', &id)).unwrap();
        }
        locker.join().unwrap().unwrap_err();
    });
}

/// Somebody holds the row of the checkpoint and wants the rows that the command has changed; the server ends the command's transaction.
pub(super) fn deadlock(run: &mut Run<'_>) {
    let Run {
        arena,
        following,
        hold,
        ..
    } = run;
    let target = &arena.ends.target;
    let locks = Locks::of(target);
    let task = following.task();
    if !target.engine().is_postgres() {
        target.sql("create table weight (n int)").unwrap();
    }
    let cross = locks.cross.replace('$', &task);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| target.sql(&cross));
        wait_until(|| {
            assert!(
                !other.is_finished(),
                "nothing of the command's was in the way"
            );
            !sessions(target, locks.crossing).is_empty()
        });
        hold.let_go();
        following.wait_until("it told of it", |it| it.err().contains("tried again"));
        other.join().unwrap().unwrap();
    });
    if !target.engine().is_postgres() {
        target.sql("drop table weight").unwrap();
    }
}

/// How an engine speaks of locks.
struct Locks {
    take: &'static str,
    /// Names the sessions that hold the locks; those that wait for them.
    holder: &'static str,
    waits: &'static str,
    end_statement: &'static str,
    end_session: &'static str,
    /// Takes the row of a checkpoint, then all others. Heavier than what the command does, or more patient: not the one to be ended.
    cross: &'static str,
    /// Names the session that waits in `cross`.
    crossing: &'static str,
}

impl Locks {
    fn of(database: &TestDatabase) -> &'static Self {
        if database.engine().is_postgres() {
            return &Self {
                take: "begin; lock table digits, items, codes, seats, loose, marks in exclusive mode; select pg_sleep(600)",
                holder: "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
                waits: "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
                end_statement: "select pg_cancel_backend($)",
                end_session: "select pg_terminate_backend($)",
                cross: "set deadlock_timeout = '10min'; begin; select 1 from awsdms_control.awsdms_task_epoch where task_name = '$' for update;
                    lock table digits, items, codes, seats, loose, marks in exclusive mode; rollback",
                crossing: "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            };
        }
        &Self {
            take: "lock tables items write, codes write, seats write, loose write, marks write; select sleep(600)",
            holder: "select id from information_schema.processlist where db = database() and state = 'User sleep'",
            waits: "select id from information_schema.processlist where db = database() and state like '%metadata lock%'",
            end_statement: "kill query $",
            end_session: "kill $",
            cross: "begin; insert into weight select a.d + 10 * b.d + 100 * c.d + 1000 * e.d from digits a, digits b, digits c, digits e;
                select 1 from awsdms_control.awsdms_checkpoint where task_name = '$' for update;
                select count(*) from items for update; select count(*) from codes for update; select count(*) from seats for update;
                select count(*) from loose for update; rollback",
            crossing: "select id from information_schema.processlist where db = database()
                and id in (select trx_mysql_thread_id from information_schema.innodb_trx where trx_state = 'LOCK WAIT')",
        }
    }
}

fn sessions(database: &TestDatabase, which: &str) -> Vec<String> {
    let ids = database.sql(which).unwrap();
    ids.lines().map(str::to_owned).collect()
}
