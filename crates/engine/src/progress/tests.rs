use super::*;

#[test]
fn percent_reaches_a_hundred_only_at_the_end() {
    let progress = Progress::new();
    let name = |n: &str| TableName::new("s", n);
    let listed = |name: TableName, row_estimate| Listed {
        name,
        row_estimate,
        byte_estimate: 0,
        record: None,
        is_completed: false,
        not_created: Vec::new(),
    };
    progress.begin(vec![listed(name("a"), 10), listed(name("b"), 0)]);
    assert_eq!(progress.snapshot().percent(), 0);
    progress.update(&name("a"), |table| table.row_count = 5000);
    assert_eq!(progress.snapshot().percent(), 99);
    progress.update(&name("a"), |table| table.state = TableState::Completed);
    assert_eq!(progress.snapshot().percent(), 99);
    progress.update(&name("b"), |table| table.state = TableState::Error);
    assert_eq!(progress.snapshot().percent(), 100);
}

#[test]
fn percent_goes_by_size_where_rows_are_not_estimated() {
    let progress = Progress::new();
    let name = TableName::new("s", "t");
    let listed = Listed {
        name: name.clone(),
        row_estimate: 0,
        byte_estimate: 1_000_000,
        record: None,
        is_completed: false,
        not_created: Vec::new(),
    };
    progress.begin(vec![listed]);
    let percent_at = |rows, bytes, chunks| {
        progress.update(&name, |table| {
            table.state = TableState::FullLoad;
            (table.row_count, table.byte_count) = (rows, bytes);
            (table.chunks_done, table.chunk_count) = (chunks, 4);
        });
        progress.snapshot().percent()
    };
    assert_eq!(percent_at(0, 0, 0), 0);
    assert_eq!(percent_at(1, 10, 0), 1);
    assert_eq!(percent_at(10_000, 100_000, 0), 10);
    assert_eq!(percent_at(10_000, 100_000, 1), 25);
    assert_eq!(percent_at(200_000, 2_000_000, 3), 99);
    // Stopped, it keeps what is committed.
    assert_eq!(percent_at(10_000, 100_000, 1), 25);
    progress.update(&name, |table| table.state = TableState::Cancelled);
    assert_eq!(progress.snapshot().percent(), 25);
}

#[test]
fn a_load_that_breaks_off_and_begins_anew_counts_once() {
    let progress = Progress::new();
    let table = TableName::new("s", "t");
    let begin = || {
        let listed = Listed {
            name: table.clone(),
            row_estimate: 0,
            byte_estimate: 0,
            record: None,
            is_completed: false,
            not_created: Vec::new(),
        };
        progress.begin_beside(vec![listed], true);
        progress.snapshot().tables[&table].reload_count
    };
    let now_is = |state| progress.update(&table, |entry| entry.state = state);
    assert_eq!(begin(), 0);
    now_is(TableState::FullLoad);
    assert_eq!(begin(), 0);
    now_is(TableState::Completed);
    assert_eq!(begin(), 1);
    now_is(TableState::FullLoad);
    assert_eq!(begin(), 1);
    now_is(TableState::Error);
    assert_eq!(begin(), 2);
}

#[test]
fn a_renaming_that_is_taken_back_leaves_all_tables_as_they_were() {
    let (before, after) = (TableName::new("s", "a"), TableName::new("s", "b"));
    for has_other in [false, true] {
        let progress = Progress::new();
        progress.add([before.clone()]);
        progress.update(&before, |entry| entry.row_count = 7);
        if has_other {
            progress.add([after.clone()]);
            progress.update(&after, |entry| entry.state = TableState::Dropped);
        }
        let tables = progress.snapshot().tables;
        let stood = progress.rename(&before, &after);
        assert_eq!(stood.is_some(), has_other);
        assert_eq!(progress.snapshot().tables[&after].row_count, 7);
        progress.unrename(&before, &after, stood);
        assert_eq!(progress.snapshot().tables, tables);
    }
}
