//! Kernel memory of the maps: the budget, and what each map takes of it.

use observer::plan::{MapBytes, Request, Sizes, budget, table};
use serde::Serialize;

use crate::app::render::{
    cell::Cell,
    grid::{Grid, Heading, Row},
    line::Line,
};

/// What the maps take here.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    /// CPUs that can ever be online: some maps hold a row for each.
    pub(super) possible_cpus: usize,
    /// Listeners that are there now.
    pub(super) listeners: usize,
    /// Bytes that all maps together take at most.
    pub(super) budget_bytes: u64,
    /// Bytes that they take for these listeners, by the kernel's arithmetic.
    pub(super) bytes: u64,
    /// Each of them.
    pub(super) maps: Vec<MapBytes>,
}

const COLUMNS: [Heading; 3] = [
    Heading::words("MAP", 0, [0; 3], 6),
    Heading::numbers("ENTRIES", 1),
    Heading::numbers("KIB", 1),
];

impl Memory {
    /// Of maps of these sizes.
    pub(super) fn of(sizes: &Sizes, request: &Request<'_>) -> Self {
        let maps = table(sizes, request.cpus);
        Self {
            possible_cpus: request.cpus,
            listeners: request.listeners,
            budget_bytes: budget(request.map_memory),
            bytes: maps.iter().map(|one| one.bytes).sum(),
            maps,
        }
    }

    /// In one sentence.
    pub(super) fn sentence(&self) -> String {
        let Self { possible_cpus, listeners, budget_bytes, bytes, .. } = self;
        format!(
            "Kernel maps take {} of at most {} MiB; possible CPUs: {possible_cpus}, listeners now: {listeners}.",
            mib(*bytes),
            budget_bytes >> 20
        )
    }

    /// Map by map, the greatest first.
    pub(super) fn lines(&self, width: usize) -> Vec<Line> {
        let mut grid = Grid { headings: COLUMNS.to_vec(), ..Grid::default() };
        let mut maps: Vec<&MapBytes> = self.maps.iter().collect();
        maps.sort_by_key(|one| std::cmp::Reverse(one.bytes));
        for MapBytes { map, entries, bytes } in maps {
            let (entries, kib) =
                (Cell::count((*entries).into()), Cell::count(bytes.div_ceil(1024)));
            grid.rows.push(Row { cells: vec![Cell::text(map), entries, kib], ..Row::default() });
        }
        grid.lines(&grid.layout(width))
    }
}

/// Mebibytes with one decimal, rounded up, so that nothing is told to take less than it does.
fn mib(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
pub(super) fn example() -> Memory {
    let maps = vec![
        MapBytes { map: "WAITS", entries: 8_192, bytes: 700_000 },
        MapBytes { map: "QUEUES", entries: 1_044, bytes: 24_000_000 },
    ];
    Memory { possible_cpus: 255, listeners: 10, budget_bytes: 64 << 20, bytes: 24_700_000, maps }
}

#[cfg(test)]
mod tests {
    use super::mib;

    #[test]
    fn memory_is_told_in_tenths_of_a_mebibyte() {
        assert_eq!(mib(0), "0.0");
        assert_eq!(mib(1), "0.1");
        assert_eq!(mib(64 << 20), "64.0");
        assert_eq!(mib(24_700_000), "23.6");
    }
}
