//! Every type, through every way of applying: what arrives is what a load leaves.

use whimbrel_connector::TargetTable;

use crate::apply_support::{Applying, Cell, Change, Row, rows_of};
use crate::support::{How, PAIRS, Pair};
use crate::types::{CHECKS, COMMON};

/// Copies of the rows, so that there are enough for statements over sets.
const COPIES: i64 = 60;

fn id(row: &Row) -> i64 {
    match row[0] {
        Cell::Plain(whimbrel_core::Value::Int(id)) => id,
        ref other => panic!("{other:?} is no id"),
    }
}

fn with_id(row: &Row, id: i64) -> Row {
    let mut row = row.clone();
    row[0] = Cell::from(id);
    row
}

fn only_id(row: &Row) -> Row {
    let mut key = vec![Cell::NOT_SENT; row.len()];
    key[0] = row[0].clone();
    key
}

fn copies(rows: &[Row]) -> Vec<Row> {
    (0..COPIES)
        .flat_map(|copy| {
            rows.iter()
                .map(move |row| with_id(row, id(row) + copy * 100))
        })
        .collect()
}

/// The same ids, each with the other cells of the next row.
fn rotated(rows: &[Row]) -> Vec<Row> {
    let next = rows.iter().cycle().skip(1);
    rows.iter()
        .zip(next)
        .map(|(row, next)| with_id(next, id(row)))
        .collect()
}

/// Applies the rows in every way, and checks each time that they are those of the source.
async fn apply_in_every_way(pair: Pair, planned: TargetTable, rows: Vec<Row>, check: &str) -> Pair {
    let name = planned.name.clone();
    let count = rows.len() as u64;
    let mut it = Applying::to(pair, planned).await;
    let many = copies(&rows);
    let tidy = format!("delete from {} where id > 99", name.name);

    // Sets of rows: insert, update by way of others, delete.
    it.begin().await;
    let applied = it.net(vec![], vec![], rotated(&many)).await.unwrap();
    assert_eq!(applied.inserted, many.len() as u64);
    let applied = it.net(vec![], many.clone(), vec![]).await.unwrap();
    assert_eq!(applied.updated, many.len() as u64, "{name}: {applied:?}");
    it.commit().await;
    it.pair.target.sql(&tidy).unwrap();
    it.pair.same(check);
    it.begin().await;
    let again = many[rows.len()..].to_vec();
    it.net(vec![], vec![], again.clone()).await.unwrap();
    let keys: Vec<Row> = many.iter().map(only_id).collect();
    let applied = it.net(keys, vec![], vec![]).await.unwrap();
    assert_eq!(applied.deleted, many.len() as u64);

    // One by one, by key.
    let inserts = rotated(&rows).into_iter().map(Change::Insert).collect();
    assert_eq!(it.single(inserts).await.unwrap(), vec![1; rows.len()]);
    let updates = rows.iter().cloned().map(|row| Change::Update(None, row));
    assert_eq!(
        it.single(updates.collect()).await.unwrap(),
        vec![1; rows.len()]
    );
    it.commit().await;
    it.pair.same(check);

    // One by one, by whole rows.
    it.table.primary_key.clear();
    it.begin().await;
    let pairs = rows.iter().cloned().zip(rotated(&rows));
    let there: Vec<Change> = pairs
        .clone()
        .map(|(a, b)| Change::Update(Some(a), b))
        .collect();
    assert_eq!(
        it.single(there).await.unwrap(),
        vec![1; rows.len()],
        "{name}"
    );
    let back: Vec<Change> = pairs.map(|(a, b)| Change::Update(Some(b), a)).collect();
    assert_eq!(
        it.single(back).await.unwrap(),
        vec![1; rows.len()],
        "{name}"
    );
    it.commit().await;
    it.pair.same(check);
    it.begin().await;
    let deletes = rows.iter().cloned().map(Change::Delete).collect();
    assert_eq!(
        it.single(deletes).await.unwrap(),
        vec![1; rows.len()],
        "{name}"
    );
    it.commit().await;
    assert_eq!(
        it.ask(&format!("select count(*), {count} from {}", name.name)),
        format!("0,{count}")
    );
    let fence = it.fence.clone();
    it.target.forget(&fence).await.unwrap();
    it.pair
}

async fn apply_every_table(mut pair: Pair, check: &dyn Fn(&str) -> String) {
    let loaded = pair.load(How::PLAIN).await.unwrap();
    for table in loaded {
        let rows = rows_of(&pair, &table.target.source).await;
        let name = &table.target.name.name;
        let check = check(name);
        pair.same(&check);
        pair.target.sql(&format!("delete from {name}")).unwrap();
        pair = apply_in_every_way(pair, table.target, rows, &check).await;
    }
}

#[tokio::test]
async fn every_common_type_is_applied_as_it_is_loaded() {
    for (from, to) in PAIRS {
        let pair = Pair::between(from, to, "apply_types");
        pair.source.sql(COMMON).unwrap();
        let check = |name: &str| {
            let of_table = |check: &&&str| check.contains(&format!(" from {name} "));
            (*CHECKS.iter().find(of_table).unwrap()).to_owned()
        };
        apply_every_table(pair, &check).await;
    }
}

#[tokio::test]
async fn json_is_applied_as_it_is_loaded() {
    for (from, to) in PAIRS {
        let pair = Pair::between(from, to, "apply_json");
        pair.source
            .sql(r#"create table t (id int primary key, j json);
                insert into t values (1, '{"a": [1, 2.5, "x\\ny \\u00e9 𝄞", null, true]}'), (2, 'null'), (3, null),
                  (4, '[18446744073709551615, -9223372036854775808, 1e300, 0.1]'), (5, '"\\\\ \\t''"'), (6, '1'), (7, '1.0')"#)
            .unwrap();
        let check = "select id, hex(json_unquote(json_extract(j, '$.a[2]'))), json_length(j), if(id = 4, json_extract(j, '$[1]'), 0), if(id = 1, 0, json_unquote(j)) from t order by id";
        apply_every_table(pair, &|_| check.to_owned()).await;
    }
}

#[tokio::test]
async fn types_of_one_flavour_are_applied_as_they_are_loaded() {
    let mariadb = "create table t (id int primary key, u uuid, i4 inet4, i6 inet6, z longtext compressed, inv int invisible default 3,
           g int as (inv * 2) stored, v int generated always as (inv + 1) virtual);
         insert into t (id, u, i4, i6, z, inv) values (0, '123e4567-e89b-12d3-a456-426655440000', '192.168.0.1', '2001:db8::ff00:42:8329', repeat('abc', 1000), 9),
           (1, '00000000-0000-0000-0000-000000000000', null, '::', '', null), (2, null, '0.0.0.0', null, null, 0)";
    let mysql = "create table t (id int primary key, v vector(3), g point not null srid 4326, x int, y int as (x + 1) stored, z varchar(9) collate utf8mb4_0900_as_cs);
         insert into t (id, v, g, x, z) values (1, to_vector('[1,2.5,-3]'), st_srid(point(10, 20), 4326), 4, 'aä'), (2, null, st_srid(point(1, 2), 4326), null, '')";
    for (from, to) in PAIRS {
        let pair = Pair::between(from, to, "apply_own");
        let (setup, check) = if from.is_mariadb() {
            (
                mariadb,
                "select id, u, i4, i6, sha2(z, 256), inv from t order by id",
            )
        } else {
            (
                mysql,
                "select id, hex(v), hex(g), x, hex(z) from t order by id",
            )
        };
        pair.source.sql(setup).unwrap();
        apply_every_table(pair, &|_| check.to_owned()).await;
    }
}
