//! The plain `observer`: a table or JSON, at the times that were asked for.

use std::{fs::File, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};

use crate::app::{
    cli::{FilterArgs, Format, WatchArgs},
    opened::{say_all_ended, say_opened},
    output,
    render::{
        json, labels,
        table::{self, TableOptions},
        terminal::Screen,
    },
    run::{self, Face, say},
};
use observer::{
    Because, Config, Ended, EventKind, Observer, Reports, Update,
    model::{Event, Report, What},
};

/// How often the live table is drawn, and how long an interval is where none was asked for.
const LIVE: Duration = Duration::from_secs(1);

/// Runs it.
///
/// # Errors
///
/// See [`Observer::open`]; and when nothing can be written.
pub fn run(args: &WatchArgs) -> Result<()> {
    let mut face = Plain::new(args)?;
    run::run(&config(args, face.is_live()), args.duration, &mut face)
}

fn config(args: &WatchArgs, live: bool) -> Config {
    let reports = match (args.interval, args.duration) {
        (Some(period), _) => Reports::Intervals(period),
        (None, Some(_)) => Reports::AtTheEnd,
        (None, None) if live => Reports::SoFar(LIVE),
        (None, None) => Reports::Intervals(LIVE),
    };
    Config {
        reports,
        events: if args.observe.verbose > 0 { vec![EventKind::Dropped] } else { Vec::new() },
        cost: args.cost,
        idle: args.idle,
        ..args.observe.config()
    }
}

/// Standard output, in the format that was asked for.
pub struct Plain {
    filters: FilterArgs,
    format: Format,
    workers: usize,
    live: bool,
    /// Whether drops are told one by one.
    tells_drops: bool,
    /// Whether the live table was drawn: the total goes over it.
    drawn: bool,
    /// Where the updates go too, as they came.
    updates: Option<File>,
}

impl Plain {
    /// Looks at the terminal, if there is one.
    ///
    /// # Errors
    ///
    /// When the file of updates cannot be made.
    pub fn new(args: &WatchArgs) -> Result<Self> {
        let on_terminal = args.format == Format::Table && Screen::of_stdout().height.is_some();
        let updates = args.updates.as_ref().map(|path| {
            File::create(path).with_context(|| format!("cannot create {}", path.display()))
        });
        Ok(Self {
            filters: args.observe.filters.clone(),
            format: args.format,
            workers: args.workers,
            live: on_terminal && args.interval.is_none() && args.duration.is_none(),
            tells_drops: args.observe.verbose > 0,
            drawn: false,
            updates: updates.transpose()?,
        })
    }

    /// Whether the table is redrawn in place instead of printed again.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    fn report(&mut self, report: &Report) -> Result<()> {
        if self.format == Format::Json {
            return output::line(report);
        }
        let (screen, options) = self.look();
        if self.live {
            self.drawn = true;
            return output::write(table::live_frame(report, &options, screen.height).as_bytes());
        }
        output::write((table::render(report, &options) + "\n").as_bytes())
    }

    fn ended(&mut self, ended: &Ended) -> Result<()> {
        if ended.because == Because::ProcessesEnded {
            say_all_ended(&self.filters.pid);
        }
        if self.format == Format::Json {
            return output::line(&ended.total);
        }
        if self.drawn {
            output::write(table::CLEAR_SCREEN.as_bytes())?;
        }
        output::write(table::render(&ended.total, &self.look().1).as_bytes())
    }

    /// The window may have been resized since.
    fn look(&self) -> (Screen, TableOptions) {
        let screen = Screen::of_stdout();
        let options = TableOptions::new(&screen, self.workers, table::empty(&self.filters));
        (screen, options)
    }
}

impl Face for Plain {
    fn opened(&mut self, observer: &Observer) -> Result<()> {
        say_opened(observer, &self.filters, self.tells_drops);
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Result<()> {
        if let Some(file) = &mut self.updates {
            json::write(file, update).context("cannot write the file of updates")?;
        }
        match update {
            Update::Report(report) => self.report(report),
            Update::Event(event) => {
                say_dropped(event);
                Ok(())
            }
            Update::Ended(ended) => self.ended(ended),
        }
    }
}

/// With `-v`: each connection attempt that was refused.
fn say_dropped(event: &Event) {
    let Event { time, address: Some(address), port: Some(port), .. } = event else { return };
    let server = match address.parse() {
        Ok(address) => SocketAddr::new(address, *port).to_string(),
        Err(_) => format!("{address}:{port}"),
    };
    if let What::Dropped { client, reason } = &event.what {
        let client = client.as_deref().unwrap_or("an unknown client");
        say(&format!("{time} {server} dropped {client}: {}", labels::drop_reason(reason)));
    }
}
