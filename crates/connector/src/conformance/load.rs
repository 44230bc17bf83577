use whimbrel_core::Table;

use super::rig::{self, BLOCK_BYTES, How, Rig};
use super::{Change, End, Harness, fixture};
use crate::{Error, KeyPolicy, PrepareMode, ReadFormat, ReadRequest};

/// Makes a table of every shape at the source, describes them, and begins a load.
async fn every_shape(harness: &dyn Harness) -> (Rig, Vec<Table>) {
    rig::make(harness, &fixture::all());
    let mut source = harness.connector(End::Source).source().await.unwrap();
    let tables = rig::tables(harness, End::Source, &mut *source).await;
    let to = rig::name(harness, End::Target, &tables[0].name.name);
    let rig = Rig::of_table(harness, &mut *source, &tables[0], to, How::WHOLE).await;
    (rig, tables)
}

/// Loads every table with `how` and checks that each arrived as it is.
async fn load_all_as(harness: &dyn Harness, how: How) -> Vec<Table> {
    let (mut rig, tables) = every_shape(harness).await;
    for table in &tables {
        rig.turn_to(harness, table, how).await;
        rig.load_all().await.unwrap();
    }
    rig::assert_arrived(harness, &fixture::all(), how).await;
    tables
}

/// Tables of every shape arrive whole, decoded, with the columns they had.
pub async fn every_shape_arrives_whole(harness: &dyn Harness) {
    let from = load_all_as(harness, How::CHUNKED).await;
    let mut source = harness.connector(End::Target).source().await.unwrap();
    let to = rig::tables(harness, End::Target, &mut *source).await;
    assert_eq!(to.len(), from.len());
    for (from, to) in from.iter().zip(&to) {
        assert_eq!(to.name.name, from.name.name);
        assert_eq!(to.columns, from.columns);
        assert_eq!(to.primary_key, from.primary_key);
    }
}

/// A bound on the rows of a statement changes nothing of what arrives.
pub async fn small_statements_load_the_same_rows(harness: &dyn Harness) {
    let how = How {
        statement_rows_max: Some(7),
        ..How::CHUNKED
    };
    load_all_as(harness, how).await;
}

/// Every raw format that both ends know brings the rows that decoding brings, in one chunk and in several.
pub async fn raw_rows_arrive_like_decoded_ones(harness: &dyn Harness) {
    let (mut rig, tables) = every_shape(harness).await;
    // The fixtures have the same types, so that a format serves for all of them.
    rig.turn_to(harness, &tables[0], How::WHOLE).await;
    let given = rig.snapshot.raw_formats(&tables[0]);
    let taken = rig.target.raw_formats(&rig.planned).await.unwrap();
    for format in given.into_iter().filter(|format| taken.contains(format)) {
        for how in [How::WHOLE, How::CHUNKED] {
            let how = How {
                raw: Some(format),
                ..how
            };
            for table in &tables {
                rig.turn_to(harness, table, how).await;
                rig.load_all().await.unwrap();
            }
            rig::assert_arrived(harness, &fixture::all(), how).await;
        }
    }
}

/// Rows that come in parts are the rows that come whole, wherever the parts' ends cut them.
pub async fn rows_in_parts_arrive_like_whole_ones(harness: &dyn Harness) {
    let (mut rig, tables) = every_shape(harness).await;
    for part_bytes in [1, 50] {
        let how = How {
            part_bytes: Some(part_bytes),
            ..How::WHOLE
        };
        for table in &tables {
            rig.turn_to(harness, table, how).await;
            rig.load_all().await.unwrap();
        }
        rig::assert_arrived(harness, &fixture::all(), how).await;
    }
}

/// What comes behind parts of a row that is not over.
#[derive(Clone, Copy, Debug)]
enum Behind {
    WholeRows,
    AnotherRow,
    Commit,
}

