//! Refused connection attempts: each counted once, at its site, as the namespace's counters and the
//! socket's own say. Every case is a listener in a network namespace of its own, where nobody accepts;
//! all of them run under one observer.

mod role;

use std::sync::OnceLock;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, number, provider},
    role::{Actor, as_role},
};

pub use role::play;
use role::{Case, Family, Told};

/// What a role is told by the environment.
const CASE: &str = "OBSERVER_TEST_CASE";

/// A usual listener: cookies where the SYN queue is full, and nobody held back.
const USUAL: Case = Case {
    family: Family::V4,
    backlog: 2,
    cookies: 1,
    abort: false,
    max_syn_backlog: 128,
    defer: false,
    held_back: 0,
    ordinary: 0,
    stay: false,
};

/// What is expected of a case.
type Expect = fn(&Seen<'_>) -> Outcome;

/// The cases, by name: what happens, and what must be seen.
fn cases() -> Vec<(&'static str, Case, Expect)> {
    let refused_syns: Expect = |seen| {
        ensure!(seen.reason("accept_queue_full_syn")? >= 3, "{}", seen.drops());
        seen.only(&["accept_queue_full_syn"])
    };
    let refused_acks: Expect = |seen| {
        ensure!(seen.reason("accept_queue_full_ack")? >= 2, "{}", seen.drops());
        seen.only(&["accept_queue_full_ack"])
    };
    // Three too many at a backlog of N, which holds one more.
    let syns = |backlog: u32| Case { backlog, ordinary: backlog + 4, ..USUAL };
    // Two whose final ACK comes once four others have filled the queue. They leave room for one more
    // in the SYN queue, also where that is full at its limit.
    let acks = Case { backlog: 3, held_back: 2, ordinary: 4, ..USUAL };
    // Five that wait for their final ACK, beside two that wait to be accepted.
    let now = Case { backlog: 16, held_back: 5, ordinary: 2, stay: true, ..USUAL };
    let waiting: Expect = |seen| {
        seen.only(&[])?;
        let queue = &seen.listener["syn_queue"];
        ensure!(seen.told.waiting == Some(5) && queue["now"] == 5, "{queue}");
        if seen.exact() {
            // The others were requests too, one at a time.
            ensure!(queue["max"] == 6, "{queue}");
        } else {
            ensure!(queue["max"].is_null() && queue["used_percent"] == 29.4, "{queue}");
        }
        Ok(())
    };
    vec![
        ("syn::backlog_0", syns(0), refused_syns),
        ("syn::backlog_1", syns(1), refused_syns),
        ("syn::backlog_2", syns(2), refused_syns),
        ("syn::backlog_128", syns(128), refused_syns),
        ("syn::ipv6", Case { family: Family::V6, ..syns(2) }, refused_syns),
        ("syn::without_cookies", Case { cookies: 0, ..syns(2) }, refused_syns),
        ("syn::always_cookies", Case { cookies: 2, ..syns(2) }, |seen| {
            seen.only(&["accept_queue_full_syn"])?;
            seen.cookies(3)
        }),
        ("ack::ipv4", acks, refused_acks),
        ("ack::ipv6", Case { family: Family::V6, ..acks }, refused_acks),
        ("ack::mapped", Case { family: Family::Mapped, ..acks }, refused_acks),
        ("ack::with_reset", Case { abort: true, ..acks }, refused_acks),
        ("ack::without_cookies", Case { cookies: 0, ..acks }, refused_acks),
        ("syn_queue::full", Case { cookies: 0, held_back: 7, ..USUAL }, |seen| {
            ensure!(seen.reason("syn_queue_full")? >= 3, "{}", seen.drops());
            seen.only(&["syn_queue_full"])
        }),
        ("syn_queue::cookies_are_no_drops", Case { held_back: 5, ..USUAL }, |seen| {
            // They come back with their cookies, and find the accept queue full at last.
            seen.only(&["accept_queue_full_ack", "accept_queue_full_syn"])?;
            seen.cookies(1)
        }),
        (
            "syn_queue::last_quarter",
            Case { cookies: 0, backlog: 128, max_syn_backlog: 8, held_back: 11, ..USUAL },
            |seen| {
                if seen.exact() {
                    ensure!(seen.reason("syn_queue_last_quarter")? >= 3, "{}", seen.drops());
                    return seen.only(&["syn_queue_last_quarter"]);
                }
                seen.only(&["other"])
            },
        ),
        ("syn_queue::now", now, waiting),
        ("syn_queue::now_of_mapped", Case { family: Family::Mapped, ..now }, waiting),
        ("deferred_accept_loses_nothing", Case { defer: true, ordinary: 3, ..USUAL }, |seen| {
            seen.only(&[])?;
            ensure!(seen.told.drops == 0, "the kernel counted {} drops", seen.told.drops);
            Ok(())
        }),
    ]
}

pub fn tests() -> Vec<Test> {
    let cases = cases().into_iter().enumerate().map(|(index, (name, ..))| {
        Test::new(format!("overflow::{name}"), Need::Kernel, move || check(index))
    });
    cases.collect()
}

/// What the report and the role say of one case.
struct Seen<'a> {
    listener: &'a Value,
    audit: &'a Value,
    told: &'a Told,
    report: &'a Value,
}

