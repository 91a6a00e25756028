//! Reading hash maps: in few calls where that is possible, row by row where not.

use aya::{
    Pod,
    maps::{HashMap as BpfHashMap, IterableMap as _, MapData, PerCpuHashMap},
};

use super::batch;

/// How hash maps are read.
pub(super) struct Reader {
    pub(super) in_batches: bool,
    /// Possible CPUs.
    pub(super) cpus: usize,
}

/// The way in which no kprobe has to wait for long.
pub(super) const ROW_BY_ROW: Reader = Reader { in_batches: false, cpus: 1 };

impl Reader {
    /// The rows of a map that is one for all CPUs.
    pub(super) fn rows<K: Pod, V: Pod, C: FromIterator<(K, V)>>(
        &self,
        map: &BpfHashMap<MapData, K, V>,
    ) -> C {
        let mut rows = Vec::new();
        let tell = |key, values: &[V]| rows.extend(values.first().map(|value| (key, *value)));
        if self.in_batches && batch::for_each(map.map(), 1, tell).is_ok() {
            return rows.into_iter().collect();
        }
        present(map.iter()).collect()
    }

    /// Those of a map per CPU, put together.
    pub(super) fn rows_per_cpu<K: Pod, V: Pod, C: FromIterator<(K, V)>>(
        &self,
        map: &PerCpuHashMap<MapData, K, V>,
        merge: impl Fn(&[V]) -> V,
    ) -> C {
        let mut rows = Vec::new();
        let tell = |key, cpus: &[V]| rows.push((key, merge(cpus)));
        if self.in_batches && batch::for_each(map.map(), self.cpus, tell).is_ok() {
            return rows.into_iter().collect();
        }
        present(map.iter()).map(|(key, cpus)| (key, merge(&cpus))).collect()
    }
}

/// Entries of an iteration; one that the kernel removed between its key and its value is no error.
pub(super) fn present<K: Pod, V>(
    entries: impl Iterator<Item = Result<(K, V), aya::maps::MapError>>,
) -> impl Iterator<Item = (K, V)> {
    entries.filter_map(Result::ok)
}
