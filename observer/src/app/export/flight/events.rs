//! Events of what is critical: a second window, which is open while a recording goes on and no longer, so that nobody pays
//! for events while nothing is wrong.

use std::{
    collections::BTreeSet,
    sync::mpsc::{SyncSender, TrySendError},
    time::Duration,
};

use anyhow::Result;
use observer::{Config, EventKind, Observer, Reports, Update};
use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::capture::More;

/// Most ports whose events are told.
const MOST_PORTS: usize = 16;

/// Sends the events of these ports for so long, once a recording has begun that they can be written to.
pub fn follow(
    config: &Config,
    ports: &BTreeSet<u16>,
    time: Duration,
    sender: SyncSender<More>,
    begun: oneshot::Receiver<()>,
) {
    let mut config = config.clone();
    config.reports = Reports::AtTheEnd;
    config.events = EventKind::ALL.to_vec();
    config.filters.port = ports.iter().copied().take(MOST_PORTS).collect();
    tokio::spawn(async move {
        if begun.await.is_err() {
            // It could not be written.
            return;
        }
        if let Err(error) = send(config, time, &sender).await {
            log::warn!("the flight recorder has no events: {error:#}");
        }
    });
}

async fn send(config: Config, time: Duration, sender: &SyncSender<More>) -> Result<()> {
    let until = Instant::now() + time;
    // To load the kernel programs takes half a second, in which others are served.
    let mut observer = spawn_blocking(move || Observer::open(&config)).await??;
    while let Ok(update) = timeout_at(until, observer.next()).await {
        let update = match update? {
            Some(update @ Update::Event(_)) => update,
            Some(_) => continue,
            // The processes that were named ended.
            None => break,
        };
        if let Err(TrySendError::Disconnected(_)) = sender.try_send(More::Event(update)) {
            break;
        }
    }
    // What was attached is let go, which takes a while too.
    spawn_blocking(move || drop(observer)).await?;
    Ok(())
}
