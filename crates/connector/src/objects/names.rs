use std::collections::HashSet;

/// Names that are taken, by the place in which they must differ. Engines differ in that place: what is a name within its table on one is a name within
/// its schema on another.
#[derive(Debug)]
pub struct NamePool {
    taken: HashSet<(String, String)>,
    length_max: usize,
    length_of: fn(&str) -> usize,
}

impl NamePool {
    /// A pool of names of at most so many characters or bytes, as `length_of` counts.
    pub fn new(length_max: usize, length_of: fn(&str) -> usize) -> Self {
        Self {
            taken: HashSet::new(),
            length_max,
            length_of,
        }
    }

    /// Takes a name out of the choice.
    pub fn reserve(&mut self, place: &str, name: &str) {
        self.taken.insert(Self::key(place, name));
    }

    /// The wanted name if it is free and short enough, else one with the owner's in front, else with a number behind.
    pub fn take(&mut self, place: &str, wanted: &str, owner: &str) -> String {
        let longer = format!("{owner}_{wanted}");
        let numbered = (2..).map(|number: u32| (longer.clone(), format!("_{number}")));
        let plain = [wanted.to_owned(), longer.clone()];
        let candidates = plain.into_iter().map(|name| (name, String::new()));
        for (base, suffix) in candidates.chain(numbered) {
            let name = format!("{}{suffix}", self.cut(&base, suffix.len()));
            if self.taken.insert(Self::key(place, &name)) {
                return name;
            }
        }
        unreachable!("there are more numbers than names")
    }

    /// Servers that tell names apart by case are content with names that differ otherwise too.
    fn key(place: &str, name: &str) -> (String, String) {
        (place.to_owned(), name.to_lowercase())
    }

    fn cut<'a>(&self, name: &'a str, spare: usize) -> &'a str {
        let fits = |end: &usize| (self.length_of)(&name[..*end]) + spare <= self.length_max;
        let ends = name.char_indices().map(|(at, _)| at).skip(1);
        let end = ends.chain([name.len()]).take_while(fits).last();
        &name[..end.unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_its_owner_in_front_and_then_a_number() {
        let mut pool = NamePool::new(12, str::len);
        pool.reserve("s", "orders");
        let mut take = |wanted| pool.take("s", wanted, "orders");
        assert_eq!(take("by_day"), "by_day");
        assert_eq!(take("Orders"), "orders_Order");
        assert_eq!(take("BY_DAY"), "orders_BY_DA");
        assert_eq!(take("by_day"), "orders_by__2");
        assert_eq!(pool.take("t", "by_day", "x"), "by_day");
        let mut wide = NamePool::new(7, str::len);
        assert_eq!(wide.take("s", "größer_als", "x"), "größe");
    }
}
