use observer::model::{Connection, LostReason, Unfinished, WakeupOutcome, What};

use super::{Blocks, GRACE, OPEN, PATIENCE};
use crate::app::trace::fixtures::{accepted, eagain, event, herd, queued, silent, task, woken};

fn take(blocks: &mut Blocks, events: impl IntoIterator<Item = (u64, What)>) {
    for (at, what) in events {
        blocks.take(&event(at, what), at);
    }
}

fn outcomes(story: &Connection) -> Vec<Option<WakeupOutcome>> {
    story.woken.iter().map(|one| one.outcome).collect()
}

use WakeupOutcome::{Lost, Silent, Won};

#[test]
fn a_story_is_over_when_everybody_s_deed_is_known() {
    let mut blocks = Blocks::default();
    let mut herd = herd();
    let last = herd.pop().expect("an event");
    take(&mut blocks, herd);
    assert_eq!(blocks.over(1_900_000_000), [], "one woken task did nothing yet");
    take(&mut blocks, [last]);
    assert_eq!(blocks.over(900_000_000 + GRACE - 1), [], "another wakeup may be under way");
    let [story] = <[Connection; 1]>::try_from(blocks.over(900_000_000 + GRACE)).expect("one");
    assert_eq!(outcomes(&story), [Some(Lost), Some(Won), Some(Silent)]);
    assert_eq!((story.connection, story.depth, story.limit), (Some(1), Some(3), Some(511)));
    let after: Vec<_> = story.woken.iter().map(|one| one.outcome_after).collect();
    assert_eq!(after, [Some(48_000), Some(25_000), None]);
    assert_eq!(story.woken[1].accepted, Some(1));
    assert_eq!(story.accepted.and_then(|by| by.wait), Some(40_000));
    assert_eq!(story.unfinished, None);
    assert_eq!(blocks.rest(u64::MAX), []);
    assert!(blocks.ties.is_empty() && blocks.woken == 0);
}

#[test]
fn who_accepts_another_connection_is_told_with_the_one_that_woke_it() {
    let mut blocks = Blocks::default();
    take(
        &mut blocks,
        [
            (0, queued(1, 1)),
            (1, woken(1, 7)),
            (2, queued(2, 2)),
            (3, woken(2, 8)),
            (4, accepted(2, 7, 2, 3)),
            (5, accepted(1, 8, 5, 2)),
            // Awake already.
            (6, queued(3, 1)),
            (7, accepted(3, 8, 1, None)),
            (8, eagain(8)),
        ],
    );
    let stories = blocks.over(8 + GRACE);
    let of = |at: usize| (stories[at].woken[0].task.tid, stories[at].woken[0].accepted);
    assert_eq!([of(0), of(1)], [(Some(7), Some(2)), (Some(8), Some(1))]);
    let by = |at: usize| stories[at].accepted.as_ref().and_then(|by| by.task.tid);
    assert_eq!([by(0), by(1), by(2)], [Some(8), Some(7), Some(8)]);
    assert!(stories[2].woken.is_empty());
    // The last EAGAIN is the outcome of no wakeup.
    assert_eq!(outcomes(&stories[1]), [Some(Won)]);
}

#[test]
fn a_wakeup_of_an_unknown_connection_is_a_story_of_its_own() {
    let mut blocks = Blocks::default();
    take(&mut blocks, [(0, woken(None, 7)), (1, silent(7))]);
    let stories = blocks.over(1 + GRACE);
    assert_eq!(stories.len(), 1);
    assert_eq!((stories[0].connection, stories[0].woken[0].after), (None, None));
    assert_eq!(outcomes(&stories[0]), [Some(Silent)]);
}

#[test]
fn patience_ends() {
    let mut blocks = Blocks::default();
    take(&mut blocks, [(0, queued(1, 1)), (1, woken(1, 7)), (2, accepted(1, 8, 2, None))]);
    assert_eq!(blocks.over(2 + PATIENCE - 1), []);
    let stories = blocks.over(2 + PATIENCE);
    assert_eq!(stories[0].unfinished, Some(Unfinished::NoOutcome));
    assert_eq!(outcomes(&stories[0]), [None]);
    // What is told of the task later is the outcome of nothing that is open.
    take(&mut blocks, [(3 + PATIENCE, silent(7))]);
    assert_eq!(blocks.rest(u64::MAX), []);
}

