//! Driving a face: opening the window, saying so, and ending it at a signal or when its time is over.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigHandler, Signal, signal};
use tokio::{
    signal::unix::{SignalKind, signal as tokio_signal},
    time::sleep,
};

use crate::app::output;
pub use crate::app::output::say;
use observer::{Config, Observer, Update};

/// Signals within this time of the first are the same wish: `timeout` sends two, one to the process
/// and one to its group.
pub const SAME_WISH: Duration = Duration::from_millis(300);

/// What shows a window.
pub trait Face {
    /// Every program is attached.
    ///
    /// # Errors
    ///
    /// When it cannot be shown.
    fn opened(&mut self, observer: &Observer) -> Result<()>;

    /// Something is to be shown.
    ///
    /// # Errors
    ///
    /// When it cannot be shown; that ends the window.
    fn update(&mut self, update: &Update) -> Result<()>;

    /// Nothing more is to be shown just now: what was held back to be written at once may go.
    ///
    /// # Errors
    ///
    /// When it cannot be shown; that ends the window.
    fn idle(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Opens a window and shows it until a signal, the end of its time or the end of what is observed.
///
/// # Errors
///
/// See [`Observer::open`], and what the face says.
pub fn run(config: &Config, duration: Option<Duration>, face: &mut dyn Face) -> Result<()> {
    run_until(config, face, || {
        let mut interrupt = tokio_signal(SignalKind::interrupt())?;
        let mut terminate = tokio_signal(SignalKind::terminate())?;
        // While nobody reads what is written, nothing waits for the two above.
        output::heed(&[libc::SIGINT, libc::SIGTERM])?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = sleep(duration.unwrap_or(Duration::MAX)) => {}
            }
        })
    })
}

/// Opens a window and shows it until what `until` makes is over, or what is observed has ended. `until` is called
/// before anything is attached, and what it makes begins when everything is.
///
/// # Errors
///
/// See [`Observer::open`], and what the face and `until` say.
pub fn run_until<F: Future<Output = ()>>(
    config: &Config,
    face: &mut dyn Face,
    until: impl FnOnce() -> Result<F>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(drive(config, face, until))
}

async fn drive<F: Future<Output = ()>>(
    config: &Config,
    face: &mut dyn Face,
    until: impl FnOnce() -> Result<F>,
) -> Result<()> {
    // Made before anything is attached: a signal from here on ends the window in good order.
    let until = until()?;
    tokio::pin!(until);
    let mut observer = Observer::open(config)?;
    face.opened(&observer)?;
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        log::debug!("systemd was not told: {error}");
    }
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            () = &mut until, if open => {}
            update = observer.next() => {
                let Some(update) = update? else { return Ok(()) };
                face.update(&update)?;
                if !observer.is_ready() {
                    face.idle()?;
                }
                continue;
            }
        }
        open = false;
        observer.close();
        thread::spawn(end_at_once_on_the_next_signal);
    }
}

/// The first signal ends the window and prints the total; the second ends the program where it is.
fn end_at_once_on_the_next_signal() {
    thread::sleep(SAME_WISH);
    for number in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the default action runs none of our code.
        let _unchanged = unsafe { signal(number, SigHandler::SigDfl) };
    }
}
