//! Partial updates of JSON documents: the differences that the log tells, applied to the old document.
//!
//! A difference is one byte for what is done (replace, insert, remove), a path and, unless something is removed, the new
//! value. They are applied one after another, as a replica does it. Format: `sql-common/json_diff.cc` of MySQL 9.7.

use super::jsonb::{BadJson, Node, text_bytes_max, write_scalar, write_text};
use crate::wire::Reader;

const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;
/// The server allows 100 levels.
const DEPTH_MAX: usize = 128;

/// A document taken apart: what has no members is text already.
enum Tree {
    Object(Vec<(Vec<u8>, Tree)>),
    Array(Vec<Tree>),
    Scalar(Vec<u8>),
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(Vec<u8>),
    Cell(usize),
}

/// Appends the new document as text.
pub(super) fn write_changed(
    old: &[u8],
    differences: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BadJson> {
    if differences.is_empty() {
        return write_text(old, out);
    }
    let mut tree = Tree::of(old)?;
    let mut reader = Reader::new(differences);
    while !reader.is_empty() {
        let what = reader.u8().map_err(|_| BadJson)?;
        let path = steps(reader.counted().map_err(|_| BadJson)?)?;
        let value = match what {
            REMOVE => None,
            REPLACE | INSERT => {
                let document = reader.counted().map_err(|_| BadJson)?;
                Some(Tree::of(document)?)
            }
            _ => return Err(BadJson),
        };
        tree.apply(what, &path, value)?;
    }
    tree.write(out)
}

impl Tree {
    fn of(document: &[u8]) -> Result<Self, BadJson> {
        let mut room = text_bytes_max(document);
        Self::new(&Node::root(document)?, DEPTH_MAX, &mut room)
    }

    /// `room`: the most bytes that are still to be made of the document.
    fn new(node: &Node<'_>, depth: usize, room: &mut usize) -> Result<Self, BadJson> {
        let depth = depth.checked_sub(1).ok_or(BadJson)?;
        *room = room.checked_sub(1).ok_or(BadJson)?;
        Ok(match node {
            Node::Object(container) => {
                let members = (0..container.len()).map(|index| {
                    let key = container.key(index)?;
                    *room = room.checked_sub(key.len()).ok_or(BadJson)?;
                    let value = Self::new(&container.value(index)?, depth, room)?;
                    Ok((key.to_vec(), value))
                });
                Self::Object(members.collect::<Result<_, _>>()?)
            }
            Node::Array(container) => {
                let cells = (0..container.len())
                    .map(|index| Self::new(&container.value(index)?, depth, room));
                Self::Array(cells.collect::<Result<_, _>>()?)
            }
            Node::Scalar(kind, bytes) => {
                let mut text = Vec::new();
                write_scalar(*kind, bytes, &mut text)?;
                *room = room.checked_sub(text.len()).ok_or(BadJson)?;
                Self::Scalar(text)
            }
        })
    }

    fn child(&mut self, step: &Step) -> Option<&mut Self> {
        match (self, step) {
            (Self::Object(members), Step::Member(key)) => members
                .iter_mut()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            (Self::Array(cells), Step::Cell(index)) => cells.get_mut(*index),
            _ => None,
        }
    }

    fn apply(&mut self, what: u8, path: &[Step], value: Option<Self>) -> Result<(), BadJson> {
        let Some((last, parents)) = path.split_last() else {
            // The whole document can only be replaced.
            *self = value.filter(|_| what == REPLACE).ok_or(BadJson)?;
            return Ok(());
        };
        let mut place = self;
        for step in parents {
            place = place.child(step).ok_or(BadJson)?;
        }
        if what == REPLACE {
            *place.child(last).ok_or(BadJson)? = value.ok_or(BadJson)?;
            return Ok(());
        }
        match (place, last, value) {
            (Self::Object(members), Step::Member(key), Some(value)) => {
                // Members are kept in the order of their keys' lengths, then bytes.
                let at = members.partition_point(|(name, _)| {
                    (name.len(), name.as_slice()) < (key.len(), key.as_slice())
                });
                members.insert(at, (key.clone(), value));
            }
            (Self::Object(members), Step::Member(key), None) => {
                let at = members.iter().position(|(name, _)| name == key);
                members.remove(at.ok_or(BadJson)?);
            }
            (Self::Array(cells), Step::Cell(index), Some(value)) => {
                cells.insert((*index).min(cells.len()), value);
            }
            (Self::Array(cells), Step::Cell(index), None) if *index < cells.len() => {
                cells.remove(*index);
            }
            _ => return Err(BadJson),
        }
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), BadJson> {
        match self {
            Self::Scalar(text) => out.extend_from_slice(text),
            Self::Array(cells) => {
                out.push(b'[');
                for (index, cell) in cells.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    cell.write(out)?;
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    super::jsonb::write_string(key, out)?;
                    out.extend_from_slice(b": ");
                    value.write(out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

/// Reads `$.name."quoted name"[3]`.
fn steps(path: &[u8]) -> Result<Vec<Step>, BadJson> {
    let text = std::str::from_utf8(path).map_err(|_| BadJson)?;
    let mut rest = text.strip_prefix('$').ok_or(BadJson)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(cell) = rest.strip_prefix('[') {
            let (index, after) = cell.split_once(']').ok_or(BadJson)?;
            steps.push(Step::Cell(index.trim().parse().map_err(|_| BadJson)?));
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('.').ok_or(BadJson)?;
        let length = if name.starts_with('"') {
            quoted_length(name).ok_or(BadJson)?
        } else {
            name.find(['.', '[']).unwrap_or(name.len())
        };
        let (name, after) = name.split_at(length);
        let key = if name.starts_with('"') {
            serde_json::from_str(name).map_err(|_| BadJson)?
        } else {
            name.to_owned()
        };
        steps.push(Step::Member(key.into_bytes()));
        rest = after;
    }
    Ok(steps)
}

/// Bytes of the quoted text at the front, quotes included.
fn quoted_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(differences: &[&[u8]]) -> Result<String, BadJson> {
        // {"a": 1, "bb": [true, "x"]}
        let array = [2, 0, 12, 0, 4, 1, 0, 12, 10, 0, 1, b'x'];
        let old = [
            &[0, 2, 0, 33, 0, 18, 0, 1, 0, 19, 0, 2, 0, 5, 1, 0, 2, 21, 0][..],
            b"abb",
            &array,
        ]
        .concat();
        let mut out = Vec::new();
        write_changed(&old, &differences.concat(), &mut out)?;
        String::from_utf8(out).map_err(|_| BadJson)
    }

    #[test]
    fn differences_are_applied_in_order() {
        let seven = [5, 7, 0];
        let replace = [&[REPLACE, 3][..], b"$.a", &[3], &seven].concat();
        let insert = [&[INSERT, 8][..], b"$.bb[99]", &[3], &seven].concat();
        let member = [&[INSERT, 5][..], b"$.\"c\"", &[3], &seven].concat();
        let remove = [&[REMOVE, 7][..], b"$.bb[0]"].concat();
        assert_eq!(
            changed(&[&replace, &insert, &member, &remove]).unwrap(),
            r#"{"a": 7, "c": 7, "bb": ["x", 7]}"#
        );
        assert_eq!(changed(&[]).unwrap(), r#"{"a": 1, "bb": [true, "x"]}"#);
    }

    #[test]
    fn differences_that_do_not_fit_are_refused() {
        for bad in [
            &[REMOVE, 4, b'$', b'.', b'z', b'z'][..],
            &[REMOVE, 1, b'$'],
            &[9, 1, b'$'],
            &[REPLACE, 3, b'$', b'.'],
        ] {
            assert!(changed(&[bad]).is_err());
        }
    }
}
