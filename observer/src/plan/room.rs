//! Sizes of the kernel maps: all of them together take no more memory than the budget. Pure.
//!
//! Each map has its [`Sizes::LEAST`]. What is left of the budget is given away in the order of [`wishes`], to each as much
//! as it asks for: what exists comes before what may come, and what counts before what is nice to know.

use super::{bytes::total, sizes::Sizes};
use crate::error::Failure;

/// Kernel memory of all maps where nobody says otherwise, in MiB. On two CPUs it has room for ten thousand listeners twice over, and at
/// 256 possible CPUs for four hundred on which something happens; a machine of one gigabyte has it to spare.
pub const BUDGET: u32 = 64;

/// What there is to hold, and in how much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// CPUs that can ever be online: rows of queues have that many copies.
    pub cpus: usize,
    /// Listeners that exist now.
    pub listeners: usize,
    /// Room for so many of them, where that was said.
    pub max_listeners: Option<u32>,
    /// Whether processes were named with `--pid`.
    pub pid_filter: bool,
    /// Whether accepts are told as events.
    pub tells_accepts: bool,
    /// The budget, in bytes.
    pub budget: u64,
}

/// One size, and how large it would be.
type Wish = (fn(&mut Sizes) -> &mut u32, u32);

/// Who is given room, the first before the second.
fn wishes(needs: Needs) -> [Wish; 16] {
    let fit = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
    let listeners = needs.max_listeners.unwrap_or_else(|| fit(needs.listeners).max(64));
    let to_come = needs.max_listeners.unwrap_or_else(|| {
        fit(needs.listeners.saturating_mul(2).saturating_add(1_024)).min(65_536)
    });
    let tree = if needs.pid_filter { 32_768 } else { 1 };
    [
        // Listeners that are there, with a row of each for the tasks that have none.
        (|sizes| &mut sizes.listeners, listeners),
        (|sizes| &mut sizes.tree, tree.min(4_096)),
        (|sizes| &mut sizes.workers, listeners.saturating_add(8_192)),
        (|sizes| &mut sizes.tasks, 8_192),
        (|sizes| &mut sizes.enqueued, 16_384),
        (|sizes| &mut sizes.in_flight, 16_384),
        (|sizes| &mut sizes.tree, tree),
        (|sizes| &mut sizes.waits, listeners.saturating_mul(16).clamp(8_192, 32_768)),
        // Listeners to come.
        (|sizes| &mut sizes.listeners, to_come),
        (|sizes| &mut sizes.quiet, 8_192),
        (|sizes| &mut sizes.enqueued, 65_536),
        (|sizes| &mut sizes.tasks, 32_768),
        (|sizes| &mut sizes.workers, to_come.saturating_add(32_768)),
        (|sizes| &mut sizes.clients, 16_384),
        (|sizes| &mut sizes.unrecognised, 4_096),
        (|sizes| &mut sizes.waits, to_come.saturating_mul(16).clamp(8_192, 131_072)),
    ]
}

/// What small maps have where the budget allows it.
const USUAL: [Wish; 3] = [
    (|sizes| &mut sizes.errors, 4_096),
    (|sizes| &mut sizes.interrupted, 4_096),
    (|sizes| &mut sizes.woken, 1),
];

/// Sizes within the budget.
///
/// # Errors
///
/// Where the least does not fit into it, or what was asked for with `--max-listeners`.
pub fn sizes(needs: Needs) -> Result<Sizes, Failure> {
    let cpus = needs.cpus.max(1);
    let fits = |sizes: &Sizes| total(sizes, cpus) <= needs.budget;
    let mut sizes = Sizes::LEAST;
    if !fits(&sizes) {
        return Err(too_little(&sizes, cpus));
    }
    for (size, wish) in wishes(needs).into_iter().chain(USUAL).chain(told(needs)) {
        let mut least = *size(&mut sizes);
        let before = sizes;
        let with = |entries: u32| {
            let mut tried = before;
            *size(&mut tried) = entries;
            tried
        };
        if least >= wish {
            continue;
        }
        if fits(&with(wish)) {
            sizes = with(wish);
            continue;
        }
        // Between what fits and what does not.
        let mut most = wish;
        while least + 1 < most {
            let middle = least.midpoint(most);
            if fits(&with(middle)) {
                least = middle;
            } else {
                most = middle;
            }
        }
        sizes = with(least);
    }
    match needs.max_listeners {
        Some(asked) if asked > sizes.listeners => {
            Err(too_little(&Sizes { listeners: asked, ..Sizes::LEAST }, cpus))
        }
        // Fewer than the least were asked for.
        Some(asked) => Ok(Sizes { listeners: asked.max(1), ..sizes }),
        None => Ok(sizes),
    }
}

/// What is needed only where accepts are told as events.
fn told(needs: Needs) -> Option<Wish> {
    needs.tells_accepts.then_some((|sizes| &mut sizes.woken, 32_768))
}

fn too_little(sizes: &Sizes, cpus: usize) -> Failure {
    let needed = total(sizes, cpus).div_ceil(1024 * 1024);
    Failure::not_possible(format!(
        "room for {} listeners at {cpus} possible CPUs takes {needed} MiB of kernel memory; give observer that much \
         with --map-memory {needed}",
        sizes.listeners
    ))
}

#[cfg(test)]
mod tests;
