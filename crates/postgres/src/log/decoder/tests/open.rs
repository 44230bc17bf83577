//! Transactions that are sent before their commit.

use super::*;

const XID: u32 = 700;

/// A message with the number of its transaction or sub-transaction behind the type.
fn labelled(message: &[u8], label: u32) -> Vec<u8> {
    change(&[&message[..1], &label.to_be_bytes(), &message[1..]].concat())
}

fn start(transaction: u32, is_first: bool) -> Vec<u8> {
    change(
        &[
            b"S".as_slice(),
            &transaction.to_be_bytes(),
            &[u8::from(is_first)],
        ]
        .concat(),
    )
}

fn stop() -> Vec<u8> {
    change(b"E")
}

fn abort(transaction: u32, sub: u32) -> Vec<u8> {
    change(
        &[
            b"A".as_slice(),
            &transaction.to_be_bytes(),
            &sub.to_be_bytes(),
        ]
        .concat(),
    )
}

/// Place, its end, time.
fn places(commit: u64) -> Vec<u8> {
    [commit, commit + 8, 0].map(u64::to_be_bytes).concat()
}

fn stream_commit(transaction: u32, commit: u64) -> Vec<u8> {
    change(
        &[
            b"c".as_slice(),
            &transaction.to_be_bytes(),
            &[0],
            &places(commit),
        ]
        .concat(),
    )
}

fn insert(value: u8) -> Vec<u8> {
    let mut message = INSERT.to_vec();
    *message.last_mut().unwrap() = value;
    message
}

fn our_message() -> Vec<u8> {
    b"M\x01\0\0\0\0\0\0\0\x09us_ddl\0\0\0\0\x02{}".to_vec()
}

/// What is told of a stream but for the tables.
fn rows_of(stream: &[Vec<u8>], from: u64) -> Result<String, Error> {
    let told = run(&mut decoder(Lsn(from)), stream, &known())?;
    Ok(told.replace("T3 ", ""))
}

#[test]
fn nothing_is_told_of_a_transaction_before_its_commit() {
    let stream = [
        start(XID, true),
        labelled(RELATION, XID),
        labelled(&insert(1), XID),
        stop(),
        keepalive(0x10),
        begin(0x20, 701),
        change(RELATION),
        change(&insert(2)),
        commit(0x30),
        start(XID, false),
        labelled(&insert(3), XID),
        stop(),
        stream_commit(XID, 0x40),
        begin(0x50, 702),
        change(&insert(4)),
        commit(0x60),
    ];
    assert_eq!(
        rows_of(&stream, 0).unwrap(),
        "idle 0/10 B701 I3[Int(2)] C0/30 B700 I3[Int(1)] I3[Int(3)] C0/48 B702 I3[Int(4)] C0/60 "
    );
    assert_eq!(
        rows_of(&stream, 0x48).unwrap(),
        "idle 0/48 B702 I3[Int(4)] C0/60 ",
        "one that was applied is passed over"
    );
    let before_commit = rows_of(&stream[..12], 0).unwrap();
    assert_eq!(before_commit, "idle 0/10 B701 I3[Int(2)] C0/30 ");
}

#[test]
fn what_was_prepared_waits_for_its_second_commit() {
    let named = |kind: &[u8], place: u64| {
        change(&[kind, &places(place), &XID.to_be_bytes(), b"gid\0"].concat())
    };
    let prepared = [
        named(b"b", 0x10),
        change(RELATION),
        change(&insert(1)),
        named(b"P\0", 0x10),
        begin(0x20, 701),
        change(&insert(2)),
        commit(0x30),
    ];
    let committed = [prepared.as_slice(), &[named(b"K\0", 0x40)]].concat();
    assert_eq!(
        rows_of(&committed, 0).unwrap(),
        "B701 I3[Int(2)] C0/30 B700 I3[Int(1)] C0/48 "
    );
    assert_eq!(rows_of(&committed, 0x48).unwrap(), "");
    let gone = change(&[b"r\0", [0; 32].as_slice(), &XID.to_be_bytes(), b"gid\0"].concat());
    let rolled_back = [prepared.as_slice(), &[gone]].concat();
    assert_eq!(rows_of(&rolled_back, 0).unwrap(), "B701 I3[Int(2)] C0/30 ");
    let lost = rows_of(&committed[7..], 0).unwrap_err();
    assert!(
        matches!(&lost, Error::Fatal(text) if text.contains("transaction gid")),
        "{lost}"
    );

    let mut decoder = decoder(Lsn(0));
    run(&mut decoder, &prepared, &known()).unwrap();
    assert_eq!(
        decoder.let_go(Lsn(0x30)),
        Lsn(0x10),
        "it must be sent again"
    );
    run(&mut decoder, &committed[7..], &known()).unwrap();
    assert_eq!(decoder.let_go(Lsn(0x47)), Lsn(0x10));
    assert_eq!(decoder.let_go(Lsn(0x48)), Lsn(0x48));
}

