use whimbrel_core::RowHash;

/// Enough that a bucket of a hundred-million-row table can be read again in memory; 768 KiB for each end.
pub(super) const BUCKET_COUNT: usize = 1 << 15;

/// Sums of row hashes by bucket. Addition wraps and has no order, so chunks may be added in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    sums: Vec<u128>,
    counts: Vec<u64>,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self {
            sums: vec![0; BUCKET_COUNT],
            counts: vec![0; BUCKET_COUNT],
        }
    }

    pub(super) fn bucket_of(key: RowHash) -> usize {
        usize::try_from(key.0 % BUCKET_COUNT as u128).unwrap_or(0)
    }

    pub(super) fn add(&mut self, key: RowHash, row: RowHash) {
        let bucket = Self::bucket_of(key);
        self.sums[bucket] = self.sums[bucket].wrapping_add(row.0);
        self.counts[bucket] += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, added) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.wrapping_add(*added);
        }
        for (count, added) in self.counts.iter_mut().zip(&other.counts) {
            *count += added;
        }
    }

    pub(super) fn row_count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The buckets from `from` on that differ, as far as their rows at both ends stay within `rows_max` (at least one), and the bucket at
    /// which to go on, if that is not all.
    pub(super) fn differing(
        &self,
        other: &Self,
        rows_max: u64,
        from: usize,
    ) -> (Vec<bool>, Option<usize>) {
        let mut differing = vec![false; BUCKET_COUNT];
        let (mut rows, mut is_first) = (0, true);
        let here = self.sums.iter().zip(&self.counts);
        let there = other.sums.iter().zip(&other.counts);
        let pairs = here.zip(there).zip(&mut differing).enumerate();
        for (bucket, ((mine, yours), differs)) in pairs.skip(from) {
            if mine == yours {
                continue;
            }
            let both = mine.1 + yours.1;
            if !is_first && rows + both > rows_max {
                return (differing, Some(bucket));
            }
            is_first = false;
            rows += both;
            *differs = true;
        }
        (differing, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_one_changed_row_does() {
        let rows: Vec<(RowHash, RowHash)> = (0..1000_u128)
            .map(|i| (RowHash(i * 77), RowHash(i * i + 1)))
            .collect();
        let (mut forward, mut backward) = (Buckets::new(), Buckets::new());
        for &(key, row) in &rows {
            forward.add(key, row);
        }
        rows.iter()
            .rev()
            .for_each(|&(key, row)| backward.add(key, row));
        assert_eq!(forward, backward);
        backward.add(RowHash(77), RowHash(5));
        let (differing, next) = forward.differing(&backward, 10, 0);
        assert!(next.is_none() && differing[77] && differing.iter().filter(|d| **d).count() == 1);
    }

    #[test]
    fn rows_read_again_are_bounded() {
        let (mut many, none) = (Buckets::new(), Buckets::new());
        (0..5000_u128).for_each(|i| many.add(RowHash(i), RowHash(i + 1)));
        let (differing, next) = many.differing(&none, 100, 0);
        assert_eq!(next, Some(100));
        assert_eq!(differing.iter().filter(|d| **d).count(), 100);
        let (differing, next) = many.differing(&none, 100, 4950);
        assert_eq!(next, None);
        assert_eq!(differing.iter().filter(|d| **d).count(), 50);
    }
}
