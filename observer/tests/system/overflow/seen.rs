//! What was seen of a case, and what must hold in every one.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{FLOOD, kernel::Told};
use crate::{
    Outcome, findings,
    missed::kprobes_tell,
    observer::{number, provider},
};

/// What the report and the role say of one case.
pub struct Seen<'a> {
    pub listener: &'a Value,
    pub netns: &'a Value,
    pub audit: &'a Value,
    pub told: &'a Told,
    pub report: &'a Value,
}

impl Seen<'_> {
    /// The listener's drops.
    pub fn drops(&self) -> &Value {
        &self.listener["drops"]
    }

    /// Drops of one reason.
    pub fn reason(&self, name: &str) -> anyhow::Result<u64> {
        number(&self.drops()["by_reason"][name])
    }

    /// Whether drops are counted, and not inferred.
    pub fn counted(&self) -> bool {
        let via = &self.report["providers"]["drops"]["via"];
        *via == "fentry" || *via == "kprobe"
    }

    /// Nothing was refused for any other reason.
    pub fn only(&self, reasons: &[&str]) -> Outcome {
        let all = self.drops()["by_reason"].as_object().context("reasons")?;
        for (name, count) in all.iter().filter(|(name, _)| !reasons.contains(&name.as_str())) {
            ensure!(*count == 0, "{name}: {}", self.drops());
        }
        Ok(())
    }

    /// Of a flood, all that were not turned away were in the SYN queue, and filled it.
    pub fn flooded(&self, turned_away: u64) -> Outcome {
        let queue = &self.listener["syn_queue"];
        let waiting = self.told.waiting.context("how many wait")?;
        ensure!(waiting + turned_away == u64::from(FLOOD), "{waiting} and {turned_away}");
        // With a backlog of 16: that many up to Linux 5.10, then one more.
        ensure!(waiting == 16 || waiting == 17, "{waiting} wait");
        // By tracepoints it is seen each time that an answer is sent again: one second later, and nothing has
        // been given up by then.
        ensure!(queue["max"] == waiting, "{queue}, not {waiting}");
        ensure!(queue["sampled"] == !self.counted(), "{queue}");
        // Of a queue that is more than half full the kernel gives up some requests after two tries
        // (`reqsk_timer_handler`), so that fewer may be left when the report is made.
        ensure!(number(&queue["now"])? <= waiting, "{queue}, not {waiting}");
        Ok(())
    }

    /// At least so many cookies were sent, as many as the kernel counted.
    pub fn cookies(&self, least: u64) -> Outcome {
        ensure!(self.told.cookies_sent >= least, "{} cookies", self.told.cookies_sent);
        if self.counted() {
            let sent = number(&self.listener["syn_queue"]["cookies_sent"])?;
            ensure!(sent == self.told.cookies_sent, "{sent}, not {}", self.told.cookies_sent);
        }
        Ok(())
    }
}

/// Whether no run of a program was skipped, and no map was full.
fn audit_is_whole(report: &Value) -> bool {
    report["audit"]["missed_runs"] == 0 && report["audit"]["map_full"] == 0
}

/// What holds in every case: observer, the namespace and the socket say the same.
pub fn agree(seen: &Seen<'_>) -> Outcome {
    let Seen { listener, audit, told, .. } = seen;
    let total = number(&listener["drops"]["total"])?;
    let (syns, acks) =
        (seen.reason("accept_queue_full_syn")?, seen.reason("accept_queue_full_ack")?);
    ensure!(total == told.drops, "{total} drops, the kernel counted {}", told.drops);
    ensure!(syns + acks == told.overflows, "{syns} + {acks} overflows, not {}", told.overflows);
    let full = seen.reason("syn_queue_full")?;
    ensure!(full == told.syn_queue_full, "{full}, not {}", told.syn_queue_full);
    let found = findings::ids(listener)?;
    let overflow = found.contains(&"accept-queue-overflow");
    ensure!(overflow == (syns + acks > 0), "{syns} + {acks} overflows, and {found:?}");
    ensure!(full == 0 || found.contains(&"syn-queue-overflow"), "{full} SYNs, and {found:?}");
    let by_reason = listener["drops"]["by_reason"].as_object().context("reasons")?;
    let sum = by_reason.values().map(number).sum::<anyhow::Result<u64>>()?;
    ensure!(sum == total, "the reasons add up to {sum}, not {total}");
    // A socket counts a refused ACK twice: as a refusal, and as a packet that was dropped.
    if let Some(socket) = told.socket
        && !told.defer
        && told.cookies_sent == 0
    {
        let least = total + acks;
        ensure!(
            (least..=least + told.unwanted).contains(&socket),
            "the socket says {}, not {total} + {acks}, and at most {} more",
            socket,
            told.unwanted,
        );
    }
    let unattributed = &seen.netns["unattributed"];
    let told_apart = if seen.counted() { unattributed.is_null() } else { *unattributed == 0 };
    ensure!(
        told_apart && listener["drops"]["at_most"].is_null(),
        "{unattributed}: {}",
        seen.drops()
    );
    for (name, own) in [
        ("ListenDrops", told.drops),
        ("ListenOverflows", told.overflows),
        ("TCPReqQFullDrop", told.syn_queue_full),
        ("TCPReqQFullDoCookies", told.cookies_wanted),
    ] {
        ensure!(audit[name]["kernel"] == own, "{name}: {audit}, not {own}");
        if seen.counted() {
            ensure!(audit[name]["observed"] == own, "{name}: {audit}");
        } else {
            ensure!(audit[name]["observed"].is_null(), "{name}: {audit}");
        }
    }
    let from = &seen.report["providers"]["drops"];
    // Kprobes that miss unnoticed see no less, but nobody knows.
    let exact = seen.counted() && (from["via"] == "fentry" || kprobes_tell()?);
    ensure!(from["exact"] == (exact && audit_is_whole(seen.report)), "{from}");
    if seen.counted() {
        // Where runs were skipped, another case's namespace may lack counts.
        let closes = &seen.report["audit"]["closes"];
        ensure!(*closes == true || !audit_is_whole(seen.report), "counts disagree with the kernel");
        let clients = number(&listener["drops"]["clients"])?;
        ensure!(clients <= total && (clients > 0) == (total > 0), "{clients} clients");
    } else {
        ensure!(provider().is_none_or(|one| one == "tracepoint"), "drops are not exact");
    }
    Ok(())
}
