//! systemd's watchdog: it is told that observer lives while reports come.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use super::site::Site;

/// Tells it at half of its time, where systemd asked for that (`WatchdogSec=`).
pub fn start(site: Arc<Site>) {
    let Some(time) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval((time / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            ticks.tick().await;
            if site.is_healthy()
                && let Err(error) = sd_notify::notify(&[NotifyState::Watchdog])
            {
                log::debug!("the watchdog was not told: {error}");
            }
        }
    });
}
