//! The face of `observer trace`: events in, what was asked for out.

use std::{fs::File, path::PathBuf, time::SystemTime};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    args::{Kind, TraceArgs, TraceFormat},
    blocks::Blocks,
    clock::Clock,
    kinds::{self, Counts},
    limit::Limit,
    lines::Lines,
    story,
    trace_event::TraceEvents,
};
use crate::app::{
    args::FilterArgs,
    opened::{say_all_ended, say_opened},
    output,
    render::{json, terminal::Screen},
    run::{Face, say},
};
use observer::{
    Because, Ended, Observer, Update,
    model::{Connection, Event, LostReason, WakeupOutcome, What},
};

/// Most events in a second on a terminal, where nobody says otherwise: more than anybody reads.
const ON_A_TERMINAL: u64 = 1_000;

/// Bytes that are held back to be written at once.
const HELD: usize = 64 * 1024;

/// How often stories that are over are looked for, in nanoseconds.
const LOOK: u64 = 20_000_000;

/// How long events take to come, and more, in nanoseconds.
const LATE: u64 = 300_000_000;

/// Standard output, in the format that was asked for.
pub struct Tracer {
    filters: FilterArgs,
    tells_drops: bool,
    report: Option<(PathBuf, File)>,
    form: Form,
    colour: bool,
    clock: Clock,
    limit: Limit,
    /// Events that came, by kind, without lost ones.
    came: Counts,
    lost: u64,
    /// When stories that are over were looked for last.
    looked: u64,
    held: Vec<u8>,
}

/// How events are shown.
enum Form {
    Lines(Lines),
    Json,
    /// Stories, as lines of JSON or not.
    Blocks(Blocks, Lines, bool),
    TraceEvents(TraceEvents),
}

impl Tracer {
    /// Looks at the terminal, if there is one.
    ///
    /// # Errors
    ///
    /// When the file of the report cannot be made.
    pub fn new(args: &TraceArgs) -> Result<Self> {
        let screen = Screen::of_stdout();
        // A pipe has no width of its own: lines are for grep there.
        let lines = || Lines::new(screen.width);
        let form = match (args.format, args.connection) {
            (TraceFormat::Text, false) => Form::Lines(lines()),
            (TraceFormat::Json, false) => Form::Json,
            (TraceFormat::TraceEvent, _) => Form::TraceEvents(TraceEvents::default()),
            (format, true) => Form::Blocks(Blocks::default(), lines(), format == TraceFormat::Json),
        };
        let most = match args.max_events_per_second {
            Some(0) => None,
            Some(most) => Some(most),
            None => screen.tty.then_some(ON_A_TERMINAL),
        };
        let report = args.report.as_ref().map(|path| {
            let file = File::create(path);
            let file = file.with_context(|| format!("cannot create {}", path.display()))?;
            anyhow::Ok((path.clone(), file))
        });
        Ok(Self {
            filters: args.observe.filters.clone(),
            tells_drops: !args.connection
                && (args.kind.is_empty() || args.kind.contains(&Kind::Dropped)),
            report: report.transpose()?,
            form,
            colour: screen.colour,
            clock: Clock::now(),
            limit: Limit::new(most),
            came: Counts::default(),
            lost: 0,
            looked: 0,
            held: Vec::new(),
        })
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        let at = self.clock.at(&event.time);
        self.tell_left_out(at, event.time.clone())?;
        if let What::Lost { count, .. } = event.what {
            self.lost += count;
            if let Form::Blocks(blocks, ..) = &mut self.form {
                blocks.take(event, at);
            }
            return self.show(event, at);
        }
        let mut this = Counts::default();
        this.add(kinds::name(&event.what), 1);
        self.came.add_all(&this);
        if let Form::Blocks(blocks, ..) = &mut self.form {
            blocks.take(event, at);
            if at >= self.looked + LOOK {
                self.looked = at;
                let over = blocks.over(at);
                self.stories(&over, at)?;
            }
            return Ok(());
        }
        if self.limit.admits(at, &this) {
            self.show(event, at)?;
        }
        Ok(())
    }

    /// Shows an event.
    fn show(&mut self, event: &Event, at: u64) -> Result<()> {
        let Self { form, held, colour, .. } = self;
        match form {
            Form::Lines(lines) | Form::Blocks(_, lines, false) => {
                let line = lines.line(event, at).paint(lines.width(), *colour);
                held.extend_from_slice(line.as_bytes());
                held.push(b'\n');
            }
            Form::Json | Form::Blocks(_, _, true) => append(held, event)?,
            Form::TraceEvents(events) => events.event(event, at, held),
        }
        if held.len() >= HELD { self.write() } else { Ok(()) }
    }

