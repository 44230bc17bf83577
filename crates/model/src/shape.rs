/// What a part of a request must look like.
#[derive(Debug)]
#[expect(
    dead_code,
    reason = "requests hold no long and no floating number today; the generator may say so tomorrow"
)]
pub(crate) enum Shape {
    Structure(&'static [Member]),
    List {
        member: &'static Shape,
        min: usize,
    },
    Text {
        values: &'static [&'static str],
        length_max: Option<usize>,
    },
    Boolean,
    Integer,
    Long,
    Number,
    Timestamp,
    Blob,
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    pub(crate) shape: &'static Shape,
}
