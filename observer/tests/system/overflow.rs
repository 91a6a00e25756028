//! Refused connection attempts: each counted once, at its site, as the namespace's counters and the
//! socket's own say. Every case is a listener in a network namespace of its own, where nobody accepts;
//! all of them run under one observer.

mod flood;
mod kernel;
mod neighbours;
mod reborn;
mod role;
mod seen;

use std::sync::OnceLock;

use anyhow::{Context, ensure};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    Need, Outcome, TRIES, Test, findings,
    missed::{forget_missed_runs, has_missed_runs},
    observer::{Observer, number, provider},
    role::{Actor, as_role},
};

use kernel::Told;
pub use role::play;
use role::{Case, Family, Way};
use seen::{Seen, agree};

/// What a role is told by the environment.
const CASE: &str = "OBSERVER_TEST_CASE";

/// A usual listener: cookies where the SYN queue is full, and nobody held back.
const USUAL: Case = Case {
    family: Family::V4,
    way: Way::Usual,
    backlog: 2,
    cookies: 1,
    abort: false,
    max_syn_backlog: 128,
    defer: false,
    held_back: 0,
    ordinary: 0,
    senders: 1,
    amid: 0,
    stay: false,
};

/// How many SYNs a flood has.
const FLOOD: u32 = 200;

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
        if seen.counted() {
            // The others were requests too, one at a time.
            ensure!(queue["max"] == 6, "{queue}");
        } else {
            ensure!(queue["max"] == 5 && queue["used_percent"] == 31.3, "{queue}");
        }
        Ok(())
    };
    let flood = Case { way: Way::Spoofed, backlog: 16, ordinary: FLOOD, ..USUAL };
    let flood_here = Case { way: Way::SpoofedHere, ..flood };
    // Found out once the request is there, before it is answered (`tcp_v4_route_req`).
    let no_route = Case { way: Way::NoRoute, backlog: 64, ordinary: 20, ..USUAL };
    // As many as a machine has CPUs, or more: what they do to the queues is mixed up. They and their
    // answers are fewer than what may wait for a CPU (`net.core.netdev_max_backlog`).
    let at_once = Case { senders: 4, ..flood_here };
    let flooded: Expect = |seen| {
        let dropped = seen.reason("syn_queue_full")?;
        seen.only(&["syn_queue_full"])?;
        seen.flooded(dropped)?;
        if seen.counted() {
            // Each SYN had another sender.
            ensure!(seen.drops()["clients_overflowed"] == false, "{}", seen.drops());
            ensure!(number(&seen.drops()["clients"])? == dropped, "{}", seen.drops());
        }
        let told = findings::summary(seen.listener, "syn-queue-overflow")?;
        let flood = told.ends_with("attempts completed: a flood");
        ensure!(flood || !seen.counted(), "{told}");
        ensure!(told.contains(&format!("{dropped} SYNs dropped")), "{told}");
        Ok(())
    };
    let answered: Expect = |seen| {
        seen.only(&[])?;
        seen.cookies(1)?;
        let told = findings::summary(seen.listener, "syn-queue-overflow")?;
        let flood = told.contains("attempts completed: a flood");
        ensure!(flood || !seen.counted(), "{told}");
        ensure!(told.contains("cookies"), "{told}");
        seen.flooded(seen.told.cookies_sent)
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
        ("syn::fast_open", Case { way: Way::FastOpen, ..syns(2) }, |seen| {
            // Those that had room came in by their SYNs; so the others' SYNs had data too.
            ensure!(seen.told.fast_opened == 3, "{} by Fast Open", seen.told.fast_opened);
            ensure!(seen.reason("accept_queue_full_syn")? >= 3, "{}", seen.drops());
            seen.only(&["accept_queue_full_syn"])
        }),
        ("syn::mptcp", Case { way: Way::Mptcp, ..syns(2) }, refused_syns),
        ("ack::mptcp", Case { way: Way::Mptcp, ..acks }, refused_acks),
        ("flood::without_cookies", Case { cookies: 0, ..flood }, flooded),
        ("flood::with_cookies", flood, answered),
        ("flood::of_loopback_without_cookies", Case { cookies: 0, ..flood_here }, flooded),
        ("flood::of_loopback_with_cookies", flood_here, answered),
        ("flood::by_all_cpus_without_cookies", Case { cookies: 0, ..at_once }, |seen| {
            let (dropped, waiting) = (seen.reason("syn_queue_full")?, seen.told.waiting);
            seen.only(&["syn_queue_full"])?;
            ensure!(
                waiting.map(|waiting| waiting + dropped) == Some(u64::from(FLOOD)),
                "{waiting:?}, {dropped}"
            );
            Ok(())
        }),
        (
            "flood::by_all_cpus_until_both_queues_are_full",
            Case { amid: 60, backlog: 4, ..at_once },
            |seen| {
                ensure!(seen.told.cookies_wanted > 0, "{:?}", seen.told);
                seen.only(&["accept_queue_full_ack", "accept_queue_full_syn"])?;
                seen.cookies(1)
            },
        ),
        ("syn::without_a_way_back", no_route, |seen| {
            ensure!(seen.told.drops == 20, "the kernel counted {}", seen.told.drops);
            // No counter of the kernel tells why.
            seen.only(&[if seen.counted() { "policy_or_route" } else { "other" }])
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
                ensure!(seen.reason("syn_queue_last_quarter")? >= 3, "{}", seen.drops());
                seen.only(&["syn_queue_last_quarter"])
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
    let cases = cases().into_iter().enumerate().map(|(index, (name, case, _))| {
        let need = match case.way {
            Way::Usual | Way::FastOpen | Way::SpoofedHere | Way::NoRoute => Need::Kernel,
            Way::Mptcp => Need::Also(no_mptcp),
            Way::Spoofed => Need::Also(flood::lacking),
        };
        Test::new(format!("overflow::{name}"), need, move || check(index))
    });
    let others = [neighbours::tests(), reborn::tests()];
    cases.chain(others.into_iter().flatten()).collect()
}

/// Plays a role that is no case.
pub fn play_other(role: &str) -> Option<Outcome> {
    match role {
        "overflow-neighbours" => Some(neighbours::play()),
        "overflow-reborn" => Some(reborn::play()),
        _ => None,
    }
}

/// Why there is no MPTCP here.
fn no_mptcp() -> Option<String> {
    let made = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
    made.err().map(|error| format!("no MPTCP: {error}"))
}

/// Whether a case can be played here; the tests of those that cannot are skipped.
fn can(case: &Case) -> bool {
    match case.way {
        Way::Usual | Way::FastOpen | Way::SpoofedHere | Way::NoRoute => true,
        Way::Mptcp => no_mptcp().is_none(),
        Way::Spoofed => flood::lacking().is_none(),
    }
}

/// Everything that happened.
struct Played {
    report: Value,
    /// By case, or why one came to nothing; none for those that cannot be played here.
    told: Vec<Option<Result<Told, String>>>,
}

/// Plays all cases at once, the first time. The last play decides; where the kernel skipped runs in that too,
/// any.
fn played() -> anyhow::Result<&'static [Played]> {
    static PLAYED: OnceLock<Result<Vec<Played>, String>> = OnceLock::new();
    let all = PLAYED.get_or_init(|| play_whole().map_err(|error| format!("{error:?}")));
    all.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Plays them until the kernel skipped no runs of observer's programs, as it counts or as its counters
/// tell: a test that is tried again would find what was played before.
fn play_whole() -> anyhow::Result<Vec<Played>> {
    let mut plays = Vec::new();
    for _ in 0..TRIES {
        forget_missed_runs();
        plays.push(play_all()?);
        if !(provider().is_some() && has_missed_runs()) {
            // What the kernel skipped before decides nothing.
            return Ok(plays.split_off(plays.len() - 1));
        }
        eprintln!("figure again overflow: runs of programs were skipped");
    }
    Ok(plays)
}

fn play_all() -> anyhow::Result<Played> {
    let mut actors = cases()
        .into_iter()
        .map(|(_, case, _)| {
            if !can(&case) {
                return Ok(None);
            }
            let mut command = as_role("overflow")?;
            command.env(CASE, serde_json::to_string(&case)?);
            let mut actor = Actor::spawn(command)?;
            actor.port()?;
            Ok(Some(actor))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let pids: Vec<_> = actors.iter().flatten().map(|actor| actor.pid().to_string()).collect();
    let flags: Vec<_> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    let observer = Observer::json(&flags)?;
    actors.iter_mut().flatten().try_for_each(Actor::next)?;
    let tell = |actor: &mut Actor| anyhow::Ok(serde_json::from_str(&actor.line()?)?);
    let told = actors
        .iter_mut()
        .map(|actor| actor.as_mut().map(|actor| tell(actor).map_err(|error| format!("{error:?}"))))
        .collect();
    Ok(Played { report: observer.total()?, told })
}

fn check(index: usize) -> Outcome {
    let mut result = Ok(());
    for played in played()? {
        result = check_in(played, index);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn check_in(played: &Played, index: usize) -> Outcome {
    let Played { report, told } = played;
    let told = told[index].as_ref().context("it was not played")?;
    let told = told.as_ref().map_err(|error| anyhow::anyhow!("it told nothing: {error}"))?;
    let mut listeners = report["listeners"].as_array().context("listeners")?.iter();
    let listener = listeners.find(|one| one["netns"] == told.netns).context("no such listener")?;
    let mut namespaces = report["audit"]["netns"].as_array().context("audit")?.iter();
    let audit = namespaces.find(|one| one["netns"] == told.netns).context("no audit")?;
    let seen = Seen { listener, netns: audit, audit: &audit["counters"], told, report };
    agree(&seen).with_context(|| format!("{listener}\n{}\n{told:?}", seen.audit))?;
    let (_, _, expect) = cases().remove(index);
    expect(&seen).with_context(|| format!("{}\n{told:?}", seen.audit))
}
