//! `observer export`: metrics over HTTP.
//!
//! Reports of intervals are added up by the place of each listener, and a scrape shows what the last one left. So a scrape
//! takes nothing off the window, and two scrapers see the same.

pub mod args;
mod encode;
mod families;
mod flight;
mod format;
mod histogram;
mod origins;
mod own;
mod own_cost;
mod place;
mod reference;
mod room;
mod server;
mod site;
mod socket;
mod state;
mod store;
mod tally;
mod tls;
mod users;
mod watchdog;
mod web_config;
mod worth;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigHandler, Signal};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    args::{ExportArgs, LISTEN},
    flight::{Recorder, Settings},
    site::Site,
    state::{State, lock},
    tls::Tls,
    users::Users,
    web_config::WebConfig,
};
use crate::app::{
    opened::{say_all_ended, say_opened},
    output,
    run::{self, Face, say},
};
use observer::{Because, Config, Observer, Reports, Update, error::Failure};

/// Runs it.
///
/// # Errors
///
/// When it cannot listen or observe, and when certificate, users or directory are not as they must be.
pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    if args.describe {
        output::write(reference::page().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    ignore_early_signals()?;
    // All of it is listed each time, so that what is not there is known to be gone.
    let config = Config {
        reports: Reports::Intervals(args.interval),
        idle: true,
        // Nobody sees a total, and the window is open for months.
        forget_closed: true,
        ..args.observe.config()
    };
    let mut face = Exporter::new(args, &config)?;
    run::run(&config, None, &mut face)?;
    Ok(ExitCode::SUCCESS)
}

/// The face: what is served, and what is still to be done when the window is open.
struct Exporter<'a> {
    args: &'a ExportArgs,
    state: Arc<Mutex<State>>,
    origins: origins::Host,
    recorder: Option<Arc<Mutex<Recorder>>>,
    /// What is not served yet.
    ready: Option<Ready>,
}

struct Ready {
    listener: TcpListener,
    tls: Option<Tls>,
    users: Option<Users>,
}

impl<'a> Exporter<'a> {
    fn new(args: &'a ExportArgs, config: &Config) -> Result<Self> {
        let web = args.web_config.as_deref().map(read_web_config).transpose()?.unwrap_or_default();
        let tls = args.tls_cert.clone().zip(args.tls_key.clone()).or(web.tls);
        let tls = tls.map(|(certificate, key)| Tls::new(certificate, key).map_err(Failure::failed));
        let tls = tls.transpose()?;
        let users = (!web.users.is_empty()).then(|| Users::new(web.users).map_err(Failure::failed));
        let users = users.transpose()?;
        let default = || LISTEN.parse::<SocketAddr>().context("the default address is none");
        let address = args.listen.map_or_else(default, Ok)?;
        let (listener, passed) = socket::listen(address)?;
        if passed && args.listen.is_some() {
            say("observer: --listen is not used, because systemd passed a socket");
        }
        let most = usize::try_from(args.max_series).unwrap_or(usize::MAX);
        let state = Arc::new(Mutex::new(State::new(most, args.per_worker)));
        let recorder = args.flight_recorder.as_ref().map(|directory| {
            let settings = Settings {
                directory: directory.clone(),
                keep: args.keep,
                cooldown: args.cooldown,
                most_bytes: u64::from(args.flight_recorder_size) << 20,
                config: config.clone(),
            };
            Recorder::new(settings, state.clone())
        });
        Ok(Self {
            args,
            state,
            origins: origins::Host::default(),
            recorder: recorder.transpose()?.map(|recorder| Arc::new(Mutex::new(recorder))),
            ready: Some(Ready { listener, tls, users }),
        })
    }
}

impl Face for Exporter<'_> {
    fn opened(&mut self, observer: &Observer) -> Result<()> {
        say_opened(observer, &self.args.observe.filters, false);
        if let Some(Ready { listener, tls, users }) = self.ready.take() {
            let address = listener.local_addr().context("the socket has no address")?;
            say_where(address, tls.is_some(), users.is_some());
            let site = Arc::new(Site::new(self.state.clone(), users, self.args.interval));
            watchdog::start(site.clone());
            let listener = server::adopt(listener).context("the socket cannot be served on")?;
            tokio::spawn(server::serve(listener, tls, site));
        }
        listen_to_signals(self.recorder.clone())
    }

    fn update(&mut self, update: &Update) -> Result<()> {
        match update {
            Update::Report(report) => {
                lock(&self.state).add(report, &mut self.origins);
                if let Some(recorder) = &self.recorder {
                    recorder.lock().unwrap_or_else(PoisonError::into_inner).report(report);
                }
            }
            Update::Ended(ended) => {
                if let Some(recorder) = &self.recorder {
                    recorder.lock().unwrap_or_else(PoisonError::into_inner).end();
                }
                if ended.because == Because::ProcessesEnded {
                    say_all_ended(&self.args.observe.filters.pid);
                }
            }
            Update::Event(_) => {}
        }
        Ok(())
    }
}

/// Ignores SIGUSR1, which would end the program, until somebody [listens](listen_to_signals) to it. Not by a handler:
/// that would interrupt the kernel while it verifies programs. Nothing is run here that would inherit it.
fn ignore_early_signals() -> Result<()> {
    // SAFETY: to ignore a signal runs none of our code.
    unsafe { nix::sys::signal::signal(Signal::SIGUSR1, SigHandler::SigIgn) }
        .context("cannot ignore SIGUSR1")?;
    Ok(())
}

/// Begins a recording at each SIGUSR1.
fn listen_to_signals(recorder: Option<Arc<Mutex<Recorder>>>) -> Result<()> {
    let mut asked = signal(SignalKind::user_defined1()).context("cannot listen to SIGUSR1")?;
    tokio::spawn(async move {
        let mut said = false;
        while asked.recv().await.is_some() {
            match &recorder {
                Some(recorder) => {
                    recorder.lock().unwrap_or_else(PoisonError::into_inner).asked();
                }
                None if said => {}
                None => {
                    say("observer: SIGUSR1 is for --flight-recorder DIR, which was not given");
                    said = true;
                }
            }
        }
    });
    Ok(())
}

/// Says where metrics are, and to whom they are open.
fn say_where(address: SocketAddr, tls: bool, users: bool) {
    let scheme = if tls { "https" } else { "http" };
    say(&format!("observer: metrics are at {scheme}://{address}/metrics"));
    if address.ip().is_loopback() || tls && users {
        return;
    }
    let (open, cure) = match (tls, users) {
        (false, false) => (
            "unencrypted, to whoever reaches it",
            "--tls-cert and --tls-key, and users by --web-config,",
        ),
        (true, _) => ("to whoever reaches it", "users by --web-config"),
        (false, true) => ("with passwords that are sent unencrypted", "--tls-cert and --tls-key"),
    };
    say(&format!("observer: {address} is served {open}; {cure} or a firewall are for that"));
}

fn read_web_config(path: &Path) -> Result<WebConfig> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| Failure::failed(format!("the web config {name} cannot be read")))?;
    let directory = path.parent().map(PathBuf::from).unwrap_or_default();
    web_config::parse(&text, &directory)
        .map_err(|why| Failure::failed(format!("{name}: {why}")).into())
}