impl Seen<'_> {
    fn drops(&self) -> &Value {
        &self.listener["drops"]
    }

    fn reason(&self, name: &str) -> anyhow::Result<u64> {
        number(&self.drops()["by_reason"][name])
    }

    fn exact(&self) -> bool {
        self.report["providers"]["drops"]["exact"] == true
    }

    /// Nothing was refused for any other reason.
    fn only(&self, reasons: &[&str]) -> Outcome {
        let all = self.drops()["by_reason"].as_object().context("reasons")?;
        for (name, count) in all.iter().filter(|(name, _)| !reasons.contains(&name.as_str())) {
            ensure!(*count == 0, "{name}: {}", self.drops());
        }
        Ok(())
    }

    /// At least so many cookies were sent, as many as the kernel counted.
    fn cookies(&self, least: u64) -> Outcome {
        ensure!(self.told.cookies_sent >= least, "{} cookies", self.told.cookies_sent);
        if self.exact() {
            let sent = number(&self.listener["syn_queue"]["cookies_sent"])?;
            ensure!(sent == self.told.cookies_sent, "{sent}, not {}", self.told.cookies_sent);
        }
        Ok(())
    }
}

/// Everything that happened.
struct Played {
    report: Value,
    told: Vec<Told>,
}

/// Plays all cases at once, the first time.
fn played() -> anyhow::Result<&'static Played> {
    static PLAYED: OnceLock<Result<Played, String>> = OnceLock::new();
    let all = PLAYED.get_or_init(|| play_all().map_err(|error| format!("{error:?}")));
    all.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn play_all() -> anyhow::Result<Played> {
    let mut actors = cases()
        .into_iter()
        .map(|(_, case, _)| {
            let mut command = as_role("overflow")?;
            command.env(CASE, serde_json::to_string(&case)?);
            let mut actor = Actor::spawn(command)?;
            actor.port()?;
            Ok(actor)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let pids: Vec<_> = actors.iter().map(|actor| actor.pid().to_string()).collect();
    let flags: Vec<_> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    let observer = Observer::json(&flags)?;
    actors.iter_mut().try_for_each(Actor::next)?;
    let told = actors
        .iter_mut()
        .map(|actor| Ok(serde_json::from_str(&actor.line()?)?))
        .collect::<anyhow::Result<Vec<Told>>>()?;
    Ok(Played { report: observer.total()?, told })
}

fn check(index: usize) -> Outcome {
    let Played { report, told } = played()?;
    let told = &told[index];
    let mut listeners = report["listeners"].as_array().context("listeners")?.iter();
    let listener = listeners.find(|one| one["netns"] == told.netns).context("no such listener")?;
    let mut namespaces = report["audit"]["netns"].as_array().context("audit")?.iter();
    let audit = namespaces.find(|one| one["netns"] == told.netns).context("no audit")?;
    let seen = Seen { listener, audit: &audit["counters"], told, report };
    agree(&seen).with_context(|| format!("{listener}\n{}\n{told:?}", seen.audit))?;
    let (_, _, expect) = cases().remove(index);
    expect(&seen).with_context(|| format!("{}\n{told:?}", seen.audit))
}

/// What holds in every case: observer, the namespace and the socket say the same.
fn agree(seen: &Seen<'_>) -> Outcome {
    let Seen { listener, audit, told, .. } = seen;
    let total = number(&listener["drops"]["total"])?;
    let (syns, acks) =
        (seen.reason("accept_queue_full_syn")?, seen.reason("accept_queue_full_ack")?);
    ensure!(total == told.drops, "{total} drops, the kernel counted {}", told.drops);
    ensure!(syns + acks == told.overflows, "{syns} + {acks} overflows, not {}", told.overflows);
    let full = seen.reason("syn_queue_full")?;
    ensure!(full == told.syn_queue_full, "{full}, not {}", told.syn_queue_full);
    let by_reason = listener["drops"]["by_reason"].as_object().context("reasons")?;
    let sum = by_reason.values().map(number).sum::<anyhow::Result<u64>>()?;
    ensure!(sum == total, "the reasons add up to {sum}, not {total}");
    // A socket counts a refused ACK twice: as a refusal, and as a packet that was dropped.
    if !told.defer && told.cookies_sent == 0 {
        let least = total + acks;
        ensure!(
            (least..=least + told.unwanted).contains(&told.socket),
            "the socket says {}, not {total} + {acks}, and at most {} more",
            told.socket,
            told.unwanted,
        );
    }
    for (name, own) in [
        ("ListenDrops", told.drops),
        ("ListenOverflows", told.overflows),
        ("TCPReqQFullDrop", told.syn_queue_full),
        ("TCPReqQFullDoCookies", told.cookies_wanted),
    ] {
        ensure!(audit[name]["kernel"] == own, "{name}: {audit}, not {own}");
        if seen.exact() {
            ensure!(audit[name]["observed"] == own, "{name}: {audit}");
        } else {
            ensure!(audit[name]["observed"].is_null(), "{name}: {audit}");
        }
    }
    if seen.exact() {
        ensure!(seen.report["audit"]["closes"] == true, "the audit does not close");
        let clients = number(&listener["drops"]["clients"])?;
        ensure!(clients <= total && (clients > 0) == (total > 0), "{clients} clients");
    } else {
        ensure!(provider().is_none_or(|one| one == "tracepoint"), "drops are not exact");
    }
    Ok(())
}