/// A row whose parts end before its last cell is an error where another row begins behind it, and at the commit, and nothing of it stays.
pub async fn a_row_whose_parts_end_early_leaves_nothing(harness: &dyn Harness) {
    let fixture = fixture::wide_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    let mut rig = Rig::prepared(harness, fixture.name, How::WHOLE).await;
    let mut loader = rig.loader().await;
    let mut reader = rig.snapshot.reader().await.unwrap();
    for behind in [Behind::WholeRows, Behind::AnotherRow, Behind::Commit] {
        let request = ReadRequest {
            format: ReadFormat::InParts,
            ..rig::decoded(&rig.planned.source, &rig.chunks[0])
        };
        reader.open(request).await.unwrap();
        loader.begin(rig.chunk(0)).await.unwrap();
        let (mut is_begun, mut failed) = (false, None);
        while let Some(block) = reader.next().await.unwrap() {
            let is_wanted = match (is_begun, behind) {
                (false, _) => block.is_part(),
                (true, Behind::WholeRows) => !block.is_part(),
                (true, Behind::AnotherRow) => block.is_part() && block.row_count() > 0,
                (true, Behind::Commit) => false,
            };
            if is_wanted && failed.is_none() {
                failed = loader.write(&*block).await.err();
                is_begun = true;
            }
        }
        if !is_begun {
            // The source holds rows whole.
            return;
        }
        if matches!(behind, Behind::Commit) {
            failed = loader.commit().await.err();
        }
        assert!(
            matches!(failed, Some(Error::Fatal(_))),
            "{behind:?} {failed:?}"
        );
        assert_eq!(rig::rows_at_target(harness, fixture.name).await.len(), 0);
    }
}

/// Several loaders write chunks of one table at the same time.
pub async fn loaders_work_side_by_side(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    for keys in [KeyPolicy::Best, KeyPolicy::AfterLoad] {
        let how = How::CHUNKED.keys(keys);
        let mut rig = Rig::prepared(harness, fixture.name, how).await;
        let (mut left, mut right) = (rig.loader().await, rig.loader().await);
        let (half, all) = (rig.chunks.len() / 2, rig.chunks.len());
        let (left, right) = tokio::join!(
            rig.load_some(&mut *left, 0..half),
            rig.load_some(&mut *right, half..all)
        );
        left.unwrap();
        right.unwrap();
        rig.target.finish(&rig.fence, &rig.planned).await.unwrap();
        rig::assert_arrived(harness, std::slice::from_ref(&fixture), how).await;
    }
}

/// A block of a sifted chunk is taken whole or not at all, and the chunk goes on behind one that was refused. What is committed and recorded is
/// what was taken.
pub async fn what_is_refused_of_a_sifted_chunk_leaves_the_rest(harness: &dyn Harness) {
    let fixture = fixture::many_rows();
    rig::make(harness, std::slice::from_ref(&fixture));
    // In the way of the first block, and of one in the middle.
    let standing = fixture::Fixture {
        rows: vec![fixture.rows[0].clone(), fixture.rows[240].clone()],
        ..fixture.clone()
    };
    harness.change(End::Target, &standing.made());
    for statement_rows_max in [None, Some(7)] {
        let how = How {
            sifts: true,
            statement_rows_max,
            ..How::WHOLE.mode(PrepareMode::DoNothing)
        };
        harness.change(End::Target, &[Change::Delete(fixture.name)]);
        harness.change(End::Target, &[Change::Insert(fixture.name, &standing.rows)]);
        let mut rig = Rig::prepared(harness, fixture.name, how).await;
        let mut loader = rig.loader().await;
        let mut reader = rig.snapshot.reader().await.unwrap();
        let whole = rig::decoded(&rig.planned.source, &rig.chunks[0]);
        let request = ReadRequest {
            block_bytes: BLOCK_BYTES,
            ..whole
        };
        reader.open(request).await.unwrap();
        loader.begin(rig.chunk(0)).await.unwrap();
        let (mut taken, mut refused) = (0, 0);
        while let Some(block) = reader.next().await.unwrap() {
            match loader.write(&*block).await {
                Ok(()) => taken += block.row_count() as u64,
                Err(Error::Row(_)) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(refused, 2, "the blocks with rows that are there already");
        let commit = loader.commit().await.unwrap();
        assert_eq!(commit.row_count, taken);
        assert_eq!(rig.record(harness).await.chunks[0].done, Some(commit));
        let rows = rig::rows_at_target(harness, fixture.name).await;
        assert_eq!(rows.len() as u64, taken + 2);
        assert!(standing.rows.iter().all(|row| rows.contains(row)));
    }
}