/// Messages do not say to which sub-transaction they belong.
#[test]
fn a_message_that_may_be_rolled_back_makes_the_next_stream_bring_whole_transactions() {
    let stream = |messages: &[Vec<u8>], sub: u32| {
        let mut stream = vec![start(XID, true)];
        stream.extend_from_slice(messages);
        stream.extend([stop(), abort(XID, sub), stream_commit(XID, 0x40)]);
        stream
    };
    let message = || labelled(&our_message(), XID);
    let row = || labelled(&insert(1), 701);
    let relation = || labelled(RELATION, 701);
    // Before the sub-transaction began, for certain: nothing is unclear.
    let told = rows_of(&stream(&[message(), relation(), row()], 701), 0);
    assert_eq!(told.unwrap(), "B700 C0/48 ");
    for (messages, sub) in [
        // Within it, or filed behind its first row though it was written before.
        (vec![relation(), row(), message()], 701),
        // That of a function of ours, or of something that sent nothing.
        (vec![relation(), row(), message()], 702),
    ] {
        let mut decoder = decoder(Lsn(0));
        let error = run(&mut decoder, &stream(&messages, sub), &known()).unwrap_err();
        assert!(matches!(error, Error::Transient(_)), "{error}");
        assert!(
            decoder
                .wants_whole
                .load(std::sync::atomic::Ordering::Relaxed)
        );
    }
}

#[test]
fn a_stream_that_contradicts_itself_is_fatal() {
    let piece = |first| [start(XID, first), labelled(RELATION, XID), stop()].concat();
    let cases = [
        (vec![piece(false)], "beginning"),
        (vec![piece(true), piece(true)], "begun before"),
        (vec![stream_commit(XID, 1)], "was not sent"),
        (vec![start(XID, true), stream_commit(XID, 1)], "is open"),
        (vec![stop()], "is open"),
        (vec![begin(1, 7), start(XID, true)], "is open"),
        (vec![start(XID, true), change(b"I")], "too early"),
        (
            vec![
                start(XID, true),
                labelled(&insert(1), XID),
                stop(),
                stream_commit(XID, 1),
            ],
            "not described",
        ),
    ];
    for (stream, expected) in cases {
        let error = rows_of(&stream, 0).unwrap_err();
        assert!(matches!(error, Error::Fatal(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

/// What a transaction does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    Row,
    Savepoint,
    Release,
    RollBack,
    /// The server sends what it has.
    Piece,
}

/// A sub-transaction that has not ended.
struct Sub {
    id: u32,
    /// Those within it that were released.
    released: Vec<u32>,
    /// How many rows there were before it.
    before: usize,
}

/// What the server sends of a transaction, in parts between which others may come, and the rows that survive.
fn sent(transaction: u32, acts: &[Act]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut parts, mut part, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let (mut next, mut is_first, mut value) = (transaction + 1, true, 0_u8);
    let sub = |id, before| Sub {
        id,
        released: Vec::new(),
        before,
    };
    let mut subs = vec![sub(transaction, 0)];
    let cut = |part: &mut Vec<u8>, parts: &mut Vec<Vec<u8>>| {
        if !part.is_empty() {
            parts.push([std::mem::take(part), stop()].concat());
        }
    };
    for act in [acts, &[Act::Row]].concat() {
        let depth = subs.len();
        match act {
            Act::Row => {
                if part.is_empty() {
                    part.extend(start(transaction, is_first));
                    is_first = false;
                }
                value = value.wrapping_add(1) & 0x7F;
                part.extend(labelled(RELATION, subs[depth - 1].id));
                part.extend(labelled(&insert(value), subs[depth - 1].id));
                rows.push(value);
            }
            Act::Savepoint => {
                subs.push(sub(next, rows.len()));
                next += 1;
            }
            Act::Release if depth > 1 => {
                let inner = subs.remove(depth - 1);
                subs[depth - 2].released.extend(inner.released);
                subs[depth - 2].released.push(inner.id);
            }
            Act::RollBack if depth > 1 => {
                let mut inner = subs.remove(depth - 1);
                rows.truncate(inner.before);
                cut(&mut part, &mut parts);
                inner.released.sort_unstable();
                inner.released.push(inner.id);
                parts.extend(inner.released.iter().map(|&id| abort(transaction, id)));
            }
            Act::Piece => cut(&mut part, &mut parts),
            Act::Release | Act::RollBack => {}
        }
    }
    cut(&mut part, &mut parts);
    (parts, rows)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Row),
        2 => Just(Act::Savepoint),
        1 => Just(Act::Release),
        2 => Just(Act::RollBack),
        2 => Just(Act::Piece),
    ];
    prop::collection::vec(act, 0..60)
}

proptest! {
    #[test]
    fn what_survives_of_transactions_that_alternate_is_told_whole_and_in_order(one in acts(), other in acts()) {
        let (one, one_rows) = sent(1000, &one);
        let (other, other_rows) = sent(2000, &other);
        let mut stream = Vec::new();
        for place in 0..one.len().max(other.len()) {
            stream.extend([&one, &other].into_iter().filter_map(|parts| parts.get(place).cloned()));
        }
        stream.extend([stream_commit(2000, 0x10), stream_commit(1000, 0x20)]);
        let told = |id: u32, rows: &[u8], end: &str| {
            let rows: Vec<String> = rows.iter().map(|row| format!("I3[Int({row})] ")).collect();
            let rows = rows.concat();
            format!("B{id} {rows}C{end} ")
        };
        let expected = told(2000, &other_rows, "0/18") + &told(1000, &one_rows, "0/28");
        prop_assert_eq!(rows_of(&stream, 0).unwrap(), expected);
    }

    #[test]
    fn garbage_in_a_piece_never_panics(acts in acts(), place: prop::sample::Index, byte: u8) {
        let mut stream = sent(1000, &acts).0.concat();
        stream.extend(stream_commit(1000, 0x10));
        let place = place.index(stream.len());
        stream[place] = byte;
        drop(rows_of(&[stream], 0));
    }
}
