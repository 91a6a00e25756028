use observer::model::{Connection, Unfinished, What};

use super::block;
use crate::app::{
    render::text,
    trace::{
        blocks::Blocks,
        fixtures::{accepted, eagain, event, herd, queued, silent, task, woken},
    },
};

fn stories(events: Vec<(u64, What)>) -> Vec<Connection> {
    let mut blocks = Blocks::default();
    for (at, what) in events {
        blocks.take(&event(at, what), at);
    }
    blocks.rest(60_000_000_000)
}

fn shown(stories: &[Connection], width: usize) -> String {
    let shown = |story: &Connection| -> String {
        let lines = block(story, 1_000_000, width);
        lines.iter().map(|line| line.paint(width, false) + "\n").collect()
    };
    stories.iter().map(shown).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_herd_reads_as_a_story() {
    insta::assert_snapshot!(shown(&stories(herd()), 80));
}

#[test]
fn what_else_may_happen() {
    let failed = What::AcceptError { task: task(9), errno: "EMFILE".to_owned() };
    let mut all = stories(vec![
        (1_000_000, queued(1, 1)),
        (1_010_000, woken(1, 7)),
        (1_011_000, woken(1, 9)),
        (1_020_000, queued(2, 2)),
        (1_030_000, accepted(2, 7, 10_000, 20_000)),
        (1_040_000, accepted(1, 8, 40_000, None)),
        (1_050_000, failed),
        (1_060_000, woken(None, 10)),
        (1_070_000, silent(10)),
        (1_080_000, queued(3, 1)),
        (1_090_000, woken(3, 11)),
        // Another CPU accepts before the notification is over.
        (1_100_000, queued(4, 1)),
        (1_105_000, accepted(4, 12, 5_000, None)),
        (1_110_000, woken(4, 13)),
        (1_120_000, eagain(13)),
    ]);
    let mut crowd = all[0].clone();
    crowd.woken = vec![crowd.woken[1].clone(); 40];
    crowd.unfinished = Some(Unfinished::NoOutcome);
    all.push(crowd);
    let text = shown(&all, 80);
    let widest = text.lines().map(text::width).max();
    assert!(widest <= Some(80), "{widest:?}:\n{text}");
    insta::assert_snapshot!(text);
}
