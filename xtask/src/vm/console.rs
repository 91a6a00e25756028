//! What a guest's console tells: results, and the ways in which a machine goes wrong. Pure: bytes
//! go in, events and a verdict come out.

use std::collections::BTreeMap;

use super::protocol::Line;

/// What a test came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

/// What is worth telling while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The kernel is up and says what it is.
    Kernel(String),
    /// A test begins.
    Begins(String),
    /// A test ended.
    Done(String, Outcome),
}

/// How the virtual machine itself ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself; whether QEMU was content.
    Exited { well: bool },
    /// It was ended after so many seconds.
    TimedOut(u64),
    /// It was ended after so many seconds without a word.
    Silent(u64),
}

/// Words of the kernel that mean that what follows cannot be trusted.
const TROUBLE: [&str; 11] = [
    "Kernel panic",
    "Oops",
    "BUG:",
    "kernel BUG at",
    "general protection fault",
    "soft lockup",
    "hard LOCKUP",
    "self-detected stall",
    "detected stalls on CPUs",
    "blocked for more than",
    "WARNING: ",
];

/// A console that is being read.
#[derive(Debug, Default)]
pub(crate) struct Console {
    partial: Vec<u8>,
    /// The kernel's first line that means trouble.
    trouble: Option<String>,
    /// What init complained of.
    complaint: Option<String>,
    current: Option<String>,
    announced: Option<usize>,
    done: usize,
    /// Names of the tests that failed.
    failed: Vec<String>,
    ended: Option<i32>,
    bye: bool,
    reasons: BTreeMap<String, String>,
    doctor: Vec<String>,
    version: String,
    /// The tests' standard error, where the harness tells each failure as it comes.
    failures: Vec<String>,
    /// Numbers that the tests tell, to be put side by side.
    figures: Vec<String>,
}

/// What a line of the tests' standard error begins with that tells a number and no failure.
const FIGURE: &str = "figure ";

impl Console {
    /// Takes what the machine wrote.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.partial);
                events.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches('\r')));
            } else {
                self.partial.push(*byte);
            }
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        match Line::read(line) {
            Some(Line::Kernel(text)) => {
                self.version.clone_from(&text);
                return Some(Event::Kernel(text));
            }
            Some(Line::Doctor(text)) => self.doctor.push(text),
            Some(Line::Begins(name)) => {
                self.current = Some(name.clone());
                return Some(Event::Begins(name));
            }
            Some(Line::Out(text)) => return self.out(&text),
            Some(Line::Err(text)) => match text.strip_prefix(FIGURE) {
                Some(figure) => self.figures.push(figure.to_owned()),
                None => self.failures.push(text),
            },
            Some(Line::Ended(status)) => self.ended = Some(status),
            Some(Line::Trouble(text)) => self.complaint = self.complaint.take().or(Some(text)),
            Some(Line::Bye) => self.bye = true,
            None => {
                if self.trouble.is_none() && TROUBLE.iter().any(|word| line.contains(word)) {
                    self.trouble = Some(line.trim().to_owned());
                }
            }
        }
        None
    }

    fn out(&mut self, text: &str) -> Option<Event> {
        if let Some((name, reason)) =
            text.strip_prefix("skip: ").and_then(|rest| rest.split_once(": "))
        {
            self.reasons.insert(name.to_owned(), reason.to_owned());
        } else if let Some(count) = text
            .strip_prefix("running ")
            .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")))
        {
            self.announced = count.parse().ok();
        } else if let Some((name, outcome, rest)) = result(text) {
            let name = name.to_owned();
            let outcome = match outcome {
                "ok" => Outcome::Passed,
                "FAILED" => Outcome::Failed,
                _ => Outcome::Skipped(match reason(rest) {
                    Some(reason) => reason.to_owned(),
                    None => self.reasons.get(&name).cloned().unwrap_or_default(),
                }),
            };
            self.done += 1;
            if outcome == Outcome::Failed {
                self.failed.push(name.clone());
            }
            self.current = None;
            return Some(Event::Done(name, outcome));
        }
        None
    }

    /// The kernel, as it names itself.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// What `observer doctor` said.
    pub(crate) fn doctor(&self) -> &[String] {
        &self.doctor
    }

    /// Names of the tests that failed.
    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// What the tests said of their failures.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The numbers that the tests told.
    pub(crate) fn figures(&self) -> &[String] {
        &self.figures
    }

    /// What is wrong with the machine beside tests that failed; nothing where nothing is.
    pub(crate) fn complaints(&self, end: &End) -> Vec<String> {
        let mut complaints = Vec::new();
        let during =
            self.current.as_ref().map_or_else(String::new, |name| format!(" during {name}"));
        if let Some(trouble) = &self.trouble {
            complaints.push(format!("the kernel is in trouble{during}: {trouble}"));
        }
        if let Some(complaint) = &self.complaint {
            complaints.push(format!("the guest's init: {complaint}"));
        }
        match end {
            End::TimedOut(seconds) => {
                complaints.push(format!("it was ended after {seconds} s{during}"));
            }
            End::Silent(seconds) => {
                complaints.push(format!("it was ended after {seconds} s without a word{during}"));
            }
            End::Exited { well: false } => complaints.push(format!("QEMU failed{during}")),
            End::Exited { well: true } if !self.bye && complaints.is_empty() => {
                complaints.push(format!("it stopped without an end{during}"));
            }
            End::Exited { well: true } => {}
        }
        if complaints.is_empty() {
            match (self.ended, self.announced) {
                (None, _) => complaints.push("the tests did not run".to_owned()),
                (Some(status), None) => {
                    complaints.push(format!("the tests ended with {status} and told no result"));
                }
                (Some(_), Some(announced)) if announced != self.done => complaints.push(format!(
                    "{announced} tests were announced and {} told a result",
                    self.done
                )),
                (Some(status), Some(_)) if (status != 0) == self.failed.is_empty() => complaints
                    .push(format!(
                        "{} tests failed, but the exit status is {status}",
                        self.failed.len()
                    )),
                (Some(_), Some(_)) => {}
            }
        }
        complaints
    }
}

/// A test's name, what is said of it, and what follows: `test NAME   ... ignored (REASON)`.
fn result(text: &str) -> Option<(&str, &str, &str)> {
    let (name, outcome) = text.strip_prefix("test ")?.split_once(" ... ")?;
    let (word, rest) = outcome.split_once(' ').unwrap_or((outcome, ""));
    matches!(word, "ok" | "FAILED" | "ignored").then_some((name.trim(), word, rest))
}

fn reason(rest: &str) -> Option<&str> {
    rest.trim().strip_prefix('(')?.strip_suffix(')')
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
