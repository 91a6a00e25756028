//! What the tasks of a listener's holders do instead of accepting, in words.

use std::collections::BTreeSet;

use super::rule::Case;
use crate::model::HolderState;

/// Most tasks that are named one by one.
const NAMED: usize = 3;

/// Tasks that were stopped by a signal or a tracer, or whose control group is frozen.
pub(super) fn held_up<'a>(case: &Case<'a>) -> Vec<&'a HolderState> {
    let states = case.listener.holder_states.as_deref().unwrap_or_default();
    states.iter().filter(|state| is_held_up(state)).collect()
}

/// Whether all tasks that were looked at are stopped or frozen.
pub(super) fn all_held_up(case: &Case<'_>) -> bool {
    let states = case.listener.holder_states.as_deref().unwrap_or_default();
    !states.is_empty() && states.iter().all(is_held_up)
}

fn is_held_up(state: &HolderState) -> bool {
    matches!(state.state, Some('T' | 't')) || state.frozen == Some(true)
}

/// `python3 23480 is stopped (state T), 1 of 4 listeners of this group`; `None` where nobody is held up.
pub(super) fn held_up_in_words(case: &Case<'_>) -> Option<String> {
    let held = held_up(case);
    let first = held.first()?;
    let how = |state: &HolderState| match state.state {
        _ if state.frozen == Some(true) => "frozen (its control group is)".to_owned(),
        Some(letter @ 't') => format!("stopped by a tracer (state {letter})"),
        Some(letter) => format!("stopped (state {letter})"),
        None => "stopped".to_owned(),
    };
    let pids: BTreeSet<u32> = held.iter().map(|state| state.pid).collect();
    let of_group = case
        .listener
        .reuseport_group
        .filter(|group| group.size > 1)
        .map(|group| format!(", 1 of {} listeners of this reuseport group", group.size))
        .unwrap_or_default();
    let first_is = format!("{} {} is {}", first.comm, first.pid, how(first));
    Some(match pids.len() {
        1 => format!("{first_is}{of_group}"),
        several => {
            format!("{first_is}, and so are {} others of its holders{of_group}", several - 1)
        }
    })
}

/// What the tasks do, those of one doing together: `python3 7 runs, 3 sleep in futex`; `None` where nobody
/// looked.
pub(super) fn meanwhile(case: &Case<'_>) -> Option<String> {
    let states = case.listener.holder_states.as_deref().filter(|states| !states.is_empty())?;
    let mut doings: Vec<(String, Vec<&HolderState>)> = Vec::new();
    for state in states {
        let doing = in_words(state);
        match doings.iter_mut().find(|(one, _)| *one == doing) {
            Some((_, all)) => all.push(state),
            None => doings.push((doing, vec![state])),
        }
    }
    doings.sort_by_key(|(_, all)| std::cmp::Reverse(all.len()));
    let told = doings.iter().take(NAMED).map(|(doing, all)| match all[..] {
        [only] => format!("{} {} {doing}", only.comm, id(only)),
        [first, ..] => format!("{} tasks of {}: each {doing}", all.len(), first.comm),
        [] => String::new(),
    });
    Some(told.collect::<Vec<_>>().join(", "))
}

fn id(state: &HolderState) -> String {
    if state.pid == state.tid {
        state.pid.to_string()
    } else {
        format!("{}/{}", state.pid, state.tid)
    }
}

/// What one task does: `sleeps in futex`.
#[must_use]
pub fn in_words(state: &HolderState) -> String {
    let place = match (&state.call, &state.wchan) {
        (Some(call), _) => format!(" in {call}"),
        (None, Some(wchan)) => format!(" in the kernel ({wchan})"),
        (None, None) => String::new(),
    };
    match state.state {
        _ if state.frozen == Some(true) => "is frozen".to_owned(),
        Some('R') => "is running (state R)".to_owned(),
        Some('S') => format!("sleeps{place}"),
        Some('D') => format!("sleeps uninterruptibly{place} (state D)"),
        Some('T') => "is stopped (state T)".to_owned(),
        Some('t') => "is stopped by a tracer (state t)".to_owned(),
        Some('Z' | 'X') => "has ended".to_owned(),
        Some(letter) => format!("is in state {letter}"),
        None => "could not be looked at".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{listener, state, with_case},
        model::ReuseportGroup,
    };

    fn told(states: Option<Vec<HolderState>>) -> (Option<String>, Option<String>) {
        let mut one = listener();
        one.holder_states = states;
        with_case(&one, true, |case| (held_up_in_words(case), meanwhile(case)))
    }

    #[test]
    fn who_was_not_looked_at_does_nothing_that_is_known() {
        assert_eq!(told(None), (None, None));
        assert_eq!(told(Some(Vec::new())), (None, None));
    }

    #[test]
    fn a_stopped_task_is_named_with_its_group() {
        let mut one = listener();
        one.holder_states = Some(vec![state(7, 'S'), state(8, 'T')]);
        one.reuseport_group = Some(ReuseportGroup { id: 1, size: 4 });
        with_case(&one, true, |case| {
            let words = held_up_in_words(case).expect("one is stopped");
            assert_eq!(
                words,
                "python3 8 is stopped (state T), 1 of 4 listeners of this reuseport group"
            );
            assert!(!all_held_up(case));
        });
        let (words, _) = told(Some(vec![state(7, 'T'), state(8, 'T'), state(9, 't')]));
        let expected = "python3 7 is stopped (state T), and so are 2 others of its holders";
        assert_eq!(words.as_deref(), Some(expected));
        let frozen = HolderState { frozen: Some(true), ..state(7, 'S') };
        let (words, _) = told(Some(vec![frozen]));
        assert_eq!(words.as_deref(), Some("python3 7 is frozen (its control group is)"));
    }

    #[test]
    fn tasks_of_one_doing_are_told_together() {
        let sleeps = |pid| HolderState { call: Some("futex".into()), ..state(pid, 'S') };
        let (held, doing) = told(Some(vec![state(7, 'R'), sleeps(8), sleeps(9)]));
        assert_eq!(held, None);
        assert_eq!(
            doing.as_deref(),
            Some("2 tasks of python3: each sleeps in futex, python3 7 is running (state R)")
        );
        let kernel = HolderState { wchan: Some("io_schedule".into()), tid: 11, ..state(7, 'D') };
        let (_, doing) = told(Some(vec![kernel]));
        let expected = "python3 7/11 sleeps uninterruptibly in the kernel (io_schedule) (state D)";
        assert_eq!(doing.as_deref(), Some(expected));
    }
}