#[test]
fn one_that_waits_in_the_queue_is_waited_for() {
    let mut blocks = Blocks::default();
    take(&mut blocks, [(0, queued(1, 1))]);
    assert_eq!(blocks.over(100 * PATIENCE), []);
    take(&mut blocks, [(100 * PATIENCE, What::Closed { task: task(7), backlog: 1 })]);
    let stories = blocks.over(101 * PATIENCE);
    assert_eq!(stories[0].unfinished, Some(Unfinished::ListenerClosed));
    take(&mut blocks, [(0, queued(2, 1))]);
    let stories = blocks.rest(1);
    assert_eq!(stories[0].unfinished, Some(Unfinished::WindowEnded));
}

#[test]
fn what_was_lost_may_be_missing() {
    let mut blocks = Blocks::default();
    take(&mut blocks, [(0, queued(1, 1))]);
    let lost = What::Lost { count: 1, reason: LostReason::BufferFull, kinds: None };
    take(&mut blocks, [(1, lost)]);
    let stories = blocks.over(PATIENCE);
    assert_eq!(stories[0].unfinished, Some(Unfinished::EventsLost));
}

/// A connection moves with its listener's end (`net.ipv4.tcp_migrate_req`), and its story ends before one of those did
/// anything whom the first listener had woken. A wakeup that comes late begins another story of that connection.
#[test]
fn a_connection_that_moved_leaves_no_ties_behind() {
    let mut blocks = Blocks::default();
    let of = |inode, at, what| observer::model::Event { inode: Some(inode), ..event(at, what) };
    let mut take = |inode, at, what| blocks.take(&of(inode, at, what), at);
    take(1, 0, queued(1, 1));
    take(1, 1, woken(1, 7));
    take(2, 2, queued(1, 1));
    take(2, 3, accepted(1, 9, 3, None));
    let [story] = <[Connection; 1]>::try_from(blocks.over(3 + PATIENCE)).expect("one");
    assert_eq!((story.inode, story.woken.len()), (Some(2), 1));
    assert!(blocks.ties.is_empty());
    let late = 4 + PATIENCE;
    blocks.take(&of(2, late, woken(1, 8)), late);
    blocks.take(&of(1, late + 1, silent(7)), late + 1);
    blocks.take(&of(2, late + 2, silent(8)), late + 2);
    let stories = blocks.rest(late + 3);
    assert_eq!(outcomes(&stories[0]), [Some(Silent)]);
}

#[test]
fn stories_do_not_pile_up() {
    let mut blocks = Blocks::default();
    let events = (1..=OPEN as u64 + 3).map(|number| (number, queued(number, 1)));
    take(&mut blocks, events);
    let stories = blocks.over(OPEN as u64 + 3);
    let why: Vec<_> = stories.iter().map(|one| (one.connection, one.unfinished)).collect();
    let squeezed = |number| (Some(number), Some(Unfinished::NoRoom));
    assert_eq!(why, [squeezed(1), squeezed(2), squeezed(3)]);
    assert_eq!(blocks.open.len(), OPEN);
}

#[test]
fn woken_tasks_do_not_pile_up() {
    let mut blocks = Blocks::default();
    take(&mut blocks, [(0, queued(1, 1))]);
    take(&mut blocks, (1..=2_000).map(|pid| (u64::from(pid), woken(1, pid))));
    let stories = blocks.rest(3_000);
    assert_eq!((stories[0].woken.len(), stories[0].woken_more), (1_024, 976));
    assert!(blocks.ties.is_empty() && blocks.woken == 0);
    let mut blocks = Blocks::default();
    for number in 1..=200 {
        take(&mut blocks, [(0, queued(number, 1))]);
        let tasks = (1..=1_000).map(|pid| woken(number, pid));
        take(&mut blocks, tasks.map(|what| (1, what)));
    }
    assert!(blocks.woken <= super::WOKEN + 1_000, "{}", blocks.woken);
}