    /// Shows stories that are over.
    fn stories(&mut self, stories: &[Connection], at: u64) -> Result<()> {
        for one in stories {
            let Self { form, held, colour, limit, clock, .. } = self;
            if !limit.admits(at, &events_of(one)) {
                continue;
            }
            match form {
                Form::Blocks(_, _, true) => append(held, one)?,
                Form::Blocks(_, lines, false) => {
                    let width = lines.width();
                    for line in story::block(one, clock.at(&one.time), width) {
                        held.extend_from_slice(line.paint(width, *colour).as_bytes());
                        held.push(b'\n');
                    }
                    held.push(b'\n');
                }
                Form::Lines(_) | Form::Json | Form::TraceEvents(_) => {}
            }
            if held.len() >= HELD {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Says what the limit left out in the seconds before that of `at`.
    fn tell_left_out(&mut self, at: u64, time: String) -> Result<()> {
        match self.limit.left_out(at) {
            Some(left_out) => self.show(&left_out_event(&left_out, time), at),
            None => Ok(()),
        }
    }

    /// A second is over: nothing may come for a while that would show what is due.
    fn tick(&mut self) -> Result<()> {
        let now = self.clock.elapsed().saturating_sub(LATE);
        self.tell_left_out(now, Clock::moment(SystemTime::now()))?;
        if let Form::Blocks(blocks, ..) = &mut self.form {
            let over = blocks.over(now);
            self.stories(&over, now)?;
        }
        Ok(())
    }

    fn ended(&mut self, ended: &Ended) -> Result<()> {
        let now = self.clock.elapsed();
        if let Form::Blocks(blocks, ..) = &mut self.form {
            let rest = blocks.rest(now);
            self.stories(&rest, now)?;
        }
        if let Some(left_out) = self.limit.left_out_so_far() {
            let event = left_out_event(&left_out, Clock::moment(SystemTime::now()));
            self.show(&event, now)?;
        }
        if let Form::TraceEvents(events) = &mut self.form {
            events.end(&mut self.held);
        }
        self.write()?;
        if let Some((path, file)) = &mut self.report {
            json::write(file, &ended.total)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if ended.because == Because::ProcessesEnded {
            say_all_ended(&self.filters.pid);
        }
        say(&format!("observer: {}", self.summary()));
        Ok(())
    }

    /// What came, and what did not, in words.
    fn summary(&self) -> String {
        let mut said = match self.came.total() {
            0 => "no events".to_owned(),
            1 => format!("1 event: {}", self.came.words()),
            count => format!("{count} events: {}", self.came.words()),
        };
        if let (Some(most), left_out @ 1..) = (self.limit.most(), self.limit.total()) {
            said.push_str(&format!(
                "; {left_out} of them were left out, because --max-events-per-second is {most}"
            ));
        }
        if self.lost != 0 {
            said.push_str(&format!(
                "; {} more were lost, because they came faster than they were read (choose fewer listeners, or \
                 kinds with --kind)",
                self.lost
            ));
        }
        said
    }

    fn write(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        output::write(&held)
    }
}

impl Face for Tracer {
    fn opened(&mut self, observer: &Observer) -> Result<()> {
        self.clock = Clock::now();
        say_opened(observer, &self.filters, self.tells_drops);
        if let Form::Lines(lines) = &self.form {
            let heading = lines.heading().paint(lines.width(), self.colour);
            output::write(format!("{heading}\n").as_bytes())?;
        }
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Result<()> {
        match update {
            Update::Event(event) => self.event(event),
            Update::Report(_) => self.tick(),
            Update::Ended(ended) => self.ended(ended),
        }
    }

    fn idle(&mut self) -> Result<()> {
        self.write()
    }
}

/// Appends a line of JSON.
fn append(held: &mut Vec<u8>, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *held, value)?;
    held.push(b'\n');
    Ok(())
}

/// The events that a story was made of.
fn events_of(story: &Connection) -> Counts {
    let mut counts = Counts::default();
    let woken = story.woken.len() as u64 + story.woken_more;
    let of = |outcome| story.count(Some(outcome));
    counts.add("queued", u64::from(story.depth.is_some()));
    counts.add("woken", woken);
    counts.add("accepted", u64::from(story.accepted.is_some()));
    counts.add("accept_error", of(WakeupOutcome::Lost) + of(WakeupOutcome::Failed));
    counts.add("silent", of(WakeupOutcome::Silent));
    counts
}

/// The event that says what was left out on request.
fn left_out_event(left_out: &Counts, time: String) -> Event {
    Event::lost(time, left_out.total(), LostReason::RateLimit, Some(left_out.to_map()))
}
